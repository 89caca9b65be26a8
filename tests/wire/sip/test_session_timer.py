"""Session timers and reasons."""

from __future__ import annotations

import pytest

from firmware.wire.sip import reason, session_timer
from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import Headers, Request, Response
from firmware.wire.sip.session_timer import Agreement, TooSmall


def invite(**fields: str) -> Request:
    pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return Request("INVITE", "sip:x@y", Headers(pairs))


@pytest.mark.parametrize(
    ("fields", "want", "outcome"),
    [
        ({}, 0, None),
        ({}, 1800, Agreement(1800, "uas", False)),
        ({"Supported": "timer"}, 1800, Agreement(1800, "uac", True)),
        ({"Supported": "timer", "Min_SE": "3600"}, 1800, Agreement(3600, "uac", True)),
        ({"Supported": "timer", "Session_Expires": "600"}, 1800, Agreement(600, "uac", True)),
        (
            {"Supported": "100rel, timer", "x": "3600 ; refresher=uas"},
            1800,
            Agreement(1800, "uas", True),
        ),
        ({"Session_Expires": "3600"}, 0, Agreement(3600, "uas", False)),
        ({"Supported": "timer", "Session_Expires": "60"}, 1800, TooSmall(90)),
        ({"Session_Expires": "60"}, 1800, Agreement(90, "uas", False)),
    ],
)
def test_the_answering_end(fields: dict[str, str], want: int, outcome: object) -> None:
    assert session_timer.answer_request(invite(**fields), interval_s=want) == outcome


def test_the_asking_end() -> None:
    ok = Response(200, "OK", Headers([("Session-Expires", "1800;refresher=uac")]))
    agreement = session_timer.accept_response(ok)
    assert agreement == Agreement(1800, "uac")
    assert agreement.refreshes("uac")
    assert agreement.refresh_at_s(100.0) == 1000.0
    assert agreement.ends_at_s(100.0) == 1868.0
    assert Agreement(90, "uac").ends_at_s(0.0) == 60.0
    assert session_timer.accept_response(Response(200)) is None
    small = Response(422, headers=Headers([("Min-SE", "900")]))
    assert session_timer.after_too_small(small, 300) == 900


def test_fields_name_what_was_agreed() -> None:
    assert session_timer.response_headers(Agreement(600, "uac")) == [
        ("Session-Expires", "600;refresher=uac"),
        ("Require", "timer"),
    ]
    assert ("Require", "timer") not in session_timer.response_headers(Agreement(600, "uas"))
    asked = invite(**dict(session_timer.request_headers(600, refresher="uas")))
    assert session_timer.answer_request(asked, interval_s=0) == Agreement(600, "uas")


@pytest.mark.parametrize("value", ["", "x", "-1", "99999999999", "600;refresher=me", "600;;"])
def test_malformed_session_expires(value: str) -> None:
    with pytest.raises(SipPeerError):
        session_timer.session_expires(invite(Session_Expires=value))


def test_reasons() -> None:
    value = 'SIP ;cause=200 ;text="Call completed, elsewhere", Q.850;cause=16'
    said = reason.parse(value)
    assert said == [
        reason.Reason("SIP", 200, "Call completed, elsewhere"),
        reason.Reason("Q.850", 16),
    ]
    assert reason.q850([value]) == 16
    assert reason.q850(["rubbish;;", "SIP;cause=486"]) is None
    assert reason.parse(reason.format_q850(17)) == [reason.Reason("Q.850", 17, "User busy")]
    with pytest.raises(SipPeerError):
        reason.parse("Q.850;cause=abc")


@pytest.mark.parametrize(
    ("status", "cause"), [(486, 17), (600, 17), (404, 1), (480, 18), (503, 41), (402, 21)]
)
def test_status_to_cause(status: int, cause: int) -> None:
    assert reason.cause_of(status) == cause


@pytest.mark.parametrize(
    ("cause", "status"), [(17, 486), (1, 404), (34, 503), (20, 480), (21, 403), (28, 484)]
)
def test_cause_to_status(cause: int, status: int) -> None:
    assert reason.status_of(cause) == status


def test_every_cause_in_a_table_has_a_name() -> None:
    assert {*reason.CAUSE_TO_STATUS, *reason.STATUS_TO_CAUSE.values()} <= set(reason.CAUSES)
    assert all(reason.cause_of(status) for status in range(300, 700))
