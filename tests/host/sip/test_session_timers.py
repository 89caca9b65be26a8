"""Session timers (RFC 4028) on both legs of a call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from firmware.wire.sip.message import Request
from tests.host.sip.agents import ALLOW, NO_UPDATE, Side, answers, cast, hangs_up
from tests.host.sip.world import CALLED, World


def refreshes(side: Side) -> list[Request]:
    return [
        r for r in side.requests[0:] if "Session-Expires" in r.headers and r is not side.request
    ]


def test_an_interval_too_small_gets_422_and_our_minimum(world: World) -> None:
    alice, _ = cast(world)
    side = alice.call(CALLED, ("Supported", "timer"), ("Session-Expires", "60"))
    world.finish()
    assert side.outcome == 422
    assert side.responses[-1].headers.get("Min-SE") == "90"


def test_a_carrier_that_wants_longer_is_asked_again(world: World) -> None:
    alice, north = cast(world)
    asked: list[str | None] = []

    def plan(side: Side) -> None:
        asked.append(side.request.headers.get("Session-Expires"))
        if len(asked) == 1:
            side.respond(422, b"", ("Min-SE", "3600"))
        else:
            answers()(side)

    north.plan = plan
    caller = alice.call()
    caller.on_answer = hangs_up(5)
    world.finish()
    assert asked == ["1800", "3600"]
    assert caller.outcome == 200
    first, second = (side.request for side in north.sides)
    assert first.call_id == second.call_id
    assert second.cseq[0] == first.cseq[0] + 1


def test_a_422_without_min_se_is_a_failure(world: World) -> None:
    alice, north = cast(world)
    north.plan = lambda side: side.respond(422)
    caller = alice.call()
    world.finish()
    assert caller.outcome is not None
    assert caller.outcome >= 400


@pytest.mark.parametrize(("allow", "method"), [(ALLOW, "UPDATE"), (NO_UPDATE, "INVITE")])
def test_we_refresh_a_caller_that_cannot(
    worlds: Callable[..., World], allow: str, method: str
) -> None:
    world = worlds(session_expires_s=90)
    alice, _ = cast(world)
    alice.allow = allow
    caller = alice.call()
    world.run(2)
    assert caller.responses[-1].headers.get("Session-Expires") == "90;refresher=uas"
    world.run(200)
    assert [r.method for r in refreshes(caller)] == [method] * 4, "every 45 seconds"
    assert not caller.over
    caller.bye()
    world.finish()


def test_we_refresh_a_carrier_that_leaves_it_to_us(worlds: Callable[..., World]) -> None:
    world = worlds(session_expires_s=90)
    alice, north = cast(world)

    def plan(side: Side) -> None:
        side.timer_headers = [("Session-Expires", "90;refresher=uac"), ("Require", "timer")]
        answers()(side)

    north.plan = plan
    caller = alice.call()
    world.run(100)
    assert [r.method for r in refreshes(north.sides[0])] == ["UPDATE"] * 2
    caller.bye()
    world.finish()


def test_a_refresh_that_meets_491_is_tried_again(worlds: Callable[..., World]) -> None:
    world = worlds(session_expires_s=90)
    alice, _ = cast(world)
    alice.allow = NO_UPDATE
    caller = alice.call()
    world.run(2)
    caller.on_modify = lambda side, request: 491 if len(refreshes(side)) == 1 else 200
    world.run(120)
    assert not caller.over
    assert len(refreshes(caller)) == 3
    caller.bye()
    world.finish()


def test_a_peer_that_answers_no_refresh_is_given_up(worlds: Callable[..., World]) -> None:
    world = worlds(session_expires_s=90)
    alice, north = cast(world)
    caller = alice.call()
    world.run(2)
    alice.mute = True
    world.run(120)
    callee = north.sides[0]
    assert callee.ended_by_host is not None
    assert "cause=102" in (callee.ended_by_host.headers.get("Reason") or "")
    caller.over = True
    world.finish()
    assert world.cdr()["cause"] == 102


def test_a_peer_that_refreshes_keeps_the_call_and_one_that_stops_loses_it(world: World) -> None:
    alice, north = cast(world)
    timer = [("Supported", "timer"), ("Session-Expires", "90;refresher=uac")]
    caller = alice.call(CALLED, *timer)
    world.run(2)
    said = caller.responses[-1].headers
    assert said.get("Session-Expires") == "90;refresher=uac"
    assert said.get("Require") == "timer"
    for _ in range(4):
        world.run(45)
        assert not caller.over
        caller.modify(b"", "UPDATE", *timer)
    world.run(1)
    assert [m.status for m in caller.modified if m] == [200] * 4
    stopped = world.now
    world.run(100)
    assert caller.ended_by_host is not None
    assert 55 < caller.over_at - stopped < 62, "a third of the interval before it is over"
    assert north.sides[0].over
    world.finish()


def test_timers_may_be_switched_off(worlds: Callable[..., World]) -> None:
    world = worlds(session_expires_s=0)
    alice, north = cast(world)
    caller = alice.call()
    world.run(2)
    assert "Session-Expires" not in north.sides[0].request.headers
    assert "Session-Expires" not in caller.responses[-1].headers
    caller.bye()
    world.finish()
