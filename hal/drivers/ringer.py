"""Ringing made by software: which state of the line is due when. No I/O; time comes in.

Two kinds of port need it: those that ring while their line is reversed to and fro (every half
cycle is a step), and those that make ringing voltage by themselves but no cadence.
"""

from __future__ import annotations

from hal.values import RingCadence

_TRIP_CHECKS = 2
"""Loop current at so many half cycles in a row is a lifted receiver, not the ringing itself."""
_TRIP_MS = 20.0
"""In a pause it must flow for so long: ringing voltage dies away with a flicker."""


class Ringer:
    """One line's ringing.

    Args:
        half_cycles: True if each half cycle is a step of its own.
    """

    def __init__(self, half_cycles: bool) -> None:
        self._half_cycles = half_cycles
        self.cadence: RingCadence | None = None
        self.voltage = False
        """Ringing voltage belongs on the line."""
        self.swung = False
        """The half cycle: True while the line is reversed for it."""
        self.next_ms: float | None = None
        """When to call `step`."""
        self._part = 0
        self._part_end_ms = 0.0
        self._seen = 0
        self._since_ms: float | None = None

    def start(self, cadence: RingCadence, now_ms: float) -> None:
        """Ring from now on."""
        self.cadence = cadence
        self._part = 0
        self._part_end_ms = now_ms + cadence.pattern_ms[0]
        self._begin_part(now_ms)

    def stop(self) -> None:
        """Ring no more."""
        self.cadence = None
        self.voltage = self.swung = False
        self.next_ms = None

    def step(self, now_ms: float, off_hook: bool) -> bool:
        """Do what is due; earlier does no harm.

        Args:
            off_hook: loop current flows.
        Returns:
            True if the receiver was lifted: ringing has stopped.
        """
        cadence = self.cadence
        if cadence is None or self.next_ms is None:
            return False
        if self._tripped(now_ms, off_hook):
            self.stop()
            return True
        if now_ms < self.next_ms:
            return False
        if now_ms >= self._part_end_ms:
            while now_ms >= self._part_end_ms:
                self._part = (self._part + 1) % len(cadence.pattern_ms)
                self._part_end_ms += cadence.pattern_ms[self._part]
            self._begin_part(now_ms)
        elif self.voltage:
            self.swung = not self.swung
            self._plan(max(self.next_ms, now_ms - self._half_ms))
        return False

    def _tripped(self, now_ms: float, off_hook: bool) -> bool:
        assert self.next_ms is not None, "only ringing trips"
        if not self.voltage:
            if not off_hook:
                self._since_ms = None
                self.next_ms = self._part_end_ms
                return False
            if self._since_ms is None:
                self._since_ms = now_ms
            self.next_ms = min(self._part_end_ms, self._since_ms + _TRIP_MS)
            return now_ms - self._since_ms >= _TRIP_MS
        if self._half_cycles and now_ms >= self.next_ms:
            self._seen = self._seen + 1 if off_hook else 0
        return self._seen >= _TRIP_CHECKS

    @property
    def _half_ms(self) -> float:
        assert self.cadence is not None, "only ringing has cycles"
        return 500.0 / self.cadence.hz

    def _begin_part(self, now_ms: float) -> None:
        self.voltage = self._part % 2 == 0
        self.swung = self.voltage and self._half_cycles
        self._seen = 0
        self._since_ms = None
        self._plan(now_ms)

    def _plan(self, from_ms: float) -> None:
        if self.voltage and self._half_cycles:
            self.next_ms = min(from_ms + self._half_ms, self._part_end_ms)
        else:
            self.next_ms = self._part_end_ms
