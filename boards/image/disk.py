"""A whole disk or card for a board that starts from one: written by `dd`, then it boots slot a.

Its first part is FAT and holds what the board's own firmware wants there; it is made by mtools, the
same octets each time. Behind it stands what the flasher would write: boot state and slot.
"""

from __future__ import annotations

import os
import shutil
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path

from boards.board import Board
from boards.boot_part import SCRIPT_NAME, first_sector, legacy_image
from boards.boot_script import script
from boards.hardware import Disk, Flash
from boards.image.compiled import run
from boards.image.lock import ImageBuildError
from boards.slot import TABLE_OCTETS, decode_table, slot_octets
from boards.state import installed

Write = tuple[int, bytes]
"""Offset and octets."""
PROGRAMS = {
    "raspberry-pi": {"mtools": "mformat"},
    "grub": {"mtools": "mformat", "grub-common": "grub-mkimage"},
}
"""By loader: Debian packages that a disk is made by, and a program of each."""
_FAT16 = 0x0E
_ESP = 0xEF
_FOR_BOTH = (
    *("part_msdos", "fat", "normal", "linux", "serial", "terminal", "regexp", "test", "echo"),
    *("sleep", "reboot"),
)
_FOR_BIOS = ("biosdisk", *_FOR_BOTH)
_FOR_EFI = ("efi_gop", *_FOR_BOTH)
_SERIAL = "4C4F4F50"
_SECTOR = 512


def missing(disk: Disk) -> list[str]:
    """Debian packages that have to be installed first."""
    return [
        name for name, program in PROGRAMS[disk.loader].items() if shutil.which(program) is None
    ]


def card(board: Board, image: bytes, unpacked: Path, work: Path, time: int) -> Iterator[Write]:
    """What stands where on a card that a Raspberry Pi's firmware boots: offset and octets.

    Args:
        image: for slot a.
        unpacked: the packages that `[disk]` names, and the kernel's.
        work: folder for the first part; made.
        time: that files bear, seconds since 1970.
    Raises:
        ImageBuildError: a file is not there, or the part is too small.
    """
    assert board.disk is not None
    assert board.flash is not None
    folder = work / "boot"
    folder.mkdir(parents=True)
    for pattern in board.disk.files:
        found = sorted(unpacked.glob(pattern))
        if not found:
            raise ImageBuildError(f"there is no {pattern} in the packages of [disk]: correct files")
        for path in found:
            shutil.copyfile(path, folder / path.name)
    for name, text in board.disk.texts.items():
        (folder / name).write_text(text.lstrip())
    (folder / SCRIPT_NAME).write_bytes(legacy_image(script(board)))
    yield 0, first_sector(board.flash, _FAT16)
    yield board.flash.boot.offset, file_system(folder, board.flash.boot.octets, work, time)
    yield board.flash.state.offset, installed("a").to_bytes()
    yield board.flash.slot_a.offset, slot_octets(image, board.name)


def pc(
    board: Board, image: bytes, rescue: bytes, unpacked: Path, work: Path, time: int
) -> Iterator[Write]:
    """What stands where on a disk that a PC boots by BIOS or UEFI: offset and octets.

    GRUB stands in the first part, and before it for the BIOS; it starts the rescue system, which
    chooses a slot.

    Args:
        image: for slot a.
        rescue: the rescue system's image.
        unpacked: the packages that `[disk]` names.
        work: folder for the first part; made.
        time: that files bear, seconds since 1970.
    Raises:
        ImageBuildError: GRUB cannot be made, or does not fit.
    """
    assert board.flash is not None
    assert board.console is not None
    flash, folder = board.flash, work / "boot"
    efi = folder / "EFI" / "BOOT"
    efi.mkdir(parents=True)
    place = slot_octets(rescue, board.name)
    (folder / "grub.cfg").write_text(menu(board, flash, place))
    (efi / "BOOTX64.EFI").write_bytes(_grub(unpacked, "x86_64-efi", _FOR_EFI, work))
    core = _grub(unpacked, "i386-pc", _FOR_BIOS, work)
    first = (unpacked / "usr/lib/grub/i386-pc/boot.img").read_bytes()[:440]
    if _SECTOR + len(core) > flash.state.offset:
        raise ImageBuildError("GRUB does not fit before the boot state: move [flash.state]")
    yield 0, first + first_sector(flash, _ESP)[440:]
    yield _SECTOR, core
    yield flash.boot.offset, file_system(folder, flash.boot.octets, work, time)
    yield flash.rescue.offset, place
    yield flash.state.offset, installed("a").to_bytes()
    yield flash.slot_a.offset, slot_octets(image, board.name)


def _grub(unpacked: Path, platform: str, modules: tuple[str, ...], work: Path) -> bytes:
    output = work / f"grub-{platform}"
    modules_folder = unpacked / "usr" / "lib" / "grub" / platform
    run(
        *("grub-mkimage", "-O", platform, "-d", str(modules_folder), "-o", str(output)),
        *("-p", "(,msdos1)/", *modules),
    )
    return output.read_bytes()


def menu(board: Board, flash: Flash, place: bytes) -> str:
    """GRUB's menu: the rescue system is read by the numbers of its blocks."""
    assert board.kernel is not None
    assert board.console is not None
    table = decode_table(place[:TABLE_OCTETS])
    assert table is not None
    blocks = {
        part.name: f"{(flash.rescue.offset + part.offset) // _SECTOR}+{-(-part.octets // _SECTOR)}"
        for part in table[1]
    }
    text = string.Template((Path(__file__).parent / "system" / "grub.cfg").read_text())
    return text.substitute(
        kernel=blocks["kernel"],
        initramfs=blocks["initramfs"],
        words=board.kernel.command_line,
        baud=board.console.baud,
    )


def write(path: Path, octets: int, writes: Iterator[Write]) -> None:
    """Make the disk's file, which takes no room where nothing stands."""
    with path.open("wb") as stream:
        stream.truncate(octets)
        for offset, body in writes:
            stream.seek(offset)
            stream.write(body)


def file_system(folder: Path, octets: int, work: Path, time: int) -> bytes:
    """A FAT file system with all that is in a folder.

    Raises:
        ImageBuildError: it does not fit, or mtools is not there.
    """
    part = work / "part"
    with part.open("wb") as stream:
        stream.truncate(octets)
    sectors = str(octets // _SECTOR)
    shape = ("-T", sectors, "-h", "16", "-s", "63", "-N", _SERIAL, "-v", "BOOT")
    _mtools(time, "mformat", "-i", str(part), *shape, "::")
    for path in sorted(folder.rglob("*")):
        os.utime(path, (time, time))
        name = f"::{path.relative_to(folder).as_posix()}"
        if path.is_dir():
            _mtools(time, "mmd", "-i", str(part), name)
        else:
            _mtools(time, "mcopy", "-m", "-i", str(part), str(path), name)
    return part.read_bytes()


def _mtools(time: int, *command: str) -> None:
    environment = {
        **os.environ,
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(time),
        "MTOOLSRC": os.devnull,
    }
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except FileNotFoundError:
        what = f"there is no program {command[0]}: run `sudo apt-get install mtools`"
        raise ImageBuildError(what) from None
    if done.returncode:
        raise ImageBuildError(f"{command[0]} says: {done.stderr.strip()[-300:]}")
