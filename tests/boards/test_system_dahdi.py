"""A PC from the disk that `python3 tasks.py image --board pc-dahdi` has made, in QEMU.

By BIOS and UEFI: GRUB, the system that chooses a slot, DAHDI's driver with spans in software.
Tests are skipped where there is none: an image consists of packages that CI does not download.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from boards.board import load_board
from boards.keys import REPOSITORY
from tests.boards.machine import PC, Machine, Platform, needs_pc
from tests.boards.system import NETWORK, SIP_CONFIG, Console

DISK = REPOSITORY / ".cache" / "pc-dahdi-1.disk"
BOARD = load_board("pc-dahdi")
assert BOARD.flash is not None
FLASH = BOARD.flash
UEFI = Path("/usr/share/ovmf/OVMF.fd")
CONFIG = SIP_CONFIG.format(port=9).replace("qemu-x86_64", "pc-dahdi")
SPANS = """dynamic=loc,1:0,1,0
dynamic=loc,1:1,1,0
fxoks=1
fxsks=2
echocanceller=mg2,1
loadzone=us
defaultzone=us
"""
pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    needs_pc,
    pytest.mark.skipif(
        not DISK.exists(), reason="needs an image: run `python3 tasks.py image --board pc-dahdi`"
    ),
]
CARD = ("-M", "q35", "-m", "512")


def machine(folder: Path, files: dict[str, str], firmware: tuple[str, ...] = ()) -> Machine:
    """A PC with that disk on its AHCI, and these files in the persistent part."""
    shutil.copyfile(DISK, folder / "disk")
    if files:
        put(folder / "disk", files)
    platform = Platform(PC.qemu, (*CARD, *firmware), "ide-hd", PC.watchdog)
    return Machine(folder, folder / "disk", network=NETWORK, platform=platform)


def put(disk: Path, files: dict[str, str]) -> None:
    """Files into the persistent part, which is made as the image's init makes it."""
    with tempfile.TemporaryDirectory() as place:
        for name, text in files.items():
            (Path(place) / name).write_text(text)
        how = ("-q", "-t", "ext4", "-b", "4096", "-g", "4096", "-I", "4096", "-N", "512")
        part, size = f"{disk}.part", str(FLASH.persistent.octets // 4096)
        subprocess.run(["/sbin/mke2fs", *how, "-d", place, part, size], check=True)
    with disk.open("r+b") as stream:
        stream.seek(FLASH.persistent.offset)
        stream.write(Path(part).read_bytes())


def test_it_boots_by_bios_and_opens_its_line_on_dahdi(tmp_path: Path) -> None:
    with machine(tmp_path, {"ata.toml": CONFIG, "system.conf": SPANS}) as pc:
        console = Console(pc.port)
        pc.power_on()
        console.until("Loopstart: starting a, tries left: 2", 90)
        console.until("Loopstart: version 1 runs from slot a", 120)
        console.until("event=state line=on_hook", 120)
        console.close()


def test_without_a_card_it_says_why_its_line_is_not_there(tmp_path: Path) -> None:
    with machine(tmp_path, {"ata.toml": CONFIG}) as pc:
        console = Console(pc.port)
        pc.power_on()
        console.until("Loopstart: version 1 runs from slot a", 180)
        console.until("(?i)dahdi.*channel", 90)
        console.until("the program has ended with status 3", 60)
        console.close()


@pytest.mark.skipif(not UEFI.exists(), reason="ovmf is not installed")
def test_it_boots_by_uefi(tmp_path: Path) -> None:
    with machine(tmp_path, {}, ("-bios", str(UEFI))) as pc:
        console = Console(pc.port)
        pc.power_on()
        console.until("Loopstart: starting a, tries left: 2", 120)
        console.until("Loopstart: version 1 runs from slot a", 120)
        console.close()


def test_a_damaged_slot_is_given_up_and_rescue_is_there(tmp_path: Path) -> None:
    with machine(tmp_path, {}) as pc:
        with (tmp_path / "disk").open("r+b") as stream:
            stream.seek(FLASH.slot_a.offset + 0x100000)
            stream.write(bytes(4096))
        console = Console(pc.port)
        pc.power_on()
        console.until("a is damaged", 90)
        console.until("rescue: this is pc-dahdi; no slot has proved good", 60)
        console.close()
