"""Power cuts while a board is flashed and boots: it always boots a whole version afterwards.

A recording of what QEMU's disk was written is cut at seeded places. `LOOPSTART_CUTS` says at how
many, `LOOPSTART_REAL_CUTS` on how many of them U-Boot itself is booted.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from boards.boot_part import boot_part, first_sector
from boards.slot import TABLE_OCTETS, slot_octets
from boards.state import installed, marked_good, next_write
from tests.boards.cuts import BOARD, FLASH, boots, phase, places, whole
from tests.boards.images import signed_image
from tests.boards.machine import Machine, blank, needs_qemu
from tests.boards.test_flash_real import run_tool
from tests.boards.write_log import Disk, Request, cut, parse, recording

KIB = 1024
CUTS = int(os.environ.get("LOOPSTART_CUTS", "100"))
REAL_CUTS = int(os.environ.get("LOOPSTART_REAL_CUTS", "2"))


@dataclass(frozen=True, slots=True)
class Recording:
    """A board that runs version 1 was given version 2, and booted it."""

    base: Path
    """Its disk before."""
    requests: list[Request]


def says(version: int) -> bytes:
    return f"0 info event=registered server=version{version} status=200\r\n".encode()


def running_version_1(folder: Path) -> Path:
    """The disk of a board both of whose slots have proved good; the one in use is a."""
    image, _ = signed_image(folder, 20 * KIB, version=1, says=says(1))
    disk = blank(folder / "disk", FLASH.octets)
    blocks = bytes(4096), bytes(4096)
    good = replace(marked_good(installed("a"), 1, None), good=3)
    index, octets = next_write(*blocks, good)
    slot = slot_octets(image.read_bytes(), BOARD.name)
    with disk.open("r+b") as stream:
        for offset, what in (
            (0, first_sector(FLASH)),
            (FLASH.boot.offset, boot_part(BOARD)),
            (FLASH.slot_a.offset, slot),
            (FLASH.slot_b.offset, slot),
            (FLASH.state_blocks[index], octets),
        ):
            stream.seek(offset)
            stream.write(what)
    return disk


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("cuts")
    base = running_version_1(folder)
    image, key = signed_image(folder, 100 * KIB, version=2, says=says(2))
    disk, log = folder / "written", folder / "log"
    Disk(base).save(disk)
    with Machine(folder, disk, drive=recording(disk, log)) as machine:
        tool = run_tool(machine, image, key)
    assert (tool.status, tool.result["server"]) == (0, "version2")
    return Recording(base, parse(log))


@needs_qemu
@pytest.mark.timeout(300)
def test_the_recording_is_what_it_is_taken_for(recorded: Recording) -> None:
    phases = [phase(one) for one in recorded.requests]
    assert {"slot_b", "state", "flush"} >= set(phases), "nothing else of the flash is written"
    written = [one for one in phases if one != "flush"]
    assert written[0] == "state", "the slot is no longer good before its first octet changes"
    assert written[-1] == "state", "the boot script counts the boot"
    end = cut(recorded.base, recorded.requests, len(recorded.requests) - 1, 0)
    assert whole(end, FLASH.slot_b.offset) == 2


@needs_qemu
@pytest.mark.timeout(300)
def test_a_board_boots_after_any_cut(
    recorded: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    came: dict[str, dict[int | None, int]] = {}
    for index, seed in places(recorded.requests, CUTS, ("state",)):
        version = boots(cut(recorded.base, recorded.requests, index, seed))
        where = came.setdefault(phase(recorded.requests[index]), {})
        where[version] = where.get(version, 0) + 1
        assert version in (1, 2), f"cut within request {index} by seed {seed}"
    with capsys.disabled():
        for name, versions in sorted(came.items()):
            told = ", ".join(f"version {v} {n} times" for v, n in sorted(versions.items()) if v)
            print(f"\n  {sum(versions.values())} cuts within {name}: {told}", end="")
    assert sum(came["slot_b"].values()) >= CUTS * 6 // 10
    assert sum(came["state"].values()) >= CUTS * 2 // 10


@needs_qemu
@pytest.mark.timeout(300)
def test_a_board_that_does_not_boot_would_be_found_out(recorded: Recording) -> None:
    within = [at for at, one in enumerate(recorded.requests) if phase(one) == "slot_b"][1]
    disk = cut(recorded.base, recorded.requests, within, 1)
    disk.write(FLASH.slot_a.offset, bytes(TABLE_OCTETS))
    assert boots(disk) is None


@needs_qemu
@pytest.mark.timeout(600)
def test_u_boot_boots_what_is_expected_after_a_cut(recorded: Recording, tmp_path: Path) -> None:
    for index, seed in places(recorded.requests, 6 * REAL_CUTS, ("state",))[::6]:
        expected = boots(cut(recorded.base, recorded.requests, index, seed))
        path = tmp_path / "disk"
        cut(recorded.base, recorded.requests, index, seed).save(path)
        folder = tmp_path / str(seed)
        folder.mkdir()
        with Machine(folder, path) as machine:
            machine.power_on()
            said = machine.wait_for("event=registered", 60)
        assert f"server=version{expected}" in said, f"request {index}, seed {seed}"
