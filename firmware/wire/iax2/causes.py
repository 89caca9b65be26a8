"""Causes that we give of our own (ITU-T Q.850), and as elements."""

from __future__ import annotations

from firmware.wire.iax2.elements import Ie, Value

NORMAL_CLEARING = 16
USER_BUSY = 17
CALL_REJECTED = 21
FACILITY_REJECTED = 29
NETWORK_OUT_OF_ORDER = 38
TEMPORARY_FAILURE = 41
SWITCH_CONGESTION = 42
BEARER_NOT_AUTHORIZED = 57
BEARER_NOT_AVAILABLE = 58
INTERWORKING = 127

CONGESTED = frozenset((34, 38, 41, 42, 43, 44, 46, 47))
"""Causes that a caller hears as congestion."""


def cause_elements(cause: int, text: str) -> list[tuple[int, Value]]:
    """CAUSE and CAUSECODE (RFC 5456, 8.6.22 and 8.6.34)."""
    pairs: list[tuple[int, Value]] = [(Ie.CAUSE, text)] if text else []
    return [*pairs, (Ie.CAUSECODE, cause)]
