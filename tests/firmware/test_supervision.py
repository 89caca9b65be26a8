"""When the process of a line is started again, given up and ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.supervision import Kill, Order, Start, State, Supervision, Terminate, Times

TIMES = Times()


def states(made: Supervision) -> dict[str, State]:
    return {name: made.state(name) for name in "ab"}


def begun(*names: str) -> Supervision:
    made = Supervision(names or ("kitchen", "study"))
    assert made.start(0) == [Start(name) for name in names or ("kitchen", "study")]
    return made


@pytest.mark.parametrize("status", [0, 1, -9, -11])
def test_one_that_ends_is_back_after_a_second(status: int) -> None:
    made = begun()
    assert made.ended("kitchen", status, 70_000) == []
    assert made.state("kitchen") is State.WAITING
    assert made.state("study") is State.RUNNING
    assert made.deadline_ms == 71_000
    assert made.handle_timer(70_999) == []
    assert made.handle_timer(71_000) == [Start("kitchen")]
    assert made.deadline_ms is None


def test_pauses_double_and_then_it_has_failed() -> None:
    made = begun("a", "b")
    now_ms, pauses = 0.0, []
    while states(made)["a"] is not State.FAILED:
        now_ms += 100
        made.ended("a", 1, now_ms)
        due_ms = made.deadline_ms
        if due_ms is not None:
            pauses.append(due_ms - now_ms)
            now_ms = due_ms
            assert made.handle_timer(now_ms) == [Start("a")]
    assert pauses == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000]
    assert states(made)["b"] is State.RUNNING
    assert not made.done
    made.stop(now_ms)
    made.ended("b", 0, now_ms)
    assert (made.done, made.status) == (True, 1)


def test_one_that_was_sound_for_a_while_begins_anew() -> None:
    made = begun("a")
    now_ms = 0.0
    for _ in range(30):
        now_ms += TIMES.sound_ms
        made.ended("a", -9, now_ms)
        assert made.pause_ms("a", now_ms) == TIMES.first_pause_ms
        now_ms += TIMES.first_pause_ms
        made.handle_timer(now_ms)


def test_a_wrong_configuration_is_not_tried_again_and_all_failed_is_the_end() -> None:
    made = begun("a", "b")
    made.ended("a", 2, 100)
    assert made.state("a") is State.FAILED
    made.ended("b", 2, 100)
    assert (made.done, made.status) == (True, 1)


def test_stopping_ends_those_that_run_and_kills_those_that_do_not_end() -> None:
    made = begun("a", "b", "c")
    made.ended("c", 1, 10)
    assert made.stop(100) == [Terminate("a"), Terminate("b")]
    assert made.stop(200) == []
    assert made.state("c") is State.STOPPED
    made.ended("a", 0, 300)
    assert made.deadline_ms == 100 + TIMES.stop_ms
    assert made.handle_timer(100 + TIMES.stop_ms) == [Kill("b")]
    made.ended("b", -9, 100 + TIMES.stop_ms + 1)
    assert (made.done, made.status) == (True, 0)


def test_a_new_configuration_starts_everything_anew_the_failed_too() -> None:
    made = begun("a", "b")
    made.ended("b", 2, 10)
    assert made.restart(1_000) == [Terminate("a"), Start("b")]
    assert made.ended("a", 0, 1_500) == [Start("a")]
    assert made.deadline_ms is None
    made.ended("a", 1, 1_600)
    assert made.pause_ms("a", 1_600) == TIMES.first_pause_ms


WHAT = st.lists(
    st.tuples(
        st.sampled_from(["ended", "timer", "restart"]), st.sampled_from("abc"),
        st.sampled_from([0, 1, 2, -9]), st.floats(0, 200_000),
    ),
    max_size=60,
)  # fmt: skip


@given(WHAT)
def test_no_process_runs_twice_and_stopping_always_comes_to_an_end(
    what: list[tuple[str, str, int, float]],
) -> None:
    made = Supervision("abc")
    running: set[str] = set()
    now_ms = 0.0

    def obey(orders: list[Order]) -> None:
        for order in orders:
            if isinstance(order, Start):
                assert order.name not in running, "one is running already"
                running.add(order.name)
            else:
                assert order.name in running, "what does not run cannot be ended"

    obey(made.start(now_ms))
    for kind, name, status, later_ms in what:
        now_ms += later_ms
        if kind == "ended" and name in running:
            running.remove(name)
            obey(made.ended(name, status, now_ms))
        elif kind == "timer":
            obey(made.handle_timer(now_ms))
        elif kind == "restart":
            obey(made.restart(now_ms))
        for one in "abc":
            assert (made.state(one) is State.RUNNING) == (one in running)
            waits = made.state(one) is State.WAITING
            assert not waits or made.pause_ms(one, now_ms) <= TIMES.longest_pause_ms
    obey(made.stop(now_ms))
    obey(made.handle_timer(now_ms + TIMES.stop_ms))
    for name in sorted(running):
        assert made.ended(name, -9, now_ms + TIMES.stop_ms) == []
    assert made.done
    assert made.deadline_ms is None
