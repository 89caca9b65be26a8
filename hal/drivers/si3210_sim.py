"""A Si3210 at the level of its registers, with a handset on its line: `Spi` for tests.

It refuses what the chip would not forgive: octets out of step, registers that there are not,
reading before an indirect access is over, feeding a line whose converter is off or not calibrated.
Expected values cite their source as `si3210_regs` does: [D] data sheet, [W] DAHDI's presets.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable

from boards.lines import FaultSettings
from hal.drivers.faults import foreign, loop
from hal.drivers.si3210_regs import Linefeed, Reg
from hal.drivers.wire import Debounce, Wire
from hal.values import Feed

_RESET: dict[int, int] = {
    Reg.REVISION: 0x05,  # [D] type 0 (Si3210) above the revision
    Reg.PCM_MODE: 0x08,  # [D]
    Reg.LOOPBACK: 0x02,  # [W] checks it
    Reg.IMPEDANCE: 0x08,  # [D] 600 ohm
    Reg.IDENTITY: 0x33,  # [W] checks it
    Reg.POWER_DOWN: 0x10,  # [D] the converter is off
    Reg.AUTOMATIC: 0x1F,  # [D]
    Reg.BATTERY_SWITCH: 0x03,  # [D]
    Reg.HIGH_BATTERY: 0x32,  # [D] 75 V
    Reg.CONVERTER_PERIOD: 0xFF,  # [D]
    Reg.CONVERTER: 0x18,  # [D]
    Reg.CALIBRATE_2: 0x1F,  # [D]
}
_KNOWN = frozenset(Reg) | frozenset(range(96, 108))
_READ_ONLY = frozenset(
    {
        Reg.REVISION, Reg.IDENTITY, Reg.DTMF, Reg.INDIRECT_STATUS, Reg.LOOP_STATUS,
        Reg.LOOP_VOLTAGE, Reg.LOOP_CURRENT, Reg.TIP_VOLTAGE, Reg.RING_VOLTAGE,
        Reg.BATTERY_VOLTAGE,
    }
)  # fmt: skip
_INDIRECT = frozenset(range(44)) | {97}  # [W]
_STATUS = (Reg.INTERRUPTS_1, Reg.INTERRUPTS_2, Reg.INTERRUPTS_3)
_ACCESS_MS = 0.125  # [D] an indirect access is done with the next frame
_CHARGED = 0xC8  # 75 V in steps of 376 mV, as HIGH_BATTERY is after reset [D]
_CHARGING_MS, _SOUND_DECAY_MS, _LEAKY_DECAY_MS = 40.0, 400.0, 60.0
_CALIBRATION_MS = 900.0  # [W] allows 2 s
_RESULTS = {98: 0x11, 99: 0x12, 100: 0x0C, 101: 0x10, 102: 0x0F, 103: 0x04, 104: 0, 105: 0, 106: 0}
_CONVERTER_RESULT = 0x07  # [W] takes 2 to 13 for sound
_DEBOUNCE_MS = 12.5  # [D] LOOP_STATUS
_RING_VRMS = 60
_RING_HZ = {0x7EF0: 20, 0x7E6D: 25}  # [W]
_LEAST_LIMIT_MA, _LIMIT_STEP_MA = 20, 3  # [D]
_FEEDS = {
    Linefeed.OPEN: Feed.OPEN,
    Linefeed.REVERSE: Feed.REVERSED,
    Linefeed.REVERSE_TRANSMISSION: Feed.REVERSED,
}


class Misuse(AssertionError):
    """The driver did what the chip does not forgive."""


class Si3210Sim:
    """One chip. `interrupt` is its INT pin, as `si3210.Interrupt`."""

    def __init__(self, clock: Callable[[], float], seed: int = 1) -> None:
        self.wire = Wire(clock, self._loop, seed)
        self.interrupt = self
        self.powerless = self.leaky = self.uncalibrated = False
        """Faults of the board and the line."""
        self.absent = False
        """Nothing is on the bus: it floats high."""
        self.broken_bus = False
        self.garbled = False
        """Long wires: an indirect register holds another word than was written."""
        self.faults = FaultSettings()
        """Of the line, as far as the chip can tell."""
        self.fd = 71
        self.accesses = 0
        self._debounce = Debounce(self.wire, _DEBOUNCE_MS, self._closed)
        self._address: int | None = None
        self.reset()

    def reset(self) -> None:
        """The chip resets itself, as after a dip of its supply."""
        self.registers = dict.fromkeys(_KNOWN, 0) | _RESET
        self.indirect: dict[int, int] = {}
        self._address = None
        self._indirect_done_ms = -1.0
        self._low_written = self._read_pending = False
        self._battery = (self.wire.now_ms, 0.0, 0.0, 1.0)
        self._converting = False
        self._calibrating_until_ms: float | None = None
        self._apply(self.wire.now_ms)

    def alarm(self) -> None:
        """A transistor is too hot: the chip opens the line by itself [D]."""
        self.wire.advance()
        self.registers[Reg.LINEFEED] = Linefeed.OPEN
        self._flag(Reg.INTERRUPTS_2, 0x04)
        self._apply(self.wire.now_ms)

    def hear_digit(self, code: int) -> None:
        """Its DTMF detector hears a digit, by the chip's code."""
        self.registers[Reg.DTMF] = 0x10 | code
        self._flag(Reg.INTERRUPTS_3, 0x01)

    # Spi and Interrupt

    def xfer2(self, octets: list[int]) -> list[int]:
        """One octet; the select line rises after it."""
        if len(octets) != 1:
            raise Misuse("the select line has to rise between octets")
        if self.broken_bus:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.wire.advance()
        if self.absent:
            return [0xFF]
        if self._address is None:
            self._address = octets[0]
            return [0]
        address, self._address = self._address, None
        self.accesses += 1
        if address & 0x80:
            return [self._read(address & 0x7F)]
        self._write(address, octets[0])
        return [0]

    def close(self) -> None:
        """Give the bus back."""

    def clear(self) -> None:
        """Take the edges of the INT pin."""

    @property
    def asserted(self) -> bool:
        """Whether INT is low."""
        self.wire.advance()
        return any(
            self.registers[status] & self.registers[enable]
            for status, enable in zip(_STATUS, (21, 22, 23), strict=True)
        )

    # Registers

    def _read(self, register: int) -> int:
        if register not in _KNOWN:
            raise Misuse(f"there is no register {register}")
        now_ms = self.wire.now_ms
        busy = now_ms < self._indirect_done_ms
        if register == Reg.INDIRECT_STATUS:
            # Simulated time stands still between two looks: a look takes the time of a frame.
            self._indirect_done_ms = min(self._indirect_done_ms, now_ms)
            return int(busy)
        if register in (Reg.INDIRECT_LOW, Reg.INDIRECT_HIGH) and busy:
            raise Misuse("an indirect register was read before its access was over")
        if register == Reg.CALIBRATE_1 and self._calibrating_until_ms is not None:
            self._calibrate(now_ms)
        if register == Reg.LINEFEED:
            return self.registers[register] | self.registers[register] << 4  # [D] and as it is
        if register == Reg.LOOP_STATUS:
            return int(self._debounce.steady)
        if register in range(Reg.LOOP_VOLTAGE, Reg.BATTERY_VOLTAGE + 1):
            return self._measure(register)
        return self.registers[register]

    def _write(self, register: int, value: int) -> None:
        if register not in _KNOWN:
            raise Misuse(f"there is no register {register}")
        if register in _READ_ONLY:
            raise Misuse(f"register {register} cannot be written")
        now_ms = self.wire.now_ms
        if register in (Reg.INDIRECT_LOW, Reg.INDIRECT_HIGH, Reg.INDIRECT_ADDRESS):
            self._write_indirect(register, value, now_ms)
        elif register in _STATUS:
            self.registers[register] &= ~value  # [D] ones clear
        elif register == Reg.POWER_DOWN:
            self._switch_converter(value, now_ms)
        elif register == Reg.CONVERTER:
            self._engage(value)
        elif register == Reg.CALIBRATE_1 and value & 0x40:
            self._begin_calibration(value, now_ms)
        elif register == Reg.LINEFEED:
            self._set_linefeed(value, now_ms)
        else:
            self.registers[register] = value

    def _write_indirect(self, register: int, value: int, now_ms: float) -> None:
        if now_ms < self._indirect_done_ms:
            raise Misuse("an indirect access was begun before the last one was over")
        self.registers[register] = value
        if register != Reg.INDIRECT_ADDRESS:
            self._low_written = True
            return
        if value not in _INDIRECT:
            raise Misuse(f"there is no indirect register {value}")
        self._indirect_done_ms = now_ms + _ACCESS_MS
        if self._low_written:
            self._low_written = False
            word = self.registers[Reg.INDIRECT_LOW] | self.registers[Reg.INDIRECT_HIGH] << 8
            self.indirect[value] = word ^ (self.garbled and value == 21)
            return
        word = self.indirect.get(value, 0)
        self.registers[Reg.INDIRECT_LOW] = word & 0xFF
        self.registers[Reg.INDIRECT_HIGH] = word >> 8

    # Power

    def _switch_converter(self, value: int, now_ms: float) -> None:
        on = not value & 0x10
        if on:
            if self.registers[Reg.AUTOMATIC] != 0x07 or self.registers[Reg.BATTERY_SWITCH] != 1:
                raise Misuse("Q7 burns: no automatic battery, and Q7 off, before power-up [W]")
            if len(self.indirect) < len(_INDIRECT):
                raise Misuse("the indirect registers come before power-up [W]")
        elif self.registers[Reg.LINEFEED]:
            raise Misuse("the converter is switched off under a fed line")
        self.registers[Reg.POWER_DOWN] = value
        self._converting = on
        decay_ms = _LEAKY_DECAY_MS if self.leaky else _SOUND_DECAY_MS
        target = 0.0 if not on else _CHARGED * (0.4 if self.powerless else 1.0)
        start = self._steps(now_ms)
        self._battery = (now_ms, start, target, _CHARGING_MS if on else decay_ms)

    def _engage(self, value: int) -> None:
        if not self._converting:
            raise Misuse("the converter is engaged while it is switched off")
        if value & 0x80 and 98 not in self._results():
            raise Misuse("the converter calibrates after all else [W]")
        self.registers[Reg.CONVERTER] = value & 0x7F
        if value & 0x80:
            self.registers[Reg.CONVERTER_RESULT] = _CONVERTER_RESULT

    def _begin_calibration(self, value: int, now_ms: float) -> None:
        if self.registers[Reg.LINEFEED] or self._steps(now_ms) < 0xC0:
            raise Misuse("calibration wants an open line and a charged battery [W]")
        if any(self.indirect.get(address) != 0x8000 for address in range(35, 40)):
            raise Misuse("the filters are to be empty before calibration [W]")
        self.registers[Reg.CALIBRATE_1] = value
        self._calibrating_until_ms = now_ms + _CALIBRATION_MS

    def _calibrate(self, now_ms: float) -> None:
        assert self._calibrating_until_ms is not None, "it was begun"
        if now_ms >= self._calibrating_until_ms and not self.uncalibrated:
            self._calibrating_until_ms = None
            self.registers[Reg.CALIBRATE_1] = 0
            self.registers.update(_RESULTS)

    def _results(self) -> dict[int, int]:
        """Calibration results that are in place, found or restored."""
        return {one: self.registers[one] for one in _RESULTS if self.registers[one]}

    def _set_linefeed(self, value: int, now_ms: float) -> None:
        if value not in set(Linefeed):
            raise Misuse(f"linefeed {value} is of no use on a telephone's line")
        if value != Linefeed.OPEN:
            if not self._converting:
                raise Misuse("the line is fed while the converter is off")
            if self._results().get(98) != _RESULTS[98]:
                raise Misuse("the line is fed before calibration")
            if self.registers[Reg.LOOPBACK]:
                raise Misuse("the line is fed in loopback")
            if self.indirect.get(35) != 0x8000 or self.indirect.get(36) != 0x0320:
                raise Misuse("the line is fed while the filters are empty")
        self.registers[Reg.LINEFEED] = value
        self._apply(now_ms)

    def _steps(self, now_ms: float) -> float:
        began_ms, start, target, constant_ms = self._battery
        return target + (start - target) * math.exp((began_ms - now_ms) / constant_ms)

    # The line

    def _apply(self, now_ms: float) -> None:
        linefeed = Linefeed(self.registers[Reg.LINEFEED])
        self.wire.transfers = linefeed in (2, 6)
        self.wire.set_feed(now_ms, _FEEDS.get(linefeed, Feed.FORWARD))
        rings = linefeed is Linefeed.RINGING and not self.wire.flowing
        hz = _RING_HZ.get(self.indirect.get(20, 0), 0)
        self.wire.supply(now_ms, _RING_VRMS if rings else 0, hz if rings else 0)

    def _loop(self, at_ms: float, flowing: bool) -> None:
        if flowing and self.registers[Reg.LINEFEED] == Linefeed.RINGING:
            self.wire.supply(at_ms, 0, 0)
        self._debounce.edge(at_ms, flowing)

    def _closed(self, at_ms: float, closed: bool) -> None:
        if closed and self.registers[Reg.LINEFEED] == Linefeed.RINGING:
            self.registers[Reg.LINEFEED] = Linefeed.FORWARD  # [D] the chip trips by itself
            self._flag(Reg.INTERRUPTS_2, 0x01)
            self._apply(at_ms)
        self._flag(Reg.INTERRUPTS_2, 0x02)

    def _flag(self, register: int, bit: int) -> None:
        self.registers[register] |= bit

    def _measure(self, register: int) -> int:
        steps = round(self._steps(self.wire.now_ms))
        if register == Reg.BATTERY_VOLTAGE:
            return steps
        reverse = 0x40 if self.wire.feed is Feed.REVERSED else 0
        if self.wire.feed is Feed.OPEN:
            return self._foreign(register)
        limit_ma = _LEAST_LIMIT_MA + _LIMIT_STEP_MA * self.registers[Reg.LOOP_CURRENT_LIMIT]
        volts, ma = loop(self.faults.tip_ring_ohm, self.wire.flowing, limit_ma)
        if register == Reg.LOOP_CURRENT:
            return reverse | round(ma / 1.27)  # [D] step
        if register == Reg.LOOP_VOLTAGE:
            return reverse | round(volts / 1.5)  # [D] step
        near_ground = (register == Reg.TIP_VOLTAGE) != bool(reverse)
        return round((2 if near_ground else 2 + volts) / 0.376)  # [D] step

    def _foreign(self, register: int) -> int:
        """Below ground a wire shows what it bears; above it, nothing [D]."""
        if register not in (Reg.TIP_VOLTAGE, Reg.RING_VOLTAGE):
            return 0
        volts = foreign(self.faults, self.wire.now_ms)[register == Reg.RING_VOLTAGE]
        return min(0xFF, round(max(0.0, -volts) / 0.376))  # [D] step
