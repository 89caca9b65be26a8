"""Drivers of FXS ports, chosen by the board file.

What a driver needs beside Python is imported when its port is opened, never before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from boards.lines import DahdiSettings, GpioSettings, Impedance, LineHardware, Si3210Settings
from hal.drivers.settings import HookTiming
from hal.line import Line

Clock = Callable[[], float]
"""Monotonic milliseconds."""


def open_line(
    hardware: LineHardware,
    clock: Clock,
    timing: HookTiming | None = None,
    impedance: Impedance = "600",
) -> Line:
    """Open the port that a board file describes.

    Args:
        hardware: an entry of `[[lines]]`.
        clock: monotonic milliseconds.
        timing: for drivers that time breaks of the loop themselves; none: as in North America.
        impedance: towards the telephone, for drivers that set it and boards that do not mind.
    Raises:
        LineFault: the port cannot be opened.
    """
    return _OPENERS[hardware.driver](hardware, clock, timing or HookTiming(), impedance)


def _open_sim(
    hardware: LineHardware, clock: Clock, timing: HookTiming, impedance: Impedance
) -> Line:
    from hal.drivers.hybrid import Hybrid
    from hal.drivers.sim import SimLine

    hybrid = None if hardware.hybrid is None else Hybrid(hardware.hybrid)
    return SimLine(clock, hardware.control, hardware.bounce_seed, hybrid, hardware.faults)


def _open_dahdi(
    hardware: LineHardware, clock: Clock, timing: HookTiming, impedance: Impedance
) -> Line:
    from hal.drivers.dahdi import DahdiLine
    from hal.drivers.devicefile import KernelFiles

    return DahdiLine(KernelFiles(), hardware.dahdi or DahdiSettings(), timing, clock)


def _open_gpio(
    hardware: LineHardware, clock: Clock, timing: HookTiming, impedance: Impedance
) -> Line:
    from hal.drivers.gpio import GpioLine
    from hal.drivers.libraries import load

    gpiod = load("gpiod", "gpiod")
    alsaaudio = load("alsaaudio", "pyalsaaudio")
    return GpioLine(gpiod, alsaaudio, hardware.gpio or GpioSettings(), clock)


def _open_si3210(
    hardware: LineHardware, clock: Clock, timing: HookTiming, impedance: Impedance
) -> Line:
    from hal.drivers.alsa import AlsaAudio
    from hal.drivers.libraries import load
    from hal.drivers.si3210 import Si3210Line
    from hal.drivers.si3210_bus import open_chip, open_interrupt

    settings = hardware.si3210 or Si3210Settings()
    settings = replace(settings, impedance=settings.impedance or impedance)
    sound = AlsaAudio(load("alsaaudio", "pyalsaaudio"), settings.capture, settings.playback, clock)
    interrupt = None
    if settings.interrupt_line >= 0:
        interrupt = open_interrupt(load("gpiod", "gpiod"), settings)
    chip = open_chip(load("spidev", "spidev"), settings)
    return Si3210Line(chip, sound, settings, clock, interrupt)


def _open_tapi(
    hardware: LineHardware, clock: Clock, timing: HookTiming, impedance: Impedance
) -> Line:
    from hal.drivers.devicefile import KernelFiles
    from hal.drivers.tapi import TapiLine

    assert hardware.tapi is not None, "boards.lines asks for the table"
    return TapiLine(KernelFiles(), hardware.tapi, timing, clock)


_OPENERS: dict[str, Callable[[LineHardware, Clock, HookTiming, Impedance], Line]] = {
    "sim": _open_sim,
    "dahdi": _open_dahdi,
    "gpio": _open_gpio,
    "si3210": _open_si3210,
    "tapi": _open_tapi,
}
