"""Lines of a Si3210 on SPI, its PCM bus on a sound device of the board.

Loop current is read from the chip when its interrupt comes, or every few milliseconds where INT
is not wired; `firmware` counts pulses. The chip trips ringing by itself; the cadence is ours. A
chip that resets itself is set up again with its old calibration, one that fails is woken anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from hal.drivers import si3210_regs as regs
from hal.drivers.si3210_port import NO_ANSWER, Si3210Port
from hal.drivers.si3210_regs import Reg
from hal.line_tests import Probe, Reach, Reading
from hal.values import (
    SILENCE,
    Feed,
    LineEvent,
    LineFault,
    LineStatus,
    RingCadence,
    check_frame,
    check_transfer,
)


@dataclass(frozen=True, slots=True)
class LineMeasures:
    """What the chip measures on the line, volts and milliamperes."""

    loop_v: float
    loop_ma: float
    tip_v: float
    ring_v: float
    battery_v: float


_REACH = Reach(
    frozenset((Probe.OPEN, Probe.LOW, Probe.HIGH)),
    least_ma=regs.LOOP_CURRENT_STEP_MA / 2,
    lowest_v=regs.LOWEST_V,
    highest_v=0.0,
)
"""It measures the loop that it feeds, and voltages below ground. What leaks to ground, and what
ringing draws, are less than a step of its loop current [D]."""
_MOST_STEPS = 0xFF
_SETTLES = "the Si3210 has just been woken, and does not tell yet where the receiver is"


class Si3210Line(Si3210Port):
    """`hal.line.Line` over a chip."""

    @property
    def fault(self) -> str:
        """See `hal.line.Line`."""
        if not self._awake:
            return NO_ANSWER
        return _SETTLES if self._clock() < self._settled_ms else ""

    def take_events(self) -> list[LineEvent]:
        """See `hal.line.Line`."""
        self.advance()
        events = list(self._events)
        self._events.clear()
        return events

    def ring(self, cadence: RingCadence | None) -> None:
        """See `hal.line.Line`."""
        self._check_open()
        if cadence is None and not self._awake:
            return  # nothing rings
        self._check_awake()
        self._asked(self._look)
        if cadence == self._ringer.cadence or (cadence is not None and self._flowing):
            return
        if self._probe is not None:
            self.probe(None)
        if cadence is None:
            self._ringer.stop()
            self._asked(self._set_linefeed)
            return
        if cadence.hz not in regs.RING_HZ:
            raise LineFault(f"a Si3210 is set up to ring at 20 or 25 Hz, not {cadence.hz} Hz")
        self._asked(lambda: self._tune(cadence.hz))
        self._ringer.start(cadence, self._clock())
        self._asked(self._set_linefeed)

    def feed(self, feed: Feed) -> None:
        """See `hal.line.Line`."""
        self._check_open()
        self._check_awake()
        before, self._feed = self._feed, feed
        try:
            self._asked(self._set_linefeed)
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
        self._check_awake()
        self._asked(self._look)
        if not self._flowing:
            self._transfer_until_ms = self._clock() + ms if ms else None
            self._asked(self._set_linefeed)

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
            reaches = self._flowing or self._transfer_until_ms is not None
            self._sound.write(frame if reaches else SILENCE)

    def show(self, status: LineStatus) -> None:
        """See `hal.line.Line`. There is no lamp."""

    def descriptors(self) -> tuple[int, ...]:
        """See `hal.line.Line`."""
        if self._closed:
            return ()
        pin = () if self._interrupt is None else (self._interrupt.fd,)
        return (*pin, *self._sound.descriptors())

    def wake_at_ms(self) -> float | None:
        """See `hal.line.Line`."""
        if self._events:
            return self._clock()
        instants = (self.due_ms, self._sound.wake_at_ms())
        return min((one for one in instants if one is not None), default=None)

    def close(self) -> None:
        """See `hal.line.Line`."""
        if self._closed:
            return
        self._ringer.stop()
        self._transfer_until_ms = None
        self._feed = Feed.FORWARD
        if self._awake:
            self._guarded(lambda: self._apply_probe(None))
        self._closed = True
        self._sound.stop()
        self._audio = False
        self._chip.close()
        if self._interrupt is not None:
            self._interrupt.close()

    def measure(self) -> LineMeasures:
        """Voltages and current of the line as they are now.

        Raises:
            LineFault: the chip does not answer.
        """
        self._check_open()
        read = self._chip.read
        return LineMeasures(
            loop_v=_signed(read(Reg.LOOP_VOLTAGE)) * regs.LOOP_VOLTAGE_STEP_V,
            loop_ma=_signed(read(Reg.LOOP_CURRENT)) * regs.LOOP_CURRENT_STEP_MA,
            tip_v=-read(Reg.TIP_VOLTAGE) * regs.BATTERY_STEP_V,
            ring_v=-read(Reg.RING_VOLTAGE) * regs.BATTERY_STEP_V,
            battery_v=-read(Reg.BATTERY_VOLTAGE) * regs.BATTERY_STEP_V,
        )

    # hal.line_tests.MeasuringLine

    reach = _REACH

    def probe(self, probe: Probe | None) -> None:
        """See `hal.line_tests.MeasuringLine`."""
        self._check_open()
        self._check_awake()
        if probe is not None and (self._ringer.cadence is not None or self._audio):
            raise LineFault("a line that rings or carries a call is not tested; try again later")
        if probe is not None and probe not in _REACH.probes:
            raise LineFault(f"a Si3210 cannot bring its line into the state `{probe.value}`")
        self._asked(lambda: self._apply_probe(probe))

    def reading(self) -> Reading:
        """See `hal.line_tests.MeasuringLine`."""
        self._check_awake()
        found: list[LineMeasures] = []
        self._asked(lambda: found.append(self.measure()))
        one = found[0]
        flows = None if self._probe is Probe.OPEN else abs(one.loop_ma)
        return Reading(_whole(one.tip_v), _whole(one.ring_v), flows)

    def _apply_probe(self, probe: Probe | None) -> None:
        ended = self._probe is not None and probe is None
        self._probe = probe
        usual = self._settings.loop_current_ma - regs.LEAST_LIMIT_MA
        limit = {Probe.LOW: 0, Probe.HIGH: regs.MOST_LIMIT}.get(
            probe or Probe.OPEN, usual // regs.LIMIT_STEP_MA
        )
        if probe is not None or ended:
            self._chip.write(Reg.LOOP_CURRENT_LIMIT, limit)
        self._set_linefeed()


def _whole(volts: float) -> float:
    """The end of the range is the end, whatever the step's rounding makes of it."""
    return regs.LOWEST_V if volts <= -_MOST_STEPS * regs.BATTERY_STEP_V else volts


def _signed(octet: int) -> int:
    size = octet & (regs.NEGATIVE - 1)
    return -size if octet & regs.NEGATIVE else size
