"""Companions: started again when they die, ended with the process that carries calls."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from host import supervise
from host.companions import Companions
from host.supervise import LONGEST_DELAY_S, Companion

_STAYS = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(600)"
_DIES = "import sys, time; open(sys.argv[1], 'a').write(f'{time.monotonic()}\\n'); sys.exit(3)"


def asked(folder: Path, *programs: tuple[str, str], grace_s: float = 5.0) -> str:
    companions = [
        [name, [sys.executable, "-S", "-c", program, str(folder / name)]]
        for name, program in programs
    ]
    return json.dumps({"companions": companions, "json": True, "grace_s": grace_s})


def wait_for(what: Callable[[], object], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Carrying:
    """Stands for the process that carries calls: it holds the supervisor's life."""

    def __init__(self, request: str) -> None:
        self.ours, theirs = socket.socketpair()
        self.supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", supervise.__file__, request],
            stdin=theirs,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        theirs.close()

    def ends(self) -> str:
        self.ours.close()
        _, said = self.supervisor.communicate(timeout=10)
        return said


def test_a_companion_that_keeps_dying_is_started_after_ever_longer_delays() -> None:
    companion = Companion("api", ["false"])
    now, delays = 100.0, []
    for _ in range(8):
        companion.started(1, now)
        delays.append(companion.ended(now + 1))
        now = companion.start_at
    assert delays == [1, 2, 4, 8, 16, 32, LONGEST_DELAY_S, LONGEST_DELAY_S]
    companion.started(1, now)
    assert companion.ended(now + LONGEST_DELAY_S + 1) == 1


def test_companions_are_started_again_and_end_with_the_process_that_carries_calls(
    tmp_path: Path,
) -> None:
    carrying = Carrying(asked(tmp_path, ("stays", _STAYS), ("dies", _DIES)))
    wait_for(lambda: lines(tmp_path / "stays") and len(lines(tmp_path / "dies")) >= 2)
    (stays,) = lines(tmp_path / "stays")
    first, second = map(float, lines(tmp_path / "dies")[:2])
    assert second - first >= 1
    said = carrying.ends()
    assert not is_alive(int(stays))
    ended = [json.loads(line) for line in said.splitlines() if "companion ended" in line]
    assert (ended[0]["companion"], ended[0]["status"], ended[0]["again_s"]) == ("dies", 3, 1.0)
    assert carrying.supervisor.returncode == 0


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + _STAYS
    carrying = Carrying(asked(tmp_path, ("deaf", deaf), grace_s=0.3))
    wait_for(lambda: lines(tmp_path / "deaf"))
    carrying.ends()
    # It is dead, and its parent, too: whoever is asked for it next has to have been.
    wait_for(lambda: not is_alive(int(lines(tmp_path / "deaf")[0])))


def test_companions_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    carrying = Carrying(asked(tmp_path, ("stays", _STAYS)))
    wait_for(lambda: lines(tmp_path / "stays"))
    carrying.supervisor.kill()
    wait_for(lambda: not is_alive(int(lines(tmp_path / "stays")[0])))
    carrying.ends()


def test_a_supervisor_that_dies_is_started_again(tmp_path: Path) -> None:
    async def story() -> None:
        beside = Companions(asked(tmp_path, ("stays", _STAYS)))
        beside.start(asyncio.get_running_loop())
        await asyncio.to_thread(wait_for, lambda: lines(tmp_path / "stays"))
        os.kill(beside.pid, signal.SIGKILL)
        # The signal handlers of the loop, and its children, are left alone by this.
        while len(lines(tmp_path / "stays")) < 2:
            await asyncio.sleep(0.05)
        beside.close()

    asyncio.run(asyncio.wait_for(story(), 20))
    for pid in lines(tmp_path / "stays"):
        wait_for(lambda pid=pid: not is_alive(int(pid)))  # type: ignore[misc]


def test_without_companions_nothing_is_started() -> None:
    async def story() -> None:
        beside = Companions("")
        beside.start(asyncio.get_running_loop())
        assert beside.pid == 0

    asyncio.run(story())
