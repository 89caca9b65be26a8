"""Simulated time, and the trace of what happened in it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from heapq import heappop, heappush


class Schedule:
    """Things to do, in the order of their simulated seconds, and of arming within one instant."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the seed began; no clock of a machine shows this."""
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._digest = hashlib.blake2b(digest_size=16)
        self.events = 0

    def at(self, delay_s: float, do: Callable[[], None]) -> None:
        """Do this in so many seconds."""
        heappush(self._queue, (self.now + delay_s, next(self._order), do))

    @property
    def next(self) -> float | None:
        """When the next thing is due."""
        return self._queue[0][0] if self._queue else None

    def pop(self) -> Callable[[], None]:
        """Go to the next thing's instant, and take it."""
        self.now, _, do = heappop(self._queue)
        return do

    def trace(self, *words: object) -> None:
        """Note what happened; the digest of all notes names the run."""
        self.events += 1
        self._digest.update(f"{self.now:.6f} {words}\n".encode())

    def digest(self) -> str:
        """Hex; equal for equal runs, whatever process they ran in."""
        return self._digest.hexdigest()
