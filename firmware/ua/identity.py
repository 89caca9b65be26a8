"""Who calls, as an INVITE says it (RFC 3325, RFC 3323). No I/O."""

from __future__ import annotations

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.model import Message
from firmware.wire.sip.parser import parse
from firmware.wire.sip.uri import NameAddr
from hal.caller_id.message import NOBODY, Caller

_HIDING = frozenset(("id", "user", "header"))
"""Values of Privacy that hide who calls (RFC 3323, 4.2; RFC 3325, 9.3)."""
_ANONYMOUS = "anonymous"


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
