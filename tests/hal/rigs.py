"""Drivers of real ports over fakes of their hardware, each with a handset on the wires."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from boards.lines import DahdiSettings, GpioSettings, Si3210Settings, TapiSettings, TapiStep
from hal.drivers.alsa import AlsaAudio
from hal.drivers.alsa_fake import FakeAlsa
from hal.drivers.dahdi import DahdiLine
from hal.drivers.dahdi_fake import FakeDahdi
from hal.drivers.gpio import GpioLine
from hal.drivers.handset import Handset
from hal.drivers.settings import HookTiming
from hal.drivers.si3210 import Si3210Line
from hal.drivers.si3210_chip import Chip
from hal.drivers.si3210_sim import Si3210Sim
from hal.drivers.slic_fake import FakeSlic
from hal.drivers.tapi import TapiLine
from hal.drivers.tapi_fake import FakeTapi
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


class HandsetRig:
    """A driver by a simulated clock, and what is done with a simulated handset."""

    line: Line

    def __init__(self) -> None:
        self.now_ms = 100.0

    def clock(self) -> float:
        return self.now_ms

    @property
    def handset(self) -> Handset:
        raise NotImplementedError

    def lift(self) -> None:
        self.handset.lift(self.now_ms)

    def hang_up(self) -> None:
        self.handset.hang_up(self.now_ms)

    def bell_rings(self) -> bool:
        return self.handset.ringing

    def last_heard(self) -> bytes:
        return self.handset.last_heard

    def heard_on_hook(self) -> bytes:
        return b"".join(frame for _, frame in self.handset.heard_on_hook)


class WiredRig(HandsetRig):
    """A driver whose handset hangs on the wire of a fake."""

    wire: Wire

    @property
    def handset(self) -> Handset:
        return self.wire.handset

    def wait(self, ms: float) -> None:
        self.now_ms += ms
        self.wire.advance()


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


class SteppedRig(WiredRig):
    """A driver that rings, or looks, by itself: time stops wherever it has something to do."""

    def due_ms(self) -> float | None:
        """When the driver wants `advance`."""
        raise NotImplementedError

    def advance(self) -> None:
        """What the program's loop, or a thread, would do then."""
        raise NotImplementedError

    def wait(self, ms: float) -> None:
        end_ms = self.now_ms + ms
        while True:
            due_ms = self.due_ms()
            self.now_ms = end_ms if due_ms is None else min(end_ms, max(due_ms, self.now_ms))
            self.wire.advance()
            if due_ms is None or due_ms > end_ms:
                return
            self.advance()


class GpioRig(SteppedRig):
    """A SLIC whose every pin is wired."""

    line: GpioLine

    def __init__(self, settings: GpioSettings = PINS) -> None:
        super().__init__()
        self.slic = FakeSlic(self.clock, settings)
        self.wire = self.slic.wire
        self.line = GpioLine(
            self.slic.gpiod, self.slic.alsaaudio, settings, self.clock, threaded=False
        )

    def due_ms(self) -> float | None:
        return self.line.ringing_due_ms

    def advance(self) -> None:
        self.line.ring_further()

    def bell_rings(self) -> bool:
        """A bell shows only by and by that the line swings."""
        self.wait(60)
        return super().bell_rings()


class Si3210Rig(SteppedRig):
    """A chip whose INT pin is not wired."""

    line: Si3210Line
    wired = False

    def __init__(self, settings: Si3210Settings | None = None) -> None:
        super().__init__()
        self.chip = Si3210Sim(self.clock)
        self.wire = self.chip.wire
        self.alsa = FakeAlsa(self.wire)
        settings = settings or Si3210Settings()
        sound = AlsaAudio(self.alsa, settings.capture, settings.playback, self.clock)
        interrupt = self.chip.interrupt if self.wired else None
        self.line = Si3210Line(
            Chip(self.chip), sound, settings, self.clock, interrupt, sleep=self.sleep
        )

    def sleep(self, seconds: float) -> None:
        self.now_ms += seconds * 1000

    def due_ms(self) -> float | None:
        return self.line.due_ms

    def advance(self) -> None:
        self.line.advance()


class Si3210IntRig(Si3210Rig):
    """A chip whose INT pin is wired: it is asked when it calls."""

    wired = True
    _low = False
    """INT was low when the driver had looked: no edge has come since."""

    def advance(self) -> None:
        super().advance()
        self._low = self.chip.asserted

    def due_ms(self) -> float | None:
        due_ms = self.line.due_ms
        next_ms = self.wire.next_ms()
        if self.chip.asserted and not self._low:
            return self.now_ms
        self._low = self.chip.asserted
        return due_ms if next_ms is None or due_ms is None else min(due_ms, next_ms)


TAPI = TapiSettings(
    codec="PCMU",
    calls={
        "EVENT_GET": 0x401071C0, "LINE_FEED_SET": 0x20007101, "RING_CADENCE_HR_SET": 0x80587103,
        "RING_START": 0x20007187, "RING_STOP": 0x20007188, "ENC_START": 0x2000718A,
        "ENC_STOP": 0x2000718B, "DEC_START": 0x20007191, "DEC_STOP": 0x20007192,
    },
    bring_up=(
        TapiStep("DEV_STOP", 0x20007103, on="control"),
        TapiStep("DEV_START", 0x800C7102, on="control", words=(3, 0, 0)),
        TapiStep("LINE_TYPE_SET", 0x80087147, words=(2, 0)),
    ),
)  # fmt: skip


class TapiRig(WiredRig):
    """A voice processor; its G.711 is mu-law, in which the tests' sounds are exact."""

    def __init__(self, settings: TapiSettings = TAPI, timing: HookTiming | None = None) -> None:
        super().__init__()
        self.tapi = FakeTapi(self.clock, settings)
        self.wire = self.tapi.wire
        self.line = TapiLine(self.tapi, settings, timing or HookTiming(), self.clock)


HARDWARE_RIGS: dict[str, Callable[[], Rig]] = {
    "dahdi": DahdiRig,
    "dahdi-span": DahdiSpanRig,
    "gpio": GpioRig,
    "si3210": Si3210Rig,
    "si3210-int": Si3210IntRig,
    "tapi": TapiRig,
}
