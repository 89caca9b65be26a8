"""How fast a transfer is, and how long it will take; without I/O."""

from __future__ import annotations

from collections import deque

WINDOW_S = 30.0
"""The rate is that of the last half minute."""
_LEAST_S = 1.0
"""Nothing is said of a rate that was measured for less."""


class Pace:
    """Octets over time. What was on the board before the run does not count as fast."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, sent: int, now: float) -> None:
        """So many octets have gone over the wire by now (seconds, monotonic)."""
        if not self._seen or now - self._seen[-1][0] >= 0.2:
            self._seen.append((now, sent))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()

    @property
    def rate(self) -> float | None:
        """Octets a second; None where it cannot be said yet."""
        if len(self._seen) < 2:
            return None
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        if ended - began < _LEAST_S or last <= first:
            return None
        return (last - first) / (ended - began)

    def remaining(self, left: int) -> float | None:
        """Seconds for so many octets more; None where it cannot be said yet."""
        rate = self.rate
        return left / rate if rate else None


def spoken(seconds: float | None) -> str:
    """A time as people read it: `4:05`, or `-:--` where it is not known."""
    if seconds is None:
        return "-:--"
    whole = round(seconds)
    if whole >= 3_600:
        return f"{whole // 3_600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 60}:{whole % 60:02}"
