"""Figures of the process that carries calls: plain integers, counted where things happen."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

LAG_BOUNDS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""How late the event loop was at its heartbeat, seconds."""
WAIT_BOUNDS_MS = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0)
"""How long an operation waited to be durable, milliseconds; the writer counts up to the last."""


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
