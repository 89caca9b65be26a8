"""Calls over links that lose, double and delay: all end, are settled, and leave nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from firmware.wire.iax2 import Ended
from tests.host.iax2.world import Iax2Phone, Iax2World
from tests.host.sip.agents import Agent
from tests.host.sip.world import DID, Link

GATEWAY = ("10.0.0.9", 5060)
FAULTY = Link(loss=0.2, twice=0.1, delay_s=(0.001, 0.3))
SEEDS = range(1, 101)


def test_calls_over_a_faulty_link_end_settled_whatever_happens(
    worlds: Callable[..., Iax2World],
) -> None:
    up = made = 0
    for seed in SEEDS:
        print(f"seed {seed}")
        world = worlds(seed=seed)
        world.iax2_account("alice", channels=9, calls_to_one_number=9)
        world.iax2_account("bob")
        world.did("bob")
        world.carrier("north", GATEWAY)
        Agent(world, GATEWAY)
        alice = Iax2Phone(world, ("10.0.1.1", 4570), "alice")
        bob = Iax2Phone(world, ("10.0.1.2", 4570), "bob")
        assert bob.register().refresh_s
        world.link = FAULTY
        calls: list[Any] = []
        for number in ("15145550100", DID):
            calls.append(alice.call(number))
            world.run(12)
        for call in calls:
            made += 1
            up += "answered" in alice.story(call)
            alice.hang_up(call)
        world.finish()
        for phone in (alice, bob):
            for call in phone.calls:
                assert len([e for e in phone.told(call) if isinstance(e, Ended)]) == 1
    print(f"{up} of {made} calls came about")
    assert up >= 0.8 * made


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_peer_that_vanishes_at_any_moment_leaves_nothing(
    worlds: Callable[..., Iax2World], seed: int
) -> None:
    for step in range(12):
        world = worlds(seed=seed)
        world.iax2_account("alice")
        world.carrier("north", GATEWAY)
        Agent(world, GATEWAY)
        alice = Iax2Phone(world, ("10.0.1.1", 4570), "alice")
        call = alice.call()
        world.run(0.004 + step * 0.11)
        alice.mute = True
        world.run(200)
        assert not world.host.control.calls, f"after {step} steps"
        assert world.iax2.legs == 0
        assert all(len(line.endpoint) == 0 for line in world.iax2.lines)
        alice.mute = False
        alice.hang_up(call)
        world.finish()
