"""Lines of Lantiq's (Intel's, MaxLinear's) voice processors through TAPI: /dev/vmmc*.

The processor debounces the hook, times flashes, counts pulses, rings in cadence and cancels echo.
Audio comes and goes as RTP packets with G.711, which are turned into frames here. What a release
of the driver wants at the start, and under which numbers, is a table in the board file.
"""

from __future__ import annotations

import logging
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from boards.lines import TapiSettings
from hal.drivers import tapi_abi as abi
from hal.drivers.devicefile import DeviceFiles
from hal.drivers.settings import HookTiming
from hal.drivers.tapi_abi import LineFeed, TapiEvent
from hal.dsp.codecs import Decoder, Encoder
from hal.values import (
    FRAME_SAMPLES,
    Capabilities,
    DtmfDigit,
    Feed,
    FlashSeen,
    HookChanged,
    LineEvent,
    LineFault,
    LineStatus,
    PulseDigit,
    RingCadence,
    UnknownEvent,
    check_frame,
    check_transfer,
)

_log = logging.getLogger("loopstart")
_MOST_EVENTS = 1_000
_MOST_AT_ONCE = 64
_MOST_PACKET = 1_024
_SSRC = 0x4C4F4F50
_QUIET = frozenset({TapiEvent.RING_BURST_END, TapiEvent.RINGING_END})
_FAULTS = frozenset({TapiEvent.OVER_TEMPERATURE, TapiEvent.OVER_CURRENT})
_FEEDS = {
    Feed.FORWARD: LineFeed.ACTIVE, Feed.REVERSED: LineFeed.REVERSED, Feed.OPEN: LineFeed.DISABLED,
}  # fmt: skip


class TapiLine:
    """`hal.line.Line` over a channel of TAPI.

    Args:
        clock: monotonic milliseconds.
    Raises:
        LineFault: a device file cannot be opened, or a step of the bring-up is refused.
    """

    capabilities = Capabilities(
        debounces_hook=True,
        counts_pulses=True,
        reverses_feed=True,
        opens_loop=True,
        cancels_echo=True,
    )

    def __init__(
        self,
        files: DeviceFiles,
        settings: TapiSettings,
        timing: HookTiming,
        clock: Callable[[], float],
    ) -> None:
        self._files = files
        self._settings = settings
        self._numbers = settings.calls or {}
        self._timing = timing
        self._clock = clock
        self._events: deque[LineEvent] = deque(maxlen=_MOST_EVENTS)
        self._off_hook = False
        self._cadence: RingCadence | None = None
        self._feed = Feed.FORWARD
        self._audio = False
        self._closed = False
        self._encoder = Encoder(settings.codec)
        self._decoder = Decoder(settings.codec)
        self._sequence = self._timestamp = 0
        self.unknown_events = 0
        self.lost_frames = 0
        """Frames that found no room on their way to the ear."""
        self._control = self._open(settings.control)
        try:
            self._line = self._open(settings.line)
            try:
                self._bring_up()
            except LineFault:
                self._files.close(self._line)
                raise
        except LineFault:
            self._files.close(self._control)
            raise

    # Line protocol

    fault = ""
    """See `hal.line.Line`. A processor that fails is told by `take_events`."""

    def take_events(self) -> list[LineEvent]:
        """See `hal.line.Line`."""
        if self._closed:
            return []
        self._drain()
        events = list(self._events)
        self._events.clear()
        return events

    def ring(self, cadence: RingCadence | None) -> None:
        """See `hal.line.Line`."""
        self._check_open()
        self._drain()
        if cadence == self._cadence or (cadence is not None and self._off_hook):
            return
        if cadence is None:
            self._call("RING_STOP")
        else:
            try:
                pattern = abi.cadence(cadence.pattern_ms)
            except ValueError as error:
                raise LineFault(str(error)) from None
            if self._cadence is not None:
                self._call("RING_STOP")
                self._cadence = None
            self._call("RING_CADENCE_HR_SET", pattern)
            self._call("RING_START")
        self._cadence = cadence

    def feed(self, feed: Feed) -> None:
        """See `hal.line.Line`."""
        self._check_open()
        self._drain()
        if feed is not self._feed:
            self._set_feed(feed, self._off_hook)
            self._feed = feed

    def audio(self, on: bool) -> None:
        """See `hal.line.Line`."""
        self._check_open()
        if on == self._audio:
            return
        if on:
            self._call("ENC_START")
            self._call("DEC_START")
        else:
            self._call("ENC_STOP")
            self._call("DEC_STOP")
        self._audio = on
        self._files.watch(self._line, on)

    def cancel_echo(self, on: bool) -> None:
        """See `hal.line.Line`. The processor minds its own canceller."""
        if not on:
            raise LineFault(
                "TAPI's processor cancels echo by itself, also of fax; where that fails, "
                "switch its line echo canceller off by a step of `bring_up`"
            )

    def on_hook_transfer(self, ms: int) -> None:
        """See `hal.line.Line`."""
        check_transfer(ms)
        raise LineFault("TAPI carries no audio of ours to a receiver that is down")

    def light_lamp(self, on: bool) -> None:
        """See `hal.line.Line`. It cannot."""

    def read_audio(self) -> bytes | None:
        """See `hal.line.Line`. Packets of another codec than the line's count for nothing."""
        if not self._audio:
            return None
        while True:
            try:
                octets = self._files.read(self._line, _MOST_PACKET)
            except BlockingIOError:
                return None
            except OSError as error:
                raise self._failed(error) from None
            found = abi.payload_of(octets) if octets else None
            if not octets:
                return None
            if found is None or found[0] != abi.PAYLOAD_TYPES[self._settings.codec]:
                continue
            if len(found[1]) == FRAME_SAMPLES:
                return self._decoder.decode(found[1])

    def write_audio(self, frame: bytes) -> None:
        """See `hal.line.Line`."""
        check_frame(frame)
        self._check_open()
        if not self._audio:
            return
        octets = abi.packet(
            abi.PAYLOAD_TYPES[self._settings.codec],
            self._sequence,
            self._timestamp,
            _SSRC,
            self._encoder.encode(frame),
        )
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        try:
            self._files.write(self._line, octets)
        except BlockingIOError:
            self.lost_frames += 1
        except OSError as error:
            raise self._failed(error) from None

    def show(self, status: LineStatus) -> None:
        """See `hal.line.Line`. Lamps of these boards are not TAPI's."""

    def descriptors(self) -> tuple[int, ...]:
        """See `hal.line.Line`."""
        if self._closed:
            return ()
        events = self._files.watch(self._control, True)
        return (events, self._files.watch(self._line, True)) if self._audio else (events,)

    def wake_at_ms(self) -> float | None:
        """See `hal.line.Line`."""
        return self._clock() if self._events else None

    def close(self) -> None:
        """See `hal.line.Line`."""
        if self._closed:
            return
        for call in ("RING_STOP", "ENC_STOP", "DEC_STOP"):
            with suppress(LineFault):  # it is given back in any case
                self._call(call)
        self._closed = True
        self._audio = False
        self._files.close(self._line)
        self._files.close(self._control)

    # Calls

    def _bring_up(self) -> None:
        for step in self._settings.bring_up:
            argument: bytearray | int = step.value
            if step.words:
                argument = bytearray(struct.pack(f"={len(step.words)}I", *step.words))
            fd = self._control if step.on == "control" else self._line
            self._ioctl(fd, step.name, step.number, argument)
        self._set_feed(Feed.FORWARD, off_hook=False)
        self._drain()

    def _set_feed(self, feed: Feed, off_hook: bool) -> None:
        """A line that is idle and fed forward stands by; all else is as asked."""
        idle = feed is Feed.FORWARD and not off_hook
        self._call("LINE_FEED_SET", LineFeed.STANDBY if idle else _FEEDS[feed])

    def _call(self, name: str, argument: bytearray | int = 0) -> None:
        self._ioctl(self._line, name, self._numbers[name], argument)

    def _ioctl(self, fd: int, name: str, number: int, argument: bytearray | int) -> None:
        try:
            self._files.ioctl(fd, number, argument)
        except OSError as error:
            raise LineFault(
                f"TAPI refused {name} ({number:#x}): {error.strerror}; see that the board file's "
                "numbers are those of this driver's drv_tapi_io.h"
            ) from None

    def _open(self, path: str) -> int:
        try:
            return self._files.open(path)
        except OSError as error:
            raise LineFault(
                f"{path} cannot be opened ({error.strerror}); load the modules drv_tapi and "
                "drv_vmmc, and end what else uses the line"
            ) from None

    def _failed(self, error: OSError) -> LineFault:
        return LineFault(f"audio of {self._settings.line} failed ({error.strerror})")

    def _check_open(self) -> None:
        if self._closed:
            raise LineFault(f"the line of {self._settings.line} is closed; open it again")

    # Events

    def _drain(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            octets = abi.ask_event(self._settings.channel)
            self._ioctl(self._control, "EVENT_GET", self._numbers["EVENT_GET"], octets)
            number, more, data = abi.event_of(octets)
            if number == TapiEvent.NONE:
                return
            self._note(number, data, self._clock())
            if not more:
                return

    def _note(self, number: int, data: int, now_ms: float) -> None:
        if number in (TapiEvent.OFF_HOOK, TapiEvent.ON_HOOK):
            self._hook(number == TapiEvent.OFF_HOOK, now_ms)
        elif number == TapiEvent.FLASH:
            if self._timing.flash and self._off_hook:
                self._events.append(FlashSeen(now_ms))
        elif number == TapiEvent.PULSE_DIGIT and (digit := abi.pulse_digit(data)):
            if self._timing.pulse:
                self._events.append(PulseDigit(now_ms, digit))
        elif number == TapiEvent.DTMF_DIGIT and (digit := abi.dtmf_digit(data)):
            if self.capabilities.detects_dtmf:
                self._events.append(DtmfDigit(now_ms, digit))
        elif number in _FAULTS:
            _log.warning("line fault", extra={"detail": TapiEvent(number).name.lower()})
        elif number not in _QUIET:
            self.unknown_events += 1
            self._events.append(UnknownEvent(now_ms, number))

    def _hook(self, off_hook: bool, now_ms: float) -> None:
        if off_hook:
            self._cadence = None
        if off_hook == self._off_hook:
            return
        self._off_hook = off_hook
        self._events.append(HookChanged(now_ms, off_hook))
        if self._feed is not Feed.OPEN:
            self._set_feed(self._feed, off_hook)
