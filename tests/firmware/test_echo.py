"""The whole device on a line with a hybrid: the far end does not hear itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from boards.board import load_board
from boards.lines import HybridSettings
from boards.schema import ConfigError
from firmware.app import Device
from firmware.assembly import echo_canceller
from firmware.audio import AudioPath
from firmware.causes import Cause
from firmware.config import Config, LineConfig, SipConfig
from firmware.legs import LegAnswered, LegEnded, Offered, PlaceCall
from hal.countries import load_country
from hal.drivers.hybrid import Hybrid
from hal.drivers.sim import SimLine
from hal.dsp.connect_tones import ConnectTone
from hal.dsp.echo import EchoCanceller
from hal.dsp.levels import level_dbm0
from tests.firmware.simulated import NOON, Desk
from tests.hal.speech import needs_espeak, speech
from tests.hal.test_connect_tones import made

BOARD = """
name = "looped"
[[lines]]
driver = "sim"
echo_delay_ms = 20
{more}
[lines.hybrid]
loss_db = {loss_db}
delay_ms = {delay_ms}
seed = {seed}
"""


class EchoDesk(Desk):
    """A desk whose line has a hybrid, as a board file says."""

    def __init__(self, folder: Path, seed: int, delay_ms: float, more: str = "") -> None:
        super().__init__()
        path = folder / "looped.toml"
        path.write_text(BOARD.format(seed=seed, delay_ms=delay_ms, loss_db=6.0, more=more))
        (hardware,) = load_board(str(path)).lines
        assert hardware.hybrid is not None
        self.line = SimLine(lambda: self.now_ms, hybrid=Hybrid(hardware.hybrid))
        config = Config(SipConfig("100001", "secret", ("127.0.0.1:5060",)), LineConfig())
        echo = echo_canceller(hardware, self.line.capabilities)
        self.device = Device(
            config, self.line, self.agent, lambda: self.now_ms, lambda: NOON, echo=echo
        )
        self.serve()

    def talk(self, far: np.ndarray) -> np.ndarray:
        """Let the far end say something; what it hears meanwhile."""
        start = len(self.agent.spoken)
        octets = far.astype("<i2").tobytes()
        for at in range(0, len(octets) - 319, 320):
            self.agent.far.append(octets[at : at + 320])
            self.run(20)
        return np.frombuffer(b"".join(self.agent.spoken[start:]), "<i2").astype(float)


def called(desk: EchoDesk) -> None:
    desk.event(Offered("in1", "5145550123"))
    desk.lift()
    desk.event(LegAnswered("in1"))
    assert desk.state[1] == "talking"


def return_loss_db(far: np.ndarray, heard: np.ndarray) -> float:
    """Of the third and fourth second."""
    late = slice(16_000, 32_000)
    return float(10 * np.log10((far[late] ** 2).sum() / ((heard[late] ** 2).sum() + 1)))


@needs_espeak
@pytest.mark.parametrize("delay_ms", [2, 18, 30])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_far_end_hears_its_own_voice_thirty_decibels_down(
    tmp_path: Path, seed: int, delay_ms: float
) -> None:
    desk = EchoDesk(tmp_path, seed, delay_ms)
    called(desk)
    far = speech("en-us", 160)[:32_000]
    loss = return_loss_db(far, desk.talk(far))
    print(f"seed {seed}, {delay_ms} ms: {loss:.1f} dB")
    assert loss >= 36, "6 dB of the hybrid and 30 of the canceller"


@needs_espeak
def test_a_board_that_wants_no_canceller_has_none(tmp_path: Path) -> None:
    desk = EchoDesk(tmp_path, 1, 2, "echo_canceller = false")
    called(desk)
    far = speech("en-us", 160)[:32_000]
    assert return_loss_db(far, desk.talk(far)) < 15


def test_digits_are_heard_through_the_echo_of_dial_tone(tmp_path: Path) -> None:
    desk = EchoDesk(tmp_path, 1, 2)
    desk.lift()
    desk.run(1_000)
    desk.press("15145550123")
    placed = [one.number for one in desk.agent.commands if isinstance(one, PlaceCall)]
    assert placed == ["15145550123"]


def test_what_the_handset_says_passes_while_the_far_end_is_silent(tmp_path: Path) -> None:
    desk = EchoDesk(tmp_path, 1, 2)
    called(desk)
    desk.handset.sound((1_000,), -15.0, 2_000)
    heard = desk.talk(np.zeros(16_000))[4_000:12_000]
    level = 20 * np.log10(np.sqrt(np.mean(heard**2)) / (22_826 / np.sqrt(2)))
    assert level == pytest.approx(-15, abs=0.5)


def test_fax_and_modems_may_have_the_canceller_off() -> None:
    path = AudioPath(load_country("US"), detect_dtmf=False, echo=EchoCanceller())
    rng = np.random.default_rng(1)
    frames = [rng.normal(0, 3_000, 160).astype("<i2").tobytes() for _ in range(150)]

    def louder_than_a_tenth() -> int:
        count = 0
        for frame in frames:
            path.to_ear(frame)
            _, sent = path.from_mouth(frame, False)
            count += level_dbm0(sent) > level_dbm0(frame) - 20
        return count

    assert louder_than_a_tenth() < 75, "it learns within a second"
    path.cancel_echo(False)
    assert louder_than_a_tenth() == 150
    path.cancel_echo(True)
    assert louder_than_a_tenth() < 10, "it remembers"


def test_a_modem_hears_the_line_as_it_is_and_the_next_call_is_cancelled(tmp_path: Path) -> None:
    desk = EchoDesk(tmp_path, 1, 2)
    called(desk)
    far = np.random.default_rng(5).normal(0, 2_000, 32_000)
    assert return_loss_db(far, desk.talk(far)) > 30
    desk.talk(made(ConnectTone.ANS_PR, 2.5, -15.0))
    assert return_loss_db(far, desk.talk(far)) < 12, "what the hybrid gives back, all of it"
    desk.event(LegEnded("in1", Cause(16, 200, "")))
    desk.put_back()
    desk.event(Offered("in2", "5145550123"))
    desk.lift()
    desk.event(LegAnswered("in2"))
    assert return_loss_db(far, desk.talk(far)) > 30


class CardLine(SimLine):
    """A line whose driver cancels echo, and notes what it is told of that."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.told: list[bool] = []

    def cancel_echo(self, on: bool) -> None:
        self.told.append(on)


def test_a_card_that_cancels_echo_is_told_to_let_modems_pass() -> None:
    desk = Desk()
    line = desk.line = CardLine(lambda: desk.now_ms)
    config = Config(SipConfig("100001", "secret", ("127.0.0.1:5060",)), LineConfig())
    desk.device = Device(config, line, desk.agent, lambda: desk.now_ms, lambda: NOON)
    desk.serve()
    desk.event(Offered("in1", "5145550123"))
    desk.lift()
    desk.event(LegAnswered("in1"))
    assert line.told == []
    tone = made(ConnectTone.ANS, 2.0, -15.0).astype("<i2").tobytes()
    desk.agent.far.extend(tone[at : at + 320] for at in range(0, len(tone) - 319, 320))
    desk.run(2_000)
    assert line.told == [False]
    desk.event(LegEnded("in1", Cause(16, 200, "")))
    desk.run(200)
    assert line.told == [False, True]


def test_only_a_simulated_line_has_its_echo_made(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text('name = "b"\n[[lines]]\ndriver = "gpio"\n[lines.hybrid]\n')
    with pytest.raises(ConfigError, match=r"board\.toml:4: lines\[0\]\.hybrid: only a simulated"):
        load_board(str(path))
    assert HybridSettings().loss_db == 6
