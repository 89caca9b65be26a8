"""Session timers (RFC 4028), as values and plain functions.

Intervals are in seconds. Roles are those of the transaction at hand (`uac` sent the request), so
they change when the other end refreshes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.model import Message, Request, Response
from firmware.wire.sip.params import find_param, parse_params

Role = Literal["uac", "uas"]

MIN_SE_S = 90
"""No session interval is shorter (RFC 4028, 5)."""
_MAX_S = 2**31


class SessionExpires(NamedTuple):
    """The Session-Expires field (RFC 4028, 4)."""

    interval_s: int
    refresher: Role | None = None

    def __str__(self) -> str:
        tail = f";refresher={self.refresher}" if self.refresher else ""
        return f"{self.interval_s}{tail}"


class Agreement(NamedTuple):
    """What a transaction agreed on: the session's interval and who refreshes it."""

    interval_s: int
    refresher: Role
    """Role in the transaction that agreed on it."""
    peer_supports: bool = True

    @property
    def header(self) -> str:
        """Value of Session-Expires for the 2xx."""
        return f"{self.interval_s};refresher={self.refresher}"

    def refresh_at_s(self, agreed_at_s: float) -> float:
        """When the refresher sends its refresh: half the interval (RFC 4028, 7.2)."""
        return agreed_at_s + self.interval_s / 2

    def ends_at_s(self, agreed_at_s: float) -> float:
        """When the other end sends BYE if no refresh came (RFC 4028, 10)."""
        return agreed_at_s + self.interval_s - min(32.0, self.interval_s / 3)

    def refreshes(self, role: Role) -> bool:
        """Whether the end that had `role` in that transaction is the one to refresh."""
        return self.refresher == role


class TooSmall(NamedTuple):
    """Answer 422 with this Min-SE (RFC 4028, 6)."""

    min_se_s: int


def _delta_seconds(text: str, what: str) -> int:
    text = text.strip()
    if not text.isdecimal() or not text.isascii() or len(text) > 10 or int(text) >= _MAX_S:
        raise SipPeerError(400, f"Malformed {what}")
    return int(text)


def session_expires(message: Message) -> SessionExpires | None:
    """The Session-Expires of a message, None if it has none.

    Raises:
        SipPeerError: malformed (400).
    """
    value = message.headers.get("Session-Expires")
    if value is None:
        return None
    number, semicolon, tail = value.partition(";")
    refresher = find_param(parse_params(tail), "refresher") if semicolon else None
    role: Role | None
    if refresher is None:
        role = None
    elif refresher.lower() == "uac":
        role = "uac"
    elif refresher.lower() == "uas":
        role = "uas"
    else:
        raise SipPeerError(400, "Malformed Session-Expires")
    return SessionExpires(_delta_seconds(number, "Session-Expires"), role)


def min_se_s(message: Message) -> int:
    """The Min-SE of a message, 90 if it has none or a smaller one (RFC 4028, 5).

    Raises:
        SipPeerError: malformed (400).
    """
    value = message.headers.get("Min-SE")
    if value is None:
        return MIN_SE_S
    return max(MIN_SE_S, _delta_seconds(value.partition(";")[0], "Min-SE"))


def supports_timer(message: Message) -> bool:
    """Whether `timer` stands in Supported or Require."""
    fields = message.headers.fields
    if "Supported" not in fields and "Require" not in fields:
        return False
    options = message.headers.get_all("Supported") + message.headers.get_all("Require")
    return any(option.lower() == "timer" for option in options)


def answer_request(
    request: Request, *, interval_s: int, own_min_se_s: int = MIN_SE_S
) -> Agreement | TooSmall | None:
    """What a UAS puts into its 2xx to INVITE or UPDATE (RFC 4028, 9).

    `interval_s` is what we want ourselves; 0 means that only the peer's wish counts. None: the
    session has no timer. The refresher is the peer's choice, else the UAC if it can.

    Raises:
        SipPeerError: a malformed field (400).
    """
    asked = session_expires(request)
    floor_s = max(min_se_s(request), own_min_se_s)
    peer_supports = supports_timer(request)
    if asked is None:
        if not interval_s:
            return None
        return Agreement(max(interval_s, floor_s), "uac" if peer_supports else "uas", peer_supports)
    if asked.interval_s < own_min_se_s and peer_supports:
        return TooSmall(own_min_se_s)
    agreed_s = asked.interval_s
    if interval_s:
        agreed_s = min(agreed_s, max(interval_s, floor_s))
    agreed_s = max(agreed_s, own_min_se_s)
    if not peer_supports:
        return Agreement(agreed_s, "uas", False)
    return Agreement(agreed_s, asked.refresher or "uac", True)


def accept_response(response: Response) -> Agreement | None:
    """What a 2xx to our INVITE or UPDATE agreed on (RFC 4028, 7.2); None: no timer runs.

    A peer without the extension answers without the field; who still wants refreshes sends them
    unasked.

    Raises:
        SipPeerError: a malformed field (400).
    """
    said = session_expires(response)
    if said is None:
        return None
    return Agreement(max(said.interval_s, MIN_SE_S), said.refresher or "uac")


def after_too_small(response: Response, interval_s: int) -> int:
    """The interval to try again with after a 422 (RFC 4028, 7.3), which is its Min-SE as well.

    Raises:
        SipPeerError: the 422 has no or a malformed Min-SE (400).
    """
    if "Min-SE" not in response.headers:
        raise SipPeerError(400, "422 without Min-SE")
    return max(interval_s, min_se_s(response))


def request_headers(
    interval_s: int, *, refresher: Role | None = None, own_min_se_s: int = MIN_SE_S
) -> list[tuple[str, str]]:
    """Fields that a UAC adds to INVITE or UPDATE (RFC 4028, 7.1); a refresh names the refresher."""
    fields = [
        ("Supported", "timer"),
        ("Session-Expires", str(SessionExpires(interval_s, refresher))),
    ]
    if own_min_se_s > MIN_SE_S:
        fields.append(("Min-SE", str(own_min_se_s)))
    return fields


def response_headers(agreement: Agreement) -> list[tuple[str, str]]:
    """Fields that a UAS adds to its 2xx; Require only if the peer must refresh (RFC 4028, 9)."""
    fields = [("Session-Expires", agreement.header)]
    if agreement.refresher == "uac" and agreement.peer_supports:
        fields.append(("Require", "timer"))
    return fields
