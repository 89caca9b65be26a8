"""Why a call ended: the Reason field (RFC 3326) and Q.850 causes (RFC 3398)."""

from __future__ import annotations

from dataclasses import dataclass

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.headers import split_list
from firmware.wire.sip.params import (
    find_param,
    is_token,
    parse_params,
    quote_string,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: `Q.850;cause=16;text="Normal call clearing"`."""

    protocol: str
    """`Q.850`, `SIP`..."""
    cause: int | None
    text: str = ""

    def __str__(self) -> str:
        parts = [self.protocol]
        if self.cause is not None:
            parts.append(f"cause={self.cause}")
        if self.text:
            parts.append(f"text={quote_string(self.text)}")
        return ";".join(parts)


def parse(value: str) -> list[Reason]:
    """All reasons of one header field.

    Raises:
        SipPeerError: malformed (400).
    """
    reasons: list[Reason] = []
    for part in split_list(value):
        protocol, semicolon, tail = part.partition(";")
        protocol = protocol.strip()
        if not is_token(protocol):
            raise SipPeerError(400, "Malformed Reason")
        params = parse_params(tail) if semicolon else ()
        cause = find_param(params, "cause")
        if cause is not None and not (cause.isdecimal() and cause.isascii() and len(cause) < 5):
            raise SipPeerError(400, "Malformed Reason")
        text = find_param(params, "text") or ""
        reasons.append(Reason(protocol, int(cause) if cause is not None else None, text))
    return reasons


def q850(values: list[str]) -> int | None:
    """The Q.850 cause among the Reason fields of a message; None if none says it."""
    for value in values:
        try:
            reasons = parse(value)
        except SipPeerError:
            continue
        for reason in reasons:
            if reason.protocol.upper() == "Q.850" and reason.cause is not None:
                return reason.cause & 0x7F
    return None


def format_q850(cause: int) -> str:
    """The Reason value of a Q.850 cause, with its name."""
    return str(Reason("Q.850", cause, CAUSES.get(cause, "")))


def cause_of(status: int) -> int:
    """Q.850 cause of a SIP status; that of its class if RFC 3398 is silent."""
    return STATUS_TO_CAUSE.get(status) or (31 if status < 500 else 41 if status < 600 else 21)


def status_of(cause: int) -> int:
    """SIP status of a Q.850 cause; 500 if RFC 3398 is silent, 480 for normal clearing."""
    return CAUSE_TO_STATUS.get(cause, 500)


CAUSE_TO_STATUS: dict[int, int] = {
    1: 404,
    2: 404,
    3: 404,
    16: 480,  # no refusal in RFC 3398; a far end that hangs up before it answers
    17: 486,
    18: 408,
    19: 480,
    20: 480,
    21: 403,
    22: 410,
    23: 410,
    26: 404,
    27: 502,
    28: 484,
    29: 501,
    31: 480,
    34: 503,
    38: 503,
    41: 503,
    42: 503,
    47: 503,
    55: 403,
    57: 403,
    58: 503,
    65: 488,
    70: 488,
    79: 501,
    87: 403,
    88: 503,
    102: 504,
    111: 500,
    127: 500,
}
"""RFC 3398, 7.2.4.1."""

STATUS_TO_CAUSE: dict[int, int] = {
    400: 41,
    401: 21,
    402: 21,
    403: 21,
    404: 1,
    405: 63,
    406: 79,
    407: 21,
    408: 102,
    410: 22,
    413: 127,
    414: 127,
    415: 79,
    416: 127,
    420: 127,
    421: 127,
    423: 127,
    480: 18,
    481: 41,
    482: 25,
    483: 25,
    484: 28,
    485: 1,
    486: 17,
    487: 16,  # none in RFC 3398; the caller gave up
    488: 65,  # RFC 3398 goes by the Warning
    500: 41,
    501: 79,
    502: 38,
    503: 41,
    504: 102,
    505: 127,
    513: 127,
    600: 17,
    603: 21,
    604: 1,
    606: 65,  # RFC 3398 goes by the Warning
}
"""RFC 3398, 8.2.6.1."""

CAUSES: dict[int, str] = {
    1: "Unallocated number",
    2: "No route to transit network",
    3: "No route to destination",
    16: "Normal call clearing",
    17: "User busy",
    18: "No user responding",
    19: "No answer from user",
    20: "Subscriber absent",
    21: "Call rejected",
    22: "Number changed",
    23: "Redirection to new destination",
    25: "Exchange routing error",
    26: "Non-selected user clearing",
    27: "Destination out of order",
    28: "Invalid number format",
    29: "Facility rejected",
    31: "Normal, unspecified",
    34: "No circuit available",
    38: "Network out of order",
    41: "Temporary failure",
    42: "Switching equipment congestion",
    44: "Requested circuit not available",
    47: "Resource unavailable",
    50: "Requested facility not subscribed",
    55: "Incoming calls barred",
    57: "Bearer capability not authorized",
    58: "Bearer capability not available",
    63: "Service not available",
    65: "Bearer capability not implemented",
    70: "Only restricted digital information available",
    79: "Service not implemented",
    87: "User not member of closed user group",
    88: "Incompatible destination",
    102: "Recovery on timer expiry",
    111: "Protocol error",
    127: "Interworking, unspecified",
}
"""Names of Q.850 causes, shortened."""
