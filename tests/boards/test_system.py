"""A whole system in QEMU, from an image that `python3 tasks.py image --board qemu-arm64` has built.

Tests are skipped where there is none: an image consists of packages that CI does not download.
"""

from __future__ import annotations

import gzip
import os
import shutil
import time
from pathlib import Path

import pytest

from boards.image.cpio import archive
from boards.keys import REPOSITORY
from boards.slot import TABLE_OCTETS, decode_table, slot_octets
from boards.state import TRIES, BootState, newest
from firmware.wire.image import assemble
from tests.boards.machine import Machine, needs_qemu
from tests.boards.system import CONFIG, FLASH, NETWORK, Console, lay_out, measure, over_limits
from tests.boards.test_flash_real import run_command

IMAGE = Path(os.environ.get("LOOPSTART_IMAGE") or REPOSITORY / ".cache" / "qemu-arm64-1.img")
PATIENCE_S = 120
"""For what takes seconds: a computer with other work is not what is judged."""
BUSYBOX = REPOSITORY / ".cache" / "build" / "qemu-arm64" / "root" / "bin" / "busybox"
pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    needs_qemu,
    pytest.mark.skipif(
        not IMAGE.exists() or not BUSYBOX.exists(),
        reason="needs an image: run `python3 tasks.py image --board qemu-arm64`",
    ),
]


def state_on(disk: Path) -> BootState:
    with disk.open("rb") as stream:
        stream.seek(FLASH.state.offset)
        blocks = stream.read(0x2000)
    found = newest(blocks[:0x1000], blocks[0x1000:])
    assert found is not None
    return found[1]


def test_it_registers_and_gives_dial_tone_within_its_limits(tmp_path: Path) -> None:
    found = measure(IMAGE, tmp_path, counted=True)
    print(found)
    assert over_limits(found) == []


def test_it_keeps_what_it_is_given_listens_to_nobody_and_is_marked_good(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    lay_out(disk, IMAGE.read_bytes(), {})
    with Machine(tmp_path, disk, network=NETWORK) as machine:
        console = Console(machine.port)
        machine.power_on()
        console.shell()
        console.until("starting a, tries left: 2", PATIENCE_S)
        console.until("not provisioned: there is no /etc/loopstart/ata.toml", PATIENCE_S)
        console.type("netstat -ltn | grep -c LISTEN; echo LISTENERS")
        assert console.until(r"(\d+)\s+LISTENERS\r?\n", PATIENCE_S)[1] == "0"
        console.type("touch /usr/x; touch /etc/loopstart/kept; sync; mount | grep /etc/loopstart")
        console.until("Read-only file system", PATIENCE_S)
        console.until("on /etc/loopstart type ext4", PATIENCE_S)
        console.type("loopstart-state good 1 a; reboot -f")
        console.until("slot=a tries=3 good=1 floor=0 a=1 b=none", PATIENCE_S)
        console.shell()
        console.until("not provisioned", PATIENCE_S)
        console.type("ls /etc/loopstart")
        console.until("kept", PATIENCE_S)
        console.close()


def test_a_board_that_nobody_provisions_never_comes_to_rescue(tmp_path: Path) -> None:
    """However often it is switched on: the try that a start took is given back. Nothing is good for
    it, and the floor stays."""
    disk = tmp_path / "disk"
    lay_out(disk, IMAGE.read_bytes(), {})
    for _ in range(TRIES + 2):
        with Machine(tmp_path, disk, network=NETWORK) as machine:
            machine.power_on()
            end = time.monotonic() + PATIENCE_S
            while state_on(disk).tries == TRIES and time.monotonic() < end:
                time.sleep(0.1)
            assert state_on(disk).tries == TRIES - 1, machine.console()[-1500:]
            machine.wait_for("not provisioned: there is no /etc/loopstart/ata.toml", PATIENCE_S)
            while state_on(disk).tries < TRIES and time.monotonic() < end:
                time.sleep(0.1)
            state = state_on(disk)
            assert (state.slot, state.tries, state.good, state.floor) == ("a", TRIES, 0, 0)


def test_a_system_whose_program_hangs_is_reset(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    lay_out(disk, IMAGE.read_bytes(), {"ata.toml": CONFIG.format(port=9)})
    with Machine(tmp_path, disk, network=NETWORK) as machine:
        console = Console(machine.port)
        machine.power_on()
        console.shell()
        console.until("runs from slot", 120)
        # It is fed while all is well, past the minute that the watchdog has.
        with pytest.raises(TimeoutError):
            console.until(r"U-Boot 20\d\d", 80)
        console.type("echo 999999 >/run/alive")
        console.until(r"U-Boot 20\d\d", 100)
        console.close()


def test_a_loop_that_hangs_restarts_the_board_within_a_minute(tmp_path: Path) -> None:
    """Given a program that lives and does nothing any more, as if its loop hung."""
    disk = tmp_path / "disk"
    lay_out(disk, IMAGE.read_bytes(), {"ata.toml": CONFIG.format(port=9)})
    with Machine(tmp_path, disk, network=NETWORK) as machine:
        console = Console(machine.port)
        machine.power_on()
        console.shell()
        console.until("runs from slot", 120)
        console.type("until [ -S /run/loopstart/handset ]; do sleep 1; done; echo BEA''TS")
        console.until(r"BEATS\r?\n", 120)
        console.type("sleep 5; kill -STOP $(cat /run/alive); echo HAN''GS")
        console.until(r"HANGS\r?\n", 30)
        began = time.monotonic()
        console.until("the program hangs: restarting", 60)
        console.until(r"U-Boot 20\d\d", 30)
        assert time.monotonic() - began < 60
        console.close()


def hold(console: Console, machine: Machine, words: str, seconds: float) -> None:
    """Hold the key until the board says so, and a while longer, as people do."""
    end, longer = time.monotonic() + seconds, 0
    while longer < 30:
        assert time.monotonic() < end, machine.console()[-1500:]
        longer += words in machine.console()
        console.key("r")
        time.sleep(0.1)


@pytest.mark.parametrize("how", ["cable", "button"])
def test_the_defaults_come_back(tmp_path: Path, how: str) -> None:
    """Given a board with its configuration and its owner's settings, they are cleared by the tool
    at the other end of the cable, or by the key that is held on the console; both slots, and what
    boots, are as they were, and not an octet of the secret is left on the disk."""
    disk = tmp_path / "disk"
    secret = "k7-Secret-Of-Nobody-Else"
    lay_out(disk, IMAGE.read_bytes(), {"ata.toml": CONFIG.format(port=9).replace("secret", secret)})
    with disk.open("rb") as stream:
        before = stream.read()
    assert secret.encode() in before
    with Machine(tmp_path, disk, network=NETWORK) as machine:
        if how == "cable":
            said = run_command("factory_reset", machine)
            assert (said.status, said.result["failure"]) == (0, "")
        else:
            console = Console(machine.port)
            machine.power_on()
            console.until("runs from slot", 120)
            # A button that is held since before it was watched asks for nothing. What is watched is
            # not echoed.
            end = time.monotonic() + 120
            while time.monotonic() < end:
                typed = machine.console().count("~")
                console.key("~")
                time.sleep(2)
                if machine.console().count("~") == typed:
                    break
            hold(console, machine, "let go, and the defaults are restored", 120)
            assert "factory reset" not in machine.console(), "not before the key is let go of"
            machine.wait_for("factory reset: done", 120)
            console.close()
        assert "factory reset: done" in machine.console()
        machine.wait_for("not provisioned: there is no /etc/loopstart/ata.toml", 120)
    after = disk.read_bytes()
    assert secret.encode() not in after
    for region in (FLASH.boot, FLASH.slot_a, FLASH.slot_b, FLASH.rescue):
        assert after[region.offset : region.end] == before[region.offset : region.end]
    state = state_on(disk)
    assert (state.slot, state.good) == ("a", 0)


def test_a_kernel_that_never_comes_to_its_system_is_reset_and_counted(tmp_path: Path) -> None:
    table = decode_table(slot_octets(IMAGE.read_bytes(), "qemu-arm64")[:TABLE_OCTETS])
    assert table is not None
    kernel = next(part for part in table[1] if part.name == "kernel")
    at = kernel.offset - TABLE_OCTETS
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    shutil.copyfile(BUSYBOX, tree / "bin" / "busybox")
    (tree / "init").write_text("#!/bin/busybox sh\nwhile :; do /bin/busybox sleep 1000; done\n")
    for path in (tree / "init", tree / "bin" / "busybox"):
        path.chmod(0o755)
    hangs = assemble(
        "qemu-arm64",
        1,
        "hangs",
        {
            "kernel": IMAGE.read_bytes()[at : at + kernel.octets],
            "initramfs": gzip.compress(archive(tree, 0, {"dev/console": (5, 1)})),
            "root": b"root",
        },
        None,
    )
    disk = tmp_path / "disk"
    lay_out(disk, hangs, {})
    with Machine(tmp_path, disk, network=NETWORK) as machine:
        console = Console(machine.port)
        machine.power_on()
        console.until("Starting kernel", PATIENCE_S)
        console.until(r"U-Boot 20\d\d", PATIENCE_S)
        console.until("starting a, tries left: 1", PATIENCE_S)
        console.close()
    assert state_on(disk).tries == 1
