"""The store granted a call, and its answer was lost: nothing stays taken for a call that is not."""

from __future__ import annotations

from collections.abc import Callable

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
