"""When the message-waiting lamp of a telephone is told: after a change, and never by force.

No I/O. The lamp is set on an idle line only, so a line that is busy is asked again later.
"""

from __future__ import annotations

SETTLE_MS = 2_000
"""After a change: a line that has just been put back is left alone for a moment."""
RETRY_MS = 5_000
"""So often a line that was busy is looked at again."""


class Lamp:
    """The lamp of one telephone, as far as the line knows it."""

    def __init__(self) -> None:
        self.deadline_ms: float | None = None
        self._wanted: bool | None = None
        self._shown: bool | None = None

    def want(self, waiting: bool, now_ms: float) -> None:
        """Messages wait, or none. The first time counts as a change: nobody knows what it shows."""
        self._wanted = waiting
        if waiting == self._shown:
            self.deadline_ms = None
        elif self.deadline_ms is None:
            self.deadline_ms = now_ms + SETTLE_MS

    def handle_timer(self, idle: bool, now_ms: float) -> bool | None:
        """Call when `deadline_ms` has come: what to send now, or None."""
        if self.deadline_ms is None or now_ms < self.deadline_ms:
            return None
        if not idle:
            self.deadline_ms = now_ms + RETRY_MS
            return None
        self.deadline_ms = None
        self._shown = self._wanted
        return self._shown

    def cut_off(self, now_ms: float) -> None:
        """What was sent did not arrive: the receiver was lifted, or a call came."""
        self._shown = None
        self.deadline_ms = now_ms + RETRY_MS
