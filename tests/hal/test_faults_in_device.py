"""A port that fails under the whole device: what callers hear, and what the telephone does after.

Each fault is told once, a caller meanwhile hears at once that the line is out of order, and its end
brings the line back by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from boards.lines import DahdiSettings
from firmware.causes import DESTINATION_OUT_OF_ORDER, NO_ANSWER, NORMAL_CLEARING, Cause
from firmware.legs import Alert, HangUp, LegAnswered, LegEnded, Offered, PlaceCall
from firmware.phone.features import Features
from hal.drivers.dahdi import DahdiLine
from hal.drivers.handset import Handset
from hal.drivers.settings import HookTiming
from hal.values import Feed
from tests.hal.rigs import (
    HARDWARE_RIGS,
    DahdiRig,
    DahdiSpanRig,
    GpioRig,
    Si3210IntRig,
    Si3210Rig,
    TapiRig,
    WiredRig,
)
from tests.hal.test_drivers_in_device import Desk


@dataclass(frozen=True)
class Fault:
    """How a port fails, and how that ends."""

    rig: Callable[[], WiredRig]
    begin: Callable[[WiredRig], object]
    end: Callable[[WiredRig], object]
    says: tuple[str, str]
    """What the log says of its beginning and of its end."""


def _dahdi(action: Callable[[DahdiRig], object]) -> Callable[[WiredRig], object]:
    def act(rig: WiredRig) -> object:
        assert isinstance(rig, DahdiRig)
        return action(rig)

    return act


def _bus(broken: bool) -> Callable[[WiredRig], object]:
    def act(rig: WiredRig) -> object:
        assert isinstance(rig, Si3210Rig | Si3210IntRig)
        rig.chip.broken_bus = broken
        return None

    return act


def _pins(failing: bool) -> Callable[[WiredRig], object]:
    def act(rig: WiredRig) -> object:
        assert isinstance(rig, GpioRig)
        rig.slic.failing = failing
        return None

    return act


def _processor(refused: str) -> Callable[[WiredRig], object]:
    def act(rig: WiredRig) -> object:
        assert isinstance(rig, TapiRig)
        rig.tapi.refused = refused
        return None

    return act


_ALARM = (
    _dahdi(lambda rig: rig.card.alarm(True)),
    _dahdi(lambda rig: rig.card.alarm(False)),
    ("card is in alarm", "card is out of alarm"),
)
_GONE = ("the Si3210 is gone", "the Si3210 is back")
_REFUSED = ("the line refused", "the line is back")
FAULTS = {
    "dahdi alarm": Fault(DahdiRig, *_ALARM),
    "dahdi span alarm": Fault(DahdiSpanRig, *_ALARM),
    "dahdi card": Fault(
        DahdiRig,
        _dahdi(lambda rig: rig.card.pull_out()),
        _dahdi(lambda rig: rig.card.plug_in()),
        ("card is gone", "card is back"),
    ),
    "si3210": Fault(Si3210Rig, _bus(True), _bus(False), _GONE),
    "si3210-int": Fault(Si3210IntRig, _bus(True), _bus(False), _GONE),
    "gpio": Fault(GpioRig, _pins(True), _pins(False), _REFUSED),
    "tapi": Fault(TapiRig, _processor("EVENT_GET"), _processor(""), _REFUSED),
}
_NOTICED_MS = 2_000.0
_BACK_MS = 65_000.0
"""A card or a chip that is away is looked for every 30 s at most."""


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> Fault:
    found: Fault = FAULTS[request.param]
    return found


def offer(desk: Desk, leg: str) -> None:
    desk.agent.coming.append(Offered(leg, "5145550123"))
    desk.run(300)


def told(caplog: pytest.LogCaptureFixture, fault: Fault) -> list[str]:
    return [one.message for one in caplog.records if one.message in fault.says]


def test_a_caller_hears_that_the_line_is_out_of_order_until_it_is_back(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "loopstart")
    desk = Desk(fault.rig())
    fault.begin(desk.rig)
    desk.run(_NOTICED_MS)
    for leg in ("in1", "in2"):
        offer(desk, leg)
        assert desk.agent.commands[-1] == HangUp(leg, DESTINATION_OUT_OF_ORDER)
        desk.run(5_000)
    assert not any(isinstance(one, Alert) for one in desk.agent.commands)
    assert desk.rig.handset.rings == 0
    assert told(caplog, fault) == [fault.says[0]], "once"
    fault.end(desk.rig)
    desk.run(_BACK_MS)
    assert told(caplog, fault) == list(fault.says)
    offer(desk, "in3")
    assert desk.agent.commands[-1] == Alert("in3")
    assert desk.rig.bell_rings()


def test_who_is_being_rung_for_is_told_when_the_line_fails(fault: Fault) -> None:
    desk = Desk(fault.rig())
    offer(desk, "in1")
    assert desk.rig.bell_rings()
    fault.begin(desk.rig)
    desk.run(_NOTICED_MS)
    assert desk.agent.commands[-1] == HangUp("in1", DESTINATION_OUT_OF_ORDER)
    fault.end(desk.rig)
    desk.run(_BACK_MS)
    assert not desk.rig.bell_rings()
    offer(desk, "in2")
    assert desk.rig.bell_rings()


def test_a_call_ends_and_the_receiver_that_is_still_up_calls_nobody(fault: Fault) -> None:
    """Given somebody who talks at a telephone with a hotline, when its port fails and comes back,
    then the call has ended, and the hotline is called when he lifts the receiver anew."""
    desk = Desk(fault.rig(), hotline="911")
    offer(desk, "in1")
    desk.lift()
    desk.agent.coming.append(LegAnswered("in1"))
    desk.run(500)
    fault.begin(desk.rig)
    desk.run(_NOTICED_MS)
    assert any(isinstance(one, HangUp) and one.leg == "in1" for one in desk.agent.commands)
    fault.end(desk.rig)
    desk.run(_BACK_MS)
    assert desk.placed() == []
    desk.rig.hang_up()
    desk.run(2_500)
    desk.lift()
    assert desk.placed() == ["911"]


def test_who_still_listens_when_the_line_is_back_hears_reorder() -> None:
    rig = DahdiRig()
    desk = Desk(rig)
    desk.lift()
    rig.card.alarm(True)
    desk.run(2_000)
    rig.card.alarm(False)
    desk.run(500)
    assert desk.heard(1_000).strongest(2) == pytest.approx([480, 620], abs=2)
    rig.hang_up()
    desk.run(2_500)
    desk.lift()
    assert desk.heard(1_000).strongest(2) == pytest.approx([350, 440], abs=2)


def test_calls_that_are_forwarded_are_forwarded_still() -> None:
    rig = DahdiRig()
    desk = Desk(rig)
    phone = desk.device._station.phone
    rig.card.alarm(True)
    desk.run(100)
    for number, feature in (("2125550100", "forward_all"), ("2125550101", "forward_no_answer")):
        phone.features = Features.from_row({feature: number})
        offer(desk, f"in {feature}")
        placed = [one.number for one in desk.agent.commands if isinstance(one, PlaceCall)]
        assert placed[-1] == number
    assert not any(
        isinstance(one, HangUp) and one.q850 in (NO_ANSWER, DESTINATION_OUT_OF_ORDER)
        for one in desk.agent.commands
    )


def test_an_alarm_from_before_the_device_began_holds_too() -> None:
    rig = DahdiRig()
    rig.line.close()
    rig.card.alarm(True)
    rig.line = DahdiLine(rig.card, DahdiSettings(), HookTiming(), rig.clock)
    desk = Desk(rig)
    offer(desk, "in1")
    assert desk.agent.commands[-1] == HangUp("in1", DESTINATION_OUT_OF_ORDER)
    rig.card.alarm(False)
    desk.run(100)
    offer(desk, "in2")
    assert desk.agent.commands[-1] == Alert("in2")


def test_one_disturbance_of_a_bus_ends_no_call() -> None:
    rig = GpioRig()
    desk = Desk(rig)
    desk.lift()
    desk.run(rig.handset.press("5145550123") + 200)
    rig.slic.failing = True
    desk.run(300)
    rig.slic.failing = False
    desk.run(2_000)
    assert desk.placed() == ["15145550123"]
    assert not any(isinstance(one, HangUp) for one in desk.agent.commands)


@pytest.mark.parametrize("name", HARDWARE_RIGS)
def test_a_receiver_that_is_off_at_the_start_calls_nobody(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a hotline and a receiver that was left off, when the board comes up, then the howler is
    heard and nobody is called; lifted anew, it calls."""

    class LeftOff(Handset):
        def __init__(self, seed: int = 1) -> None:
            super().__init__(seed)
            self.lift(0.0)

    monkeypatch.setattr("hal.drivers.wire.Handset", LeftOff)
    rig = HARDWARE_RIGS[name]()
    assert isinstance(rig, WiredRig)
    desk = Desk(rig, hotline="911")
    desk.run(2_000)
    assert desk.placed() == []
    assert desk.heard(1_000).strongest(4) == pytest.approx([1_400, 2_060, 2_450, 2_600], abs=10)
    rig.hang_up()
    desk.run(2_500)
    desk.lift()
    assert desk.placed() == ["911"]


def test_what_the_hardware_says_that_nobody_knows_is_logged_once_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = TapiRig()
    desk = Desk(rig)
    desk.lift()
    for _ in range(3):
        rig.tapi.tell(0x20000099)
        rig.tapi.tell(0x20000098)
        desk.run(100)
    said = [vars(one)["code"] for one in caplog.records if "unknown event" in one.message]
    assert said == ["0x20000099", "0x20000098"]
    desk.run(rig.handset.press("5145550123") + 200)
    assert desk.placed() == ["15145550123"]


@pytest.mark.parametrize("refused", ["ENC_STOP", "DEC_STOP"])
def test_a_microphone_that_cannot_be_closed_at_once_is_closed_as_soon_as_it_can(
    refused: str,
) -> None:
    rig = TapiRig()
    desk = Desk(rig)
    desk.lift()
    assert rig.tapi.codes
    rig.tapi.refused = refused
    desk.rig.hang_up()
    desk.run(2_000)
    rig.tapi.refused = ""
    desk.run(100)
    assert not rig.tapi.codes
    assert rig.line.read_audio() is None


def test_ringing_that_cannot_be_stopped_at_once_is_stopped_as_soon_as_it_can() -> None:
    rig = TapiRig()
    desk = Desk(rig)
    offer(desk, "in1")
    rig.tapi.refused = "RING_STOP"
    desk.agent.coming.append(LegEnded("in1", Cause(NORMAL_CLEARING)))
    desk.run(200)
    assert rig.bell_rings()
    rig.tapi.refused = ""
    desk.run(100)
    assert not rig.bell_rings()


def test_a_chip_that_fails_while_the_loop_is_open_comes_back_fed() -> None:
    rig = Si3210Rig()
    desk = Desk(rig, cpc_ms=600)
    offer(desk, "in1")
    desk.lift()
    desk.agent.coming.append(LegAnswered("in1"))
    desk.run(200)
    desk.agent.coming.append(LegEnded("in1", Cause(NORMAL_CLEARING)))
    desk.run(2_300)
    assert rig.wire.feed is Feed.OPEN
    rig.chip.broken_bus = True
    desk.run(3_000)
    rig.chip.broken_bus = False
    desk.run(_BACK_MS)
    assert rig.wire.feed is Feed.FORWARD
