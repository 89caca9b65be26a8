"""Mistakes of a SIP peer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware.wire.errors import PeerError

if TYPE_CHECKING:
    from firmware.wire.sip.message import Request


class SipPeerError(PeerError):
    """A SIP message that breaks the rules (RFC 3261, 16.3 and 8.2).

    `status` is what a server answers with (400, 413, 416, 420, 482, 483, 505...), `reason` says
    what is wrong, in the words of a reason phrase. `request` is the request as far as it was
    understood, complete enough for `error_response`; None means that nothing can be answered.
    """

    def __init__(self, status: int, reason: str, request: Request | None = None) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.request = request

    def __str__(self) -> str:
        return f"{self.status} {self.reason}"
