"""Worlds in simulated time for the tests of call control and of SIP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.host.sip.world import World


@pytest.fixture
def worlds(tmp_path: Path) -> Callable[..., World]:
    """Makes worlds; takes what `World` takes but its folder."""

    def make(**options: Any) -> World:
        return World(tmp_path, **options)

    return make


@pytest.fixture
def world(worlds: Callable[..., World]) -> World:
    return worlds()
