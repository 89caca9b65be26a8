"""Lantiq's TAPI with a handset on its line: `DeviceFiles` for tests."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable

from boards.lines import TapiSettings
from hal.drivers import tapi_abi as abi
from hal.drivers.tapi_abi import LineFeed, TapiEvent
from hal.drivers.wire import Debounce, FrameClock, Wire
from hal.dsp.codecs import Decoder, Encoder
from hal.values import FRAME_SAMPLES, Feed

_CONTROL, _LINE = 81, 82
_DEBOUNCE_MS = 10.0
_PULSE_MOST_MS, _HANG_UP_MS, _DIGIT_END_MS = 79.0, 450.0, 250.0
_PACKETS = 4
_RING_VRMS, _RING_HZ = 60, 25
_FEEDS = {LineFeed.REVERSED: Feed.REVERSED, LineFeed.DISABLED: Feed.OPEN}


class FakeTapi:
    """One line. It works only after the steps of the settings' bring-up, in their order."""

    def __init__(self, clock: Callable[[], float], settings: TapiSettings, seed: int = 1) -> None:
        self.wire = Wire(clock, self._raw, seed)
        self.frames = FrameClock(self.wire, _PACKETS, _PACKETS)
        self.installed = True
        self.refused = ""
        """Name of a call that the driver does not know."""
        self.steps: list[tuple[str, int | bytes]] = []
        """What the bring-up has brought, in order."""
        self.spoken: deque[bytes] = deque()
        """Packets in place of the mouth's, to be read first."""
        self.opened: set[int] = set()
        """Descriptors that nobody has closed."""
        self._settings = settings
        self._names = {number: name for name, number in (settings.calls or {}).items()}
        self._bring_up = {step.number: step.name for step in settings.bring_up}
        self._debounce = Debounce(self.wire, _DEBOUNCE_MS, self._hook)
        self._events: deque[tuple[int, int]] = deque()
        self._encoder, self._decoder = Encoder(settings.codec), Decoder(settings.codec)
        self._coding = False
        self._feed = LineFeed.STANDBY
        self._pattern: list[int] = []
        self._part = 0
        self._break_ms: float | None = None
        self._pulses = 0
        self._told_off_hook = False

    def tell(self, number: int, data: int = 0) -> None:
        """Queue an event."""
        self._events.append((number, data))

    @property
    def codes(self) -> bool:
        """The mouthpiece is heard."""
        return self._coding

    # DeviceFiles

    def open(self, path: str) -> int:
        """See `DeviceFiles`."""
        paths = {self._settings.control: _CONTROL, self._settings.line: _LINE}
        if not self.installed or path not in paths:
            raise _error(errno.ENOENT)
        self.opened.add(paths[path])
        return paths[path]

    def ioctl(self, fd: int, number: int, argument: bytearray | int = 0) -> int:
        """See `DeviceFiles`."""
        self.wire.advance()
        name = self._bring_up.get(number) or self._names.get(number)
        if name is None or name == self.refused:
            raise _error(errno.ENOTTY)
        if number in self._bring_up:
            kept = bytes(argument) if isinstance(argument, bytearray) else argument
            self.steps.append((name, kept))
            return 0
        assert [one for one, _ in self.steps] == [one.name for one in self._settings.bring_up], (
            "the line is used before it is brought up"
        )
        assert (fd == _CONTROL) == (name == "EVENT_GET"), f"{name} on the wrong descriptor"
        if isinstance(argument, bytearray):
            self._with_structure(name, argument)
        else:
            self._with_value(name, argument, self.wire.now_ms)
        return 0

    def read(self, fd: int, octets: int) -> bytes:
        """See `DeviceFiles`."""
        self.wire.advance()
        if self.spoken:
            return self.spoken.popleft()
        if not self._coding or not self.frames.mouth:
            raise _error(errno.EAGAIN)
        payload = self._encoder.encode(self.frames.mouth.popleft())
        return abi.packet(abi.PAYLOAD_TYPES[self._settings.codec], 1, 160, 1, payload)

    def write(self, fd: int, data: bytes) -> int:
        """See `DeviceFiles`."""
        self.wire.advance()
        found = abi.payload_of(data)
        assert found is not None, "the line takes RTP packets"
        assert found[0] == abi.PAYLOAD_TYPES[self._settings.codec], "of its own codec"
        assert len(found[1]) == FRAME_SAMPLES, "of 20 ms"
        if not self.frames.put(self._decoder.decode(found[1])):
            raise _error(errno.EAGAIN)
        return len(data)

    def watch(self, fd: int, readable: bool) -> int:
        """See `DeviceFiles`."""
        return fd + 10

    def close(self, fd: int) -> None:
        """See `DeviceFiles`."""
        self.opened.discard(fd)
        self._silence(self.wire.now_ms)

    # Calls

    def _with_structure(self, name: str, argument: bytearray) -> None:
        if name == "EVENT_GET":
            number, data = self._events.popleft() if self._events else (0, 0)
            argument[:] = abi.event_octets(number, bool(self._events), data)
        else:
            assert name == "RING_CADENCE_HR_SET", name
            self._pattern = abi.pattern_of(argument)

    def _with_value(self, name: str, value: int, now_ms: float) -> None:
        if name == "LINE_FEED_SET":
            self._feed = LineFeed(value)
            self.wire.set_feed(now_ms, _FEEDS.get(self._feed, Feed.FORWARD))
        elif name == "RING_START":
            if self.wire.flowing:
                raise _error(errno.EBUSY)
            self._part = -1
            self._next_part(now_ms)
        elif name == "RING_STOP":
            self._silence(now_ms)
        elif name == "ENC_START":
            self._coding = True
            self.frames.start(now_ms)
        elif name == "ENC_STOP":
            self._coding = False
            self.frames.stop()

    def _next_part(self, at_ms: float) -> None:
        self._part = (self._part + 1) % len(self._pattern)
        on = self._part % 2 == 0
        self.wire.supply(at_ms, _RING_VRMS if on else 0, _RING_HZ if on else 0)
        self.wire.at("ring", at_ms + self._pattern[self._part], self._next_part)

    def _silence(self, at_ms: float) -> None:
        self.wire.cancel("ring")
        self.wire.supply(at_ms, 0, 0)

    # What the telephone does

    def _raw(self, at_ms: float, flowing: bool) -> None:
        if flowing:
            self._silence(at_ms)
        if self._feed is not LineFeed.DISABLED:
            self._debounce.edge(at_ms, flowing)

    def _hook(self, at_ms: float, off_hook: bool) -> None:
        if not off_hook:
            self._break_ms = at_ms
            self.wire.at("hang-up", at_ms + _HANG_UP_MS, self._hung_up)
            return
        self.wire.cancel("hang-up")
        began_ms, self._break_ms = self._break_ms, None
        if began_ms is None or not self._told_off_hook:
            self._told_off_hook = True
            self.tell(TapiEvent.OFF_HOOK)
        elif at_ms - began_ms > _PULSE_MOST_MS:
            self.tell(TapiEvent.FLASH)
        else:
            self._pulses += 1
            self.wire.at("digit", at_ms + _DIGIT_END_MS, self._end_digit)

    def _hung_up(self, at_ms: float) -> None:
        self._break_ms = None
        self._told_off_hook = False
        self.tell(TapiEvent.ON_HOOK)

    def _end_digit(self, at_ms: float) -> None:
        count, self._pulses = self._pulses, 0
        self.tell(TapiEvent.PULSE_DIGIT, (0x0B if count == 10 else count) << 8)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
