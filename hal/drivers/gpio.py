"""SLICs on GPIO pins, such as Silvertel's Ag1171, with any codec of ALSA for the audio.

Ringing is made here: ring mode on, and the line reversed to and fro at 20 or 25 Hz, by a thread,
so that a busy program rings no worse. Loop current is told edge by edge with the kernel's time
stamps; `firmware` debounces it and counts pulses.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from boards.lines import GpioSettings
from hal.drivers.alsa import AlsaAudio
from hal.drivers.ringer import Ringer
from hal.drivers.slic_pins import SlicPins
from hal.values import (
    SILENCE,
    Capabilities,
    Feed,
    LineEvent,
    LineFault,
    LineStatus,
    LoopCurrent,
    RingCadence,
    check_frame,
    check_transfer,
)

_MOST_EVENTS = 1_000


class GpioLine:
    """`hal.line.Line` over the pins of a SLIC.

    Args:
        gpiod, alsaaudio: the modules, or fakes of them.
        clock: monotonic milliseconds.
        threaded: ring by a thread; else `advance` has to be called at `wake_at_ms`.
    Raises:
        LineFault: the pins cannot be had.
    """

    def __init__(
        self,
        gpiod: Any,
        alsaaudio: Any,
        settings: GpioSettings,
        clock: Callable[[], float],
        *,
        threaded: bool = True,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self.capabilities = Capabilities(
            reverses_feed=True,
            opens_loop=settings.power_down_line >= 0,
            transfers_on_hook=settings.on_hook_audio,
        )
        self._events: deque[LineEvent] = deque(maxlen=_MOST_EVENTS)
        self._ringer = Ringer(half_cycles=True)
        self._lock = threading.RLock()
        """Of pins, ringer and events, which the ringing thread shares."""
        self._feed = Feed.FORWARD
        self._flowing = False
        self._told = False
        self._audio = False
        self._transfer_until_ms = 0.0
        self._closed = False
        self._sound = AlsaAudio(alsaaudio, settings.capture, settings.playback, clock)
        self._pins = SlicPins(gpiod, settings)
        self._set_pins()
        self._note(clock(), self._pins.off_hook())
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._ring_on, name="ringing", daemon=True)
        self._threaded = threaded
        if threaded:
            self._thread.start()

    # Line protocol

    fault = ""
    """See `hal.line.Line`. Pins that fail are told by `take_events`."""

    def take_events(self) -> list[LineEvent]:
        """See `hal.line.Line`."""
        with self._lock:
            if self._closed:
                return []
            self._clear_wake()
            self.advance()
            events = list(self._events)
            self._events.clear()
            return events

    def ring(self, cadence: RingCadence | None) -> None:
        """See `hal.line.Line`."""
        with self._lock:
            self._check_open()
            self._read_hook()
            if cadence == self._ringer.cadence or (cadence is not None and self._flowing):
                return
            if cadence is None:
                self._ringer.stop()
            else:
                self._ringer.start(cadence, self._clock())
            self._set_pins()
            self._tell(self._clock())
            self._bell.notify()

    def feed(self, feed: Feed) -> None:
        """See `hal.line.Line`."""
        with self._lock:
            self._check_open()
            if feed is Feed.OPEN and not self.capabilities.opens_loop:
                raise LineFault(
                    "this SLIC cannot open the loop; wire its PD pin and set power_down_line"
                )
            before, self._feed = self._feed, feed
            try:
                self._set_pins()
            except LineFault:
                self._feed = before
                raise

    def audio(self, on: bool) -> None:
        """See `hal.line.Line`."""
        self._check_open()
        if on == self._audio:
            return
        if on:
            self._sound.start()
        else:
            self._sound.stop()
        self._audio = on

    def cancel_echo(self, on: bool) -> None:
        """See `hal.line.Line`. It has none."""

    def on_hook_transfer(self, ms: int) -> None:
        """See `hal.line.Line`."""
        check_transfer(ms)
        self._check_open()
        if not self.capabilities.transfers_on_hook:
            raise LineFault("this SLIC carries no audio to a receiver that is down")
        with self._lock:
            self._read_hook()
        if not self._flowing:
            self._transfer_until_ms = self._clock() + ms

    def light_lamp(self, on: bool) -> None:
        """See `hal.line.Line`. It cannot."""

    def read_audio(self) -> bytes | None:
        """See `hal.line.Line`."""
        return self._sound.read() if self._audio else None

    def write_audio(self, frame: bytes) -> None:
        """See `hal.line.Line`."""
        check_frame(frame)
        self._check_open()
        if self._audio:
            with self._lock:
                self._read_hook()
            self._sound.write(frame if self._reaches_telephone() else SILENCE)

    def show(self, status: LineStatus) -> None:
        """See `hal.line.Line`. There is no lamp."""

    def descriptors(self) -> tuple[int, ...]:
        """See `hal.line.Line`."""
        if self._closed:
            return ()
        return (self._pins.fd, self._wake, *self._sound.descriptors())

    def wake_at_ms(self) -> float | None:
        """See `hal.line.Line`."""
        with self._lock:
            if self._events:
                return self._clock()
            instants = [self._sound.wake_at_ms()]
            if not self._threaded:
                instants.append(self._ringer.next_ms)
            return min((one for one in instants if one is not None), default=None)

    def close(self) -> None:
        """See `hal.line.Line`."""
        with self._lock:
            if self._closed:
                return
            self._ringer.stop()
            self._feed = Feed.FORWARD
            with suppress(LineFault):  # it is given back in any case
                self._set_pins()
            self._closed = True
            self._bell.notify()
        if self._threaded:
            self._thread.join()
        self._sound.stop()
        self._audio = False
        self._pins.release()
        os.close(self._wake)

    # Pins

    @property
    def ringing_due_ms(self) -> float | None:
        """When ringing wants `advance` next."""
        return self._ringer.next_ms

    def ring_further(self) -> None:
        """What ringing has due. Pins that fail end it; `take_events` meets their fault next."""
        try:
            self.advance()
        except LineFault:
            self._ringer.stop()
            os.eventfd_write(self._wake, 1)

    def advance(self) -> None:
        """Read the hook, and do what ringing has due."""
        with self._lock:
            self._read_hook()
            ringer = self._ringer
            before = (ringer.voltage, ringer.swung)
            if ringer.step(self._clock(), self._flowing):
                os.eventfd_write(self._wake, 1)
            if (ringer.voltage, ringer.swung) != before:
                self._set_pins()
            self._tell(self._clock())

    def _ring_on(self) -> None:
        """The thread: wait for the next half cycle, and do it."""
        with self._lock:
            while not self._closed:
                next_ms = self._ringer.next_ms
                due = None if next_ms is None else max(0.0, next_ms - self._clock()) / 1000
                self._bell.wait(due)
                if self._closed or self._ringer.cadence is None:
                    continue
                self.ring_further()

    def _set_pins(self) -> None:
        ringer = self._ringer
        reversed_feed = self._feed is Feed.REVERSED
        self._pins.set(
            ring_mode=ringer.voltage,
            reverse=ringer.swung != reversed_feed,
            power_down=self._feed is Feed.OPEN,
        )

    def _read_hook(self) -> None:
        edges = self._pins.edges()
        for at_ms, flowing in edges:
            self._note(at_ms, flowing)
        level = self._pins.off_hook()
        if level != self._flowing:  # the kernel had no room for some edges
            self._note(self._clock(), level)

    def _note(self, at_ms: float, flowing: bool) -> None:
        self._flowing = flowing
        if flowing:
            self._transfer_until_ms = 0.0
        self._tell(at_ms)

    def _tell(self, at_ms: float) -> None:
        """Ringing current flickers at the detector: only what is there without it is told."""
        if self._flowing != self._told and not self._ringer.voltage:
            self._told = self._flowing
            self._events.append(LoopCurrent(at_ms, self._flowing))

    def _reaches_telephone(self) -> bool:
        if self._flowing:
            return True
        return self._clock() <= self._transfer_until_ms and not self._ringer.voltage

    def _clear_wake(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _check_open(self) -> None:
        if self._closed:
            raise LineFault("the line of this SLIC is closed; open it again")
