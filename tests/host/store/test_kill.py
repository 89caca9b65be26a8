"""`kill -9` of a process in the midst of many operations, on a real file."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.host.charging.world import World

START = 2_000_000

pytestmark = pytest.mark.sqlite_only(reason="what a file has after a crash")


@pytest.mark.parametrize("seed", range(6))
def test_what_was_acknowledged_is_there_and_the_books_balance(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "host.sqlite"
    world = World(path)
    for _ in range(2):
        world.account(START)
    world.conn.close()
    said: list[list[str]] = []
    paid = {"1": START, "2": START}
    # Killed twice: the second process finds what the first one left.
    for life in range(2):
        run = seed * 10 + life
        lines = _killed(path, run, random.Random(run).uniform(0.25, 0.9))
        said += lines
        for line in lines:
            if line[0] == "paid":
                paid[line[1]] += int(line[3])
        world = World(path)
        assert world.conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        world.sound()
        open_calls = world.conn.execute("SELECT count(*) FROM call WHERE state = 'open'")
        (count,) = open_calls.fetchone()
        assert world.charging.recover(world.conn, world.now) == count
        world.sound()
        assert world.conn.execute("SELECT count(*) FROM live_limit").fetchone() == (0,)
        held = world.conn.execute("SELECT count(*) FROM hold WHERE state = 'pending'").fetchone()
        assert held == (0,)
        world.conn.close()
    world = World(path)
    settled = {line[1]: line for line in said if line[0] == "settled"}
    granted = {line[1]: int(line[2]) for line in said if line[0] == "granted"}
    print(f"seed {seed}: {len(said)} acknowledged, {len(settled)} settled, {len(granted)} granted")
    assert len(settled) > 5
    for call_id, quota_ms in granted.items():
        (cdr,) = world.cdrs(call_id)
        if call_id in settled:
            assert [str(cdr["billed_ms"]), str(cdr["cost"])] == settled[call_id][2:]
        else:
            # A renewal may have been durable without anybody being told so.
            assert isinstance(cdr["billed_ms"], int)
            assert cdr["billed_ms"] <= quota_ms + 6_000
    for line in said:
        if line[0] == "refused":
            assert [(cdr["reason"] != "", cdr["cost"]) for cdr in world.cdrs(line[1])] == [
                (True, 0)
            ]
        elif line[0] == "answered":
            assert world.cdrs(line[1])[0]["answered_utc_ms"] is not None
        elif line[0] == "paid":
            key = f"payment:test:{line[2]}"
            moved = world.conn.execute("SELECT amount FROM movement WHERE key = ?", (key,))
            assert moved.fetchall() == [(int(line[3]),)]
    for account, amount in paid.items():
        (spent,) = world.conn.execute(
            "SELECT coalesce(sum(cost), 0) FROM leg WHERE account_id = ?", (account,)
        ).fetchone()
        assert world.funds(int(account)).funds + spent >= amount


def _killed(path: Path, seed: int, after_s: float) -> list[list[str]]:
    """Lines that the process said before it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.host.store.crashing", str(path), str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(after_s)
    assert process.poll() is None, process.stderr and process.stderr.read()
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=20)
    return [line.split() for line in (first + rest).splitlines()]
