"""A loop that goes round says so, one that hangs does not, and one that has ended is not missed."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

import pytest

from firmware.heartbeat import EVERY_MS, STALE_S, START_S, WHOLE, Heartbeat
from firmware.status import Notices
from tests.firmware.simulated import Desk

INIT = Path(__file__).parents[2] / "boards" / "image" / "system" / "init"


def seconds(path: Path) -> int:
    return int(path.read_text())


def test_a_beat_is_written_when_it_is_due(tmp_path: Path) -> None:
    heart = Heartbeat(tmp_path, WHOLE)
    path = tmp_path / "program.beat"
    heart.beat(1_000_000)
    assert seconds(path) == 1_000
    heart.beat(1_000_000 + EVERY_MS - 1)
    assert seconds(path) == 1_000
    heart.beat(1_000_000 + EVERY_MS)
    assert seconds(path) == 1_002
    heart.close()
    assert not path.exists()
    heart.close()


def test_a_folder_that_is_gone_costs_one_line_and_no_program(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heart = Heartbeat(tmp_path / "none", WHOLE)
    with caplog.at_level(logging.WARNING):
        heart.beat(0)
        heart.beat(10_000)
    assert len(caplog.records) == 1


def test_the_devices_loop_beats(tmp_path: Path) -> None:
    desk = Desk()
    desk.device._notices = Notices(
        tmp_path, tmp_path, "line1", os.getpid(), heartbeat=Heartbeat(tmp_path, WHOLE)
    )
    desk.run(5_000)
    before = seconds(tmp_path / "program.beat")
    desk.run(20_000)
    assert seconds(tmp_path / "program.beat") - before in range(18, 23)


def up_ms() -> float:
    return float(Path("/proc/uptime").read_text().split()[0]) * 1000


def verdict(folder: Path) -> bool:
    """What `init` makes of the beats: its own words, run by this computer's shell."""
    text = INIT.read_text()
    start = text.index("go_round() {")
    function = text[start : text.index("\n}", start) + 2]
    script = f"RUN={folder}\n{function}\ngo_round"
    return subprocess.run(["sh", "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("ages", "good"),
    [
        ({}, True),
        ({"program": 0}, True),
        ({"program": STALE_S - 2}, True),
        ({"program": STALE_S + 2}, False),
        ({"program": 1, "line1": 1, "line2": STALE_S + 2}, False),
        ({"program": -START_S}, True),
    ],
)
def test_the_feeder_waits_for_no_loop_that_hangs(
    tmp_path: Path, ages: dict[str, int], good: bool
) -> None:
    now_ms = up_ms()
    for name, age in ages.items():
        Heartbeat(tmp_path, name).beat(now_ms - age * 1000)
    assert verdict(tmp_path) is good


def test_a_process_has_its_time_until_its_first_beat(tmp_path: Path) -> None:
    now_ms = up_ms()
    Heartbeat(tmp_path, "line1").grant(now_ms - (START_S - 2) * 1000)
    assert verdict(tmp_path)
    Heartbeat(tmp_path, "line1").grant(now_ms - (START_S + 2) * 1000)
    assert not verdict(tmp_path)
