"""A SLIC with a handset on it, behind what looks like the module `gpiod` (2.x)."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Any

from boards.lines import GpioSettings
from hal.drivers.alsa_fake import FakeAlsa
from hal.drivers.wire import Wire
from hal.values import Feed

_RING_VRMS = 60
_LONGEST_HALF_CYCLE_MS = 60.0
"""A reversal that comes later swings no bell."""
_FD = 61


class Value(Enum):
    """`gpiod.line.Value`."""

    INACTIVE = 0
    ACTIVE = 1


class Direction(Enum):
    """`gpiod.line.Direction`."""

    INPUT = 2
    OUTPUT = 3


class Edge(Enum):
    """`gpiod.line.Edge`."""

    NONE = 1
    BOTH = 4


class Clock(Enum):
    """`gpiod.line.Clock`."""

    MONOTONIC = 1


class EventType(Enum):
    """`gpiod.EdgeEvent.Type`."""

    RISING_EDGE = 1
    FALLING_EDGE = 2


class RequestReleasedError(Exception):
    """`gpiod.RequestReleasedError`."""


@dataclass(frozen=True, slots=True)
class EdgeEvent:
    """`gpiod.EdgeEvent`."""

    event_type: EventType
    timestamp_ns: int


@dataclass(frozen=True, slots=True)
class LineSettings:
    """`gpiod.LineSettings`."""

    direction: Direction
    edge_detection: Edge = Edge.NONE
    active_low: bool = False
    event_clock: Clock = Clock.MONOTONIC
    output_value: Value = Value.INACTIVE


class FakeSlic:
    """The SLIC: `gpiod` and `alsaaudio` are what a driver is given."""

    def __init__(self, clock: Callable[[], float], settings: GpioSettings, seed: int = 1) -> None:
        self.wire = Wire(clock, self._loop, seed)
        self.wire.transfers = True
        self.alsaaudio = FakeAlsa(self.wire)
        self.settings = settings
        self.busy = False
        """Another program has the pins."""
        self.failing = False
        """The chip, on a bus of its own, is out of reach."""
        self.released = False
        self.room = 512
        """Edges that the kernel keeps."""
        self._edges: deque[EdgeEvent] = deque()
        self._ring_mode = self._reverse = False
        self._swung_ms: float | None = None
        self.gpiod: Any = SimpleNamespace(
            line=SimpleNamespace(Value=Value, Direction=Direction, Edge=Edge, Clock=Clock),
            EdgeEvent=SimpleNamespace(Type=EventType),
            LineSettings=LineSettings,
            request_lines=self._request_lines,
        )

    # gpiod

    @property
    def fd(self) -> int:
        """Of the request."""
        return _FD

    def get_value(self, line: int) -> Value:
        """A pin's level."""
        self._check()
        assert line == self.settings.hook_line, "only the hook is read"
        return Value.ACTIVE if self.wire.flowing else Value.INACTIVE

    def set_values(self, values: dict[int, Value]) -> None:
        """Set pins."""
        self._check()
        settings = self.settings
        now_ms = self.wire.now_ms
        on = {line: value is Value.ACTIVE for line, value in values.items()}
        if settings.power_down_line >= 0:
            self._power(now_ms, down=on[settings.power_down_line])
        self._drive(now_ms, on[settings.ring_mode_line], on[settings.reverse_line])

    def wait_edge_events(self, timeout: float) -> bool:
        """Whether edges wait."""
        self._check()
        assert timeout == 0, "the loop never waits here"
        return bool(self._edges)

    def read_edge_events(self) -> list[EdgeEvent]:
        """Take the edges."""
        self._check()
        edges = list(self._edges)
        self._edges.clear()
        return edges

    def release(self) -> None:
        """Give the pins back."""
        if self.released:
            raise RequestReleasedError
        self.released = True

    def _request_lines(
        self,
        path: str,
        *,
        consumer: str,
        config: dict[int, LineSettings],
        event_buffer_size: int,
    ) -> FakeSlic:
        if path != self.settings.chip:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if self.busy:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        assert consumer, "gpioinfo shows who has a pin"
        assert config[self.settings.hook_line].edge_detection is Edge.BOTH, "the hook is watched"
        self.room = min(self.room, event_buffer_size)
        return self

    def _check(self) -> None:
        if self.released:
            raise RequestReleasedError
        self.wire.advance()
        if self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    # The chip

    def _power(self, now_ms: float, *, down: bool) -> None:
        if down != (self.wire.feed is Feed.OPEN):
            self.wire.set_feed(now_ms, Feed.OPEN if down else Feed.FORWARD)

    def _drive(self, now_ms: float, ring_mode: bool, reverse: bool) -> None:
        swings = reverse != self._reverse
        self._ring_mode, self._reverse = ring_mode, reverse
        if not ring_mode:
            self._rest(now_ms)
            if self.wire.feed is not Feed.OPEN:
                self.wire.set_feed(now_ms, Feed.REVERSED if reverse else Feed.FORWARD)
            return
        if not swings:
            return
        before_ms, self._swung_ms = self._swung_ms, now_ms
        if before_ms is not None and now_ms > before_ms:
            self.wire.supply(now_ms, _RING_VRMS, 500.0 / (now_ms - before_ms))
        self.wire.at("swing", now_ms + _LONGEST_HALF_CYCLE_MS, self._rest)

    def _rest(self, at_ms: float) -> None:
        self._swung_ms = None
        self.wire.cancel("swing")
        self.wire.supply(at_ms, 0, 0)

    def _loop(self, at_ms: float, flowing: bool) -> None:
        if len(self._edges) < self.room:
            kind = EventType.RISING_EDGE if flowing else EventType.FALLING_EDGE
            self._edges.append(EdgeEvent(kind, round(at_ms * 1e6)))
