"""Waking a Si3210: identity, converter, leak test, calibration, PCM. No clock, no sleep.

Each dialogue is an iterator over milliseconds to wait before it is asked on; so the program may
sleep between, or go on with its work. Times and order are in `si3210_regs` with their sources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from boards.lines import Si3210Settings
from hal.drivers import si3210_regs as regs
from hal.drivers.si3210_chip import Chip
from hal.drivers.si3210_regs import Linefeed, Reg
from hal.values import LineFault

_LOOK_MS = 10.0
_LEAST_LOOP_MA = 20
_LOOP_STEP_MA = 3
_IDENTITY = {Reg.IDENTITY: (regs.IDENTITY,), Reg.LOOPBACK: (regs.LOOPBACK_AT_RESET, 0)}
_CALIBRATIONS = 2
"""The first one sometimes fails on a cold chip."""

Calibration = dict[int, int]
"""Registers of CALIBRATION_REGISTERS, as the chip has found them."""


def power_up(chip: Chip, settings: Si3210Settings, found: Calibration) -> Iterator[float]:
    """Bring a chip from reset to a fed line.

    Args:
        found: takes the calibration, for `restore`.
    Yields:
        Milliseconds to wait.
    Raises:
        LineFault: there is no such chip, or it does not come up; says what to look at.
    """
    _identify(chip)
    _prepare(chip)
    filters = _empty_filters(chip)
    yield from _converter_on(chip, settings)
    yield from _leak_test(chip)
    yield from _converter_on(chip, settings)
    yield from _calibrate(chip)
    chip.write(Reg.CONVERTER, regs.CALIBRATED)
    if chip.read(Reg.CONVERTER_RESULT) not in regs.CONVERTER_RESULTS:
        chip.write(Reg.CONVERTER_RESULT, regs.CONVERTER_RESULT_USUAL)
    found.update({register: chip.read(register) for register in regs.CALIBRATION_REGISTERS})
    _finish(chip, settings, filters)


def restore(chip: Chip, settings: Si3210Settings, found: Calibration) -> None:
    """Bring a chip back that has reset itself, at once and with its old calibration.

    Raises:
        LineFault: it does not answer.
    """
    _identify(chip)
    chip.write(Reg.POWER_DOWN, regs.CONVERTER_OFF)
    _prepare(chip)
    filters = _empty_filters(chip)
    chip.write(Reg.CONVERTER_PERIOD, regs.SLOWEST_PERIOD)
    chip.write(Reg.POWER_DOWN, regs.CONVERTER_ON)
    chip.write(Reg.LOOP_CURRENT_LIMIT, _limit(settings))
    for register, value in found.items():
        chip.write(register, value)
    chip.write(Reg.CONVERTER, regs.CALIBRATED)
    _finish(chip, settings, filters)


def _identify(chip: Chip) -> None:
    revision = chip.read(Reg.REVISION) & 0x0F
    if revision in (0x0, 0xF):
        raise LineFault(
            "no Si3210 answers on the SPI bus; check bus, select line, mode 3 and its reset"
        )
    if revision < regs.OLDEST_REVISION:
        raise LineFault(f"this Si3210 is revision {revision}; 2 or later is needed")
    for register, values in _IDENTITY.items():
        read = chip.read(register)
        if read not in values:
            raise LineFault(
                f"the chip on the SPI bus is no Si3210: register {register} is {read:#04x}; "
                "reset it, and see that the select line rises between octets"
            )
    if chip.read(Reg.LOOPBACK) != regs.LOOPBACK_AT_RESET:
        # It was set up before, by a program that has ended: to rest first.
        chip.write(Reg.LINEFEED, Linefeed.OPEN)
        chip.write(Reg.POWER_DOWN, regs.CONVERTER_OFF)


def _prepare(chip: Chip) -> None:
    for address, value in regs.INDIRECT.items():
        chip.write_indirect(address, value)
    chip.write_indirect(regs.SCRATCH, 0)
    chip.write(Reg.LOOPBACK, 0)
    chip.write(Reg.ENHANCEMENTS, regs.REVISION_C)
    chip.write(Reg.AUTOMATIC, regs.NO_AUTOMATIC_BATTERY)
    chip.write(Reg.BATTERY_SWITCH, regs.LOW_BATTERY)


def _empty_filters(chip: Chip) -> dict[int, int]:
    kept = {address: chip.read_indirect(address) for address in regs.FILTERS}
    for address in kept:
        chip.write_indirect(address, regs.FILTER_EMPTY)
    return kept


def _converter_on(chip: Chip, settings: Si3210Settings) -> Iterator[float]:
    chip.write(Reg.CONVERTER_PERIOD, regs.SLOWEST_PERIOD)
    chip.write(Reg.POWER_DOWN, regs.CONVERTER_ON)

    def steps() -> int:
        return chip.read(Reg.BATTERY_VOLTAGE)

    yield from _until(lambda: steps() >= regs.POWERED_STEPS, regs.POWERED_WITHIN_MS)
    if steps() < regs.POWERED_STEPS:
        raise LineFault(
            f"the Si3210's battery reaches {steps() * regs.BATTERY_STEP_V:.0f} V within "
            f"{regs.POWERED_WITHIN_MS} ms, not {regs.POWERED_STEPS * regs.BATTERY_STEP_V:.0f} V; "
            "check the supply of its converter"
        )
    chip.write(Reg.LOOP_CURRENT_LIMIT, _limit(settings))
    chip.write(Reg.CONVERTER, regs.ENGAGED)


def _leak_test(chip: Chip) -> Iterator[float]:
    chip.write(Reg.LINEFEED, Linefeed.OPEN)
    chip.write(Reg.POWER_DOWN, regs.CONVERTER_OFF)
    yield from _until(lambda: chip.read(Reg.BATTERY_VOLTAGE) < regs.LEAK_STEPS, regs.LEAK_MS)
    if chip.read(Reg.BATTERY_VOLTAGE) < regs.LEAK_STEPS:
        raise LineFault(
            "the line leaks: the Si3210's battery is empty within "
            f"{regs.LEAK_MS} ms of switching off; look for a short circuit of tip and ring"
        )


def _calibrate(chip: Chip) -> Iterator[float]:
    for _ in range(_CALIBRATIONS):
        chip.write(Reg.CALIBRATE_2, regs.ALL_CALIBRATIONS_2)
        chip.write(Reg.CALIBRATE_1, regs.ALL_CALIBRATIONS_1)
        yield from _until(lambda: chip.read(Reg.CALIBRATE_1) == 0, regs.CALIBRATED_WITHIN_MS)
        if chip.read(Reg.CALIBRATE_1) == 0:
            return
    raise LineFault(
        f"the Si3210 does not calibrate within {regs.CALIBRATED_WITHIN_MS} ms; hang up the "
        "telephone, check its clocks, and start again"
    )


def _finish(chip: Chip, settings: Si3210Settings, filters: dict[int, int]) -> None:
    for address, value in filters.items():
        chip.write_indirect(address, value)
    for address, value in regs.INDIRECT.items():
        read = chip.read_indirect(address)
        if read != value:
            raise LineFault(
                f"indirect register {address} of the Si3210 holds {read:#06x} after "
                f"{value:#06x} was written; check its clocks and the length of the wires"
            )
    chip.write(Reg.PCM_MODE, regs.PCM_MODES[settings.pcm])
    for low, high in ((Reg.PCM_OUT_LOW, Reg.PCM_OUT_HIGH), (Reg.PCM_IN_LOW, Reg.PCM_IN_HIGH)):
        chip.write(low, settings.pcm_slot & 0xFF)
        chip.write(high, settings.pcm_slot >> 8)
    for register in (Reg.INTERRUPTS_1, Reg.INTERRUPTS_2, Reg.INTERRUPTS_3):
        chip.write(register, regs.ALL)
    chip.write(Reg.ENABLE_2, regs.LOOP_CHANGED | regs.RING_TRIP | regs.POWER_ALARMS)
    chip.write(Reg.ENABLE_3, regs.DTMF_HEARD if settings.detect_dtmf else 0)
    impedance = regs.IMPEDANCES[settings.impedance or "600"]
    chip.write(Reg.IMPEDANCE, regs.IMPEDANCE_MADE | impedance)
    chip.write(Reg.COMMON_MODE, regs.COMMON_MODE_VOLTS)
    chip.write(Reg.LINEFEED, Linefeed.FORWARD)


def _limit(settings: Si3210Settings) -> int:
    return (settings.loop_current_ma - _LEAST_LOOP_MA) // _LOOP_STEP_MA


def _until(done: Callable[[], bool], within_ms: float) -> Iterator[float]:
    waited_ms = 0.0
    while waited_ms < within_ms and not done():
        yield _LOOK_MS
        waited_ms += _LOOK_MS
