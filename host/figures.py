"""Figures of the process that carries calls: plain integers, counted where things happen."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

LAG_BOUNDS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""How late the event loop was at its heartbeat, seconds."""
WAIT_BOUNDS_MS = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0)
"""How long an operation waited to be durable, milliseconds; the writer counts up to the last."""

TELL_AGAIN_S = 60.0
"""A fault that goes on is told again after so long, with the count of all."""


class Histogram:
    """Counts values by bounds.

    Args:
        bounds: rising; a value counts for the first bound that it does not exceed.
    """

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def within(self) -> list[int]:
        """How many values did not exceed each bound, and at the end how many there were."""
        total, found = 0, []
        for count in self._counts:
            total += count
            found.append(total)
        return found

    def plain(self) -> dict[str, Any]:
        """As JSON has it: `bounds`, `within` (one more) and `sum`."""
        return {"bounds": list(self._bounds), "within": self.within(), "sum": self.sum}


class Faults:
    """Counts faults by what they hit, and says when to tell of them: of the first at once, of more
    no oftener than once in `TELL_AGAIN_S`, so that a store which is away floods no log."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._told_at: dict[str, float] = {}

    def add(self, what: str, now: float) -> bool:
        """Count one, at a monotonic second; True when it is to be told."""
        self.counts[what] = self.counts.get(what, 0) + 1
        told_at = self._told_at.get(what)
        if told_at is not None and now - told_at < TELL_AGAIN_S:
            return False
        self._told_at[what] = now
        return True
