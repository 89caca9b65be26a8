"""A device on IAX2 calls out through a SIP carrier, and pays as over SIP."""

from __future__ import annotations

from itertools import pairwise

from tests.host.iax2.world import ULAW, Iax2Phone, Iax2World, RtpPeer
from tests.host.sip.agents import Agent

GATEWAY = ("10.0.0.9", 5060)


def cast(world: Iax2World, **account: object) -> tuple[Iax2Phone, Agent]:
    world.iax2_account("alice", **account)
    world.carrier("north", GATEWAY)
    return Iax2Phone(world, ("10.0.1.1", 4570), "alice"), Agent(world, GATEWAY)


def test_a_call_is_answered_talked_billed_and_settled(world: Iax2World) -> None:
    alice, north = cast(world)
    call = alice.call()
    world.run(2)
    assert alice.story(call) == ["accepted ULAW", "ringing", "answered"]
    world.at(24.9, lambda: alice.hang_up(call))
    world.finish()
    assert north.sides[0].over
    cdr = world.cdr()
    assert (cdr["disposition"], cdr["ended_by"], cdr["cause"]) == ("answered", "caller", 16)
    assert 24_000 < cdr["billed_ms"] < 27_000
    assert cdr["cost"] == 520_000 * 30 // 60


def test_sound_goes_both_ways(world: Iax2World) -> None:
    alice, north = cast(world)
    media = RtpPeer(world, (GATEWAY[0], 4000))
    call = alice.call()
    world.run(2)
    alice.speak(call, ULAW[:50])
    port = int(north.sides[0].sdp.split(b"m=audio ")[1].split()[0])
    media.speak(("10.0.0.1", port), ULAW[100:150])
    world.run(2)
    assert [p.payload for p in media.voice] == ULAW[:50]
    steps = {
        b.timestamp - a.timestamp & 0xFFFFFFFF
        for a, b in zip(media.voice, media.voice[1:], strict=False)
    }
    assert steps == {160}
    assert alice.audio(call) == b"".join(ULAW[100:150])
    times = [ms for ms, _, _ in alice.heard[call]]
    assert [b - a for a, b in pairwise(times)] == [20] * 49
    alice.hang_up(call)
    world.finish()


def test_a_carrier_s_machine_that_logs_in_as_a_customer_calls_as_that_customer(
    world: Iax2World,
) -> None:
    """Given a PBX that is a carrier of ours, too, when its call names its account, then it is
    the account's call, proved by its password, and no incoming one."""
    alice, north = cast(world)
    world.iax2_carrier("pbx", ("10.0.1.1", 4570))
    call = alice.call()
    world.run(2)
    assert alice.story(call) == ["accepted ULAW", "ringing", "answered"]
    alice.hang_up(call)
    world.finish()
    assert north.sides[0].over
    cdr = world.cdr()
    assert (cdr["account"], cdr["direction"], cdr["disposition"]) == ("alice", "out", "answered")
