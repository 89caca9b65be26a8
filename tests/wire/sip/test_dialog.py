"""Dialogs: what is remembered, and what later requests look like."""

from __future__ import annotations

import pytest

from firmware.wire.sip.dialog import Dialog
from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import Request, Response, parse, response_to

from .messages import INVITE, OK, with_line, without

VIA = "SIP/2.0/UDP 127.0.0.2:5061;branch=z9hG4bKnew"


def uac(data: bytes = OK) -> Dialog:
    invite, ok = parse(INVITE), parse(data)
    assert isinstance(invite, Request)
    assert isinstance(ok, Response)
    return Dialog.uac(invite, ok)


def uas(data: bytes = INVITE, status: int = 200) -> Dialog:
    invite = parse(data)
    assert isinstance(invite, Request)
    return Dialog.uas(invite, response_to(invite, status, to_tag="host1"))


def test_both_ends_have_the_same_dialog() -> None:
    caller, callee = uac(), uas()
    assert caller.id == ("1-4711@127.0.0.2", "4711SIPpTag001", "host1")
    assert callee.id == ("1-4711@127.0.0.2", "host1", "4711SIPpTag001")
    assert not caller.early
    assert str(callee.remote_target) == "sip:alice@127.0.0.2:5061"
    assert (callee.local_cseq, callee.remote_cseq) == (0, 1)


def test_requests_go_along_the_route_with_the_next_number() -> None:
    dialog = uac()
    assert dialog.route_set == ("<sip:p2.example;lr>", "<sip:p1.example;lr>")
    bye = dialog.request("BYE", via=VIA, headers=[("Reason", "Q.850;cause=16")])
    assert bye.uri == "sip:127.0.0.1:5060"
    assert bye.headers.get_all("Route") == list(dialog.route_set)
    assert bye.cseq == (2, "BYE")
    assert str(dialog.next_hop) == "sip:p2.example;lr"
    assert (bye.from_.tag, bye.to.tag) == ("4711SIPpTag001", "host1")
    assert bye.from_.display == "Alice"
    assert parse(bye.to_bytes()) == parse(parse(bye.to_bytes()).to_bytes())
    assert dialog.ack(1, via=VIA).cseq == (1, "ACK")
    again = dialog.request(
        "INVITE", via=VIA, contact="<sip:x@y>", body=b"v=0\r\n", content_type="application/sdp"
    )
    assert again.cseq == (3, "INVITE")
    assert again.headers.get("c") == "application/sdp"


def test_a_strict_router_gets_itself_in_the_request_uri() -> None:
    strict = OK.replace(b"<sip:p2.example;lr>", b"<sip:p2.example>")
    bye = uac(strict).request("BYE", via=VIA)
    assert bye.uri == "sip:p2.example"
    assert bye.headers.get_all("Route") == ["<sip:p1.example;lr>", "<sip:127.0.0.1:5060>"]


def test_the_callee_keeps_the_route_in_order() -> None:
    data = with_line(INVITE, b"Record-Route: <sip:p2.example;lr>\r\nRecord-Route: <sip:p1;lr>")
    assert uas(data).route_set == ("<sip:p2.example;lr>", "<sip:p1;lr>")


def test_an_older_request_is_out_of_order() -> None:
    dialog = uas(INVITE.replace(b"CSeq: 1 ", b"CSeq: 7 "))
    bye = parse(INVITE.replace(b"INVITE", b"INFO").replace(b"CSeq: 1 ", b"CSeq: 8 "))
    assert isinstance(bye, Request)
    dialog.receive(bye)
    assert dialog.remote_cseq == 8
    old = parse(INVITE.replace(b"INVITE", b"INFO").replace(b"CSeq: 1 ", b"CSeq: 6 "))
    assert isinstance(old, Request)
    with pytest.raises(SipPeerError) as caught:
        dialog.receive(old)
    assert caught.value.status == 500
    assert caught.value.request is old


def test_the_target_follows_the_contact() -> None:
    dialog = uac(OK.replace(b" 200 OK", b" 183 Session Progress"))
    assert dialog.early
    moved = parse(OK.replace(b"<sip:127.0.0.1:5060>", b"<sip:moved.example>"))
    assert isinstance(moved, Response)
    dialog.confirm(moved)
    assert not dialog.early
    assert dialog.request("BYE", via=VIA).uri == "sip:moved.example"


def test_a_dialog_without_contact_is_the_peers_mistake() -> None:
    with pytest.raises(SipPeerError) as caught:
        uas(without(INVITE, b"Contact"))
    assert caught.value.status == 400
    assert caught.value.request is not None
