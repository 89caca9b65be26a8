"""`tasks.py flash` against a real U-Boot, in QEMU, whose disk only the tool writes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from boards.board import load_board
from boards.flash import session
from boards.hardware import Flash
from boards.slot import TABLE_OCTETS, decode_table
from boards.state import BootState, boot, newest
from tests.boards.images import signed_image
from tests.boards.machine import Machine, blank, needs_qemu
from tests.boards.network import BOARD, SERVER, namespace, needs_netns

KIB, MIB = 1024, 1024 * 1024
pytestmark = [needs_qemu, pytest.mark.timeout(300)]


def flash_table() -> Flash:
    found = load_board("qemu-arm64").flash
    assert found is not None
    return found


def state_on(disk: Path) -> BootState | None:
    with disk.open("rb") as stream:
        blocks = []
        for offset in flash_table().state_blocks:
            stream.seek(offset)
            blocks.append(stream.read(4096))
    found = newest(blocks[0], blocks[1])
    return found[1] if found else None


def slot_on(disk: Path, name: Literal["a", "b"]) -> bytes:
    region = flash_table().slot_a if name == "a" else flash_table().slot_b
    with disk.open("rb") as stream:
        stream.seek(region.offset)
        return stream.read(region.octets)


def holds(disk: Path, name: Literal["a", "b"], image: Path) -> bool:
    """Does the slot hold this image, whole, and a table that names its parts?"""
    slot, octets = slot_on(disk, name), image.read_bytes()
    return decode_table(slot[:TABLE_OCTETS]) is not None and slot[TABLE_OCTETS:].startswith(octets)


slow = pytest.mark.skipif(
    "LOOPSTART_REAL_CUTS" not in os.environ, reason="slow: `python3 tasks.py test-boards` does it"
)


@dataclass
class Tool:
    """What the command said, and how it ended."""

    status: int
    said: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        return self.events[-1]

    @property
    def sent(self) -> int:
        return max(int(one["sent"]) for one in self.events if one["event"] == "progress")


def run_tool(machine: Machine, image: Path, key: Path, *words: str, netns: str = "") -> Tool:
    """Flash an image."""
    return run_command("command", machine, "--key", str(key), *words, str(image), netns=netns)


def run_command(module: str, machine: Machine, *words: str, netns: str = "") -> Tool:
    """Run one of `boards.flash`; the board is switched on when it is listened to."""
    space = ["ip", "netns", "exec", netns] if netns else []
    given = ["--board", "qemu-arm64", "--port", machine.port, "--json", *words]
    line = [*space, sys.executable, "-m", f"boards.flash.{module}", *given]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()  # the port is open when it says its first line
        time.sleep(1.1)  # QEMU looks once a second whether somebody has opened a pty
        machine.power_on()
        said += process.stdout.read()
    return Tool(process.returncode, said)


TAP = (
    *("-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no"),
    *("-device", "virtio-net-device,netdev=net"),
)


@pytest.mark.parametrize("console", [pytest.param("pty", marks=slow), "tcp"])
def test_a_blank_disk_is_flashed_over_the_console_until_its_device_has_registered(
    console: Literal["pty", "tcp"], tmp_path: Path
) -> None:
    image, key = signed_image(tmp_path, 20 * KIB)
    disk = blank(tmp_path / "disk", flash_table().octets)
    with Machine(tmp_path, disk, console) as machine:
        tool = run_tool(machine, image, key)
    assert (tool.status, tool.result["failure"]) == (session.REGISTERED, "")
    assert tool.result["server"] == "pop1.example"
    assert holds(disk, "a", image)
    state = state_on(disk)
    assert state is not None
    assert boot(state)[0] == "a"
    assert state.tries == 2, "the boot script has counted one boot"


@slow
def test_a_run_whose_power_was_cut_sends_what_is_missing(tmp_path: Path) -> None:
    image, key = signed_image(tmp_path, 140 * KIB)
    disk = blank(tmp_path / "disk", flash_table().octets)
    with Machine(tmp_path, disk) as machine:
        cut = threading.Thread(target=cut_at_the_second_piece_of_the_slot, args=(machine,))
        cut.start()
        first = run_tool(machine, image, key)
        cut.join()
    assert first.status == session.NO_PORT
    assert "has gone away" in first.result["failure"]
    assert state_on(disk) is None, "what is not whole is not booted"
    with Machine(tmp_path, disk) as machine:
        second = run_tool(machine, image, key)
    assert (second.status, second.result["failure"]) == (session.REGISTERED, "")
    assert second.sent < second.events[-2].get("total", 10**9)
    assert second.sent <= image.stat().st_size + TABLE_OCTETS - 64 * KIB
    assert holds(disk, "a", image)


def cut_at_the_second_piece_of_the_slot(machine: Machine) -> None:
    end = time.monotonic() + 90
    write = f"virtio write 42000000 {flash_table().slot_a.offset // 512 + 128:x} 80"
    while write not in machine.console() and time.monotonic() < end:
        time.sleep(0.05)
    while machine.console().rpartition(write)[2].count("loady") < 1 and time.monotonic() < end:
        time.sleep(0.05)
    machine.kill()


@needs_netns
def test_a_blank_disk_is_flashed_by_tftp(tmp_path: Path) -> None:
    image, key = signed_image(tmp_path, 6 * MIB)
    disk = blank(tmp_path / "disk", flash_table().octets)
    how = ("--via", "tftp", "--address", BOARD, "--server", SERVER)
    with namespace() as net, Machine(tmp_path, disk, network=TAP, netns=net) as machine:
        tool = run_tool(machine, image, key, *how, netns=net)
    assert (tool.status, tool.result["failure"]) == (session.REGISTERED, "")
    assert holds(disk, "a", image)
    assert tool.sent >= 6 * MIB


@contextlib.contextmanager
def dnsmasq(net: str, folder: Path) -> Iterator[Path]:
    """Gives boards in the namespace their addresses; its log."""
    log = folder / "dnsmasq.log"
    command = [
        *("ip", "netns", "exec", net, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null"),
        *("--port=0", "--interface=tap0", "--bind-interfaces", "--user=root", "--pid-file="),
        *("--dhcp-range=192.0.2.50,192.0.2.60,5m", f"--dhcp-leasefile={folder}/leases"),
        *("--log-dhcp", f"--log-facility={log}"),
    ]
    process = subprocess.Popen(command)
    try:
        yield log
    finally:
        process.terminate()
        process.wait(10)


@needs_netns
@pytest.mark.interop
@pytest.mark.skipif(shutil.which("dnsmasq") is None, reason="needs dnsmasq-base")
def test_a_board_gets_its_address_by_dhcp(tmp_path: Path) -> None:
    """Given a network with a DHCP server and no `--address`, the board takes what it is given."""
    image, key = signed_image(tmp_path, 300 * KIB)
    disk = blank(tmp_path / "disk", flash_table().octets)
    how = ("--via", "tftp", "--server", SERVER)
    with (
        namespace() as net,
        Machine(tmp_path, disk, network=TAP, netns=net) as machine,
        dnsmasq(net, tmp_path) as log,
    ):
        tool = run_tool(machine, image, key, *how, netns=net)
    assert (tool.status, tool.result["failure"]) == (session.REGISTERED, "")
    assert holds(disk, "a", image)
    assert "DHCPACK(tap0) 192.0.2.5" in log.read_text()
