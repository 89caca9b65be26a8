"""Whatever a customer sends to /api/v1/rest.php, it is answered by the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host.api.v1.methods import METHODS
from host.charging import ledger
from tests.host.api.world import PASSWORD, ApiWorld, assert_strings

VALUES = (
    "", "-1", "0", "1", "2", "3", "45", "73", "1001", "yes", "no", "all", "alice", "alice_home",
    "2125550100", "+12125550101", "5145550100", "account:alice", "account:alice_home", "fwd:1",
    "grp:1", "sip:1", "sys:busy", "none:", "vm:1", "2027-01-01", "2027-01-31",
    "2027-01-15 10:00:00",
    "VoIP", "Horse7battery", "198.51.100.7", "203.0.113.0/24", "ulaw;g722",
    "account:alice;fwd:1,10",
    "900*", "anonymous", "a@example.net", "9" * 18, "9" * 30, "\0", "\ud800".encode(
        "utf-8", "surrogatepass").decode("latin-1"), "é" * 400, "x" * 2_000, "%", "';--", "١٢٣",
)  # fmt: skip
NAMES = sorted({one.name for method in METHODS.values() for one in method.parameters})


@st.composite
def requests(draw: st.DrawFn) -> dict[str, str]:
    name = draw(st.sampled_from(sorted(METHODS)))
    own = [one.name for one in METHODS[name].parameters]
    asked = {one: draw(st.sampled_from(VALUES)) for one in own if draw(st.integers(0, 9))}
    for other in draw(st.lists(st.sampled_from(NAMES), max_size=2)):
        asked.setdefault(other, draw(st.one_of(st.sampled_from(VALUES), st.text(max_size=20))))
    return {**asked, "method": name}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder: Path = tmp_path_factory.mktemp("anything")
    api = ApiWorld(folder, requests_per_minute=10_000_000)
    yield api
    api.close()


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(asked=requests())
def test_anything_is_answered_by_a_word_of_the_contract(
    world: ApiWorld, asked: dict[str, str]
) -> None:
    from host.api.v1.endpoint import Endpoint
    from host.api.v1.values import plain

    endpoint = next(
        route.endpoint for route in world.app.routes if getattr(route, "path", "").endswith(".php")
    )
    assert isinstance(endpoint, Endpoint)
    credentials = {"api_username": "alice", "api_password": PASSWORD}
    told = plain(endpoint.answer({**asked, **credentials}, "203.0.113.5"))
    assert told["status"] != "internal_error", asked
    assert_strings(told)
    assert told["status"] == "success" or set(told) == {"status"}


def test_the_books_are_sound_after_all_that(world: ApiWorld) -> None:
    assert ledger.check(world.conn) == []
