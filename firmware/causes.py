"""Why a call ended, and what the caller then hears.

SIP statuses become ITU-T Q.850 causes by RFC 3398, 8.2.6.1; a `Reason` header with a Q.850 cause
(RFC 3326) goes before the status.
"""

from __future__ import annotations

from dataclasses import dataclass

NORMAL_CLEARING = 16
USER_BUSY = 17
NO_ANSWER = 19
CALL_REJECTED = 21
ANONYMITY_REJECTED = 24
"""Rejected for the called party's refusal of callers who withhold their number."""
DESTINATION_OUT_OF_ORDER = 27
NETWORK_OUT_OF_ORDER = 38
NORMAL_UNSPECIFIED = 31
CONGESTION = 34

STATUS_CAUSES: dict[int, int] = {
    400: 41, 401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22,
    413: 127, 414: 127, 415: 79, 416: 127, 420: 127, 421: 127, 423: 127, 480: 18, 481: 41,
    482: 25, 483: 25, 484: 28, 485: 1, 486: 17, 487: 16, 488: 65, 500: 41, 501: 79, 502: 38,
    503: 41, 504: 102, 505: 127, 513: 127, 600: 17, 603: 21, 604: 1, 606: 65,
}  # fmt: skip
"""SIP status to Q.850 cause; what is not here is 31 (normal, unspecified)."""

BUSY_CAUSES = frozenset({USER_BUSY})
"""Everything else that fails is reorder."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a leg ended."""

    q850: int
    status: int = 0
    """SIP status, where there was one."""
    text: str = ""


def cause_of_status(status: int, reason_q850: int | None = None, text: str = "") -> Cause:
    """The cause of a SIP final response or of a BYE (status 200)."""
    if reason_q850 is not None and 1 <= reason_q850 <= 127:
        return Cause(reason_q850, status, text)
    if 200 <= status < 300:
        return Cause(NORMAL_CLEARING, status, text)
    return Cause(STATUS_CAUSES.get(status, NORMAL_UNSPECIFIED), status, text)


def tone_of(cause: Cause) -> str:
    """Name of the tone for a call that failed."""
    return "busy" if cause.q850 in BUSY_CAUSES else "reorder"
