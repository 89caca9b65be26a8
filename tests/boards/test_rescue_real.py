"""Rescue on a board in QEMU: flashed into its region, started where nothing else boots."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from boards.flash import session
from boards.slot import TABLE_OCTETS
from tests.boards.images import signed_image
from tests.boards.machine import Machine, blank, needs_qemu
from tests.boards.system import FLASH
from tests.boards.test_flash_real import state_on

KIB = 1024
SAYS = b"\r\nthis is rescue\r\n"
pytestmark = [needs_qemu, pytest.mark.timeout(600)]


def test_rescue_is_flashed_and_started_where_nothing_else_boots(tmp_path: Path) -> None:
    rescue, key = signed_image(tmp_path, 20 * KIB, 1, says=SAYS, rescue=True)
    disk = blank(tmp_path / "disk", FLASH.octets)
    with Machine(tmp_path, disk, "tcp") as machine:
        line = [sys.executable, "-m", "boards.flash.command", "--board", "qemu-arm64", "--json"]
        line += ["--key", str(key), "--port", machine.port, "--rescue", str(rescue)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as tool:
            assert tool.stdout is not None
            tool.stdout.readline()
            machine.power_on()
            said = tool.stdout.read()
        assert tool.returncode == session.REGISTERED, said
        machine.wait_for("Loopstart: there is no boot state", 20)
        machine.wait_for("this is rescue", 20)
    with disk.open("rb") as stream:
        stream.seek(FLASH.rescue.offset)
        assert stream.read(TABLE_OCTETS + rescue.stat().st_size)[TABLE_OCTETS:] == (
            rescue.read_bytes()
        )
    assert state_on(disk) is None
