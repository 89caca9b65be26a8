"""Many calls of every kind over bad links: whatever is lost, nothing is left and all is billed.

A seed that fails is the bug report: it stands in the assertion's message and the test's name.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.host.sip.agents import (
    Agent,
    Side,
    answers,
    hangs_up,
    refuses,
    rings,
    sdp,
    with_did,
)
from tests.host.sip.world import DID, LINKS, World

SEEDS = range(1, 9)
CALLS = 12


def behave(world: World, side: Side) -> None:
    """What a callee makes of a call, by the world's dice."""
    rng = world.random
    what = rng.randrange(8)
    if what == 0:
        refuses(rng.choice([486, 404, 503, 500, 408, 603]))(side)
    elif what == 1:
        rings()(side)
    elif what == 2:
        side.respond(183, sdp(side.agent.where, 7000))
        world.at(rng.uniform(0.1, 4), side.answer)
    else:
        answers(rng.uniform(0, 1), rng.uniform(0, 5))(side)
    if rng.random() < 0.4:
        world.at(rng.uniform(1, 40), side.bye)


def live(world: World, side: Side) -> None:
    """What a caller does with a call, by the world's dice."""
    rng = world.random

    def change(method: str) -> None:
        if not side.over and side.dialog is not None:
            body = sdp(side.agent.where, direction=rng.choice(["sendonly", "sendrecv"]), version=2)
            side.modify(body, method)

    if rng.random() < 0.3:
        world.at(rng.uniform(0, 8), lambda: side.cancel() if side.outcome is None else None)
    if rng.random() < 0.4:
        world.at(rng.uniform(1, 30), lambda: change(rng.choice(["INVITE", "UPDATE"])))
    hangs_up(rng.uniform(0, 30))(side) if rng.random() < 0.2 else None
    side.on_answer = hangs_up(rng.uniform(0, 40))
    if rng.random() < 0.1:
        side.acknowledges = False
    world.at(250, lambda: side.cancel() if side.outcome is None else side.bye())


@pytest.mark.parametrize("link", sorted(LINKS))
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_left(worlds: Callable[..., World], link: str, seed: int) -> None:
    world = worlds(seed=seed, ring_s=60)
    alice, north = with_did(world, channels=20, calls_to_one_number=20)
    world.carrier("south", ("10.0.0.8", 5060), priority=20)
    south = Agent(world, ("10.0.0.8", 5060))
    world.link = LINKS[link]
    for agent in (alice, north, south):
        agent.plan = lambda side: behave(world, side)
    for number in range(CALLS):
        caller = world.random.choice([alice, alice, north])
        dialled = DID.lstrip("+") if caller is north else f"151455501{number:02}"

        def begin(caller: Agent = caller, dialled: str = dialled) -> None:
            side = caller.call(dialled)
            live(world, side)

        world.at(world.random.uniform(0, 20), begin)
    world.run(300)
    world.finish()
    asked = sum(1 for agent in world.agents.values() for s in agent.sides if hasattr(s, "uri"))
    assert asked == CALLS
    open_legs = world.conn.execute(
        "SELECT count(*) FROM call WHERE state = 'ended' AND id NOT IN (SELECT call FROM leg)"
    )
    assert open_legs.fetchone() == (0,)
