"""A line whose refusals are logged: hardware that fails for a while ends no program."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hal.line import Line
from hal.values import (
    Capabilities,
    Feed,
    HookChanged,
    LineEvent,
    LineFault,
    LineStatus,
    LoopCurrent,
    RingCadence,
)

_log = logging.getLogger("loopstart")
_PATIENCE_MS = 500.0
"""A hook that cannot be read for so long is a fault; for less, one disturbance of a bus."""


class TolerantLine:
    """`hal.line.Line` around another: LineFault is logged, once while it stays the same.

    What was asked is then not done: a telephone does not ring, a feed stays as it was. The call
    goes on by its own deadlines, and the next one finds the line as it is by then. But what brings
    a line to rest is tried again, with each look for events, until it is done. Where a driver
    cannot read its hook any more the receiver counts as put back, until it can.

    Args:
        clock: monotonic milliseconds.
    """

    def __init__(self, line: Line, clock: Callable[[], float]) -> None:
        self._line = line
        self._clock = clock
        self._said = ""
        self._owed: dict[str, Callable[[], None]] = {}
        """What leads to rest and was refused: no ringing, no audio, the usual feed."""
        self._fault = ""
        self._failing_since_ms: float | None = None
        self._hook: HookChanged | LoopCurrent | None = None
        """What the driver has told last."""

    @property
    def capabilities(self) -> Capabilities:
        """See `hal.line.Line`."""
        return self._line.capabilities

    @property
    def fault(self) -> str:
        """See `hal.line.Line`."""
        return self._fault or self._line.fault

    def take_events(self) -> list[LineEvent]:
        """See `hal.line.Line`."""
        try:
            events = self._line.take_events()
        except LineFault as fault:
            self._say(fault)
            return self._lose(str(fault), self._clock())
        self._failing_since_ms = None
        if self._fault:
            self._fault = ""
            _log.info("the line is back")
            events = [*self._moved(True, self._clock()), *events]
        for what, action in list(self._owed.items()):
            self._try(action, what, rests=True)
        hooks = [one for one in events if isinstance(one, HookChanged | LoopCurrent)]
        self._hook = hooks[-1] if hooks else self._hook
        return events

    def _lose(self, why: str, now_ms: float) -> list[LineEvent]:
        if self._failing_since_ms is None:
            self._failing_since_ms = now_ms
        if self._fault or now_ms - self._failing_since_ms < _PATIENCE_MS:
            return []
        self._fault = why
        return self._moved(False, now_ms)

    def _moved(self, up: bool, now_ms: float) -> list[LineEvent]:
        """The receiver, if the driver has told last that it is up, is put back, or found so."""
        last = self._hook
        if isinstance(last, HookChanged) and last.off_hook:
            return [HookChanged(now_ms, up)]
        if isinstance(last, LoopCurrent) and last.flowing:
            return [LoopCurrent(now_ms, up)]
        return []

    def ring(self, cadence: RingCadence | None) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.ring(cadence), "ring", cadence is None)

    def feed(self, feed: Feed) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.feed(feed), "feed", feed is Feed.FORWARD)

    def audio(self, on: bool) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.audio(on), "audio", not on)

    def cancel_echo(self, on: bool) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.cancel_echo(on))

    def on_hook_transfer(self, ms: int) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.on_hook_transfer(ms))

    def light_lamp(self, on: bool) -> None:
        """See `hal.line.Line`."""
        self._try(lambda: self._line.light_lamp(on))

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

    def _try(self, action: Callable[[], None], what: str = "", rests: bool = False) -> None:
        """Do it, or log why not.

        Args:
            what: the part of the line's state that it sets, if it does.
            rests: it brings that part to rest, and is tried until it is done or another is wanted.
        """
        self._owed.pop(what, None)
        try:
            action()
        except LineFault as fault:
            self._say(fault)
            if rests:
                self._owed[what] = action

    def _say(self, fault: LineFault) -> None:
        if str(fault) != self._said:
            self._said = str(fault)
            _log.warning("the line refused", extra={"detail": str(fault)})
