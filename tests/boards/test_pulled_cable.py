"""A cable that is pulled at any moment of a run, from a real U-Boot in QEMU: the tool says what to
do, and the version that runs goes on registering when the board is switched on again."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from boards.flash import session
from boards.state import installed, marked_good, next_write
from tests.boards.images import REGISTERED, signed_image
from tests.boards.machine import Machine, blank, needs_qemu
from tests.boards.test_flash_real import KIB, flash_table, holds, run_tool, slow, state_on

PULLS = int(os.environ.get("LOOPSTART_REAL_CUTS", "10"))
SEED = 20_261_127
BOOT_S = 60.0
MOST = 1 << 30


class Cable:
    """Between tool and board: pulled when so many octets have gone through it, either way."""

    def __init__(self, board: str, pulled_at: int = MOST) -> None:
        where = urlsplit(board)
        self._board = (str(where.hostname), int(where.port or 0))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self.carried = 0
        self._pulled_at = pulled_at
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._plug, daemon=True).start()

    def _plug(self) -> None:
        tool, _ = self._listener.accept()
        board = socket.create_connection(self._board)
        self._ends = [tool, board]
        for source, target in ((tool, board), (board, tool)):
            threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(4_096):
                left = self._pulled_at - self.carried
                self.carried += len(data)
                target.sendall(data[: max(left, 0)])
                if len(data) >= left:
                    break
        except OSError:
            pass
        self.pull()

    def pull(self) -> None:
        for end in self._ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        self.pull()
        self._listener.close()


@contextmanager
def through(machine: Machine, pulled_at: int = MOST) -> Iterator[Cable]:
    """The machine's console by a cable."""
    cable, own = Cable(machine.port, pulled_at), machine.port
    machine.port = cable.port
    try:
        yield cable
    finally:
        machine.port = own
        cable.close()


def registers_from(machine: Machine, slot: str) -> None:
    """It starts this slot, whose system registers.

    Raises:
        TimeoutError: it does not.
    """
    end = time.monotonic() + BOOT_S
    machine.power_on()
    while (
        f"starting {slot}" not in machine.console()
        or "event=registered" not in (machine.console().rpartition(f"starting {slot}")[2])
    ):
        if time.monotonic() > end:
            raise TimeoutError(machine.console()[-1_000:])
        time.sleep(0.1)


@needs_qemu
@slow
@pytest.mark.timeout(1_800)
def test_whenever_the_cable_is_pulled_the_version_that_runs_goes_on_registering(
    tmp_path: Path,
) -> None:
    first, key = signed_image(tmp_path, 20 * KIB, version=1, says=REGISTERED)
    second, _ = signed_image(tmp_path, 140 * KIB, version=2, says=REGISTERED)
    disk = blank(tmp_path / "disk", flash_table().octets)
    with Machine(tmp_path, disk, "tcp") as machine:
        assert run_tool(machine, first, key).status == session.REGISTERED
    _prove_good(disk)
    kept = disk.read_bytes()
    with Machine(tmp_path, disk, "tcp") as machine, through(machine) as cable:
        whole = run_tool(machine, second, key)
    assert whole.status == session.REGISTERED
    assert holds(disk, "b", second)
    rng = random.Random(SEED)
    said = []
    for number in range(PULLS):
        disk.write_bytes(kept)
        folder = tmp_path / f"run{number}"
        folder.mkdir()
        # Anywhere in each tenth of a run, but for its end, when all is written and it boots.
        at = round(cable.carried * (number + rng.random()) * 0.95 / PULLS) + 1
        with Machine(folder, disk, "tcp") as machine, through(machine, at):
            tool = run_tool(machine, second, key)
        assert tool.status == session.NO_PORT, f"seed {SEED}, {at} octets: {tool.said[-500:]}"
        assert "has gone away" in tool.result["failure"]
        assert "again" in tool.result["failure"], "it says what to do"
        state = state_on(disk)
        assert state is not None
        slot = "b" if state.slot == "b" and holds(disk, "b", second) else "a"
        again = tmp_path / f"again{number}"
        again.mkdir()
        with Machine(again, disk, "tcp") as machine:
            registers_from(machine, slot)
        said.append(f"{at} octets: {slot}")
    assert any(one.endswith(" a") for one in said)
    print(f"{len(said)} of {PULLS} pulled cables leave a board that registers: {', '.join(said)}")


def _prove_good(disk: Path) -> None:
    """What a minute of the updater would do."""
    good = replace(marked_good(installed("a"), 1, None), good=1)
    blocks = []
    with disk.open("r+b") as stream:
        for offset in flash_table().state_blocks:
            stream.seek(offset)
            blocks.append(stream.read(4_096))
        index, octets = next_write(blocks[0], blocks[1], good)
        stream.seek(flash_table().state_blocks[index])
        stream.write(octets)
