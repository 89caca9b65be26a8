"""The part that U-Boot starts from: programs of others read it, and it is always the same."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from boards.board import Board, load_board
from boards.boot_part import boot_part, file_system, first_sector
from boards.boot_script import script
from boards.hardware import Flash

BOARD = load_board("qemu-arm64")
assert BOARD.flash is not None
FLASH: Flash = BOARD.flash


def without(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


def said_by(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """The whole part, with what may stand behind the file system's used beginning."""
    path = tmp_path / "part"
    octets = boot_part(BOARD)
    path.write_bytes(octets + b"\xa5" * (FLASH.boot.octets - len(octets)))
    return path


@pytest.mark.interop
@without("fsck.vfat")
def test_dosfstools_find_nothing_wrong(part: Path) -> None:
    clusters = -(-(64 + 8 + len(script(BOARD))) // 4096)  # behind U-Boot's header
    assert f"1 files, {clusters}/" in said_by("fsck.vfat", "-n", part)


@pytest.mark.interop
@without("mcopy", "dumpimage")
def test_mtools_and_uboots_tools_find_the_script(part: Path, tmp_path: Path) -> None:
    image, text = tmp_path / "boot.scr", tmp_path / "text"
    said_by("mcopy", "-i", part, "::boot.scr", image)
    assert "Image Type:   ARM Linux Script (uncompressed)" in said_by("dumpimage", "-l", image)
    said_by("dumpimage", "-T", "script", "-p", "0", "-o", text, image)
    head = 8  # the table of lengths, which dumpimage leaves before a script
    assert text.read_bytes()[head:].decode() == script(BOARD)


@pytest.mark.interop
@without("fsck.vfat", "mcopy")
@pytest.mark.parametrize("octets", [0, 1, 4096, 4097, 100_000, 1_000_000])
def test_a_file_of_any_length_comes_back(octets: int, tmp_path: Path) -> None:
    part, copy = tmp_path / "part", tmp_path / "copy"
    body = bytes(range(251)) * 5000
    part.write_bytes(file_system(14336, "some.fil", body[:octets]).ljust(14336 * 512, b"\0"))
    assert said_by("fsck.vfat", "-n", part)
    said_by("mcopy", "-i", part, "::some.fil", copy)
    assert copy.read_bytes() == body[:octets]


@pytest.mark.interop
@without("file")
def test_the_first_sector_names_boot_and_persistent(tmp_path: Path) -> None:
    sector = first_sector(FLASH)
    assert len(sector) == 512
    path = tmp_path / "sector"
    path.write_bytes(sector.ljust(FLASH.boot.offset, b"\0") + boot_part(BOARD))
    said = said_by("file", "-b", path)
    boot, persistent = FLASH.boot, FLASH.persistent
    assert f"startsector {boot.offset // 512}, {boot.octets // 512} sectors" in said
    assert f"startsector {persistent.offset // 512}, {persistent.octets // 512} sectors" in said
    assert "active" in said


def test_the_same_board_has_the_same_part() -> None:
    assert boot_part(load_board("qemu-arm64")) == boot_part(BOARD)


def test_a_board_without_flash_or_boot_has_none() -> None:
    with pytest.raises(ValueError, match=r"sim has no \[flash\]"):
        boot_part(load_board("sim"))
    board: Board = replace(BOARD, boot=None)
    with pytest.raises(ValueError, match=r"has no \[boot\]"):
        boot_part(board)


def test_a_part_of_no_use_is_refused() -> None:
    with pytest.raises(ValueError, match="make it bigger"):
        file_system(64, "boot.scr", bytes(40_000))
    with pytest.raises(ValueError, match="at most"):
        file_system(100_000, "boot.scr", b"")
