"""The supervisor's processes and signals, with programs of a line each in place of a device."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firmware.heartbeat import STALE_S, START_S

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, sys
from pathlib import Path
from firmware.log import set_up
from firmware.supervision import Supervision, Times
from firmware.supervisor import Supervisor
set_up("info")
scripts = dict(zip(sys.argv[1::2], sys.argv[2::2]))
times = Times(first_pause_ms=20, longest_pause_ms=80, most_ends=4, stop_ms=300)
def command(name):
    script = scripts[name]
    return [script] if "/" in script else [sys.executable, "-c", script]
run = Path(os.environ["RUN"]) if "RUN" in os.environ else None
sys.exit(Supervisor([*scripts], command, lambda: True, Supervision([*scripts], times), run).run())
"""
SOUND = "import time; time.sleep(60)"
CRASHES = "import os; os.abort()"
DEAF = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); "
    "print('deaf', flush=True); time.sleep(60)"
)


class Supervised:
    """Some scripts under a supervisor."""

    def __init__(self, folder: Path, **scripts: str) -> None:
        self.log = folder / "log"
        words = [word for pair in scripts.items() for word in pair]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *words], cwd=ROOT, stdout=log, stderr=log
            )

    def wait_for(self, words: str, count: int = 1) -> None:
        end = time.monotonic() + 20
        while len(re.findall(words, self.text())) < count:
            assert time.monotonic() < end, f"{words} not in {self.text()}"
            time.sleep(0.01)

    def text(self) -> str:
        return self.log.read_text()

    def end(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()


def test_one_that_crashes_again_and_again_fails_and_the_other_goes_on(tmp_path: Path) -> None:
    both = Supervised(tmp_path, good=SOUND, bad=CRASHES)
    both.wait_for("line failed; the others go on")
    assert both.text().count('event="line started" port=bad') == 4
    assert both.text().count('event="line started" port=good') == 1
    assert "status=-6" in both.text()
    assert both.process.poll() is None
    assert both.end() == 1


def test_if_all_fail_it_ends_with_1(tmp_path: Path) -> None:
    alone = Supervised(tmp_path, bad="import sys; sys.exit(2)", none="/no/such/program")
    assert alone.process.wait(20) == 1
    assert alone.text().count('event="line started" port=bad') == 1, "status 2 stays what it is"
    assert "line cannot be started" in alone.text()


def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    for how in (signal.SIGTERM, signal.SIGINT):
        both = Supervised(tmp_path, good=SOUND, deaf=DEAF)
        both.wait_for("^deaf|\ndeaf")
        assert both.end(how) == 0
        assert "is killed" in both.text()


def test_a_hangup_starts_all_anew(tmp_path: Path) -> None:
    both = Supervised(tmp_path, one=SOUND, two=SOUND)
    both.wait_for("line started", 2)
    both.process.send_signal(signal.SIGHUP)
    both.wait_for("line started", 4)
    assert both.end() == 0


def test_it_shows_that_its_loop_goes_round_and_whose_first_beat_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given two lines of which one does not come up, its beat is not waited for, and when the
    program has ended none is."""
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.setenv("RUN", str(run))
    both = Supervised(tmp_path, good=SOUND, bad="import sys; sys.exit(2)")
    both.wait_for("line failed; the others go on")
    now_s = time.monotonic()
    assert sorted(path.name for path in run.iterdir()) == ["good.beat", "program.beat"]
    assert abs(int((run / "program.beat").read_text()) - now_s) <= 3
    granted = int((run / "good.beat").read_text()) - now_s
    assert START_S - STALE_S - 5 <= granted <= START_S - STALE_S
    before = int((run / "program.beat").read_text())
    end = time.monotonic() + 20
    while int((run / "program.beat").read_text()) == before:
        assert time.monotonic() < end, "an idle supervisor beats, too"
        time.sleep(0.05)
    assert both.end() == 1
    assert list(run.iterdir()) == []
