"""Incoming calls to devices, PBXs and carriers on IAX2; calls between IAX2 and IAX2; trunks."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from typing import Any

import pytest

from firmware.wire.iax2 import Ended, Format
from host.numbering.iax2_access import allow_iax2
from tests.host.iax2.world import (
    HOST,
    MONTREAL,
    NUMBER,
    ULAW,
    Iax2Phone,
    Iax2World,
    RtpPeer,
    answers,
    refuses,
    rings,
)
from tests.host.sip.agents import Agent
from tests.host.sip.agents import rings as sip_rings
from tests.host.sip.world import DID, REALM

GATEWAY = ("10.0.0.9", 5060)
BOB = ("10.0.1.2", 4570)


def registered_bob(world: Iax2World, **options: Any) -> Iax2Phone:
    """Bob has a DID and registers over IAX2."""
    world.iax2_account("bob")
    world.did("bob", pop=options.pop("pop", "default"))
    bob = Iax2Phone(world, BOB, "bob", **options)
    assert bob.register().refresh_s == 3600
    return bob


def test_a_did_rings_the_device_and_is_paid_for(world: Iax2World) -> None:
    bob = registered_bob(world)
    world.carrier("north", GATEWAY)
    media = RtpPeer(world, (GATEWAY[0], 4000))
    side = Agent(world, GATEWAY).call(DID.lstrip("+"))
    world.run(2)
    assert side.statuses == [180, 200]
    (call,) = bob.calls
    assert (call.new.called, call.new.calling) == (DID, "+13125550177")
    port = int(side.sdp.split(b"m=audio ")[1].split()[0])
    media.speak(("10.0.0.1", port), ULAW[:9])
    bob.speak(call, ULAW[50:59])
    world.run(1)
    assert bob.audio(call) == b"".join(ULAW[:9])
    assert [p.payload for p in media.voice] == ULAW[50:59]
    side.bye()
    world.finish()
    assert [e.cause for e in bob.told(call) if isinstance(e, Ended)] == [16]
    cdr = world.cdr()
    assert (cdr["account"], cdr["direction"], cdr["disposition"]) == ("bob", "in", "answered")
    assert cdr["cost"] > 0


def test_only_contacts_of_the_pop_ring(world: Iax2World) -> None:
    bob = registered_bob(world, pop="montreal")
    world.carrier("north", GATEWAY)
    side = Agent(world, GATEWAY).call(DID.lstrip("+"))
    world.run(2)
    assert side.outcome == 480
    assert world.cdr()["reason"] == "POP mismatch"
    bob.home = MONTREAL
    assert bob.register().refresh_s
    again = Agent(world, GATEWAY).call(DID.lstrip("+"))
    world.run(2)
    assert again.outcome == 200
    assert len(bob.calls) == 1
    again.bye()
    world.finish()


def test_sip_and_iax2_contacts_ring_at_once_and_the_first_to_answer_has_it(
    world: Iax2World,
) -> None:
    bob = registered_bob(world)
    bob.plan = answers(0.1, 3)
    at_desk = Agent(world, ("10.0.1.3", 5062), "bob")
    at_desk.plan = sip_rings()
    at_desk.register()
    world.run(1)
    world.carrier("north", GATEWAY)
    side = Agent(world, GATEWAY).call(DID.lstrip("+"))
    world.run(5)
    assert side.outcome == 200
    assert at_desk.sides[0].outcome == 487
    side.bye()
    world.finish()


def test_a_released_registration_rings_no_more(world: Iax2World) -> None:
    bob = registered_bob(world)
    registration = bob.events[0].registration
    bob.endpoint.release(registration, world.now)
    bob.flush()
    world.run(1)
    assert world.host.registrar.count == 0
    world.finish()


def test_a_registration_expires(world: Iax2World) -> None:
    world.iax2_account("bob")
    bob = Iax2Phone(world, BOB, "bob")
    assert bob.register(60).refresh_s == 60
    assert world.host.registrar.count == 1
    world.run(61)
    assert world.host.registrar.count == 0
    world.finish()


def test_a_blocked_account_registers_nothing(world: Iax2World) -> None:
    world.iax2_account("bob", status="blocked")
    bob = Iax2Phone(world, BOB, "bob")
    assert bob.register().cause
    assert world.host.registrar.count == 0
    world.finish()


def pair(world: Iax2World, **bob: Any) -> tuple[Iax2Phone, Iax2Phone]:
    """Alice and Bob, both on IAX2."""
    world.iax2_account("alice")
    world.carrier("north", GATEWAY)
    return Iax2Phone(world, ("10.0.1.1", 4570), "alice"), registered_bob(world, **bob)


def test_frames_go_from_leg_to_leg_and_no_port_is_opened(world: Iax2World) -> None:
    alice, bob = pair(world)
    call = alice.call(DID)
    world.run(2)
    assert alice.story(call) == ["accepted ULAW", "ringing", "answered"]
    assert not world.sockets
    alice.speak(call, ULAW[:50])
    bob.speak(bob.calls[0], ULAW[50:100])
    world.run(2)
    assert bob.audio(bob.calls[0]) == b"".join(ULAW[:50])
    assert alice.audio(call) == b"".join(ULAW[50:100])
    steps = [ms for ms, _, _ in bob.heard[bob.calls[0]]]
    assert [b - a for a, b in itertools.pairwise(steps)] == [20] * 49
    alice.do(lambda now: call.text(now, "hello"))
    world.run(1)
    assert [e.text for e in bob.told(bob.calls[0]) if hasattr(e, "text")][:1] == ["hello"]
    bob.hang_up(bob.calls[0], 16)
    world.finish()
    assert [row["direction"] for row in world.cdrs()] == ["out", "in"]
    assert all(row["cost"] > 0 and row["ended_by"] == "callee" for row in world.cdrs())


@pytest.mark.parametrize("law", [Format.GSM, Format.G722])
def test_what_both_speak_goes_through_as_it_is(world: Iax2World, law: Format) -> None:
    alice, bob = pair(world, formats=(law,))
    alice = Iax2Phone(world, ("10.0.1.7", 4570), "alice", formats=(law,))
    call = alice.call(DID)
    world.run(2)
    alice.speak(call, [b"g" * 33] * 5)
    world.run(1)
    assert bob.heard[bob.calls[0]][0][1:] == (b"g" * 33, law)
    alice.hang_up(call)
    world.finish()


def test_two_that_have_nothing_in_common_are_told_so(world: Iax2World) -> None:
    alice, bob = pair(world, formats=(Format.GSM,))
    call = alice.call(DID)
    world.finish()
    assert "ringing" not in alice.story(call)
    assert alice.story(call)[-1].startswith("ended 58")
    assert not bob.calls


@pytest.mark.parametrize(("cause", "heard"), [(17, 17), (21, 21), (1, 1)])
def test_a_refusal_comes_through_with_its_cause(world: Iax2World, cause: int, heard: int) -> None:
    alice, bob = pair(world)
    bob.plan = refuses(cause, "no")
    call = alice.call(DID)
    world.finish()
    assert alice.story(call)[-1].startswith(f"ended {heard}")


def test_a_caller_who_gives_up_stops_the_ringing(world: Iax2World) -> None:
    alice, bob = pair(world)
    bob.plan = rings()
    call = alice.call(DID)
    world.at(3, lambda: alice.hang_up(call))
    world.finish()
    assert [e.by_peer for e in bob.told(bob.calls[0]) if isinstance(e, Ended)] == [True]
    assert world.cdrs()[0]["disposition"] == "cancelled"


# --- PBXs and carriers ---


def test_a_pbx_is_known_by_its_address_and_sends_and_takes_calls(world: Iax2World) -> None:
    pbx = Iax2Phone(world, ("10.0.3.1", 4569))
    world.account(
        "pbx", password="", address="10.0.3.1", contact="iax2:10.0.3.1:4569", route="value",
        number_range="+1212555",
    )  # fmt: skip
    world.did("pbx")
    world.carrier("north", GATEWAY)
    north = Agent(world, GATEWAY)
    refused = pbx.call(NUMBER)
    world.run(1)
    assert pbx.story(refused)[0].startswith("ended 21"), "IAX2 is not allowed yet"
    allow_iax2(world.conn, "pbx", REALM, "")
    call = pbx.call(NUMBER, calling="+12125550100")
    side = north.call(DID.lstrip("+"))
    world.run(3)
    assert pbx.story(call)[-1] == "answered"
    assert side.outcome == 200
    assert pbx.calls[-1].new.called == DID
    side.bye()
    pbx.hang_up(call)
    world.finish()
    assert sorted(row["account"] for row in world.cdrs()) == ["pbx", "pbx"]


def test_a_carrier_on_iax2_brings_and_takes_calls(world: Iax2World) -> None:
    where = ("10.0.0.7", 4569)
    world.iax2_account("alice")
    world.did("alice")
    world.iax2_carrier("west", where, prefix="00", username="us", secret="x")
    west = Iax2Phone(world, where)
    alice = Iax2Phone(world, ("10.0.1.1", 4570), "alice")
    assert alice.register().refresh_s
    out = alice.call(NUMBER)
    world.run(2)
    assert alice.story(out)[-1] == "answered"
    assert (west.calls[0].new.called, west.calls[0].new.username) == ("00" + NUMBER, "us")
    incoming = west.call(DID)
    world.run(2)
    assert west.story(incoming)[-1] == "answered"
    west.hang_up(incoming)
    alice.hang_up(out)
    world.finish()
    assert {row["carrier"] for row in world.cdrs()} >= {"west"}


def test_a_stranger_is_turned_away_without_a_trace(world: Iax2World) -> None:
    stranger = Iax2Phone(world, ("10.0.9.9", 4569))
    call = stranger.call(NUMBER)
    world.finish()
    assert stranger.story(call)[0].startswith("ended 21")
    assert not world.cdrs()


# --- trunks ---


def metas(world: Iax2World, target: tuple[str, int], since: int) -> list[bytes]:
    """Trunk frames that the host sent to somebody."""
    return [
        data
        for _, source, to, data in world.wire[since:]
        if source == HOST and to == target and data[:2] == b"\0\0" and data[2] == 1
    ]


@pytest.mark.parametrize("stamped", [True, False])
def test_ten_calls_of_a_trunk_share_datagrams(
    worlds: Callable[..., Iax2World], stamped: bool
) -> None:
    world = worlds(iax2={"trunk_timestamps": stamped})
    world.iax2_account("pbx", channels=10, calls_to_one_number=10, trunk=True)
    where = ("10.0.0.7", 4569)
    world.iax2_carrier("west", where, trunk=True)
    west = Iax2Phone(world, where)
    pbx = Iax2Phone(world, ("10.0.3.1", 4569), "pbx")
    calls = [pbx.call(f"151455501{n:02}") for n in range(10)]
    for call in calls:
        call.trunk = True
    world.run(3)
    assert all(pbx.story(call)[-1] == "answered" for call in calls)
    since = len(world.wire)
    for n, call in enumerate(calls):
        pbx.speak(call, ULAW[n : n + 1] * 50)
        west.speak(west.calls[n], ULAW[100 + n : 101 + n] * 50)
    world.run(2)
    for n, call in enumerate(calls):
        there = next(c for c in west.calls if c.new.called == "+" + call.new.called)
        index = west.calls.index(there)
        assert west.audio(there) == ULAW[n] * 50
        assert pbx.audio(call) == ULAW[100 + index] * 50
    for target in (where, pbx.where):
        frames = metas(world, target, since)
        assert 90 <= len(frames) <= 110, "two a tick (1,660 octets) for all ten, not ten"
        assert {frame[3] for frame in frames} == {int(stamped)}
        entries = [struct.unpack_from("!HH", frame, 8) for frame in frames]
        assert all(entries)
    for call in calls:
        pbx.hang_up(call)
    world.finish()
    assert len([row for row in world.cdrs() if row["disposition"] == "answered"]) == 10
