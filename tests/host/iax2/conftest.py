"""Worlds with IAX2, in simulated time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.host.iax2.world import Iax2World


@pytest.fixture
def worlds(tmp_path: Path) -> Callable[..., Iax2World]:
    """Makes worlds; takes what `Iax2World` takes but its folder."""

    def make(**options: Any) -> Iax2World:
        return Iax2World(tmp_path, **options)

    return make


@pytest.fixture
def world(worlds: Callable[..., Iax2World]) -> Iax2World:
    return worlds()
