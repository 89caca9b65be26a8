"""Worlds with an API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from host.api import access
from host.charging.values import Now
from tests.host.api.world import ELSEWHERE, NOON, ApiWorld, Program


@pytest.fixture
def apis(tmp_path: Path) -> Iterator[Callable[..., ApiWorld]]:
    """Makes worlds; takes settings of the API."""
    made: list[ApiWorld] = []

    def make(**api: Any) -> ApiWorld:
        made.append(ApiWorld(tmp_path, **api))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def api(apis: Callable[..., ApiWorld]) -> ApiWorld:
    return apis()


@pytest.fixture
def program(api: ApiWorld) -> Iterator[Program]:
    token = access.add_token(api.conn, Now(NOON, 0), "program", True)
    with api.client(ELSEWHERE) as client:
        yield Program(api, client, token)
