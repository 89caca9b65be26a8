"""Who calls, as an INVITE says it (RFC 3325, RFC 3323). No I/O."""

from __future__ import annotations

import re

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.model import Message
from firmware.wire.sip.parser import parse
from firmware.wire.sip.uri import NameAddr
from hal.caller_id.message import NOBODY, Caller

_HIDING = frozenset(("id", "user", "header"))
"""Values of Privacy that hide who calls (RFC 3323, 4.2; RFC 3325, 9.3)."""
_ANONYMOUS = "anonymous"
_URN = re.compile(r"<\s*(urn:alert:[a-z0-9.:@-]{1,100})\s*>", re.I)
_INFO = re.compile(r"\binfo\s*=\s*\"?([a-z0-9-]{1,40})", re.I)
_BELLCORE = re.compile(r"\b(bellcore-dr\d)\b", re.I)


def caller_of(invite: str) -> Caller:
    """The caller of an INVITE that the registrar has sent.

    What it asserts goes before From. Who is hidden by Privacy, or anonymous, is `withheld` and
    nothing else; a message that cannot be read says nothing of its caller.
    """
    try:
        message = parse(invite.encode("utf-8", "replace"))
        shown = _best(message.headers.get_all("P-Asserted-Identity")) or message.from_
        if _hidden(message) or _is_anonymous(shown):
            return Caller(withheld=True)
    except SipPeerError:
        return NOBODY
    return Caller(_printable(_user(shown)), _printable(shown.display))


def alert_of(invite: str) -> str:
    """How an INVITE wants to be announced; empty for the usual way.

    That is a URN of RFC 7462, or the `info` (also alone) by which servers name Bellcore's rings.
    """
    try:
        alerts = parse(invite.encode("utf-8", "replace")).headers.get_all("Alert-Info")
    except SipPeerError:
        return ""
    for alert in alerts:
        found = _URN.search(alert) or _INFO.search(alert) or _BELLCORE.search(alert)
        if found is not None:
            return found[1].lower()
    return ""


def _best(asserted: list[str]) -> NameAddr | None:
    """Of a `sip:` and a `tel:` identity the one with a number; a name from either."""
    found = [NameAddr.parse(one) for one in asserted]
    if not found:
        return None
    number = next((one for one in found if Caller(_user(one)).digits()), found[0])
    if number.display:
        return number
    return number._replace(display=next((one.display for one in found if one.display), ""))


def _hidden(message: Message) -> bool:
    values = ";".join(message.headers.get_all("Privacy")).lower().split(";")
    return not _HIDING.isdisjoint(value.strip() for value in values)


def _user(address: NameAddr) -> str:
    """User part or telephone number, without parameters (RFC 3261, 19.1.6)."""
    return (address.uri.user or "").partition(";")[0]


def _printable(text: str) -> str:
    """Without octets that were no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _is_anonymous(address: NameAddr) -> bool:
    uri = address.uri
    return (uri.user or "").lower() == _ANONYMOUS or uri.host.endswith("anonymous.invalid")
