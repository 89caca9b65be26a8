"""Each driver under the whole device: what somebody at the telephone hears, dials and answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from boards.lines import DahdiSettings
from firmware.app import Device
from firmware.config import Config, LineConfig, SipConfig
from firmware.legs import Alert, Answer, HangUp, Hold, LegAnswered, Offered, PlaceCall
from firmware.line_tester import LineTestConfig, LineTester
from firmware.tolerant import TolerantLine
from firmware.ua.base import MessagesWaiting, RegistrationChanged
from hal.countries import load_country
from hal.drivers.settings import HookTiming
from hal.dsp.tones import Tone, ToneGenerator
from hal.line import Line
from hal.line_tests import TESTS, Verdict
from tests.firmware.peer import Spectrum
from tests.firmware.simulated import PaperAgent
from tests.hal.rigs import HARDWARE_RIGS, DahdiRig, WiredRig, lacks


class Desk:
    """A device on a port, its handset and the clock."""

    def __init__(self, rig: WiredRig, **line: Any) -> None:
        self.rig = rig
        self.agent = PaperAgent()
        config = Config(SipConfig("100001", "secret", ("127.0.0.1:5060",)), LineConfig(**line))
        line: Line = TolerantLine(rig.line, rig.clock)
        self.tester = None
        if line.capabilities.measures_line:
            self.tester = LineTester(rig.line, LineTestConfig(at_start=True), rig.now_ms)
        self.device = Device(config, line, self.agent, rig.clock, tester=self.tester)
        self.ear: list[bytes] = []
        hear = rig.handset.hear

        def listen(frame: bytes) -> None:
            if rig.handset.closed:
                self.ear.append(frame)
            hear(frame)

        rig.handset.hear = listen  # type: ignore[method-assign]
        self.agent.coming.append(RegistrationChanged(True, "127.0.0.1:5060"))
        self.device.step()
        self.run(500)  # a chip that was woken tells where the receiver is

    def run(self, ms: float) -> None:
        for _ in range(round(ms / 5)):
            self.rig.wait(5)
            self.device.step()

    def lift(self) -> None:
        self.rig.lift()
        self.run(1_000)

    def heard(self, ms: float) -> Spectrum:
        start = len(self.ear)
        self.run(ms)
        return Spectrum(np.frombuffer(b"".join(self.ear[start:]), np.int16).astype(float))

    def placed(self) -> list[str]:
        return [one.number for one in self.agent.commands if isinstance(one, PlaceCall)]


@pytest.fixture(params=HARDWARE_RIGS)
def desk(request: pytest.FixtureRequest) -> Desk:
    rig = HARDWARE_RIGS[request.param]()
    assert isinstance(rig, WiredRig)
    return Desk(rig)


def test_lifting_gives_dial_tone(desk: Desk) -> None:
    desk.lift()
    heard = desk.heard(1_000)
    assert heard.strongest(2) == pytest.approx([350, 440], abs=2)
    assert heard.dbm0(350) == pytest.approx(-13, abs=1)


def test_keys_dial(desk: Desk) -> None:
    desk.lift()
    desk.run(desk.rig.handset.press("5145550123") + 200)
    assert desk.placed() == ["15145550123"]


def test_a_dial_dials(desk: Desk) -> None:
    desk.lift()
    desk.rig.handset.rotary(desk.rig.now_ms, "411")
    desk.run(5_000)
    assert desk.placed() == ["411"]


def test_a_call_comes_in_is_answered_and_ends(desk: Desk) -> None:
    desk.agent.coming.append(Offered("in1", "5145550123"))
    desk.run(100)
    assert Alert("in1") in desk.agent.commands
    assert desk.rig.bell_rings()
    desk.run(2_500)
    assert not desk.rig.bell_rings()
    desk.run(3_700)
    assert desk.rig.handset.rings == 2
    assert desk.rig.handset.cadence_ms[:2] == [
        pytest.approx(2_000, abs=120), pytest.approx(4_000, abs=120)
    ]  # fmt: skip
    desk.lift()
    assert Answer("in1") in desk.agent.commands
    assert not desk.rig.bell_rings()
    desk.agent.coming.append(LegAnswered("in1"))
    desk.rig.hang_up()
    desk.run(2_000)
    assert any(isinstance(one, HangUp) for one in desk.agent.commands)


def test_ten_seconds_of_talk_loses_next_to_nothing(desk: Desk) -> None:
    desk.agent.coming.append(Offered("in1", "5145550123"))
    desk.run(100)
    desk.lift()
    desk.agent.coming.append(LegAnswered("in1"))
    desk.run(100)
    spoken, heard = len(desk.agent.spoken), len(desk.ear)
    for _ in range(500):
        desk.agent.far.append(b"\x7c\x20" * 160)
        desk.run(20)
    assert len(desk.agent.spoken) - spoken == pytest.approx(500, abs=5)
    assert desk.ear[heard:].count(b"\x7c\x20" * 160) >= 490


def test_a_line_is_tested_while_it_rests_and_works_afterwards(desk: Desk) -> None:
    tester = desk.tester or lacks(desk.rig, "measures_line")
    desk.run(9_400)
    assert not tester.results
    desk.run(2_000)
    assert [one.test for one in tester.results] == list(TESTS)
    assert all(one.verdict is not Verdict.FAIL for one in tester.results)
    assert desk.rig.handset.rings == 0
    desk.lift()
    assert desk.heard(1_000).strongest(2) == pytest.approx([350, 440], abs=2)


def test_a_lifted_receiver_goes_before_a_test_of_the_line(desk: Desk) -> None:
    tester = desk.tester or lacks(desk.rig, "measures_line")
    while not tester.running:
        desk.run(20)
    desk.run(150)
    during = tester.running
    desk.lift()
    assert (during, tester.running, tester.results) == (True, False, ())
    assert desk.heard(1_000).strongest(2) == pytest.approx([350, 440], abs=2)


def test_gain_of_the_country_holds_on_every_port() -> None:
    """Also on a card that has a gain of its own, which the board file sets beside it."""
    for make in HARDWARE_RIGS.values():
        rig = make()
        assert isinstance(rig, WiredRig)
        desk = Desk(rig, country="DE")
        desk.agent.coming.append(Offered("in1", "5145550123"))
        desk.run(3_000)
        desk.lift()
        desk.agent.coming.append(LegAnswered("in1"))
        desk.run(100)
        desk.agent.far_of["in1"] = ToneGenerator(Tone((1_000,), -20.0)).frame
        desk.run(200)
        assert desk.heard(500).dbm0(1_000) == pytest.approx(-27, abs=0.5), type(rig).__name__


def test_voice_mail_lights_the_lamp_of_a_card_that_has_one() -> None:
    rig = DahdiRig(DahdiSettings(lamp="dc"))
    desk = Desk(rig)
    desk.agent.coming.append(MessagesWaiting(True, 2))
    desk.run(100)
    assert rig.card.lamp_lit
    desk.agent.coming.append(MessagesWaiting(False, 0))
    desk.run(100)
    assert not rig.card.lamp_lit


@pytest.mark.parametrize("number", ["112", "110", "1188"])
def test_a_dial_dials_every_digit_where_a_flash_is_as_short_as_a_pulse(number: str) -> None:
    """Given a German telephone with a dial on a card that counts pulses and does not time them,
    then emergency numbers can be dialled, and in a call a short break is a flash still."""
    country = load_country("DE")
    rig = DahdiRig(timing=HookTiming(*country.flash_ms))
    desk = Desk(rig, country="DE", digit_map="(x.)")
    desk.lift()
    rig.handset.rotary(rig.now_ms, number)
    desk.run(12_000)
    assert desk.placed() == [number]
    if number != "1188":
        return
    desk.agent.coming.append(LegAnswered("out1"))
    desk.run(100)
    rig.handset.flash(rig.now_ms, 100)
    desk.run(1_000)
    assert Hold("out1", True) in desk.agent.commands
    rig.handset.flash(rig.now_ms, 100)
    desk.run(1_000)
    assert Hold("out1", False) in desk.agent.commands, "at recall dial tone it takes the call back"
