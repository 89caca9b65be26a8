"""A line whose refusals are logged: hardware that fails for a while ends no program."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hal.line import Line
from hal.values import Capabilities, Feed, LineEvent, LineFault, LineStatus, RingCadence

_log = logging.getLogger("loopstart")


class TolerantLine:
    """`hal.line.Line` around another: LineFault is logged, once while it stays the same.

    What was asked is then not done: a telephone does not ring, a feed stays as it was. The call
    goes on by its own deadlines, and the next one finds the line as it is by then.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._said = ""

    @property
    def capabilities(self) -> Capabilities:
        """See `hal.line.Line`."""
        return self._line.capabilities

    def take_events(self) -> list[LineEvent]:
        """See `hal.line.Line`."""
        events: list[LineEvent] = []
        self._try(lambda: events.extend(self._line.take_events()))
        return events

    def ring(self, cadence: RingCadence | None) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.ring(cadence))

    def feed(self, feed: Feed) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.feed(feed))

    def audio(self, on: bool) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.audio(on))

    def cancel_echo(self, on: bool) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.cancel_echo(on))

    def on_hook_transfer(self, ms: int) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.on_hook_transfer(ms))

    def read_audio(self) -> bytes | None:
        """See `hal.line.Line`."""
        try:
            return self._line.read_audio()
        except LineFault as fault:
            self._say(fault)
            return None

    def write_audio(self, frame: bytes) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.write_audio(frame))

    def show(self, status: LineStatus) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.show(status))

    def descriptors(self) -> tuple[int, ...]:
        """See `hal.line.Line`."""
        return self._line.descriptors()

    def wake_at_ms(self) -> float | None:
        """See `hal.line.Line`."""
        return self._line.wake_at_ms()

    def close(self) -> None:
        """See `hal.line.Line`."""
        self._line.close()

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except LineFault as fault:
            self._say(fault)

    def _say(self, fault: LineFault) -> None:
        if str(fault) != self._said:
            self._said = str(fault)
            _log.warning("the line refused", extra={"detail": str(fault)})
