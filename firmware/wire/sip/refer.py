"""REFER and what it says: whom to call (RFC 3515), or whose dialog to take over (RFC 3891)."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import Request
from firmware.wire.sip.status import reason_phrase
from firmware.wire.sip.uri import NameAddr, SipUri

FRAGMENT = "message/sipfrag;version=2.0"
"""Content-Type of a NOTIFY's body (RFC 3515, 2.4.4)."""


class Replaces(NamedTuple):
    """A dialog, named from outside (RFC 3891, 6.1): tags as whoever is asked to replace it has
    them."""

    call_id: str
    to_tag: str
    from_tag: str

    @staticmethod
    def parse(text: str) -> Replaces:
        """From the value of a Replaces header field.

        Raises:
            SipPeerError: Call-ID or a tag is missing (400).
        """
        call_id, *params = (part.strip() for part in text.split(";"))
        tags: dict[str, str] = {}
        for param in params:
            name, _, value = param.partition("=")
            tags.setdefault(name.strip().lower(), value.strip())
        if not call_id or not tags.get("to-tag") or not tags.get("from-tag"):
            raise SipPeerError(400, "Bad Replaces")
        return Replaces(call_id, tags["to-tag"], tags["from-tag"])


class ReferTo(NamedTuple):
    """What Refer-To asks for."""

    uri: SipUri
    """Whom to call; with `replaces` nobody is called."""
    replaces: Replaces | None


def refer_to(request: Request) -> ReferTo:
    """What a REFER asks for.

    Raises:
        SipPeerError: not just one Refer-To, or one that can't be read (400); another scheme than
            sip, sips or tel (416); another method than INVITE (501).
    """
    values = request.headers.get_all("Refer-To")
    if len(values) != 1:
        raise SipPeerError(400, "One Refer-To Needed", request)
    uri = NameAddr.parse(values[0]).uri
    if not uri.routable:
        raise SipPeerError(416, "Unsupported URI Scheme", request)
    if (uri.param("method") or "INVITE").upper() != "INVITE":
        raise SipPeerError(501, "Only INVITE Is Done For A REFER", request)
    replaces: Replaces | None = None
    for part in uri.headers.split("&"):
        name, _, value = part.partition("=")
        if name.lower() == "replaces":
            replaces = Replaces.parse(unquote(value))
    return ReferTo(uri, replaces)


def fragment(status: int, reason: str = "") -> bytes:
    """The body of a NOTIFY: the answer that the call got, as a status line (RFC 3420)."""
    return f"SIP/2.0 {status} {reason or reason_phrase(status)}\r\n".encode()
