"""The benchmark itself: its output has the right shape, and its books can disagree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench import sipp
from tests.bench.books import Books, Row, faults_of_kill
from tests.bench.figures import MEASURES, Figure
from tests.bench.measures import goes_well, highest
from tests.bench.processes import processor_s, resident_mb
from tests.bench.report import markdown
from tests.bench.sipp import Load
from tests.bench.subjects import Bed, have_peer
from tests.scenarios.rig import ROOT

KILLED_MS = 1_000_000
OVER = Row("1", "ended", "answered", "caller", KILLED_MS - 3_000)
UP = Row("2", "ended", "answered", "crash", KILLED_MS - 900)
IN_FLIGHT = Row("3", "ended", "answered", "crash", KILLED_MS - 10)
RINGING = Row("4", "ended", "failed", "crash", 0)
SAW = {"answered": {"1", "2"}, "ended": {"1"}}


@pytest.mark.interop
@pytest.mark.slow
@pytest.mark.skipif(not sipp.PROGRAM, reason="SIPp is not installed (sip-tester)")
def test_a_quick_run_prints_one_object_and_the_books_agree(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.bench", "--json", "--quick"),
            *("--results", str(results), "--only", "sip_call_cpu_ms"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bench: CDRs equal SIPp's successes: " in done.stderr
    (line,) = done.stdout.splitlines()
    figure = json.loads(line)
    assert list(figure) == ["name", "value", "unit", "peer", "peer_value", "ratio"]
    assert figure["name"] == "sip_call_cpu_ms"
    assert figure["unit"] == "ms"
    assert 0 < figure["value"] < 100
    if have_peer():
        assert figure["peer"] == "sippy b2bua_simple"
        assert figure["ratio"] == pytest.approx(figure["value"] / figure["peer_value"], abs=0.01)
    assert "| `sip_call_cpu_ms` |" in results.read_text()


def test_a_kill_whose_calls_are_all_accounted_for_has_no_fault() -> None:
    assert faults_of_kill([OVER, UP, IN_FLIGHT, RINGING], SAW, KILLED_MS) == []


@pytest.mark.parametrize(
    ("rows", "saw", "says"),
    [
        ([OVER], SAW, "1 answered calls without a CDR: ['2']"),
        ([OVER, UP, UP], SAW, "1 calls with two CDRs: ['2']"),
        (
            [OVER, UP, Row("5", "ended", "answered", "crash", KILLED_MS - 5_000)],
            SAW,
            "1 CDRs of calls that nobody saw answered, nor were in flight: ['5']",
        ),
        (
            [OVER, UP, Row("5", "ended", "answered", "caller", KILLED_MS)],
            SAW,
            "1 CDRs of calls that nobody saw answered, nor were in flight: ['5']",
        ),
        ([OVER, UP, Row("6", "open", "", "", 0)], SAW, "1 calls left open by the recovery: ['6']"),
        ([OVER], {"answered": {"1"}, "ended": {"1"}}, "nothing was shown"),
    ],
)
def test_the_books_of_a_kill_can_disagree(
    rows: list[Row], saw: dict[str, set[str]], says: str
) -> None:
    (fault,) = faults_of_kill(rows, saw, KILLED_MS)
    assert says in fault


def test_a_success_without_a_cdr_is_a_fault(tmp_path: Path) -> None:
    books = Books(Bed(tmp_path))
    books.note(Load(calls=2, successes=1, retransmissions=0, elapsed_s=1))
    books.compare("a load")
    assert books.verdict().startswith("bench: CDRs do not agree: a load: 0 CDRs")


def test_a_store_that_is_damaged_fails_the_audit(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    assert bed.ledger_is_sound() == ""
    with bed.writing() as conn:
        conn.execute("UPDATE ledger_account SET held = 1 WHERE id = 1")
    assert "not in balance" in bed.ledger_is_sound()


@pytest.mark.parametrize(
    ("load", "well"),
    [
        (Load(1_000, 1_000, 0, 11), True),
        (Load(1_000, 999, 20, 11), True),
        (Load(1_000, 998, 0, 11), False),
        (Load(1_000, 1_000, 21, 11), False),
        (Load(1_000, 1_000, 0, 13), False),
    ],
    ids=["clean", "at the limits", "failures", "retransmissions", "SIPp fell behind"],
)
def test_a_rate_goes_well_within_its_limits(load: Load, well: bool) -> None:
    assert goes_well(load, rate=100, talk_s=1) is well


@pytest.mark.parametrize(
    ("limit", "found"), [(50, 0), (100, 100), (160, 150), (220, 200), (300, 300), (900, 300)]
)
def test_the_highest_rate_is_found_to_half_a_step(limit: int, found: int) -> None:
    assert highest((100, 200, 300), lambda rate: rate <= limit) == found


def test_one_hiccup_ends_no_search() -> None:
    tried: list[int] = []

    def goes(rate: int) -> bool:
        tried.append(rate)
        return not (rate == 200 and tried.count(200) == 1)

    assert highest((100, 200, 300), goes) == 300


def test_processor_time_counts_living_and_ended_children() -> None:
    burn = "x = sum(i * i for i in range(4_000_000))"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); {burn}"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{child}; print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        alone = os.times()
        exec(burn, {})
        one = os.times().user - alone.user
        assert processor_s(process.pid) > 1.5 * one
        assert resident_mb(process.pid) > 1
    finally:
        process.kill()
        process.wait()


def test_sipp_statistics_are_read_from_the_last_line(tmp_path: Path) -> None:
    stats = tmp_path / "stats.csv"
    assert sipp.read_stats(stats)["successes"] == 0
    head = "TotalCallCreated;SuccessfulCall(C);Retransmissions(C);"
    stats.write_text(f"{head}\n1;0;0;\n5;4;3;\n")
    assert sipp.read_stats(stats) == {"successes": 4, "calls": 5, "retransmissions": 3}


def test_figures_are_medians_and_know_whether_they_reach() -> None:
    figure = Figure.of("sip_call_cpu_ms", [1.0, 3.0, 2.0], "peer", [8.0, 10.0, 9.0])
    assert (figure.value, figure.peer_value) == (2.0, 9.0)
    assert figure.reached is True
    assert Figure.of("sip_call_cpu_ms", [2.0]).reached is None
    assert Figure.of("sip_call_rate", [500.0]).reached is False
    assert Figure.of("register_cpu_ms", [0.26]).reached is False


def test_results_name_every_measure_and_no_date() -> None:
    text = markdown([Figure.of("host_rss_mb", [55.5])], ["the books agree"], [], 0.0, False)
    assert all(measure.name in text for measure in MEASURES)
    assert time.strftime("%Y") not in text
