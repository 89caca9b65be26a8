"""Who calls and what waits, out of SIP messages: RFC 3325, RFC 3323, RFC 3842."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.ua.base import MessagesWaiting
from firmware.ua.identity import alert_of, caller_of
from firmware.ua.message_summary import summary_of
from hal.caller_id.message import NOBODY, Caller

ANN = '"Ann" <sip:5145550199@127.0.0.1>'
WITHHELD = Caller(withheld=True)


def invite(caller: str, extra: str = "") -> str:
    return (
        "INVITE sip:100001@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n"
        f"Max-Forwards: 70\r\nFrom: {caller};tag=a\r\nTo: <sip:100001@192.0.2.1>\r\n"
        f"Call-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.9>\r\n{extra}"
        "Content-Length: 0\r\n\r\n"
    )


def asserts(identity: str) -> str:
    return f"P-Asserted-Identity: {identity}\r\n"


@pytest.mark.parametrize(
    ("caller", "extra", "wanted"),
    [
        (ANN, "", Caller("5145550199", "Ann")),
        ("<sip:5145550199@127.0.0.1>", "", Caller("5145550199")),
        ("sip:+15145550199@127.0.0.1", "", Caller("+15145550199")),
        ("<sip:+15145550199;npdi@127.0.0.1;user=phone>", "", Caller("+15145550199")),
        ('"Zoë \\"Z\\"" <sip:zo%C3%AB@127.0.0.1>', "", Caller("zoë", 'Zoë "Z"')),
        ("<tel:+1-514-555-0199>", "", Caller("+1-514-555-0199")),
        (ANN, asserts('"Bob" <sip:2125550100@127.0.0.1>'), Caller("2125550100", "Bob")),
        (ANN, asserts("<sip:2125550100@127.0.0.1>"), Caller("2125550100")),
        (
            '"Anonymous" <sip:anonymous@anonymous.invalid>',
            asserts('"Bob" <sip:2125550100@127.0.0.1>'),
            Caller("2125550100", "Bob"),
        ),
        (
            ANN,
            asserts('"Bob" <sip:bob@127.0.0.1>') + asserts("<tel:+12125550100>"),
            Caller("+12125550100", "Bob"),
        ),
        (ANN, asserts('"Bob" <sip:2125550100@127.0.0.1>') + "Privacy: id\r\n", WITHHELD),
        (ANN, "Privacy: header;user\r\n", WITHHELD),
        (ANN, "Privacy: none\r\n", Caller("5145550199", "Ann")),
        ('"Anonymous" <sip:anonymous@anonymous.invalid>', "", WITHHELD),
        ("<sip:Anonymous@192.0.2.9>", "", WITHHELD),
        ("<sip:5145550199@abc.anonymous.invalid>", "", WITHHELD),
        ("<sip:192.0.2.9>", "", NOBODY),
        (ANN, asserts("<<<"), NOBODY),
    ],
)
def test_callers(caller: str, extra: str, wanted: Caller) -> None:
    assert caller_of(invite(caller, extra)) == wanted


@given(st.text(), st.text())
def test_whatever_an_invite_says_is_a_caller(caller: str, extra: str) -> None:
    for text in (caller, invite(caller), invite(ANN, extra), invite(ANN, asserts(extra))):
        caller_of(text).name.encode("utf-8")


def notify(body: str) -> str:
    return (
        "NOTIFY sip:100001@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:m@192.0.2.9>;tag=a\r\nTo: <sip:100001@192.0.2.1>\r\n"
        "Call-ID: 1\r\nCSeq: 1 NOTIFY\r\nEvent: message-summary\r\n"
        "Content-Type: application/simple-message-summary\r\n"
        f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
    )


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            "Messages-Waiting: yes\r\nMessage-Account: sip:a@b\r\nVoice-Message: 2/8 (0/2)\r\n",
            MessagesWaiting(True, 2),
        ),
        ("Messages-Waiting: no\r\n", MessagesWaiting(False)),
        ("messages-waiting :  YES\nvoice-message: 1/0\n", MessagesWaiting(True, 1)),
        ("Messages-Waiting: yes\r\nFax-Message: 4/0\r\n", MessagesWaiting(True)),
        ("Messages-Waiting: perhaps\r\n", None),
        ("", None),
    ],
)
def test_summaries(body: str, wanted: MessagesWaiting | None) -> None:
    assert summary_of(notify(body)) == wanted


@given(st.text())
def test_whatever_a_notify_says_is_a_summary_or_nothing(text: str) -> None:
    for whole in (text, notify(text)):
        assert isinstance(summary_of(whole), MessagesWaiting | None)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("Alert-Info: <http://127.0.0.1/Bellcore-dr3>\r\n", "bellcore-dr3"),
        ("Alert-Info: <http://www.example>;info=alert-internal;x-line-id=0\r\n", "alert-internal"),
        ("Alert-Info: info=Bellcore-dr2\r\n", "bellcore-dr2"),
        ("Alert-Info: Bellcore-dr4\r\n", "bellcore-dr4"),
        ("Alert-Info: <urn:alert:source:internal>\r\n", "urn:alert:source:internal"),
        ("Alert-Info: <http://x/y.wav>\r\nAlert-Info: <urn:alert:priority:high>\r\n",
         "urn:alert:priority:high"),
        ("Alert-Info: <http://x/ring.wav>\r\n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_how_a_call_wants_to_be_announced(header: str, wanted: str) -> None:
    assert alert_of(invite(ANN, header)) == wanted


@given(st.text(max_size=200))
def test_no_alert_breaks_it(text: str) -> None:
    assert isinstance(alert_of(invite(ANN, f"Alert-Info: {text}\r\n")), str)
    assert alert_of(text) == ""
