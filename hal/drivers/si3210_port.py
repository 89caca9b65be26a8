"""A Si3210 behind a line: looking at it, its resets and absences, ringing in cadence."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

from boards.lines import Si3210Settings
from hal.drivers import si3210_regs as regs
from hal.drivers.alsa import AlsaAudio
from hal.drivers.ringer import Ringer
from hal.drivers.si3210_chip import Chip
from hal.drivers.si3210_power import Calibration, power_up, restore
from hal.drivers.si3210_regs import Linefeed, Reg
from hal.line_tests import Probe
from hal.values import (
    Capabilities,
    DtmfDigit,
    Feed,
    LineEvent,
    LineFault,
    LoopCurrent,
)

_log = logging.getLogger("loopstart")
NO_ANSWER = "the Si3210 does not answer; check its supply and its SPI bus"
_MOST_EVENTS = 1_000
_IDLE_LOOK_MS, _BUSY_LOOK_MS = 10.0, 5.0
"""Where INT is not wired; pulses of 20 a second make for 20 ms."""
_CHECK_MS = 1_000.0
"""The chip is looked at so often: has it reset itself, or opened the line?"""
_SETTLE_MS = 300.0
_WAKE_FIRST_MS, _WAKE_MOST_MS = 1_000.0, 30_000.0
_FED = {Feed.FORWARD: Linefeed.FORWARD, Feed.REVERSED: Linefeed.REVERSE, Feed.OPEN: Linefeed.OPEN}
_TRANSMITTING = {
    Feed.FORWARD: Linefeed.FORWARD_TRANSMISSION,
    Feed.REVERSED: Linefeed.REVERSE_TRANSMISSION,
}


class Interrupt(Protocol):
    """The chip's INT pin."""

    @property
    def fd(self) -> int:
        """Readable when INT has fallen."""

    def clear(self) -> None:
        """Take what made it readable."""

    def close(self) -> None:
        """Give the pin back."""


class Si3210Port:
    """One chip that may reset itself, fail, and come back.

    Args:
        chip: its registers.
        sound: the sound device on its PCM bus.
        interrupt: its INT pin, if that is wired.
        clock: monotonic milliseconds.
        sleep: seconds; used while the line is opened, never later.
    Raises:
        LineFault: the chip does not come up.
    """

    def __init__(
        self,
        chip: Chip,
        sound: AlsaAudio,
        settings: Si3210Settings,
        clock: Callable[[], float],
        interrupt: Interrupt | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._chip = chip
        self._sound = sound
        self._settings = settings
        self._clock = clock
        self._interrupt = interrupt
        self.capabilities = Capabilities(
            detects_dtmf=settings.detect_dtmf,
            sets_impedance=True,
            reverses_feed=True,
            opens_loop=True,
            transfers_on_hook=True,
            measures_line=True,
        )
        self._events: deque[LineEvent] = deque(maxlen=_MOST_EVENTS)
        self._ringer = Ringer(half_cycles=False)
        self._feed = Feed.FORWARD
        self._linefeed = Linefeed.FORWARD
        self._ring_hz = 0
        self._flowing = False
        self._transfer_until_ms: float | None = None
        self._probe: Probe | None = None
        self._audio = False
        self._closed = False
        self._calibration: Calibration = {}
        self._waking: Iterator[float] | None = None
        self._awake = False
        self._wake_pause_ms = _WAKE_FIRST_MS
        self._due_ms = 0.0
        self._settled_ms = 0.0
        """When a chip that was woken has told of a receiver that is up."""
        for wait_ms in power_up(chip, settings, self._calibration):
            sleep(wait_ms / 1000)
        self._begin()

    @property
    def due_ms(self) -> float | None:
        """When `advance` is wanted."""
        if self._closed:
            return None
        instants = [self._due_ms, self._ringer.next_ms, self._transfer_until_ms]
        return min(one for one in instants if one is not None)

    def advance(self) -> None:
        """Do what is due: look at the chip, ring, end a transfer, wake the chip."""
        if self._closed:
            return
        if not self._awake:
            self._wake()
            return
        self._guarded(self._step)

    def _step(self) -> None:
        now_ms = self._clock()
        if self._interrupt is not None:
            self._interrupt.clear()
        self._look()
        if now_ms >= self._due_ms:
            self._check_chip()
            self._due_ms = now_ms + self._look_again_ms()
        self._ringer.step(now_ms, self._flowing)
        if self._transfer_until_ms is not None and now_ms >= self._transfer_until_ms:
            self._transfer_until_ms = None
        self._set_linefeed()

    def _look_again_ms(self) -> float:
        if self._interrupt is not None:
            return _CHECK_MS
        return _BUSY_LOOK_MS if self._flowing else _IDLE_LOOK_MS

    # The chip

    def _look(self) -> None:
        """Read hook and digits."""
        now_ms = self._clock()
        chip = self._chip
        if self._interrupt is not None or self._settings.detect_dtmf:
            self._clear_interrupts(now_ms)
        if self._probe is Probe.OPEN:
            return  # what is not fed for a moment of a test shows no change of the hook
        flowing = bool(chip.read(Reg.LOOP_STATUS) & regs.LOOP_CLOSED)
        if flowing == self._flowing:
            return
        self._flowing = flowing
        self._events.append(LoopCurrent(now_ms, flowing))
        if flowing:
            self._ringer.stop()
            self._transfer_until_ms = None
            self._set_linefeed()

    def _clear_interrupts(self, now_ms: float) -> None:
        chip = self._chip
        for register in (Reg.INTERRUPTS_1, Reg.INTERRUPTS_2, Reg.INTERRUPTS_3):
            flags = chip.read(register)
            if not flags:
                continue
            chip.write(register, flags)
            if register == Reg.INTERRUPTS_3 and flags & regs.DTMF_HEARD:
                heard = chip.read(Reg.DTMF)
                if self._settings.detect_dtmf and heard & regs.DTMF_VALID:
                    self._events.append(DtmfDigit(now_ms, regs.DTMF_DIGITS[heard & 0x0F]))

    def _check_chip(self) -> None:
        """See whether the chip has left what it was set to."""
        if self._linefeed is Linefeed.OPEN:
            return
        if self._chip.read(Reg.LINEFEED) & regs.LINEFEED_SET != Linefeed.OPEN:
            return
        if self._chip.read(Reg.LOOPBACK) == regs.LOOPBACK_AT_RESET:
            _log.warning("the Si3210 has reset itself; it is set up again")
            restore(self._chip, self._settings, self._calibration)
            self._ring_hz = 0
        else:
            _log.warning("the Si3210 has opened the line: too hot, or tip and ring are shorted")
        self._linefeed = Linefeed.OPEN
        self._ringer.stop()
        self._set_linefeed()

    def _set_linefeed(self) -> None:
        wanted = _FED[self._feed]
        if self._probe is not None:
            wanted = Linefeed.OPEN if self._probe is Probe.OPEN else Linefeed.FORWARD
        elif self._ringer.voltage:
            wanted = Linefeed.RINGING
        elif self._transfer_until_ms is not None and not self._flowing:
            wanted = _TRANSMITTING.get(self._feed, wanted)
        if wanted is not self._linefeed:
            self._chip.write(Reg.LINEFEED, wanted)
            self._linefeed = wanted

    def _tune(self, hz: int) -> None:
        if hz == self._ring_hz:
            return
        oscillator, amplitude = regs.RING_HZ[hz]
        self._chip.write_indirect(regs.RING_OSCILLATOR, oscillator)
        self._chip.write_indirect(regs.RING_AMPLITUDE, amplitude)
        self._ring_hz = hz

    # Sleeping and waking

    def _begin(self) -> None:
        self._awake = True
        self._waking = None
        self._wake_pause_ms = _WAKE_FIRST_MS
        self._linefeed = Linefeed.FORWARD
        self._probe = None
        self._ring_hz = 0
        self._set_linefeed()
        self._due_ms = self._clock()
        self._settled_ms = self._due_ms + _SETTLE_MS

    def _wake(self) -> None:
        """Take the next step of waking the chip, if it is due."""
        now_ms = self._clock()
        if self._interrupt is not None:
            with suppress(LineFault):  # or what is pending would wake the program again at once
                self._interrupt.clear()
        if now_ms < self._due_ms:
            return
        try:
            if self._waking is None:
                self._waking = power_up(self._chip, self._settings, self._calibration)
            wait_ms = next(self._waking, None)
            if wait_ms is None:
                self._begin()
                _log.info("the Si3210 is back")
            else:
                self._due_ms = now_ms + wait_ms
        except LineFault as fault:
            _log.debug("the Si3210 is still away", extra={"detail": str(fault)})
            self._waking = None
            self._due_ms = now_ms + self._wake_pause_ms
            self._wake_pause_ms = min(2 * self._wake_pause_ms, _WAKE_MOST_MS)

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do something with the chip; a failure is logged, and told by events."""
        with suppress(LineFault):
            self._asked(action)

    def _asked(self, action: Callable[[], None]) -> None:
        """Do something with the chip; if that fails the line is out until the chip is back."""
        try:
            action()
        except LineFault as fault:
            now_ms = self._clock()
            _log.warning("the Si3210 is gone", extra={"detail": str(fault)})
            self._awake = False
            self._ringer.stop()
            self._transfer_until_ms = None
            self._due_ms = now_ms + self._wake_pause_ms
            if self._flowing:
                self._flowing = False
                self._events.append(LoopCurrent(now_ms, False))
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise LineFault("the line of this Si3210 is closed; open it again")

    def _check_awake(self) -> None:
        if not self._awake:
            raise LineFault(NO_ANSWER)
