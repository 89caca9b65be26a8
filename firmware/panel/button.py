"""A button that is held: what is long enough. No I/O."""

from __future__ import annotations

SHOWN_MS = 1_000.0
"""Held for so long it shows that it is heard; before, it may have been touched by accident."""
JAMMED_MS = 60_000.0
"""Down for so long beyond what is asked for, it is not held by anybody: something leans on it."""


class Hold:
    """One button. It counts when it is let go of: a board that restarted before would find it held
    at its start, where it means rescue.

    Args:
        reset_s: held for so long, it asks for the defaults.
    """

    def __init__(self, reset_s: float) -> None:
        self._reset_ms = reset_s * 1000
        self._since_ms: float | None = None
        self._released = False
        """It was seen up: one that is jammed, or held since before the start, asks for nothing."""

    def _held_ms(self, now_ms: float) -> float:
        return 0.0 if self._since_ms is None else now_ms - self._since_ms

    def holding(self, now_ms: float) -> bool:
        """Is it held, and not by accident?"""
        return SHOWN_MS <= self._held_ms(now_ms) < self._reset_ms + JAMMED_MS

    def enough(self, now_ms: float) -> bool:
        """Was it held for long enough, so that it may be let go of?"""
        return self._reset_ms <= self._held_ms(now_ms) < self._reset_ms + JAMMED_MS

    def look(self, pressed: bool, now_ms: float) -> bool:
        """The button is like this now; True once, when it is let go of and was held for long
        enough."""
        if pressed:
            if self._since_ms is None and self._released:
                self._since_ms = now_ms
            return False
        asks = self.enough(now_ms)
        self._released, self._since_ms = True, None
        return asks
