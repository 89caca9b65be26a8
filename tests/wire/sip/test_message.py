"""Reading and writing SIP messages: what a peer may send, and what it may not."""

from __future__ import annotations

import pytest
import sipmessage
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import (
    Headers,
    KeepAlive,
    Limits,
    Request,
    Response,
    StreamParser,
    error_response,
    parse,
    response_to,
)
from firmware.wire.sip.uri import NameAddr, SipUri, Via

from .messages import INVITE, OK, REGISTER, with_line, without


def request(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def refused(data: bytes, limits: Limits | None = None) -> SipPeerError:
    with pytest.raises(SipPeerError) as caught:
        parse(data, limits or Limits())
    return caught.value


def test_what_an_invite_says() -> None:
    invite = request(INVITE)
    assert (invite.method, invite.uri) == ("INVITE", "sip:15145550123@127.0.0.1:5060")
    assert invite.request_uri.user == "15145550123"
    assert invite.call_id == "1-4711@127.0.0.2"
    assert invite.cseq == (1, "INVITE")
    assert invite.from_ == NameAddr(
        "Alice", SipUri("sip", "alice", None, "127.0.0.1"), (("tag", "4711SIPpTag001"),)
    )
    assert invite.to.tag is None
    assert invite.top_via.branch == "z9hG4bK-4711-1-0"
    assert invite.top_via.param("rport") == ""
    assert [str(contact.uri) for contact in invite.contacts] == ["sip:alice@127.0.0.2:5061"]
    assert invite.headers.get_all("allow") == ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"]
    assert len(invite.body) == 150


def test_what_is_read_is_written_again() -> None:
    for data in (INVITE, OK, REGISTER):
        message = parse(data)
        assert parse(message.to_bytes()) == message
    assert parse(INVITE).to_bytes() == INVITE


def test_compact_forms_lists_and_folding() -> None:
    register = request(REGISTER)
    assert register.headers.raw_all("Via") == register.headers.raw_all("v")
    assert len(register.headers.get_all("Via")) == 2
    assert register.top_via == Via("TCP", "[2001:db8::9]", 5061, (("branch", "z9hG4bKk1"),))
    home, telephone = register.contacts
    assert (home.display, home.param("expires"), home.param("q")) == ("Bob, at home", "60", "0.7")
    assert (telephone.uri.scheme, telephone.uri.user) == ("tel", "+15145550123")
    assert register.to.display == "Bob B"
    assert register.from_.tag == "a1"  # without brackets the parameter is the header's
    assert len(register.headers.get_all("Authorization")) == 1  # its commas make no list


def test_accessors_follow_the_headers() -> None:
    invite = request(INVITE)
    assert invite.to.tag is None
    invite.headers.set("t", "<sip:x@y>;tag=new")
    assert invite.to.tag == "new"
    assert invite.top_via.host == "127.0.0.2"
    invite.headers.prepend("VIA", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKnew")
    assert invite.top_via.host == "10.0.0.1"
    invite.headers.remove("Call-ID")
    with pytest.raises(SipPeerError):
        invite.call_id  # noqa: B018


def test_headers_are_an_ordered_multi_map() -> None:
    headers = Headers([("Route", "<sip:a;lr>"), ("x-thing", "1"), ("ROUTE", "<sip:b;lr>")])
    assert headers.get_all("route") == ["<sip:a;lr>", "<sip:b;lr>"]
    assert "X-Thing" in headers
    assert "absent" not in headers
    other = headers.copy()
    other.add("Route", "<sip:c;lr>")
    assert len(headers.raw_all("Route")) == 2
    assert list(other.items())[-1] == ("X-Thing", "1")


TOLERATED = {
    "line breaks before it": b"\r\n\r\n" + INVITE,
    "octets after the body": INVITE + b"rubbish",
    "no Content-Length": without(INVITE, b"Content-Length"),
    "no Max-Forwards (RFC 2543)": without(INVITE, b"Max-Forwards"),
    "names in any case": INVITE.replace(b"Call-ID", b"cAlL-iD").replace(b"CSeq", b"CSEQ"),
    "blanks around the colon": INVITE.replace(b"CSeq: 1 INVITE", b"CSeq \t:\t 1   INVITE "),
    "blanks within Via": INVITE.replace(
        b"SIP/2.0/UDP 127.0.0.2:5061;", b"SIP  / 2.0 /UDP   127.0.0.2 : 5061 ; "
    ),
    "UTF-8 display name": INVITE.replace(b'"Alice"', '"Zoë ☎"'.encode()),
    "octets that are no UTF-8": with_line(INVITE, b"Subject: \xff\xfe\x80"),
    "quoted quotes and brackets": INVITE.replace(b'"Alice"', b'"a \\"<b>\\\\, c"'),
    "escaped user": INVITE.replace(b"sip:alice@127.0.0.1", b"sip:%61l%20ice%40x@127.0.0.1"),
    "unknown scheme in To": INVITE.replace(b"<sip:15145550123@127.0.0.1>", b"<isbn:2983792873>"),
    "a method full of token characters": INVITE.replace(b"INVITE", b"!x-1_*+`.%i'~"),
    "unknown header fields": with_line(INVITE, b"X-Anything: @@;;,,<>"),
    "empty header value": with_line(INVITE, b"Organization:"),
    "huge but legal CSeq": INVITE.replace(b"CSeq: 1 ", b"CSeq: 4294967295 "),
    "many hops": with_line(INVITE, b"Via: " + b", ".join([b"SIP/2.0/UDP h;branch=z9hG4bK"] * 69)),
}


@pytest.mark.parametrize("name", TOLERATED)
def test_what_looks_odd_and_is_legal(name: str) -> None:
    message = parse(TOLERATED[name])
    message.headers.set("Content-Length", "150")
    assert parse(message.to_bytes()) == message
    assert len(message.body) == 150


REFUSED = {
    "no Call-ID": (without(INVITE, b"Call-ID"), 400),
    "no Via": (without(INVITE, b"Via"), 400),
    "no From": (without(INVITE, b"From"), 400),
    "no To": (without(INVITE, b"To"), 400),
    "no CSeq": (without(INVITE, b"CSeq"), 400),
    "empty Call-ID": (INVITE.replace(b"1-4711@127.0.0.2", b""), 400),
    "CSeq of another method": (INVITE.replace(b"1 INVITE", b"1 OPTIONS"), 400),
    "CSeq beyond 32 bits": (INVITE.replace(b"1 INVITE", b"4294967296 INVITE"), 400),
    "negative CSeq": (INVITE.replace(b"1 INVITE", b"-1 INVITE"), 400),
    "two From": (with_line(INVITE, b"From: <sip:x@y>"), 400),
    "two To, one compact": (with_line(INVITE, b"t: <sip:x@y>"), 400),
    "two Content-Length": (with_line(INVITE, b"l: 150"), 400),
    "Max-Forwards of 300": (INVITE.replace(b"Forwards: 70", b"Forwards: 300"), 400),
    "Max-Forwards of words": (INVITE.replace(b"Forwards: 70", b"Forwards: many"), 400),
    "body cut short": (INVITE[:-1], 400),
    "negative Content-Length": (INVITE.replace(b"Length: 150", b"Length: -150"), 400),
    "version 7": (INVITE.replace(b"5060 SIP/2.0", b"5060 SIP/7.0"), 505),
    "Via of version 7": (INVITE.replace(b"Via: SIP/2.0", b"Via: SIP/7.0"), 505),
    "URI in brackets": (INVITE.replace(b"sip:15145550123@127.0.0.1:5060", b"<sip:a@b>"), 400),
    "blank within the URI": (INVITE.replace(b"E sip:1", b"E sip: 1"), 400),
    "two blanks in the request line": (INVITE.replace(b"INVITE sip", b"INVITE  sip"), 400),
    "unknown scheme": (INVITE.replace(b"sip:15145550123@127.0.0.1:5060", b"nobody:x"), 416),
    "port 70000": (INVITE.replace(b"1:5060", b"1:70000"), 400),
    "quote left open": (INVITE.replace(b'"Alice"', b'"Alice'), 400),
    "bracket left open": (INVITE.replace(b"127.0.0.1>;tag", b"127.0.0.1;tag"), 400),
    "empty parameters": (INVITE.replace(b";rport", b";;rport"), 400),
    "URI with comma and no brackets": (
        INVITE.replace(b"<sip:15145550123@127.0.0.1>", b"sip:a,b@c?x=y"),
        400,
    ),
    "a line without colon": (with_line(INVITE, b"Nonsense"), 400),
    "a name that is no token": (with_line(INVITE, b"Bad(Name): x"), 400),
    "a field of 9000 octets": (with_line(INVITE, b"Subject: " + b"x" * 9000), 400),
    "200 fields": (with_line(INVITE, b"\r\n".join([b"X-A: 1"] * 200)), 400),
    "71 hops": (
        with_line(INVITE, b"Via: " + b", ".join([b"SIP/2.0/UDP h;branch=z9hG4bK"] * 70)),
        400,
    ),
    "70 kB": (INVITE[:-1] + b"x" * 70_000, 413),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_answered_with_an_error(name: str) -> None:
    data, status = REFUSED[name]
    error = refused(data)
    assert error.status == status
    response = error_response(error, to_tag="t1")
    if error.request is None:  # its start line cannot be told apart
        assert "blank" in name
    elif name != "no Via":
        assert response is not None
        assert response.status == status
        assert response.headers.raw_all("Via")[0].encode() in data


DROPPED = {
    "empty": b"",
    "only line breaks": b"\r\n\r\n",
    "one word": b"INVITE\r\n\r\n",
    "binary": bytes(range(256)),
    "STUN": bytes.fromhex("000100002112a442") + bytes(12),
    "stray line feed": INVITE.replace(b"70\r\n", b"70\n"),
    "NUL": INVITE.replace(b"handset", b"hand\0set"),
    "status of 99": OK.replace(b" 200 ", b" 099 "),
    "status of 700": OK.replace(b" 200 ", b" 700 "),
    "status of 4 digits": OK.replace(b" 200 ", b" 2000 "),
    "response without Via": without(OK, b"Via"),
    "response with malformed To": OK.replace(b"<sip:15145550123@127.0.0.1>;tag=host1", b"<sip:"),
    "response of version 3": OK.replace(b"SIP/2.0 200", b"SIP/3.0 200"),
}


@pytest.mark.parametrize("name", DROPPED)
def test_what_cannot_be_answered_is_dropped(name: str) -> None:
    error = refused(DROPPED[name])
    assert error_response(error) is None


def test_an_ack_is_never_answered() -> None:
    error = refused(without(INVITE.replace(b"INVITE", b"ACK"), b"To"))
    assert error.request is not None
    assert error_response(error) is None


@settings(max_examples=300)
@given(st.binary(max_size=400))
@example(b"SIP/2.0 200 \r\n\r\n")
@example(b" sip: SIP/2.0\r\n:\r\n\r\n")
def test_any_octets_are_a_message_or_a_peer_error(data: bytes) -> None:
    survive(data)


PIECES = [b"\r\n", b"\r\n ", b";", b",", b'"', b"<", b">", b":", b"@", b"%00", b"\xff", b"=", b"\0"]


@settings(max_examples=1000, deadline=None)
@given(
    st.sampled_from([INVITE, OK, REGISTER]),
    st.lists(
        st.tuples(
            st.integers(0, 10_000),
            st.integers(0, 12),
            st.sampled_from(PIECES) | st.binary(max_size=6),
        ),
        min_size=1,
        max_size=6,
    ),
)
@example(data=INVITE.replace(b";rport", b";r,"), cuts=[])
def test_mutations_are_a_message_or_a_peer_error(
    data: bytes, cuts: list[tuple[int, int, bytes]]
) -> None:
    for place, length, piece in cuts:
        place %= len(data) + 1
        data = data[:place] + piece + data[place + length :]
    survive(data)


def survive(data: bytes) -> None:
    """Everything that a user would ask of it raises SipPeerError or works."""
    try:
        message = parse(data)
    except SipPeerError as error:
        response = error_response(error, to_tag="t")
        if response is not None:
            response.to_bytes()
    else:
        message.call_id, message.cseq, message.from_.tag, message.to.tag  # noqa: B018
        str(message.top_via), message.top_via.reply_to
        try:
            message.contacts  # noqa: B018
        except SipPeerError:
            pass
        else:
            if isinstance(message, Request):
                response_to(message, 200, to_tag="x").to_bytes()
                message.stamp("192.0.2.1", 5060)
        again = parse(message.to_bytes())
        assert again.to_bytes() == message.to_bytes()
    for found in StreamParser().feed(data):
        assert isinstance(found, Request | Response | KeepAlive | SipPeerError)


@settings(max_examples=500)
@given(st.text(max_size=60) | st.from_regex(r"(sip|sips|tel):[ -~]{0,40}", fullmatch=True))
def test_a_uri_parses_and_returns_or_is_refused(text: str) -> None:
    for kind in (SipUri, NameAddr, Via):
        try:
            value = kind.parse(text)  # type: ignore[attr-defined]
        except SipPeerError:
            continue
        assert kind.parse(str(value)) == value  # type: ignore[attr-defined]


@given(
    st.builds(
        SipUri,
        st.sampled_from(["sip", "sips"]),
        st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
        st.none(),
        st.sampled_from(["host.example", "192.0.2.1", "[2001:db8::1]"]),
        st.none() | st.integers(0, 65535),
        st.sampled_from([(), (("lr", None),), (("transport", "tcp"), ("x", "1"))]),
        st.sampled_from(["", "subject=x"]),
    )
)
def test_any_uri_survives_the_wire(uri: SipUri) -> None:
    assert SipUri.parse(str(uri)) == uri


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", True),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", True),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", False),
        ("SIP:ALICE@AtLanTa.CoM", "sip:alice@AtLanTa.CoM", False),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", False),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", False),
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com", False),
    ],
)
def test_uris_compare_by_rfc_3261_19_1_4(left: str, right: str, same: bool) -> None:
    assert SipUri.parse(left).same_as(SipUri.parse(right)) is same


# Against a parser that is not ours.


@pytest.mark.parametrize("data", [INVITE, OK, REGISTER], ids=["INVITE", "OK", "REGISTER"])
def test_sipmessage_reads_the_same(data: bytes) -> None:
    ours, theirs = parse(data), sipmessage.Message.parse(parse(data).to_bytes())
    assert ours.call_id == theirs.call_id
    assert ours.cseq == (theirs.cseq.sequence, theirs.cseq.method)
    assert ours.body == theirs.body
    for mine, other in ((ours.from_, theirs.from_address), (ours.to, theirs.to_address)):
        compare(mine, other)
    vias = [Via.parse(value) for value in ours.headers.get_all("Via")]
    assert [(v.transport, v.host, v.port, v.branch) for v in vias] == [
        (v.transport, v.host, v.port, v.parameters.get("branch")) for v in theirs.via
    ]
    assert len(ours.contacts) == len(theirs.contact)
    for mine, other in zip(ours.contacts, theirs.contact, strict=True):
        if mine.uri.scheme != "tel":
            compare(mine, other)


def compare(mine: NameAddr, other: sipmessage.Address) -> None:
    assert mine.display == other.name
    assert (mine.uri.scheme, mine.uri.user, mine.uri.host, mine.uri.port) == (
        other.uri.scheme,
        other.uri.user,
        other.uri.host,
        other.uri.port,
    )
    assert dict(mine.params) == dict(other.parameters.items())


WORDS = st.from_regex(r"[a-zA-Z0-9]{1,8}", fullmatch=True)


@given(st.data())
def test_sipmessage_reads_any_address_the_same(data: st.DataObject) -> None:
    display = data.draw(st.sampled_from(["", '"A, B" ', "Bob ", '"q\\"x" ']))
    host = data.draw(st.sampled_from(["h.example", "192.0.2.7"]))
    port = data.draw(st.sampled_from(["", ":5070"]))
    tag = data.draw(WORDS)
    text = f"{display}<sip:{data.draw(WORDS)}@{host}{port};transport=tcp>;tag={tag};x={tag}"
    compare(NameAddr.parse(text), sipmessage.Address.parse(text))


# Streams.


def test_a_stream_is_cut_into_messages_wherever_it_breaks() -> None:
    stream = b"\r\n\r\n" + INVITE + OK + b"\r\n\r\n" + REGISTER
    whole = StreamParser().feed(stream)
    assert [type(item) for item in whole] == [KeepAlive, Request, Response, KeepAlive, Request]
    for size in (1, 2, 3, 7, 100):
        parser = StreamParser()
        found = []
        for start in range(0, len(stream), size):
            found += parser.feed(stream[start : start + size])
        assert found == whole


@pytest.mark.parametrize(
    "data",
    [without(INVITE, b"Content-Length"), with_line(INVITE, b"l: 150"), b"x" * 70_000],
    ids=["no length", "two lengths", "no end"],
)
def test_a_stream_without_frames_is_lost(data: bytes) -> None:
    parser = StreamParser()
    [error] = parser.feed(data)
    assert isinstance(error, SipPeerError)
    assert parser.lost
    assert parser.feed(INVITE) == []


def test_a_bad_message_with_a_frame_leaves_the_stream_in_step() -> None:
    parser = StreamParser()
    bad, good = parser.feed(INVITE.replace(b"1 INVITE", b"1 BYE") + OK)
    assert isinstance(bad, SipPeerError)
    assert isinstance(good, Response)
    assert not parser.lost


# Answers.


def test_an_answer_copies_what_it_must() -> None:
    invite = request(with_line(with_line(INVITE, b"Record-Route: <sip:p;lr>"), b"Timestamp: 54"))
    trying = response_to(invite, 100, to_tag="x")
    assert trying.to.tag is None
    assert trying.headers.get("Timestamp") == "54"
    ok = response_to(invite, 200, to_tag="x")
    assert (ok.reason, ok.to.tag) == ("OK", "x")
    assert ok.headers.get("Record-Route") == "<sip:p;lr>"
    assert "Record-Route" not in response_to(invite, 404, to_tag="x").headers
    assert ok.headers.raw_all("Via") == invite.headers.raw_all("Via")
    assert response_to(invite, 499).reason == "Bad Request"


def test_a_request_is_stamped_with_its_source() -> None:
    invite = request(INVITE)
    invite.stamp("203.0.113.9", 40_000)
    assert invite.top_via.param("received") == "203.0.113.9"
    assert invite.top_via.reply_to == ("203.0.113.9", 40_000)
    assert parse(invite.to_bytes()).top_via == invite.top_via
