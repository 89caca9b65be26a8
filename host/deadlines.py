"""Deadlines of many things, of which most never come: armed, moved and dropped in O(log n)."""

from __future__ import annotations

import heapq


class Deadlines:
    """At most one deadline for each key (a string, so that nothing else is kept alive).

    Times are monotonic seconds.
    """

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def arm(self, key: str, at: float) -> None:
        """Set or move the deadline of `key`."""
        self._at[key] = at
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 64 and len(self._heap) > 3 * len(self._at):
            self._heap = sorted((at, key) for key, at in self._at.items())

    def disarm(self, key: str) -> None:
        self._at.pop(key, None)

    @property
    def next(self) -> float | None:
        """The earliest deadline; None when there is none."""
        heap = self._heap
        while heap:
            at, key = heap[0]
            if self._at.get(key) == at:
                return at
            heapq.heappop(heap)
        return None

    def due(self, now: float) -> list[str]:
        """Keys whose deadline has come, earliest first; they are disarmed."""
        keys: list[str] = []
        while (at := self.next) is not None and at <= now:
            key = heapq.heappop(self._heap)[1]
            del self._at[key]
            keys.append(key)
        return keys

    def __len__(self) -> int:
        return len(self._at)
