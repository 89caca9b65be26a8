"""The boot state on a board's flash, under Linux: `python3 -m boards.state_device --board B show`.

A writer overwrites the older block alone and has it on the medium before it goes on: the block is
written through the page cache and `fsync` of a block device also empties the drive's own cache.
Others read the same blocks past that cache, so that what is read here is asked for anew each time.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from boards.board import load_board
from boards.hardware import Flash, Region
from boards.schema import ConfigError
from boards.slot import TABLE_OCTETS, decode_table
from boards.state import (
    STATE_OCTETS,
    BootState,
    Slot,
    marked_good,
    newest,
    next_write,
    with_try_back,
)


class StateDevice:
    """The two blocks of a flash.

    Args:
        flash: where the blocks are.
        path: of the device, or of a file that stands for it.
    """

    def __init__(self, flash: Flash, path: Path) -> None:
        self._flash, self._path = flash, path

    def read(self) -> BootState | None:
        """What boots; None where no block is valid.

        Raises:
            OSError: the flash cannot be read.
        """
        found = newest(*self._blocks())
        return found[1] if found else None

    def change(self, to: Callable[[BootState], BootState]) -> BootState | None:
        """Write what `to` makes of the state, unless that is the same; what counts afterwards.

        Raises:
            OSError: the flash cannot be written; the old state counts, or the new one.
        """
        before = self.read()
        if before is None:
            return None
        after = to(before)
        return after if after == before else self.write(after)

    def write(self, state: BootState) -> BootState:
        """Overwrite the older block, durably; the state with its number.

        Raises:
            OSError: the flash cannot be written; the old state counts, or the new one.
        """
        index, octets = next_write(*self._blocks(), state)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            place = self._flash.state_blocks[index]
            written = os.pwrite(descriptor, octets, place)
            if written != len(octets):
                raise OSError(f"{self._path}: {written} of {len(octets)} octets were written")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        after = BootState.from_bytes(octets)
        assert after is not None, "what was made here is a state"
        return after

    def version(self, slot: Slot) -> int | None:
        """The version in a slot; None where it holds none that boots."""
        region: Region = {"a": self._flash.slot_a, "b": self._flash.slot_b}[slot]
        table = decode_table(self._octets([region.offset], TABLE_OCTETS)[0])
        return table[0] if table else None

    def _blocks(self) -> tuple[bytes, bytes]:
        first, second = self._octets(self._flash.state_blocks, STATE_OCTETS)
        return first, second

    def _octets(self, places: tuple[int, ...] | list[int], octets: int) -> list[bytes]:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with suppress(OSError):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            return [os.pread(descriptor, octets, place) for place in places]
        finally:
            os.close(descriptor)


def mark_good(device: StateDevice, version: int, slot: Slot) -> BootState | None:
    """The system in `slot`, of this version, works. None where it is not what boots."""
    state = device.read()
    if state is None or state.slot != slot:
        return None
    other = device.version(state.idle)
    return device.change(lambda found: marked_good(found, version, other))


def give_back(device: StateDevice, slot: Slot, configured: bool) -> BootState | None:
    """The system in `slot` is up without a configuration: see `with_try_back`. None where it is not
    what boots."""
    state = device.read()
    if state is None or state.slot != slot:
        return None
    return device.change(lambda found: with_try_back(found, configured))


def main(words: list[str] | None = None) -> int:
    """Show or change the state; exit status 1 where it cannot be."""
    parser = argparse.ArgumentParser(prog="loopstart-state", description="What the board boots.")
    parser.add_argument("--board", required=True)
    parser.add_argument("--device", type=Path, help="default: that of the board file")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("show", help="slot, tries, what is good, floor, versions")
    good = commands.add_parser("good", help="the running system works: it keeps its slot")
    good.add_argument("version", type=int)
    good.add_argument("slot", choices=("a", "b"))
    back = commands.add_parser("unspent", help="up without a configuration: its try comes back")
    back.add_argument("slot", choices=("a", "b"))
    back.add_argument("--configured", action="store_true", help="there was one before")
    given = parser.parse_args(words)
    try:
        flash = load_board(given.board).flash
        if flash is None:
            print(f"loopstart-state: {given.board} has no flash", file=sys.stderr)
            return 1
        device = StateDevice(flash, given.device or Path(flash.device))
        if given.command == "show":
            state = device.read()
        elif given.command == "unspent":
            state = give_back(device, given.slot, given.configured)
        else:
            state = mark_good(device, given.version, given.slot)
        if state is None:
            print("loopstart-state: no valid state of this slot", file=sys.stderr)
            return 1
        versions = {slot: device.version(slot) for slot in ("a", "b")}
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"loopstart-state: the flash: {error}", file=sys.stderr)
        return 1
    print(
        f"slot={state.slot} tries={state.tries} good={state.good} floor={state.floor} "
        f"a={versions['a'] or 'none'} b={versions['b'] or 'none'}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
