"""What a line tells of itself, how it ends when nobody calls, and what a line in alarm does."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from boards.lines import FaultSettings
from firmware.causes import DESTINATION_OUT_OF_ORDER, NORMAL_CLEARING, Cause
from firmware.legs import Alert, HangUp, LegEnded, Offered
from firmware.line_tester import LineTestConfig
from firmware.status import Notices, TestFile, forget_tests, is_alive, line_states, waiting_tests
from firmware.ua.base import RegistrationChanged
from hal.line_tests import Measure, Result, Verdict
from tests.firmware.simulated import Desk
from tests.firmware.test_supervisor import Supervised

GOOD = Result("foreign_emf", Verdict.PASS, (Measure("tip_ground", 0.1, "V"),))
BAD = Result("ringers", Verdict.FAIL, (Measure("ren", 0.0, "REN"),), ("ren",), "no telephone")


def test_a_line_in_alarm_is_busy_to_nobody_and_rings_for_nobody() -> None:
    """Given foreign voltage on the line, a caller hears at once that it is out of order (480), and
    when it is gone the telephone rings again."""
    desk = Desk(line_test=LineTestConfig(at_start=True))
    desk.line.faults = FaultSettings(tip_ac_vrms=60)
    desk.run(12_000)
    desk.event(Offered("in1", "5145550123", ""))
    assert HangUp("in1", DESTINATION_OUT_OF_ORDER) in desk.agent.commands
    assert not any(isinstance(one, Alert) for one in desk.agent.commands)
    desk.run(5_000)
    assert not desk.handset.rings
    desk.line.faults = FaultSettings()
    desk.run(62_000)
    desk.event(Offered("in2", "5145550123", ""))
    desk.run(500)
    assert desk.handset.ringing


def test_a_line_tells_whether_somebody_calls(tmp_path: Path) -> None:
    desk = Desk(registered=False)
    desk.device._notices = Notices(tmp_path / "run", tmp_path / "tests", "kitchen", 4711)

    def told() -> tuple[bool, bool]:
        (state,) = line_states(tmp_path / "run", is_alive)
        assert (state.name, state.pid, state.program) == ("kitchen", os.getpid(), 4711)
        return state.registered, state.calls

    desk.run(20)
    assert told() == (False, False)
    desk.serve()
    assert told() == (True, False)
    (state,) = line_states(tmp_path / "run", is_alive)
    assert state.answered_ms > 0
    desk.lift()
    assert told() == (True, True)
    desk.put_back()
    assert told() == (True, False)
    desk.event(Offered("in1", "5145550123", ""))
    assert told() == (True, True)
    desk.event(LegEnded("in1", Cause(NORMAL_CLEARING)))
    desk.run(2_000)
    assert told() == (True, False)
    assert line_states(tmp_path / "run", lambda _: False) == []


@pytest.mark.parametrize(
    ("status", "answered"), [(0, False), (403, True), (408, False), (503, False)]
)
def test_a_registrar_that_refuses_has_answered(status: int, answered: bool) -> None:
    assert RegistrationChanged(False, "pop", status).answered is answered


def test_a_device_ends_when_nobody_calls() -> None:
    desk = Desk()
    desk.lift()
    desk.device.stops_when_idle = True
    desk.run(1_000)
    assert not desk.device.stopping
    desk.put_back()
    assert desk.device.stopping


def test_a_receiver_that_was_forgotten_keeps_no_device() -> None:
    desk = Desk()
    desk.lift()
    desk.run(300_000, 20)
    assert desk.state[0] in ("howler", "parked")
    desk.device.stops_when_idle = True
    desk.run(100)
    assert desk.device.stopping


def test_several_lines_end_each_by_itself_and_none_is_started_again(tmp_path: Path) -> None:
    idle = (
        "import signal, sys, time; signal.signal(signal.SIGUSR2, lambda *_: sys.exit(0)); "
        "print('idle up', flush=True); time.sleep(60)"
    )
    calls = (
        "import signal, time; told = []; signal.signal(signal.SIGUSR2, lambda *_: told.append(1)); "
        "print('calls up', flush=True)\nwhile not told: time.sleep(0.01)\ntime.sleep(0.5)"
    )
    lines = Supervised(tmp_path, idle=idle, calls=calls)
    lines.wait_for("(idle|calls) up", 2)
    assert lines.end(signal.SIGUSR2) == 0
    assert lines.text().count("line started") == 2


def test_line_tests_wait_until_the_host_has_them(tmp_path: Path) -> None:
    now = [1_000]
    file = TestFile(tmp_path, "kitchen", lambda: now[0])
    file.keep((BAD,))
    for _ in range(12):
        now[0] += 1
        file.keep((GOOD,))
    file.keep((GOOD,))
    (runs,) = waiting_tests(tmp_path).values()
    ids = [str(one["id"]) for one in runs]
    assert len(set(ids)) == 8
    assert runs[0]["utc_ms"] == 1_000, "the fault stays when others go"
    forget_tests(tmp_path, "kitchen", set(ids[:3]))
    assert [one["id"] for one in waiting_tests(tmp_path)["kitchen"]] == ids[3:]
    forget_tests(tmp_path, "kitchen", set(ids))
    assert waiting_tests(tmp_path) == {}


def test_a_file_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    for text in ("", "[", "[1]", '{"pid": "x"}', "[" * 100_000):
        (tmp_path / "a.line").write_text(text)
        (tmp_path / "a.tests").write_text(text)
        assert line_states(tmp_path, is_alive) == []
        assert waiting_tests(tmp_path) == {"a": []}


def test_a_disk_that_refuses_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run").write_text("no folder")
    Notices(tmp_path / "run", tmp_path / "run", "kitchen", 1).tests.keep((BAD,))
    assert [one.message for one in caplog.records] == [
        "the line's state is not told",
        "the line's test is not kept for the host",
    ]
