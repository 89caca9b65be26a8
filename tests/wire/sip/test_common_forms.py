"""What nearly all peers write is read by short ways, which give what the whole grammar gives."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from firmware.wire.sip import uri
from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.model import parse_cseq
from firmware.wire.sip.params import is_token, parse_params

PIECES = st.sampled_from(
    [";", "=", "tag", "branch", "rport", "z9hG4bK", "-1.a", '"', "<", ">", " ", "\t", ",", "é", "T"]
)
TAILS = st.lists(PIECES, max_size=8).map("".join)


def outcome(read: Callable[[str], object], text: str) -> object:
    """What is read, or the status that it is refused with."""
    try:
        return read(text)
    except SipPeerError as error:
        return error.status


@given(
    st.sampled_from(["<sip:a@h>", '"A>" <sip:a@h>', "A <sip:a@h;x=1>", "sip:a@h", "", "<sip:a@h"]),
    st.sampled_from([";tag=", ";TAG=", " ;tag=", ";", ""]),
    TAILS,
)
@example("<sip:a@h>", ";tag=", "")
@example("<sip:a@h>;x=1>", ";tag=", "1")
def test_an_address_with_a_tag(address: str, begin: str, tail: str) -> None:
    text = address + begin + tail
    assert outcome(uri.parse_name_addr, text) == outcome(uri._parse_whole, text)


@given(
    st.sampled_from(["SIP/2.0/UDP 192.0.2.1:5060", "SIP / 2.0 / TCP host ", "SIP/3.0/UDP h", ""]),
    st.sampled_from([";branch=", ";rport;branch=", ";", ""]),
    TAILS,
    st.sampled_from([";rport", ";rport=", ""]),
)
def test_a_via_with_a_branch(head: str, begin: str, tail: str, end: str) -> None:
    def whole(text: str) -> uri.Via:
        before, semicolon, after = text.partition(";")
        transport, host, port = uri._parse_via_head(before)
        return uri.Via(transport, host, port, parse_params(after) if semicolon else ())

    text = head + begin + tail + end
    assert outcome(uri.parse_via, text) == outcome(whole, text)


@given(TAILS)
def test_parameters(text: str) -> None:
    """Against the grammar as it stands in RFC 3261, 25.1, with blanks around the equals sign."""

    def whole(text: str) -> object:
        found = []
        for part in text.split(";"):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            quoted = len(value) > 1 and value[0] == value[-1] == '"'
            blank = any(char in value for char in ' \t<>"')
            if not is_token(name) or (equals and blank and not quoted):
                raise SipPeerError(400, "Malformed")
            found.append((name.lower(), value if equals else None))
        return tuple(found)

    if '"' not in text:
        assert outcome(parse_params, text) == outcome(whole, text)


@given(
    st.text("0123456789٣ -", max_size=12),
    st.sampled_from(["INVITE", " INVITE ", "invite", "X.Y", "A B", "", "\tBYE"]),
)
def test_a_sequence_number(number: str, method: str) -> None:
    def whole(text: str) -> object:
        digits, _, name = text.partition(" ")
        name = name.strip()
        if not digits or set(digits) - set("0123456789") or not is_token(name):
            raise SipPeerError(400, "Malformed")
        if int(digits) >= 2**32 or len(digits) > 10:
            raise SipPeerError(400, "Out of range")
        return int(digits), name

    text = f"{number} {method}"
    assert outcome(parse_cseq, text) == outcome(whole, text)
