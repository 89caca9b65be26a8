"""A button that is held: what is long enough. No I/O."""

from __future__ import annotations

SHOWN_MS = 1_000.0
"""Held for so long it shows that it is heard; before, it may have been touched by accident."""


class Hold:
    """One button.

    Args:
        reset_s: held for so long, it asks for the defaults.
    """

    def __init__(self, reset_s: float) -> None:
        self._reset_ms = reset_s * 1000
        self._since_ms: float | None = None
        self._released = False
        """It was seen up: one that is jammed, or held since before the start, asks for nothing."""
        self._done = False

    def holding(self, now_ms: float) -> bool:
        """Is it held, and not by accident?"""
        return self._since_ms is not None and now_ms - self._since_ms >= SHOWN_MS

    def look(self, pressed: bool, now_ms: float) -> bool:
        """The button is like this now; True once, when it has been held for long enough."""
        if not pressed:
            self._released, self._since_ms, self._done = True, None, False
            return False
        if self._since_ms is None and self._released:
            self._since_ms = now_ms
        if self._since_ms is None or self._done or now_ms - self._since_ms < self._reset_ms:
            return False
        self._done = True
        return True
