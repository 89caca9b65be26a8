"""Which server, when: fail-over, back-off, return to the first; by simulated time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.ua.registration import Attempt, Leave, Registration, RetryTimes

TIMES = RetryTimes(least_ms=1_000, most_ms=8_000, timeout_ms=500, fallback_ms=60_000)


def test_a_silent_server_is_given_up_for_the_next() -> None:
    plan = Registration(2, TIMES, lambda: 0.0)
    assert plan.start(0) == [Attempt(0)]
    assert plan.handle_timer(499) == []
    assert plan.handle_timer(500) == [Leave(0), Attempt(1)]
    assert plan.registered(1, 600) == []
    assert plan.current == 1
    assert plan.deadline_ms == 60_600


def test_the_first_server_is_taken_back_without_a_gap() -> None:
    plan = Registration(2, TIMES, lambda: 0.0)
    plan.start(0)
    plan.handle_timer(500)
    plan.registered(1, 600)
    assert plan.handle_timer(60_600) == [Attempt(0)]
    assert plan.current == 1
    assert plan.registered(0, 60_700) == [Leave(1)]
    assert plan.current == 0
    assert plan.deadline_ms is None


def test_a_first_server_still_down_costs_nothing() -> None:
    plan = Registration(2, TIMES, lambda: 0.0)
    plan.start(0)
    plan.handle_timer(500)
    plan.registered(1, 600)
    plan.handle_timer(60_600)
    assert plan.failed(0, 503, 60_700) == [Leave(0)]
    assert plan.current == 1
    assert plan.deadline_ms == 120_700


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.5), (1.0, 1.0), (0.5, 0.75)])
def test_the_pause_doubles_up_to_its_most_with_jitter(draw: float, factor: float) -> None:
    plan = Registration(1, TIMES, lambda: draw)
    plan.start(0)
    now_ms = 0.0
    pauses = []
    for _ in range(6):
        plan.failed(0, 503, now_ms)
        assert plan.deadline_ms is not None
        pauses.append(plan.deadline_ms - now_ms)
        now_ms = plan.deadline_ms
        assert plan.handle_timer(now_ms) == [Attempt(0)]
    assert pauses == [factor * one for one in (1_000, 2_000, 4_000, 8_000, 8_000, 8_000)]


def test_an_account_that_is_refused_does_not_try_the_backups() -> None:
    plan = Registration(3, TIMES, lambda: 0.0)
    plan.start(0)
    assert plan.failed(0, 403, 100) == [Leave(0)]
    assert plan.trying is None


def test_a_late_yes_of_a_server_given_up_is_undone() -> None:
    plan = Registration(2, TIMES, lambda: 0.0)
    plan.start(0)
    plan.handle_timer(500)
    assert plan.registered(0, 700) == [Leave(0)]


def test_a_refresh_that_fails_moves_to_the_backup_and_from_there_to_the_first() -> None:
    plan = Registration(2, TIMES, lambda: 0.0)
    plan.start(0)
    plan.registered(0, 100)
    assert plan.failed(0, 408, 1_000) == [Leave(0), Attempt(1)]
    plan.registered(1, 1_100)
    assert plan.failed(1, 408, 2_000) == [Leave(1), Attempt(0)]


_STEPS = st.tuples(
    st.sampled_from(["yes", "no", "timer"]), st.integers(0, 2), st.sampled_from([0, 403, 408, 503])
)


@given(st.lists(_STEPS, max_size=40), st.floats(0, 1))
def test_it_never_gives_up_and_never_asks_two_at_once(
    steps: list[tuple[str, int, int]], draw: float
) -> None:
    plan = Registration(3, TIMES, lambda: draw)
    plan.start(0)
    now_ms = 0.0
    for kind, server, status in steps:
        now_ms += 50
        if kind == "yes":
            orders = plan.registered(server, now_ms)
        elif kind == "no":
            orders = plan.failed(server, status, now_ms)
        else:
            now_ms = max(now_ms, plan.deadline_ms or 0)
            orders = plan.handle_timer(now_ms)
        assert len([one for one in orders if isinstance(one, Attempt)]) <= 1
        if plan.current != 0:
            assert plan.deadline_ms is not None, "there is always a next attempt"


def test_a_connection_that_goes_is_opened_anew_but_not_in_a_circle() -> None:
    plan = Registration(1, TIMES, lambda: 0.0)
    plan.start(0)
    assert plan.disconnected(0, 50) == [], "who is not registered has nothing to renew"
    plan.registered(0, 100)
    assert plan.disconnected(0, 5_000) == [Attempt(0)]
    assert plan.current == 0
    assert plan.registered(0, 5_100) == []
    assert plan.disconnected(0, 5_200) == []
    assert plan.deadline_ms == 6_000
    assert plan.handle_timer(5_999) == []
    assert plan.handle_timer(6_000) == [Attempt(0)]
    assert plan.failed(0, 503, 6_100) == [Leave(0)]
    assert plan.deadline_ms == 6_600
    assert plan.disconnected(0, 6_200) == []


def test_a_connection_that_goes_does_not_delay_the_return_to_the_first_server() -> None:
    plan = Registration(2, TIMES, lambda: 0.0)
    plan.start(0)
    plan.handle_timer(500)
    plan.registered(1, 600)
    assert plan.disconnected(0, 700) == [], "another's"
    assert plan.disconnected(1, 1_000) == [Attempt(1)]
    assert plan.deadline_ms == 60_600
    assert plan.disconnected(1, 59_900) == [Attempt(1)]
    assert plan.disconnected(1, 60_000) == []
    assert plan.handle_timer(60_900) == [Attempt(1), Attempt(0)]
