"""The store granted a call, and its answer was lost: nothing stays taken for a call that is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from host.figures import TELL_AGAIN_S
from tests.host.sip.agents import Agent
from tests.host.sip.world import CALLED, World


def given(worlds: Callable[..., World]) -> tuple[World, Agent]:
    world = worlds()
    world.account("alice")
    world.carrier("north", ("10.0.0.9", 5060))
    Agent(world, ("10.0.0.9", 5060))
    return world, Agent(world, ("10.0.0.5", 5060), "alice")


def held(world: World) -> tuple[int, int]:
    """Money held, channels taken."""
    (money,) = world.conn.execute("SELECT sum(held) FROM ledger_account").fetchone()
    (channels,) = world.conn.execute("SELECT count(*) FROM live_limit").fetchone()
    return money, channels


def test_what_was_granted_unheard_is_given_back_by_the_next_heartbeat(
    worlds: Callable[..., World],
) -> None:
    world, alice = given(worlds)
    world.host.store.losing = {"authorize"}
    alice.call(CALLED)
    world.run(1)
    assert min(held(world)) > 0
    world.host.store.failing = {"settle"}
    world.host._give_back()
    world.run(1)
    assert min(held(world)) > 0
    world.host.store.failing = set()
    world.host._give_back()
    world.run(1)
    assert held(world) == (0, 0)
    assert not world.host.in_doubt
    assert (world.cdr()["disposition"], world.cdr()["cost"]) == ("failed", 0)
    world.finish()


def test_what_was_never_granted_gets_the_record_of_its_refusal(
    worlds: Callable[..., World],
) -> None:
    world, alice = given(worlds)
    world.host.store.failing = {"authorize"}
    alice.call(CALLED)
    world.run(1)
    assert world.cdrs() == []
    world.host._give_back()
    world.run(1)
    assert (world.cdr()["reason"], world.cdr()["cost"]) == ("store unavailable", 0)
    world.finish()


class Told:
    """The host's log: what it said was wrong."""

    def __init__(self) -> None:
        self.errors: list[dict[str, Any]] = []

    def error(self, event: str, **values: Any) -> None:
        self.errors.append({"event": event, **values})

    def info(self, event: str, **values: Any) -> None:
        """Of calls, each of which has its line."""


def test_a_write_that_nobody_waits_for_is_told_once_and_then_once_a_minute(
    worlds: Callable[..., World],
) -> None:
    world, _ = given(worlds)
    log = world.host.log = Told()
    world.host.store.failing = {"heartbeat", "supervise"}

    def write(operation: str) -> None:
        host, now = world.host, world.host._now()
        host.writer.submit(
            (lambda conn: host.charging.heartbeat(conn, now))
            if operation == "heartbeat"
            else (lambda conn: host.charging.supervise(conn, now)),
            host._unheard(operation),
        )
        world.run(1)

    def beats(count: int) -> None:
        for _ in range(count):
            write("heartbeat")

    beats(20)
    write("supervise")
    said = [(one["event"], one["operation"], one["failed"]) for one in log.errors]
    assert said == [("store", "heartbeat", 1), ("store", "supervise", 1)]
    assert log.errors[0]["error"] == "out of order"
    world.host.store.failing = set()
    beats(round(TELL_AGAIN_S))
    world.host.store.failing = {"heartbeat"}
    beats(3)
    assert [one["failed"] for one in log.errors[2:]] == [21]
    assert world.host.unwritten.counts == {"heartbeat": 23, "supervise": 1}


def test_a_registration_that_was_not_written_is_written_with_the_next_heartbeat(
    worlds: Callable[..., World],
) -> None:
    world, alice = given(worlds)
    log = world.host.log = Told()
    other = Agent(world, ("10.0.0.6", 5060), "alice")

    def beat() -> list[tuple[str, int]]:
        world.host._save_bindings(world.host._now())
        world.run(1)
        return list(world.conn.execute("SELECT address, expires_utc_ms FROM binding ORDER BY 1"))

    world.host.store.failing = {"save"}
    alice.register(600)
    other.register(600)
    world.run(1)
    assert beat() == []
    assert [one["operation"] for one in log.errors] == ["registrations"]
    world.run(100)
    alice.register(600)  # again: it is this one that counts
    world.run(1)
    world.host.store.failing = set()
    (first, alices), (second, others) = beat()
    assert (first, second) == ("10.0.0.5", "10.0.0.6")
    assert 100_000 <= alices - others < 105_000
    assert world.host.registrar.unsaved == {}


def test_a_record_of_a_refusal_that_is_lost_is_told(worlds: Callable[..., World]) -> None:
    world, alice = given(worlds)
    log = world.host.log = Told()
    world.host.store.failing = {"refuse"}
    alice.call("999")
    world.run(1)
    assert world.cdrs() == []
    assert [(one["event"], one["operation"]) for one in log.errors] == [("store", "refuse")]
    world.finish()
