"""What a refused caller is told: SIP status and ITU-T Q.850 cause of each refusal, as data."""

from __future__ import annotations

from host.calls.commands import Failure
from host.charging.values import Reason

REFUSALS: dict[Reason, tuple[int, str, int]] = {
    Reason.CREDENTIALS: (403, "Forbidden", 21),
    Reason.BLOCKED: (403, "Account Blocked", 21),
    Reason.NO_DESTINATION: (404, "No Such Destination", 1),
    Reason.NO_CARRIER: (503, "No Carrier", 34),
    Reason.ACCOUNT_CHANNELS: (403, "Account Channels Full", 34),
    Reason.ONE_NUMBER: (403, "Too Many Calls To This Number", 34),
    Reason.DID_CHANNELS: (486, "Busy Here", 17),
    Reason.POP_MISMATCH: (480, "POP Mismatch", 20),
    Reason.NOT_REGISTERED: (480, "Not Registered", 20),
    Reason.NO_MONEY: (402, "Insufficient Funds", 21),
    Reason.CODEC: (488, "Not Acceptable Here", 65),
    Reason.OVERLOAD: (503, "Overload", 42),
    Reason.STORE: (503, "Service Unavailable", 41),
    Reason.RESTRICTED: (403, "Not From There", 21),
    Reason.RATE: (403, "Rate Above The Limit", 21),
    Reason.DAY_CALLS: (403, "Too Many Calls To This Number Today", 34),
    Reason.DAY_SPEND: (402, "Spend Of The Day Used", 21),
    Reason.SUSPENDED: (480, "Number Suspended", 31),
    Reason.LOOP: (482, "Loop Detected", 25),
    Reason.SYSTEM_BUSY: (486, "Busy Here", 17),
    Reason.SYSTEM_HANGUP: (603, "Decline", 21),
    Reason.SYSTEM_NO_SERVICE: (480, "No Service", 31),
    Reason.SYSTEM_DISCONNECTED: (404, "Number Disconnected", 1),
}
"""Refusal to status, reason phrase and cause (RFC 3326 carries the cause)."""


def refusal_status(reason: Reason) -> tuple[int, str, int]:
    """Status, phrase and cause for a refusal."""
    return REFUSALS[reason]


FAILURE_STATUS: dict[int, int] = {
    1: 404, 3: 404, 16: 480, 17: 486, 18: 480, 19: 480, 20: 480, 21: 403, 22: 410, 27: 502,
    28: 484, 31: 480, 34: 503, 38: 503, 41: 503, 42: 503, 47: 503, 65: 488, 79: 501, 88: 488,
    102: 504, 111: 500, 127: 500,
}  # fmt: skip
"""Q.850 cause to SIP status (RFC 3398, 7.2.4.1 and 8.2.6.1) where no status came with it."""


def failure_status(failure: Failure) -> tuple[int, int]:
    """Status and cause that the caller is told of a callee's failure.

    The callee's own status goes through, but for what concerns only our own leg: its
    authentication, its 3xx, its session timer.
    """
    status = failure.status
    if status in (401, 407, 422, 423, 481, 482, 491) or 300 <= status < 400 or status == 0:
        status = FAILURE_STATUS.get(failure.cause, 503)
    return status, failure.cause
