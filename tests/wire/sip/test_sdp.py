"""Session descriptions: reading, readdressing, offer and answer, hold."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.wire.errors import PeerError
from firmware.wire.sip import sdp

OFFER = (
    b"v=0\r\no=alice 2890844526 7 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"a=x-unknown:kept\r\n"
    b"m=audio 49170 RTP/AVP 96 8 0 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:30\r\na=rtcp:49171\r\n"
    b"a=sendrecv\r\n"
    b"m=video 51372 RTP/AVP 31\r\nc=IN IP6 2001:db8::7\r\na=sendonly\r\n"
)
PCMU = sdp.Codec(0, "PCMU")
PCMA = sdp.Codec(8, "PCMA")
EVENT = sdp.Codec(97, "telephone-event", fmtp="0-15")


def test_what_an_offer_says() -> None:
    session = sdp.parse(OFFER)
    audio, video = session.media
    assert session.audio is audio
    assert (audio.port, audio.proto, audio.formats) == (49170, "RTP/AVP", ("96", "8", "0", "101"))
    assert session.address_of(audio) == "192.0.2.1"
    assert session.address_of(video) == "2001:db8::7"
    assert session.version == 7
    assert [(c.name, c.rate_hz, c.channels) for c in audio.codecs] == [
        ("opus", 48000, 2),
        ("PCMA", 8000, 1),
        ("PCMU", 8000, 1),
        ("telephone-event", 8000, 1),
    ]
    assert audio.fmtp(101) == "0-16"
    assert audio.ptime_ms == 30
    assert (session.direction(), session.direction(video)) == ("sendrecv", "sendonly")
    assert session.to_bytes() == OFFER
    assert sdp.parse(OFFER.replace(b"\r\n", b"\n")) == session


def test_readdressing_keeps_the_rest() -> None:
    session = sdp.parse(OFFER)
    moved = sdp.with_address(session, "203.0.113.5", [20000, 20002])
    assert [moved.address_of(m) for m in moved.media] == ["203.0.113.5"] * 2
    assert [m.port for m in moved.media] == [20000, 20002]
    assert moved.origin == "alice 2890844526 7 IN IP4 203.0.113.5"
    assert b"a=x-unknown:kept" in moved.to_bytes()
    assert b"192.0.2.1" not in moved.to_bytes()
    assert b"a=rtcp:" not in moved.to_bytes()
    assert sdp.rewrite(OFFER, "203.0.113.5", [20000, 20002]) == moved.to_bytes()
    refused = OFFER.replace(b"m=video 51372", b"m=video 0")
    assert b"m=video 0 " in sdp.rewrite(refused, "203.0.113.5", [20000, 20002])
    still = sdp.with_address(sdp.parse(refused), "203.0.113.5", [20000, 20002])
    assert still.media[1].port == 0
    assert b"IN IP6 ::1" in sdp.rewrite(OFFER, "::1", [20000, 20002])
    with pytest.raises(PeerError):
        sdp.rewrite(OFFER, "203.0.113.5", [20000])


@pytest.mark.parametrize(
    ("old", "new", "hold"),
    [
        (b"", b"", False),
        (b"a=sendrecv", b"a=sendonly", True),
        (b"a=sendrecv", b"a=inactive", True),
        (b"a=sendrecv", b"a=recvonly", False),
        (b"c=IN IP4 192.0.2.1", b"c=IN IP4 0.0.0.0", True),
    ],
)
def test_hold(old: bytes, new: bytes, hold: bool) -> None:
    assert sdp.parse(OFFER.replace(old, new)).is_hold is hold


def answered(offer: bytes, *codecs: sdp.Codec, direction: sdp.Direction = "sendrecv"):  # type: ignore[no-untyped-def]
    return sdp.answer(
        sdp.parse(offer),
        codecs,
        address="10.0.0.1",
        port=4000,
        session_id=5,
        direction=direction,
    )


def test_an_answer_takes_what_both_know() -> None:
    answer = answered(OFFER, PCMU, PCMA, EVENT)
    audio, video = answer.media
    assert audio.formats == ("8", "0", "101")  # the offerer's order and numbers
    assert audio.fmtp(101) == "0-15"
    assert (audio.port, audio.ptime_ms, audio.direction) == (4000, 30, "sendrecv")
    assert video.port == 0
    assert sdp.parse(answer.to_bytes()) == answer
    assert answered(OFFER, sdp.Codec(18, "G729"), EVENT) is None


@pytest.mark.parametrize(
    ("offered", "ours", "agreed"),
    [
        (b"a=sendonly", "sendrecv", "recvonly"),
        (b"a=recvonly", "sendrecv", "sendonly"),
        (b"a=inactive", "sendrecv", "inactive"),
        (b"a=sendrecv", "sendonly", "sendonly"),
        (b"a=sendonly", "sendonly", "inactive"),
    ],
)
def test_directions_mirror(offered: bytes, ours: sdp.Direction, agreed: str) -> None:
    answer = answered(OFFER.replace(b"a=sendrecv", offered), PCMU, direction=ours)
    assert answer.direction() == agreed


def test_an_offer_of_ours_is_understood() -> None:
    offer = sdp.offer(address="10.0.0.2", port=4002, codecs=[PCMU, EVENT], session_id=1)
    again = sdp.parse(offer.to_bytes())
    assert again.audio is not None
    assert again.audio.codecs == (PCMU, EVENT)
    assert again.address_of(again.audio) == "10.0.0.2"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"v=1\r\n",
        b"hello",
        OFFER.replace(b"49170", b"99999"),
        OFFER.replace(b"49170", b"x"),
        OFFER.replace(b"m=audio 49170 RTP/AVP 96 8 0 101", b"m=audio"),
        OFFER.replace(b"c=IN IP4 192.0.2.1", b"c=IN"),
        OFFER + b"m=audio 1 RTP/AVP 0\r\n" * 20,
        OFFER + b"a=x\r\n" * 2000,
        OFFER + b"a=" + b"x" * 40_000,
        OFFER + b"no equals sign\r\n",
    ],
)
def test_what_is_refused(body: bytes) -> None:
    with pytest.raises(PeerError):
        sdp.parse(body)


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, len(OFFER)), st.integers(0, 30), st.binary(max_size=12))
def test_mutations_are_read_or_refused(place: int, cut: int, piece: bytes) -> None:
    body = OFFER[:place] + piece + OFFER[place + cut :]
    with suppress(PeerError):
        sdp.rewrite(body, "10.0.0.1", [1] * 16)
    try:
        session = sdp.parse(body)
    except PeerError:
        return
    for media in session.media:
        media.codecs, media.ptime_ms, session.direction(media)
    session.is_hold, session.version, session.audio  # noqa: B018
    assert sdp.parse(session.to_bytes()) == session
    moved = sdp.with_address(session, "10.0.0.1", [2] * len(session.media))
    assert sdp.parse(moved.to_bytes()) == moved
    answer = answered(body, PCMU)
    assert answer is None or sdp.parse(answer.to_bytes()) == answer
