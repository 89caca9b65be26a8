"""Every timer of the transaction layer: name, value, unit, section of the standard."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TimerRow:
    """One row of the table."""

    name: str
    formula: str
    """In terms of T1, T2, T4."""
    default_s: float
    unit: str
    section: str
    meaning: str


TABLE: tuple[TimerRow, ...] = (
    TimerRow("T1", "T1", 0.5, "s", "RFC 3261, 17.1.1.1", "round-trip time estimate"),
    TimerRow("T2", "T2", 4.0, "s", "RFC 3261, 17.1.2.2", "longest retransmission interval"),
    TimerRow("T4", "T4", 5.0, "s", "RFC 3261, 17.1.2.2", "longest life of a message in the net"),
    TimerRow("A", "T1, doubling", 0.5, "s", "RFC 3261, 17.1.1.2", "INVITE again, UDP only"),
    TimerRow("B", "64*T1", 32.0, "s", "RFC 3261, 17.1.1.2", "INVITE without any answer"),
    TimerRow("D", "64*T1, TCP 0", 32.0, "s", "RFC 3261, 17.1.1.2", "repeated final answers"),
    TimerRow("E", "T1, doubling to T2", 0.5, "s", "RFC 3261, 17.1.2.2", "request again, UDP"),
    TimerRow("F", "64*T1", 32.0, "s", "RFC 3261, 17.1.2.2", "request without final answer"),
    TimerRow("G", "T1, doubling to T2", 0.5, "s", "RFC 3261, 17.2.1", "final answer again, UDP"),
    TimerRow("H", "64*T1", 32.0, "s", "RFC 3261, 17.2.1", "final answer without ACK"),
    TimerRow("I", "T4, TCP 0", 5.0, "s", "RFC 3261, 17.2.1", "repeated ACKs"),
    TimerRow("J", "64*T1, TCP 0", 32.0, "s", "RFC 3261, 17.2.2", "repeated requests"),
    TimerRow("K", "T4, TCP 0", 5.0, "s", "RFC 3261, 17.1.2.2", "repeated final answers"),
    TimerRow("L", "64*T1", 32.0, "s", "RFC 6026, 8.7", "INVITEs repeated after 2xx was sent"),
    TimerRow("M", "64*T1", 32.0, "s", "RFC 6026, 8.4", "2xx repeated, or of another fork"),
    TimerRow("2xx", "T1, doubling to T2", 0.5, "s", "RFC 3261, 13.3.1.4", "2xx again until ACK"),
    TimerRow("2xx limit", "64*T1", 32.0, "s", "RFC 3261, 13.3.1.4", "2xx without ACK"),
    TimerRow("100", "200 ms", 0.2, "s", "RFC 3261, 17.2.1", "INVITE without any answer of ours"),
    TimerRow("CANCEL", "64*T1", 32.0, "s", "RFC 3261, 9.1", "cancelled INVITE without answer"),
)
"""Timer C is a proxy's; a user agent gives up ringing by its own setting."""

TRYING_S = 0.2
"""How long an INVITE waits for an answer before it gets a 100."""
LINGER_GRAIN_S = 0.5
"""Timers that only free memory (D, I, J, K, L, M) may run late by so much, to be run together."""


@dataclass(frozen=True, slots=True)
class Timers:
    """The three values that all timers follow from, seconds (RFC 3261, 17.1.1.1)."""

    t1_s: float = 0.5
    t2_s: float = 4.0
    t4_s: float = 5.0

    @property
    def timeout_s(self) -> float:
        """64*T1: timers B, D, F, H, J, L and M."""
        return 64 * self.t1_s
