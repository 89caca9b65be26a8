"""A Raspberry Pi's card, as `python3 tasks.py image --board rpi-ag1171` makes it.

What is on it, and how far QEMU's model of a Pi 3 boots it: without Broadcom's firmware, network and
SLIC. Tests are skipped where there is none: it consists of packages that CI does not download.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from boards.board import load_board
from boards.keys import REPOSITORY

CARD = REPOSITORY / ".cache" / "rpi-ag1171-1.disk"
BUILD = REPOSITORY / ".cache" / "build" / "rpi-ag1171"
BOARD = load_board("rpi-ag1171")
assert BOARD.flash is not None
FLASH = BOARD.flash
pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not CARD.exists() or not BUILD.exists(),
        reason="needs an image: run `python3 tasks.py image --board rpi-ag1171`",
    ),
]
needs_mtools = pytest.mark.skipif(shutil.which("mdir") is None, reason="mtools is not installed")
needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-aarch64") is None, reason="needs qemu-system-arm"
)
PART = f"{CARD}@@{FLASH.boot.offset}"


@needs_mtools
def test_the_first_part_has_what_a_pi_looks_for() -> None:
    said = subprocess.run(
        ["mdir", "-b", "-i", PART, "::"], capture_output=True, text=True, check=True
    ).stdout
    names = {line.removeprefix("::/") for line in said.split()}
    assert {"bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat"} <= names
    assert {"config.txt", "u-boot.bin", "boot.scr"} <= names
    assert {"bcm2711-rpi-4-b.dtb", "bcm2837-rpi-3-b.dtb"} <= names
    config = subprocess.run(
        ["mtype", "-i", PART, "::config.txt"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"arm_64bit=1", "enable_uart=1", "kernel=u-boot.bin"} <= set(config)
    table = CARD.open("rb").read(512)
    assert table[446 + 4] == 0x0E, "a Pi's first stage looks for FAT"
    checked = subprocess.run(["fsck.vfat", "-n", str(BUILD / "disk" / "part")], check=False)
    assert checked.returncode == 0


def test_the_root_has_the_program_and_what_it_drives_the_slic_by() -> None:
    listed = subprocess.run(
        ["unsquashfs", "-l", "-d", "", str(BUILD / "root.squashfs")],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    names = "\n".join(listed)
    for wanted in (
        "firmware/app.py",
        "hal/drivers/gpio.py",
        "gpiod/_ext.",
        "boards/rpi-ag1171.toml",
    ):
        assert f"/usr/lib/loopstart/{wanted}" in names
    assert "/usr/lib/loopstart/alsaaudio.cpython-311-aarch64-linux-gnu.so" in listed
    assert "/usr/lib/aarch64-linux-gnu/libasound.so.2" in listed
    assert "/usr/share/alsa/alsa.conf" in listed
    assert "/usr/lib/loopstart/pjsua2" not in listed
    modules = (BUILD / "initramfs" / "modules").read_text().split()
    wanted_modules = {"snd-usb-audio.ko", "genet.ko", "smsc95xx.ko", "ext4.ko", "bcm2835_wdt.ko"}
    assert wanted_modules <= set(modules)
    module = BUILD / "root/usr/lib/loopstart/alsaaudio.cpython-311-aarch64-linux-gnu.so"
    assert module.read_bytes()[18:20] == b"\xb7\0", "of AArch64 (ELF e_machine)"


@needs_qemu
def test_qemus_pi_boots_the_card_to_its_system(tmp_path: Path) -> None:
    """U-Boot's script counts the try on the card, and the kernel finds its root there."""
    shutil.copyfile(CARD, tmp_path / "card")
    boot = BUILD / "disk" / "boot"
    command = [
        *("qemu-system-aarch64", "-M", "raspi3b", "-display", "none"),
        *("-kernel", str(boot / "u-boot.bin"), "-dtb", str(boot / "bcm2837-rpi-3-b.dtb")),
        *("-drive", f"file={tmp_path}/card,if=sd,format=raw", "-serial", "null"),
        *("-serial", f"file:{tmp_path}/console"),
    ]
    said, end = "", time.monotonic() + 180
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            while "Loopstart: version 1 runs from slot a" not in said and time.monotonic() < end:
                time.sleep(0.5)
                console = tmp_path / "console"
                said = console.read_text("ascii", "replace") if console.exists() else ""
        finally:
            process.kill()
    assert "Loopstart: starting a, tries left: 2" in said, said[-1500:]
    assert "Loopstart: version 1 runs from slot a" in said, said[-1500:]
