"""The boot script in a real U-Boot: it goes and writes as `boards.state.boot` says.

One U-Boot runs the script again and again over a disk that the test changes between.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import serial

from boards.board import Board, load_board
from boards.boot_part import boot_part, first_sector
from boards.hardware import Flash
from boards.slot import slot_octets
from boards.state import BootState, Slot, boot, newest, next_write
from firmware.wire.image import assemble
from tests.boards.machine import Machine, blank, needs_qemu

pytestmark = [pytest.mark.interop, needs_qemu]
SEEDS = 60
REAL = load_board("qemu-arm64")
assert REAL.flash is not None
assert REAL.boot is not None
FLASH: Flash = REAL.flash
SAYS = ('echo "STARTED ${{system}} OF ${{version}} WITH ${{bootargs}}"', "setenv system rescue")
"""The last keeps the script from a reset, which follows where a kernel could not be started."""
BOARD: Board = replace(REAL, boot=replace(REAL.boot, start=SAYS, held=(), watchdog=()))
PLACES = {"a": FLASH.slot_a, "b": FLASH.slot_b, "rescue": FLASH.rescue}
Blocks = tuple[bytes, bytes]


def image(version: int, root: bool = True) -> bytes:
    parts = {"kernel": b"kernel" * 500, "initramfs": bytes([version]) * 5000}
    return assemble("qemu-arm64", version, "x", parts | ({"root": b"root"} if root else {}), None)


SYSTEMS = {
    "a": slot_octets(image(0xA), "qemu-arm64"),
    "b": slot_octets(image(0xB), "qemu-arm64"),
    "rescue": slot_octets(image(0xC, root=False), "qemu-arm64"),
}


class Disk:
    """The board's flash, seen from outside."""

    def __init__(self, path: Path) -> None:
        self.path = blank(path, FLASH.octets)
        self.put(0, first_sector(FLASH))
        self.put(FLASH.boot.offset, boot_part(BOARD))

    def put(self, offset: int, octets: bytes) -> None:
        with self.path.open("r+b") as stream:
            stream.seek(offset)
            stream.write(octets)

    def fill(self, damaged: dict[str, int]) -> None:
        """All three systems; of the damaged ones, the octet at that place is another."""
        for name, octets in SYSTEMS.items():
            body = bytearray(octets)
            if name in damaged:
                body[damaged[name]] ^= 0xFF
            self.put(PLACES[name].offset, bytes(body))

    @property
    def blocks(self) -> Blocks:
        with self.path.open("rb") as stream:
            stream.seek(FLASH.state.offset)
            octets = stream.read(0x2000)
        return octets[:0x1000], octets[0x1000:]

    @blocks.setter
    def blocks(self, blocks: Blocks) -> None:
        self.put(FLASH.state.offset, b"".join(blocks))


@dataclass
class Loader:
    """U-Boot at its prompt."""

    port: serial.Serial
    disk: Disk

    def said(self, until: str, seconds: float = 20) -> str:
        end, text = time.monotonic() + seconds, ""
        while until not in text:
            assert time.monotonic() < end, text
            text += self.port.read(max(1, self.port.in_waiting)).decode("ascii", "replace")
        return text

    def do(self, command: str) -> str:
        self.port.write(command.encode() + b"\n")
        return self.said("\n=> ")

    def boot(self) -> tuple[str, int, str]:
        """Run the script: which system it starts, of which version, with which arguments."""
        said = self.do("setenv rescue; source ${scriptaddr}")
        found = re.search(r"STARTED (\w+) OF (\w+) WITH (.*?)\r?\n", said)
        assert found, said
        return found[1], int(found[2], 16), found[3]


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loader]:
    folder = tmp_path_factory.mktemp("loader")
    disk = Disk(folder / "disk")
    with Machine(folder, disk.path) as machine:
        port = serial.serial_for_url(machine.port, timeout=0.2)
        found = Loader(port, disk)
        machine.power_on()
        found.said("Hit any key")
        port.write(b" ")
        found.said("=> ")
        found.do("virtio scan")
        found.do("blkcache configure 0 0")
        assert "bytes read" in found.do("load virtio 0:1 ${scriptaddr} boot.scr")
        yield found


def expected(blocks: Blocks, damaged: dict[str, int]) -> tuple[str, Blocks]:
    """Where `boot` goes, step by step, and the blocks that it leaves behind."""
    while (found := newest(*blocks)) is not None:
        target, after = boot(found[1])
        if after is not None:
            index, octets = next_write(*blocks, after)
            blocks = (octets, blocks[1]) if index == 0 else (blocks[0], octets)
        if target not in damaged or target == "rescue":
            return target, blocks
    return "rescue", blocks


def same(found: Blocks, wanted: Blocks) -> bool:
    """Do the blocks say the same? U-Boot writes the names in another order."""
    return [BootState.from_bytes(one) for one in found] == [
        BootState.from_bytes(one) for one in wanted
    ]


def any_state(dice: random.Random) -> BootState:
    slot: Slot = dice.choice(["a", "b"])
    seq = dice.choice([0, 1, 9, 15, 16, 0x7FFFFFFF, 0x80000000, dice.randrange(0xFFFFFF00)])
    tries = dice.choice([0, 0, 1, 2, 3, 16, 0xFFFFFFFF])
    return BootState(seq, slot, tries, dice.randrange(4), dice.randrange(2**32))


def any_blocks(dice: random.Random) -> Blocks:
    first = any_state(dice)
    second = replace(any_state(dice), seq=max(0, first.seq + dice.choice([-1, 1, 1, 7])))
    blocks = [first.to_bytes(), second.to_bytes()]
    for index in (0, 1):
        if dice.random() < 0.15:
            torn = dice.randrange(1, 0x1000)
            blocks[index] = blocks[index][:torn] + dice.randbytes(0x1000 - torn)
    return blocks[0], blocks[1]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_it_goes_where_the_model_goes(loader: Loader, seed: int) -> None:
    dice = random.Random(seed)
    blocks = any_blocks(dice)
    damaged = {}
    for name in ("a", "b"):
        if dice.random() < 0.2:
            # In the table, in the kernel, in the initramfs.
            damaged[name] = dice.choice([7, 0x2000, 0x2FFF, 0x3000, 0x4FFF])
    if any((found := newest(*blocks)) and found[1].tries > 100 for _ in damaged):
        damaged = {}  # it would try for hours
    loader.disk.fill(damaged)
    loader.disk.blocks = blocks

    system, version, arguments = loader.boot()

    where, after = expected(blocks, damaged)
    assert system == where
    assert version == {"a": 0xA, "b": 0xB, "rescue": 0xC}[system]
    assert same(loader.disk.blocks, after), "the boot state"
    assert f"loopstart.slot={system}" in arguments
    if system != "rescue":
        root = (PLACES[system].offset + 0x5000) // 512
        assert f"loopstart.root={root:x} " in arguments


def test_six_boots_count_down_fall_back_and_end_in_rescue(loader: Loader) -> None:
    loader.disk.fill({})
    loader.disk.blocks = (BootState(5, "b", 1, 1, 0).to_bytes(), bytes(0x1000))
    assert [loader.boot()[0] for _ in range(5)] == ["b", "a", "a", "a", "rescue"]
    assert loader.boot()[0] == "rescue", "which stays"


def test_rescue_may_be_asked_for_and_counts_nothing(loader: Loader) -> None:
    loader.disk.fill({})
    blocks = (BootState(5, "b", 1, 1, 0).to_bytes(), bytes(0x1000))
    loader.disk.blocks = blocks
    said = loader.do("setenv rescue 1; source ${scriptaddr}")
    assert "STARTED rescue" in said
    assert loader.disk.blocks == blocks


def test_a_board_on_which_nothing_starts_stays_at_the_prompt(loader: Loader) -> None:
    loader.disk.fill({"a": 9, "b": 0x2000, "rescue": 0x2000})
    loader.disk.blocks = (BootState(1, "a", 3, 3, 0).to_bytes(), bytes(0x1000))
    said = loader.do("setenv rescue; source ${scriptaddr}")
    assert "nothing here starts; flash the board" in said
    assert "STARTED" not in said


@pytest.mark.parametrize("held", [True, False])
def test_the_key_that_is_held_when_it_is_asked_for_starts_rescue(
    tmp_path: Path, held: bool
) -> None:
    assert REAL.boot is not None
    board = replace(REAL, boot=replace(REAL.boot, start=SAYS, watchdog=()))
    disk = Disk(tmp_path / "disk")
    disk.put(FLASH.boot.offset, boot_part(board))
    disk.fill({})
    disk.blocks = (BootState(5, "b", 1, 1, 0).to_bytes(), bytes(0x1000))
    with Machine(tmp_path, disk.path) as machine:
        port = serial.serial_for_url(machine.port, timeout=0.02)
        machine.power_on()
        said, end = "", time.monotonic() + 40
        while (started := re.search(r"STARTED (\w+) OF", said)) is None:
            assert time.monotonic() < end, said
            said += port.read(max(1, port.in_waiting)).decode("ascii", "replace")
            if held and "Hold the key r" in said:
                port.write(b"r")
        port.close()
    assert started[1] == ("rescue" if held else "b")
