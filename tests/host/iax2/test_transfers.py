"""Transfers that a customer asks for over IAX2: TRANSFER and TXREQ, with far ends of any kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from firmware.wire.iax2 import Call, Ended, Format, TransferReady, TransferRefused
from tests.host.iax2.world import ULAW, Iax2Phone, Iax2World, RtpPeer, answers, refuses
from tests.host.sip.agents import Agent, Side
from tests.host.sip.agents import refuses as sip_refuses
from tests.host.sip.world import CALLED, DID

GATEWAY = ("10.0.0.9", 5060)
TRUNK = ("10.0.0.8", 4569)
OTHER = "15145550199"


def cast(world: Iax2World, **account: Any) -> tuple[Iax2Phone, Agent]:
    world.iax2_account("alice", **account)
    world.carrier("north", GATEWAY)
    return Iax2Phone(world, ("10.0.1.1", 4570), "alice"), Agent(world, GATEWAY)


def over_iax2(world: Iax2World) -> tuple[Iax2Phone, Iax2Phone]:
    """The same with a carrier that speaks IAX2, too."""
    world.iax2_account("alice")
    world.iax2_carrier("trunk", TRUNK)
    return Iax2Phone(world, ("10.0.1.1", 4570), "alice"), Iax2Phone(world, TRUNK)


def consulted(world: Iax2World, alice: Iax2Phone) -> tuple[Call, Call]:
    first = alice.call(CALLED)
    world.run(2)
    alice.do(first.hold)
    alice.do(first.quelch)
    world.run(1)
    second = alice.call(OTHER)
    world.run(2)
    return first, second


def join(alice: Iax2Phone, first: Call, second: Call, number: int = 7) -> None:
    alice.do(lambda now: first.join_to(now, second, number))
    alice.do(lambda now: second.join_to(now, first, number))


def news(phone: Iax2Phone, call: Call) -> list[type]:
    return [type(e) for e in phone.told(call) if isinstance(e, TransferReady | TransferRefused)]


def port_of(side: Side) -> int:
    return int(side.sdp.split(b"m=audio ")[1].split()[0])


def test_two_calls_become_one_between_sip_and_sip(world: Iax2World) -> None:
    alice, north = cast(world)
    first, second = consulted(world, alice)
    join(alice, first, second)
    world.run(2)
    assert news(alice, first) == news(alice, second) == [TransferReady]
    alice.do(first.release)
    alice.do(second.release)
    world.run(3)
    assert not alice.endpoint.calls
    one, two = north.sides
    assert not one.over
    assert not two.over
    assert b"sendrecv" in one.sdp or b"a=" not in one.sdp.split(b"m=")[1]
    (session,) = world.host.sim_relay.open_calls.values()
    assert {peer[0] for peer in session.values()} == {GATEWAY[0]}
    one.bye()
    world.finish()
    assert two.over
    assert [c["disposition"] for c in world.cdrs()] == ["answered", "answered"]


def test_two_calls_become_one_between_iax2_and_iax2(world: Iax2World) -> None:
    """Frames go from leg to leg again, and no port is open."""
    alice, trunk = over_iax2(world)
    first, second = consulted(world, alice)
    join(alice, first, second)
    world.run(1)
    alice.do(first.release)
    alice.do(second.release)
    world.run(1)
    one, two = trunk.calls
    trunk.speak(one, ULAW[:50])
    trunk.speak(two, ULAW[100:150])
    world.run(2)
    assert trunk.audio(two).endswith(b"".join(ULAW[:50]))
    assert trunk.audio(one).endswith(b"".join(ULAW[100:150]))
    assert trunk.story(one)[-2:] == ["hold", "unhold"], "nobody is on hold any more"
    assert not world.sockets, "no port is open"
    trunk.do(lambda now: one.digit(now, "5"))
    world.run(1)
    assert trunk.story(two)[-2:] == ["down 5", "up 5"]
    trunk.hang_up(two)
    world.finish()
    assert isinstance(trunk.told(one)[-1], Ended)


def test_two_calls_become_one_between_iax2_and_sip(world: Iax2World) -> None:
    alice, trunk = over_iax2(world)
    world.carrier("north", GATEWAY, priority=1)
    north = Agent(world, GATEWAY)
    media = RtpPeer(world, (GATEWAY[0], 4000))
    first = alice.call(CALLED)
    world.run(2)
    north.plan = sip_refuses(503)
    second = alice.call(OTHER)
    world.run(3)
    assert len(trunk.calls) == 1, "the second goes by the other carrier"
    join(alice, first, second)
    world.run(1)
    alice.do(first.release)
    alice.do(second.release)
    world.run(1)
    (far,) = trunk.calls
    heard = len(media.voice)
    trunk.speak(far, ULAW[:50])
    media.speak(("10.0.0.1", port_of(north.sides[0])), ULAW[100:150])
    world.run(2)
    assert [p.payload for p in media.voice][heard:] == ULAW[:50]
    assert trunk.audio(far).endswith(b"".join(ULAW[100:150]))
    north.sides[0].bye()
    world.finish()


def test_who_does_not_leave_when_all_is_ready_is_hung_up(world: Iax2World) -> None:
    alice, north = cast(world)
    first, second = consulted(world, alice)
    join(alice, first, second)
    world.run(5)
    assert alice.endpoint.calls
    world.run(15)
    assert not alice.endpoint.calls
    assert not north.sides[0].over
    north.sides[0].bye()
    world.finish()


@pytest.mark.parametrize("far", ["sip", "iax2"])
def test_a_blind_transfer_calls_at_the_expense_of_whoever_asked(world: Iax2World, far: str) -> None:
    alice, carrier = cast(world) if far == "sip" else over_iax2(world)
    first = alice.call(CALLED)
    world.run(2)
    alice.do(lambda now: first.transfer_to(now, OTHER))
    world.run(4)
    assert alice.story(first)[-1].startswith("ended 16")
    assert news(alice, first) == []
    if isinstance(carrier, Agent):
        one, two = carrier.sides
        assert not one.over
        assert not two.over
        two.bye()
    else:
        one_call, two_call = carrier.calls
        carrier.speak(two_call, ULAW[:50])
        world.run(2)
        assert carrier.audio(one_call).endswith(b"".join(ULAW[:50]))
        carrier.hang_up(two_call)
    world.finish()
    kept, new = world.cdrs()
    assert kept["account"] == new["account"] == "alice"
    assert new["callee"].lstrip("+") == OTHER
    assert new["cost"] > 0


def test_a_blind_transfer_of_a_call_that_came_in(world: Iax2World) -> None:
    alice, north = cast(world)
    world.did("alice")
    assert alice.register()
    outside = north.call(DID.lstrip("+"))
    world.run(2)
    assert outside.outcome == 200
    (inside,) = alice.calls
    alice.do(lambda now: inside.transfer_to(now, OTHER))
    world.run(4)
    assert alice.story(inside)[-1].startswith("ended 16")
    assert not outside.over
    outside.bye()
    world.finish()
    assert north.sides[1].over
    assert {c["direction"] for c in world.cdrs()} == {"in", "out"}


@pytest.mark.parametrize("far", ["sip", "iax2"])
def test_one_that_fails_is_said_and_the_call_goes_on(world: Iax2World, far: str) -> None:
    alice, carrier = cast(world) if far == "sip" else over_iax2(world)
    first = alice.call(CALLED)
    world.run(2)
    plan: Any = sip_refuses(486) if far == "sip" else refuses(17)
    carrier.plan = plan
    alice.do(lambda now: first.transfer_to(now, OTHER))
    world.run(4)
    assert news(alice, first) == [TransferRefused]
    assert not first.ended
    carrier.plan = answers() if far == "iax2" else carrier.plan
    heard = len(alice.heard[first])
    if isinstance(carrier, Iax2Phone):
        carrier.speak(carrier.calls[0], ULAW[:10])
        world.run(1)
        assert len(alice.heard[first]) == heard + 10
    alice.hang_up(first)
    world.finish()


def test_a_call_of_somebody_else_is_none_that_he_may_name(world: Iax2World) -> None:
    alice, north = cast(world)
    world.iax2_account("bob")
    bob = Iax2Phone(world, ("10.0.1.2", 4570), "bob")
    hers, his = alice.call(CALLED), bob.call(OTHER)
    world.run(2)
    bob.do(lambda now: his.join_to(now, hers, 9))
    world.run(1)
    assert news(bob, his) == [TransferRefused]
    assert not any(side.over for side in north.sides)
    alice.hang_up(hers)
    bob.hang_up(his)
    world.finish()


def test_half_of_a_transfer_does_nothing(world: Iax2World) -> None:
    alice, north = cast(world)
    first, second = consulted(world, alice)
    alice.do(lambda now: first.join_to(now, second, 1))
    world.run(1)
    alice.do(lambda now: second.join_to(now, first, 2))  # another transfer's
    world.run(5)
    assert not any(side.over for side in north.sides)
    alice.hang_up(first)
    alice.hang_up(second)
    world.finish()


def test_a_carrier_asks_in_vain(world: Iax2World) -> None:
    alice, trunk = over_iax2(world)
    first = alice.call(CALLED)
    world.run(2)
    (theirs,) = trunk.calls
    trunk.do(lambda now: theirs.transfer_to(now, OTHER))
    world.run(2)
    assert news(trunk, theirs) == [TransferRefused]
    assert len(trunk.calls) == 1
    alice.hang_up(first)
    world.finish()


def test_a_codec_that_the_other_end_has_not_leaves_all_as_it_was(world: Iax2World) -> None:
    """GSM passes between two ends of IAX2; whoever has that alone cannot be joined to G.711."""
    world.iax2_account("alice")
    world.iax2_carrier("trunk", TRUNK)
    alice = Iax2Phone(world, ("10.0.1.1", 4570), "alice", formats=(Format.GSM,))
    Iax2Phone(world, TRUNK, formats=(Format.GSM,))
    first = alice.call(CALLED)
    world.run(2)
    assert alice.story(first) == ["accepted GSM", "ringing", "answered"]
    alice.do(lambda now: first.transfer_to(now, OTHER))
    world.run(4)
    assert news(alice, first) == [TransferRefused]
    assert not first.ended
    alice.hang_up(first)
    world.finish()


@pytest.mark.parametrize("link", ["lossy", "doubled", "reordered", "dreadful"])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("blind", [True, False])
def test_nothing_is_left_on_a_bad_link(
    worlds: Callable[..., Iax2World], link: str, seed: int, blind: bool
) -> None:
    world = worlds(link=link, seed=seed)
    alice, north = cast(world)
    first = alice.call(CALLED)
    world.run(15)
    second = None if blind else alice.call(OTHER)
    world.run(15)
    if second is None:
        alice.do(lambda now: first.transfer_to(now, OTHER))
    elif second.peer_number and first.peer_number:
        join(alice, first, second)
    world.run(world.random.uniform(0, 40))
    for call in alice.calls:
        done = news(alice, call) == [TransferReady]
        alice.do(call.release if done else call.hang_up)
    for side in north.sides:
        world.at(world.random.uniform(0, 20), side.bye)
    world.finish()
