"""Writes an image that comes in pieces into a slot, and verifies it on the way.

The slot's table, by which it boots, is the last that is written and the first that is destroyed: a
slot that is not whole does not boot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from boards.slot import TABLE_OCTETS
from boards.state import Slot
from firmware.wire.image_check import ImageCheck, ImageError, Piece
from firmware.wire.provisioning import Firmware


class Flash(Protocol):
    """A board's slots. Every method raises OSError where the medium refuses."""

    def room(self, slot: Slot) -> int:
        """Octets of a slot."""

    def write(self, slot: Slot, offset: int, octets: bytes) -> None:
        """Overwrite part of a slot."""

    def read(self, slot: Slot, offset: int, octets: int) -> bytes:
        """Part of a slot, as it is on the medium."""

    def flush(self) -> None:
        """What was written is on the medium when this returns."""


class Placing(Protocol):
    """Makes a slot's table while the image comes in (`boards.slot.Placing`)."""

    def take(self, pieces: list[Piece]) -> None:
        """Take what `ImageCheck.feed` gave back."""

    def table(self) -> bytes:
        """The table, when the image is complete."""


class SlotFull(ImageError):
    """The image is larger than the slot."""


class SlotWriter:
    """One image on its way into one slot.

    Args:
        firmware: what the host has announced.
        check: refuses what is not for this board, too old, or not signed.
        placing: makes what follows an image that comes through `check`.
    """

    def __init__(
        self,
        flash: Flash,
        slot: Slot,
        firmware: Firmware,
        check: ImageCheck,
        placing: Callable[[ImageCheck], Placing],
    ) -> None:
        self.firmware = firmware
        self.slot: Slot = slot
        self._flash = flash
        self._check = check
        self._placing = placing(check)
        self.taken = 0
        """Octets that have come; the rest begins here."""
        self.done = False
        room = flash.room(slot) - TABLE_OCTETS
        if firmware.octets > room:
            raise SlotFull(f"the image has {firmware.octets} octets, the slot {room}")
        flash.write(slot, 0, bytes(TABLE_OCTETS))
        flash.flush()

    def feed(self, octets: bytes) -> None:
        """Take the next octets.

        Raises:
            ImageError: the image is refused.
            OSError: the medium refuses.
        """
        if self.taken + len(octets) > self.firmware.octets:
            raise ImageError("the image is longer than the host has said; add it there again")
        self._placing.take(self._check.feed(octets))
        self._flash.write(self.slot, TABLE_OCTETS + self.taken, octets)
        self.taken += len(octets)

    def finish(self) -> None:
        """All has come: verify what is on the medium, and write the table.

        Raises:
            ImageError: the image is refused, or the medium has not kept it.
            OSError: the medium refuses.
        """
        self._check.finish()
        if self._check.version != self.firmware.version:
            raise ImageError(
                f"the image has version {self._check.version}, not {self.firmware.version}"
            )
        self._flash.flush()
        self._read_back()
        self._flash.write(self.slot, 0, self._placing.table())
        self._flash.flush()
        self.done = True

    def _read_back(self) -> None:
        again, at = self._check.again(), 0
        while at < self.taken:
            octets = self._flash.read(self.slot, TABLE_OCTETS + at, min(1 << 16, self.taken - at))
            if not octets:
                break
            again.feed(octets)
            at += len(octets)
        again.finish()
