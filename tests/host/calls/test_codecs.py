"""An account's codecs, on the wire: what is offered on its behalf and what it is answered."""

from __future__ import annotations

import pytest

from firmware.wire.sip.sdp import parse
from host.charging.values import Reason
from host.media.codecs import restrict
from host.numbering import provisioning
from tests.host.sip.agents import Side, answers, cast, hangs_up, mirrored, sdp, with_did
from tests.host.sip.world import DID, World

PHONE = ("10.0.1.1", 5062)
OFFER = sdp(PHONE, formats="0 8 9 18 101").replace(
    b"a=sendrecv",
    b"a=rtpmap:9 G722/8000\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv",
)


def formats(body: bytes) -> tuple[str, ...]:
    audio = parse(body).audio
    assert audio is not None
    return audio.formats


def take(side: Side) -> None:
    """Answer with all that is offered."""
    side.world.at(1, lambda: side.answer(mirrored(side.agent.where, side.request.body)))


def test_a_description_keeps_the_codecs_that_are_allowed_in_their_order() -> None:
    made = restrict(OFFER, ("PCMA", "G722"))
    assert formats(made) == ("8", "9", "101")
    assert b"G729" not in made
    assert b"annexb" not in made
    assert b"a=fmtp:101 0-15" in made
    assert restrict(OFFER, ("OPUS",)) == b""
    assert restrict(b"hello", ("PCMU",)) == b""


@pytest.mark.parametrize("media", ["relay", "direct"])
def test_the_carrier_is_offered_what_the_account_may_use_in_its_order(
    world: World, media: str
) -> None:
    alice, north = cast(world, media=media)
    provisioning.set_account(world.conn, "alice", codecs="PCMA, PCMU")
    north.plan = take
    side = alice.call(body=OFFER)
    side.on_answer = hangs_up(3)
    world.finish()
    assert side.outcome == 200
    assert formats(north.sides[0].request.body) == ("8", "0", "101")
    (answer,) = [r.body for r in side.responses if r.status == 200 and r.body]
    assert formats(answer) == ("8", "0")


def test_none_in_common_is_refused_before_any_carrier_hears_of_it(world: World) -> None:
    alice, north = cast(world)
    provisioning.set_account(world.conn, "alice", codecs="G722")
    side = alice.call()
    world.finish()
    assert side.outcome == 488
    assert not north.sides
    cdr = world.cdr()
    assert (cdr["reason"], cdr["cost"]) == (Reason.CODEC.value, 0)
    assert "G722" in cdr["detail"]


def test_an_answer_with_another_codec_does_not_reach_the_account(world: World) -> None:
    alice, north = cast(world)
    provisioning.set_account(world.conn, "alice", codecs="PCMU")
    north.plan = answers(body=sdp(("10.0.0.9", 5060), formats="8"))
    side = alice.call(body=OFFER)
    world.finish()
    assert side.outcome == 502
    assert north.sides[0].ended_by_host
    assert not [r for r in side.responses if r.body]
    assert world.cdr()["cost"] == 0


def test_who_is_called_is_offered_what_its_account_may_use(world: World) -> None:
    alice, north = with_did(world)
    provisioning.set_account(world.conn, "alice", codecs="PCMA, G722")
    alice.plan = take
    side = north.call(DID.lstrip("+"), body=OFFER)
    side.on_answer = hangs_up(3)
    world.finish()
    assert side.outcome == 200
    assert formats(alice.sides[0].request.body) == ("8", "9", "101")
    assert formats(side.sdp) == ("8", "9")


def test_a_caller_whose_codecs_the_called_account_may_not_use_is_told_so(world: World) -> None:
    alice, north = with_did(world)
    provisioning.set_account(world.conn, "alice", codecs="G722")
    side = north.call(DID.lstrip("+"))
    world.finish()
    assert side.outcome == 488
    assert not alice.sides
    cdr = world.cdr()
    assert (cdr["disposition"], cdr["cause"], cdr["cost"]) == ("failed", 88, 0)


def test_a_change_of_the_session_keeps_to_the_codecs(world: World) -> None:
    alice, north = cast(world)
    provisioning.set_account(world.conn, "alice", codecs="PCMU")
    north.plan = take
    side = alice.call(body=OFFER)
    world.run(3)
    side.modify(OFFER.replace(b"sendrecv", b"sendonly").replace(b" 1 1 IN", b" 1 2 IN"))
    world.run(2)
    hold = north.sides[0].requests[-1]
    assert (hold.method, formats(hold.body)) == ("INVITE", ("0", "101"))
    side.modify(sdp(PHONE, formats="8", version=3))
    world.run(2)
    assert [answer.status for answer in side.modified if answer] == [200, 488]
    north.sides[0].modify(sdp(("10.0.0.9", 5060), formats="8", version=3))
    world.run(2)
    assert [answer.status for answer in north.sides[0].modified if answer] == [488]
    side.bye()
    world.finish()


def test_an_offer_that_the_callee_makes_is_cut_to_what_the_caller_may_use(world: World) -> None:
    alice, north = cast(world)
    provisioning.set_account(world.conn, "alice", codecs="PCMA")
    north.plan = answers(body=sdp(("10.0.0.9", 5060), formats="0 8"))
    side = alice.call(body=b"")
    side.answer_in_ack = sdp(PHONE, formats="8")
    world.run(4)
    assert side.outcome == 200
    assert formats(side.sdp) == ("8",)
    side.bye()
    world.finish()
