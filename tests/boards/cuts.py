"""Where to cut the power, and what a board would come to afterwards, by the steps of its script."""

from __future__ import annotations

import binascii
import random

from boards.board import load_board
from boards.hardware import Flash, regions
from boards.slot import TABLE_OCTETS, decode_table
from boards.state import boot, newest, next_write
from tests.boards.write_log import SECTOR, Disk, Request

BOARD = load_board("qemu-arm64")
assert BOARD.flash is not None
FLASH: Flash = BOARD.flash


def phase(request: Request) -> str:
    """Which region a request writes to."""
    if not request.octets:
        return "flush"
    for name, region in regions(FLASH):
        if region.offset <= request.offset < region.end:
            return name
    return "elsewhere"


def whole(disk: Disk, offset: int) -> int | None:
    """The version in a slot, None where the boot script would find it damaged."""
    table = decode_table(disk.read(offset, TABLE_OCTETS))
    if table is None:
        return None
    for part in table[1]:
        octets = disk.read(offset + part.offset, -(-part.octets // SECTOR) * SECTOR)
        if binascii.crc32(octets[: part.octets]) != part.crc:
            return None
    return table[0]


def boots(disk: Disk) -> int | None:
    """The version that the board comes to, by the steps of its boot script; None for rescue."""
    for _ in range(8):
        first, second = (disk.read(offset, 4096) for offset in FLASH.state_blocks)
        latest = newest(first, second)
        if latest is None:
            return None
        target, after = boot(latest[1])
        if after is None:
            return None
        index, octets = next_write(first, second, after)
        disk.write(FLASH.state_blocks[index], octets)
        slot = FLASH.slot_a if target == "a" else FLASH.slot_b
        version = whole(disk, slot.offset)
        if version is not None:
            return version
    return None


def places(requests: list[Request], count: int, states: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where to cut: requests and seeds; at least six of ten within the slot, two within states.

    Args:
        states: regions that hold what the board remembers; they take turns.
    """
    chance = random.Random(2026)
    slot = [at for at, one in enumerate(requests) if phase(one) == "slot_b"]
    state = [[at for at, one in enumerate(requests) if phase(one) == name] for name in states]
    any_ = list(range(len(requests)))
    chosen = []
    for number in range(count):
        remembered = state[number // 10 % len(states)]
        among = slot if number % 10 < 6 else remembered if number % 10 < 9 else any_
        chosen.append((chance.choice(among), number))
    return chosen
