"""Line tests as a technician has them: the command, and a device that tests while nobody calls."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from boards.lines import FaultSettings, LineHardware, TapiSettings
from firmware.app import main
from firmware.legs import Answer, LegAnswered, Offered
from firmware.line_tester import Lifted, LineTestConfig, run_now
from hal.drivers.faults import reading
from hal.drivers.sim import SimLine
from hal.line_tests import TESTS, Verdict
from hal.values import LineFault
from tests.firmware.simulated import Desk
from tests.hal.rigs import CAPABILITIES, HARDWARE_RIGS, Rig


def write(folder: Path, faults: str = "") -> Path:
    """A configuration, and a board whose one line has these faults."""
    board = f'name = "mine"\n[[lines]]\ndriver = "sim"\nname = "kitchen"\n{faults}\n'
    (folder / "board.toml").write_text(board)
    path = folder / "ata.toml"
    path.write_text(
        'board = "board.toml"\n[sip]\nusername = "1"\npassword = "p"\nservers = ["127.0.0.1:9"]\n'
    )
    return path


def test_a_sound_line_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(write(tmp_path)), "--line-test"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[:3] for row in rows] == [["kitchen", test, "pass"] for test in TESTS]
    assert "ren 1 REN" in rows[4][3]


def test_a_fault_exits_with_1_and_json_tells_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "[lines.faults]\nring_ground_ohm = 9_000\nren = 0")
    assert main(["--config", str(path), "--line-test", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    found = {one["test"]: one for one in told["tests"]}
    assert (told["port"], told["status"]) == ("kitchen", 1)
    assert found["resistive_faults"]["faults"] == ["ring_ground"]
    ground = next(
        one for one in found["resistive_faults"]["measures"] if one["name"] == "ring_ground"
    )
    assert ground["value"] == pytest.approx(9_000)
    assert ground["unit"] == "ohm"
    assert found["ringers"]["verdict"] == "fail"
    assert "no telephone" in found["ringers"]["note"]
    assert found["foreign_emf"]["verdict"] == "pass"


def test_on_a_terminal_it_is_a_table(tmp_path: Path) -> None:
    path = write(tmp_path, "[lines.faults]\ntip_ac_vrms = 60")
    ours, theirs = pty.openpty()
    run = subprocess.run(
        [sys.executable, "-m", "firmware.app", "--config", str(path), "--line-test"],
        stdout=theirs, timeout=30, check=False,
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert run.returncode == 1
    assert "PORT" in shown
    assert "hazardous potential  fail" in shown
    found = re.search(r"tip_ac ([0-9.]+) Vrms", shown)
    assert found is not None
    # Sampled in real time, on a machine that may be busy; how exact it is, simulated time tells.
    assert float(found[1]) == pytest.approx(60, rel=0.15)
    assert "\t" not in shown
    assert "keep off the wires" in shown


def test_what_is_wrong_with_a_board_s_faults_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "[lines.faults]\ntip_ohm = 9_000")
    assert main(["--config", str(path), "--line-test"]) == 2
    assert "lines[0].faults.tip_ohm: no such setting" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", [one for one in HARDWARE_RIGS if "measures_line" not in CAPABILITIES[one]]
)
def test_a_port_that_does_not_measure_says_so(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig: Rig = HARDWARE_RIGS[name]()
    monkeypatch.setattr("firmware.command.open_line", lambda *_: rig.line)
    assert main(["--config", str(write(tmp_path)), "--line-test"]) == 2
    assert "does not measure" in capsys.readouterr().err


def test_a_port_that_cannot_be_opened_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise LineFault("another program has the port")

    monkeypatch.setattr("firmware.command.open_line", refuse)
    assert main(["--config", str(write(tmp_path)), "--line-test"]) == 2
    assert "another program" in capsys.readouterr().err


def test_a_line_that_a_device_runs_on_is_left_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text() + f'[line]\ncontrol = "{tmp_path}/h.sock"\n')
    running = SimLine(lambda: 0.0, control=f"{tmp_path}/h.sock")
    assert main(["--config", str(path), "--line-test"]) == 2
    assert "another program has the handset" in capsys.readouterr().err
    running.close()


class Alone:
    """A line that nobody else uses, and a clock that sleeping moves."""

    def __init__(self, **faults: Any) -> None:
        self.now_ms = 100.0
        self.line = SimLine(lambda: self.now_ms, faults=FaultSettings(**faults))
        self.lift_ms: float | None = None

    def sleep(self, seconds: float) -> None:
        self.now_ms += seconds * 1000
        if self.lift_ms is not None and self.now_ms >= self.lift_ms:
            self.line.handset.lift(self.now_ms)
            self.lift_ms = None


def test_a_receiver_that_is_off_from_the_start_is_found() -> None:
    alone = Alone(off_hook=True)
    results = run_now(alone.line, lambda: alone.now_ms, alone.sleep)
    assert [one.test for one in results if one.verdict is Verdict.FAIL] == ["receiver_off_hook"]


@pytest.mark.parametrize("lift_ms", range(450, 900, 50))
def test_one_that_is_lifted_meanwhile_ends_the_test(lift_ms: int) -> None:
    alone = Alone()
    alone.lift_ms = lift_ms
    with pytest.raises(Lifted):
        run_now(alone.line, lambda: alone.now_ms, alone.sleep)
    assert alone.line.state()["probe"] == ""
    alone.sleep(0.1)
    assert alone.line.state()["loop_current"], "the line is fed"


# While the device runs.


def rows(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """Verdicts that were logged."""
    return {
        vars(one)["test"]: vars(one)["verdict"]
        for one in caplog.records if one.message == "line test"
    }  # fmt: skip


def test_a_device_tests_its_line_at_the_start_and_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    desk = Desk(line_test=LineTestConfig(at_start=True, every_h=0.01))
    desk.run(12_000)
    assert rows(caplog) == dict.fromkeys(TESTS, "pass")
    assert not desk.handset.rings, "bells stay silent"
    caplog.clear()
    desk.line.faults = FaultSettings(tip_ring_ohm=50_000)
    desk.run(36_000)
    assert rows(caplog)["resistive_faults"] == "fail"
    assert [one for one in caplog.records if one.levelno == logging.WARNING]
    assert desk.line.state()["probe"] == ""


def during_a_test(desk: Desk) -> None:
    """Let time pass until the line is being tested."""
    for _ in range(2_000):
        desk.run(10)
        if desk.line.state()["probe"]:
            return
    raise AssertionError("no test began")


@pytest.mark.parametrize("into_ms", range(0, 800, 90))
def test_who_lifts_the_receiver_meanwhile_has_dial_tone(into_ms: int) -> None:
    desk = Desk(line_test=LineTestConfig(at_start=True))
    during_a_test(desk)
    desk.run(into_ms)
    desk.lift()
    desk.run(900)
    assert desk.state[0] == "dial_tone"
    assert desk.line.state()["probe"] == ""
    assert desk.line.state()["ear_dbm0"] > -30


@pytest.mark.parametrize("into_ms", range(0, 500, 90))
def test_a_call_that_comes_meanwhile_rings_at_once(
    into_ms: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    desk = Desk(line_test=LineTestConfig(at_start=True))
    during_a_test(desk)
    desk.run(into_ms)
    desk.event(Offered("in1", "5145550123", ""))
    desk.run(100)
    assert desk.handset.ringing
    assert not rows(caplog)
    desk.lift()
    desk.run(500)
    assert any(isinstance(one, Answer) for one in desk.agent.commands)
    desk.event(LegAnswered("in1"))
    desk.run(20_000)
    assert not rows(caplog), "nothing is tested in a call"
    desk.put_back()
    desk.run(3_000)
    assert rows(caplog), "and when all is quiet it is"


def test_hardware_that_fails_meanwhile_ends_no_device(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(line_test=LineTestConfig(at_start=True, every_h=0.01))

    def fail(*_: object) -> None:
        raise LineFault("the chip does not answer")

    monkeypatch.setattr("hal.drivers.sim.physics.reading", fail)
    desk.run(12_000)
    assert any(one.message == "line test failed" for one in caplog.records)
    assert desk.line.state()["probe"] == ""
    monkeypatch.setattr("hal.drivers.sim.physics.reading", reading)
    desk.lift()
    desk.run(500)
    assert desk.state[0] == "dial_tone"


def test_a_short_circuit_passes_for_a_lifted_receiver_until_it_is_mended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    desk = Desk(line_test=LineTestConfig(at_start=True))
    desk.line.faults = FaultSettings(tip_ring_ohm=300)
    desk.run(15_000)
    assert desk.state[0] != "on_hook"
    assert not rows(caplog), "a line in use is not tested"
    desk.line.faults = FaultSettings()
    desk.run(3_000)
    assert desk.state[0] == "on_hook"
    assert rows(caplog) == dict.fromkeys(TESTS, "pass")


def test_a_short_circuit_is_no_telephone_to_the_command() -> None:
    alone = Alone(tip_ring_ohm=300)
    results = run_now(alone.line, lambda: alone.now_ms, alone.sleep)
    assert [one.test for one in results if one.verdict is Verdict.FAIL] == ["resistive_faults"]


def test_only_a_simulated_line_has_faults_made() -> None:
    hardware = LineHardware("tapi", faults=FaultSettings(), tapi=TapiSettings())
    complaint = LineHardware.problem(hardware)
    assert complaint is not None
    assert complaint[0] == "faults"
