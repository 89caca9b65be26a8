"""A DID that goes to the host's own echo: what the caller says comes back, and is charged as any
call to the DID."""

from __future__ import annotations

from typing import Any

from firmware.wire.sip.sdp import parse
from host.numbering import dids
from tests.host.iax2.world import ULAW, Iax2Phone, Iax2World, RtpPeer
from tests.host.sip.agents import Agent, Side, sdp
from tests.host.sip.world import DID, Where

GATEWAY = ("10.0.0.9", 5060)
NUMBER = DID.lstrip("+")
PER_MINUTE = 900_000


def echo(world: Iax2World, media: str = "direct", **account: Any) -> tuple[Agent, RtpPeer]:
    """Alice's DID goes to the echo; without the relay, which simulated packets cannot pass."""
    world.iax2_account("alice", media=media, **account)
    world.carrier("north", GATEWAY, media=media)
    world.did("alice")
    dids.route_did(world.conn, DID, routing="sys:echo")
    return Agent(world, GATEWAY), RtpPeer(world, (GATEWAY[0], 4000))


def port_of(side: Side) -> Where:
    answer = parse(side.sdp)
    assert answer.audio is not None
    return str(answer.address_of(answer.audio)), answer.audio.port


def test_the_caller_hears_what_he_says_and_pays_for_the_call(world: Iax2World) -> None:
    north, media = echo(world)
    caller = north.call(NUMBER)
    world.run(1)
    assert caller.outcome == 200
    where = port_of(caller)
    media.speak(where, ULAW[:50])
    world.run(29)
    assert [packet.payload for packet in media.packets] == ULAW[:50]
    assert set(media.sources) == {where}
    caller.bye()
    world.finish()
    assert not world.sockets, "the port is free again"
    cdr = world.cdr()
    assert (cdr["direction"], cdr["disposition"], cdr["cost"]) == (
        "in", "answered", PER_MINUTE // 2,
    )  # fmt: skip


def test_audio_goes_back_to_where_it_comes_from(world: Iax2World) -> None:
    """Whoever sits behind NAT."""
    north, _ = echo(world)
    outside = RtpPeer(world, ("203.0.113.7", 9000))
    caller = north.call(NUMBER)
    world.run(1)
    outside.speak(port_of(caller), ULAW[:20])
    world.run(2)
    assert len(outside.packets) >= 19, "the first one tells where"
    caller.bye()
    world.finish()


def test_on_hold_there_is_silence_and_after_it_the_echo_again(world: Iax2World) -> None:
    north, media = echo(world)
    caller = north.call(NUMBER)
    world.run(1)
    caller.modify(sdp(GATEWAY, direction="sendonly", version=2))
    world.run(1)
    assert b"a=recvonly" in caller.sdp
    media.speak(port_of(caller), ULAW[:10])
    world.run(1)
    assert not media.packets
    caller.modify(sdp(GATEWAY, version=3))
    world.run(1)
    assert b"a=sendrecv" in caller.sdp
    media.speak(port_of(caller), ULAW[:10])
    world.run(1)
    assert len(media.packets) == 10
    caller.bye()
    world.finish()


def test_an_echo_ends_after_ten_minutes(world: Iax2World) -> None:
    north, _ = echo(world)
    caller = north.call(NUMBER)
    world.run(599)
    assert not caller.ended_by_host
    world.run(5)
    assert caller.ended_by_host
    world.finish()
    cdr = world.cdr()
    assert (cdr["ended_by"], cdr["talk_ms"]) == ("limit", 600_000)
    assert cdr["cost"] == 10 * PER_MINUTE


def test_an_echo_ends_with_the_money(world: Iax2World) -> None:
    north, _ = echo(world, usd_cents=1)
    caller = north.call(NUMBER)
    world.finish()
    assert caller.ended_by_host
    assert world.cdr()["ended_by"] == "money"


def test_what_is_no_rtp_and_what_is_too_much_does_not_come_back(world: Iax2World) -> None:
    north, media = echo(world)
    caller = north.call(NUMBER)
    world.run(1)
    where = port_of(caller)
    world.carry(media.where, where, b"hello")
    for _ in range(1_000):
        media.send(where, ULAW[0])
    world.run(3)
    assert 0 < len(media.packets) <= 400
    caller.bye()
    world.finish()


def test_without_a_port_the_call_fails_and_costs_nothing(world: Iax2World) -> None:
    north, _ = echo(world)
    world.ports.full = True
    caller = north.call(NUMBER)
    world.finish()
    assert caller.outcome == 503
    assert world.cdr()["cost"] == 0


def test_through_the_relay_the_echo_is_described_as_any_callee(world: Iax2World) -> None:
    north, _ = echo(world, media="relay")
    caller = north.call(NUMBER)
    world.run(2)
    assert caller.outcome == 200
    sides = next(iter(world.host.sim_relay.open_calls.values()))
    assert {address for address, *_ in sides.values()} == {GATEWAY[0], "10.0.0.1"}
    caller.bye()
    world.finish()


def test_a_caller_who_makes_no_offer_is_made_one(world: Iax2World) -> None:
    north, media = echo(world)
    caller = north.call(NUMBER, body=b"")
    caller.answer_in_ack = sdp(GATEWAY, formats="8")
    world.run(2)
    assert caller.outcome == 200
    media.speak(port_of(caller), ULAW[:5], 8)
    world.run(1)
    assert [packet.payload_type for packet in media.packets] == [8] * 5
    caller.bye()
    world.finish()


def test_a_caller_over_iax2_hears_himself(world: Iax2World) -> None:
    echo(world)
    phone = Iax2Phone(world, ("10.0.1.4", 4570), "alice")
    call = phone.call(NUMBER)
    world.run(2)
    assert phone.story(call)[-1] == "answered"
    phone.speak(call, ULAW[:20])
    world.run(2)
    assert phone.audio(call)[-160 * 10 :] == b"".join(ULAW[10:20])
    phone.hang_up(call)
    world.finish()
