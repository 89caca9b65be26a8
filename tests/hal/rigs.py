"""Drivers of real ports over fakes of their hardware, each with a handset on the wires."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from boards.lines import DahdiSettings, GpioSettings
from hal.drivers.dahdi import DahdiLine
from hal.drivers.dahdi_fake import FakeDahdi
from hal.drivers.gpio import GpioLine
from hal.drivers.handset import Handset
from hal.drivers.settings import HookTiming
from hal.drivers.slic_fake import FakeSlic
from hal.drivers.wire import Wire
from hal.line import Line

CAPABILITIES: dict[str, list[str]] = tomllib.loads(
    Path(__file__).with_name("capabilities.toml").read_text("utf-8")
)
EXPECTED_SKIP = "by capabilities.toml: "
"""How the reason of a skip begins that the table foresees."""


class Rig(Protocol):
    """A driver, and hands at the far end of its wire."""

    @property
    def line(self) -> Line: ...

    def lift(self) -> None: ...
    def hang_up(self) -> None: ...
    def wait(self, ms: float) -> None: ...
    def bell_rings(self) -> bool: ...
    def last_heard(self) -> bytes: ...
    def heard_on_hook(self) -> bytes:
        """All audio that has reached the telephone while its receiver was down."""
        ...


def lacks(rig: Rig, capability: str) -> NoReturn:
    """Skip a test whose capability a driver has not, by the table; fail if the table says more."""
    name = next((name for name, made in HARDWARE_RIGS.items() if type(rig) is made), "sim")
    assert capability not in CAPABILITIES[name], f"{name} was to have {capability}"
    pytest.skip(f"{EXPECTED_SKIP}{name} has not {capability}")


class WiredRig:
    """A driver by a simulated clock; the handset hangs on the wire of a fake."""

    line: Line
    wire: Wire

    def __init__(self) -> None:
        self.now_ms = 100.0

    def clock(self) -> float:
        return self.now_ms

    @property
    def handset(self) -> Handset:
        return self.wire.handset

    def lift(self) -> None:
        self.handset.lift(self.now_ms)

    def hang_up(self) -> None:
        self.handset.hang_up(self.now_ms)

    def wait(self, ms: float) -> None:
        self.now_ms += ms
        self.wire.advance()

    def bell_rings(self) -> bool:
        return self.handset.ringing

    def last_heard(self) -> bytes:
        return self.handset.last_heard

    def heard_on_hook(self) -> bytes:
        return b"".join(frame for _, frame in self.handset.heard_on_hook)


class DahdiRig(WiredRig):
    """A card with all that DAHDI knows."""

    software = False

    def __init__(self, port: DahdiSettings | None = None, timing: HookTiming | None = None) -> None:
        super().__init__()
        self.card = FakeDahdi(self.clock, software=self.software)
        self.wire = self.card.wire
        self.line = DahdiLine(
            self.card, port or DahdiSettings(), timing or HookTiming(), lambda: self.now_ms
        )


class DahdiSpanRig(DahdiRig):
    """A software span: much of it answers ENOTTY."""

    software = True


PINS = GpioSettings(power_down_line=19, capture="plughw:0", playback="plughw:0")


class GpioRig(WiredRig):
    """A SLIC whose every pin is wired; time stops wherever ringing has something to do."""

    line: GpioLine

    def __init__(self, settings: GpioSettings = PINS) -> None:
        super().__init__()
        self.slic = FakeSlic(self.clock, settings)
        self.wire = self.slic.wire
        self.line = GpioLine(
            self.slic.gpiod, self.slic.alsaaudio, settings, self.clock, threaded=False
        )

    def wait(self, ms: float) -> None:
        end_ms = self.now_ms + ms
        while True:
            due_ms = self.line.ringing_due_ms
            self.now_ms = end_ms if due_ms is None else min(end_ms, max(due_ms, self.now_ms))
            self.wire.advance()
            if due_ms is None or due_ms > end_ms:
                return
            self.line.advance()

    def bell_rings(self) -> bool:
        """A bell shows only by and by that the line swings."""
        self.wait(60)
        return super().bell_rings()


HARDWARE_RIGS: dict[str, Callable[[], Rig]] = {
    "dahdi": DahdiRig,
    "dahdi-span": DahdiSpanRig,
    "gpio": GpioRig,
}
