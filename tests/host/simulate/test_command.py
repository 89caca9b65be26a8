"""`loopstart-host simulate`: ranges, repeats, exit statuses, and the process that is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from host.simulate import faults, killed, runs

pytestmark = pytest.mark.sqlite_only(reason="its crashes are copies of files")


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "host.cli.main", "simulate", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_range_ends_with_a_line_that_counts() -> None:
    done = simulate("--seed", "3", "--seeds", "4", "--jobs", "2")
    (line,) = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert line.startswith("4 seeds, ")
    assert "every promise kept" in line
    for kind in (*faults.KINDS, faults.KILL, *faults.REACHED):
        assert kind in line


def test_the_same_seeds_are_the_same_run_on_one_core_or_two() -> None:
    def run(jobs: str) -> dict[str, Any]:
        done = simulate("--json", "--seed", "11", "--seeds", "5", "--jobs", jobs)
        assert done.returncode == 0, done.stdout + done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    one, two = run("1"), run("2")
    assert one["digest"] == two["digest"]
    assert one["injected"] == two["injected"]
    assert (one["failed"], one["never_injected"]) == ([], [])


def test_a_failure_says_what_broke_and_how_to_repeat_it() -> None:
    done = simulate("--seed", "1", "--seeds", "2", "--plant", "late-fee")
    assert done.returncode == 1
    assert "late fee: " in done.stdout
    assert "loopstart-host simulate --seed 1 --plant late-fee" in done.stdout
    assert "FAILED" in done.stdout.splitlines()[-1]


def test_an_unknown_plant_is_wrong_usage() -> None:
    done = simulate("--plant", "roses")
    assert done.returncode == 2
    assert "double-settle" in done.stderr


def test_a_kind_that_never_occurred_fails_the_run() -> None:
    totals = runs.Totals(
        injected=Counter(dict.fromkeys((*faults.KINDS, faults.KILL), 1)),
        reached=Counter(dict.fromkeys(faults.REACHED, 1)),
    )
    assert totals.sound
    totals.reached["suspensions"] = 0
    assert totals.never == ["suspensions"]
    totals.reached["suspensions"] = 1
    totals.injected["disk full"] = 0
    assert not totals.sound
    assert totals.never == ["disk full"]


def test_a_killed_process_leaves_what_it_said() -> None:
    broken, calls = killed.kill_one(5)
    assert broken == ""
    assert calls > 10


def test_what_a_killed_process_said_and_the_store_lost_is_found(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    killed.open_writer(path).close()
    settled = ["settled", "c1", "6000", "10"]
    assert "is lost" in killed._as_said(path, [settled])
    assert "nothing" in killed._as_said(path, [])
    assert "payment p1" in killed._as_said(path, [["paid", "p1", "5"], settled])


@pytest.mark.parametrize("kind", faults.CRASHES)
def test_each_kind_of_crash_is_planned_once_a_seed(kind: str) -> None:
    planned = faults.plan(killed.random.Random(1))
    assert [fault.kind for fault in planned].count(kind) == 1
