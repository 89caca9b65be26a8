"""What a refused caller is told over IAX2: CAUSECODE (ITU-T Q.850) and CAUSE (RFC 5456, 8.6.21 and
8.6.33) of each refusal, as data."""

from __future__ import annotations

from firmware.wire.sip.reason import CAUSES, status_of
from host.calls.commands import Failure
from host.charging.values import Reason

REFUSALS: dict[Reason, tuple[int, str]] = {
    Reason.CREDENTIALS: (21, "Forbidden"),
    Reason.BLOCKED: (21, "Account blocked"),
    Reason.NO_DESTINATION: (1, "No such destination"),
    Reason.NO_CARRIER: (34, "No carrier"),
    Reason.ACCOUNT_CHANNELS: (34, "Account channels full"),
    Reason.ONE_NUMBER: (34, "Too many calls to this number"),
    Reason.DID_CHANNELS: (17, "Busy here"),
    Reason.POP_MISMATCH: (20, "POP mismatch"),
    Reason.NOT_REGISTERED: (20, "Not registered"),
    Reason.NO_MONEY: (21, "Insufficient funds"),
    Reason.CODEC: (65, "Unable to negotiate codec"),
    Reason.OVERLOAD: (42, "Overload"),
    Reason.STORE: (41, "Service unavailable"),
    Reason.RESTRICTED: (21, "Not from there"),
    Reason.RATE: (21, "Rate above the limit"),
    Reason.DAY_CALLS: (34, "Too many calls to this number today"),
    Reason.DAY_SPEND: (21, "Spend of the day used"),
    Reason.SUSPENDED: (31, "Number suspended"),
    Reason.LOOP: (25, "Loop detected"),
    Reason.SYSTEM_BUSY: (17, "Busy here"),
    Reason.SYSTEM_HANGUP: (21, "Declined"),
    Reason.SYSTEM_NO_SERVICE: (31, "No service"),
    Reason.SYSTEM_DISCONNECTED: (1, "Number disconnected"),
}
"""The causes are those of `host.sip.status.REFUSALS`: a call is refused alike over both."""


def told(reason: Reason | None, failure: Failure | None) -> tuple[int, str]:
    """Cause and text for a caller who is refused, or whose call failed."""
    if reason is not None:
        return REFUSALS[reason]
    assert failure is not None
    return failure.cause, text_of(failure.cause)


def text_of(cause: int) -> str:
    """The name of a Q.850 cause."""
    return CAUSES.get(cause, "")


def failure_of(cause: int, text: str) -> Failure:
    """A callee's refusal as call control judges it: by the status that a SIP callee would have
    given (RFC 3398, 7.2.4.1), so that carriers fail over alike."""
    cause = cause or 16
    return Failure(cause, status_of(cause), text[:80])
