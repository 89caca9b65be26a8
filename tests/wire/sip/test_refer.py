"""REFER and Replaces, as clients write them, and descriptions that are passed to somebody new."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.wire.sip import sdp
from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import Headers, Request
from firmware.wire.sip.refer import Replaces, fragment, refer_to


def refer(*values: str) -> Request:
    return Request("REFER", "sip:x@y", Headers([("Refer-To", value) for value in values]))


@pytest.mark.parametrize(
    ("value", "user", "replaces"),
    [
        ("sip:15145550199@10.0.0.1", "15145550199", None),
        ("<sip:15145550199@10.0.0.1;user=phone>;method=INVITE", "15145550199", None),
        ("<tel:+15145550199>", "+15145550199", None),
        (
            '"Bob" <sip:bob@10.0.0.1?Replaces=a84b%4010.0.0.1%3Bto-tag%3Dx1%3Bfrom-tag%3Dy2>',
            "bob",
            Replaces("a84b@10.0.0.1", "x1", "y2"),
        ),
        (  # with another header before it, the tags the other way round, and early-only
            "<sip:bob@10.0.0.1?Require=replaces&Replaces=q%3Bfrom-tag%3Dy2%3BTo-Tag%3Dx1"
            "%3Bearly-only>",
            "bob",
            Replaces("q", "x1", "y2"),
        ),
    ],
)
def test_what_a_refer_asks_for(value: str, user: str, replaces: Replaces | None) -> None:
    wanted = refer_to(refer(value))
    assert (wanted.uri.user, wanted.replaces) == (user, replaces)


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ((), 400),
        (("sip:a@b", "sip:c@d"), 400),
        (("<sip:a@b?Replaces=%3Bto-tag%3Dx%3Bfrom-tag%3Dy>",), 400),
        (("<sip:a@b?Replaces=q%3Bto-tag%3Dx>",), 400),
        (("<http://example.com/>",), 416),
        (("<sip:a@b;method=SUBSCRIBE>",), 501),
    ],
)
def test_what_is_refused(values: tuple[str, ...], status: int) -> None:
    with pytest.raises(SipPeerError) as raised:
        refer_to(refer(*values))
    assert raised.value.status == status


@given(st.text(max_size=80))
def test_any_replaces_is_read_or_refused(text: str) -> None:
    try:
        found = Replaces.parse(text)
    except SipPeerError as error:
        assert error.status == 400  # noqa: PT017
    else:
        assert all(found)


def test_a_notify_says_what_became_of_it() -> None:
    assert fragment(180) == b"SIP/2.0 180 Ringing\r\n"
    assert fragment(402, "Insufficient Funds") == b"SIP/2.0 402 Insufficient Funds\r\n"


HELD = (
    b"v=0\r\no=- 7 3 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=inactive\r\n"
    b"m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=recvonly\r\n"
)


def test_who_is_passed_on_is_on_hold_no_more() -> None:
    passed = sdp.both_ways(HELD)
    assert sdp.parse(passed).direction() == "sendrecv"
    assert [c.payload_type for c in sdp.parse(passed).audio.codecs] == [0, 101]  # type: ignore[union-attr]


def test_what_somebody_new_says_continues_the_session_that_the_peer_knows() -> None:
    other = HELD.replace(b"o=- 7 3 IN IP4 192.0.2.1", b"o=bob 99 1 IN IP4 198.51.100.9")
    followed = sdp.continued(other, HELD)
    assert b"o=- 7 4 IN IP4 192.0.2.1\r\n" in followed
    assert followed.replace(b"o=- 7 4 IN IP4 192.0.2.1", b"") == other.replace(
        b"o=bob 99 1 IN IP4 198.51.100.9", b""
    )
    assert sdp.continued(HELD, HELD) == HELD, "nothing new, no new version"
    for before in (b"", b"v=0\r\n", b"v=0\r\no=- x y\r\n", b"v=0\r\no=- 1 two IN IP4 a\r\n"):
        assert sdp.continued(other, before) == other
