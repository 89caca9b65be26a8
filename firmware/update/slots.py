"""Writes an image that comes in pieces into a slot, and verifies it on the way.

The slot's table, by which it boots, is the last that is written and the first that is destroyed: a
slot that is not whole does not boot. What came before a restart is gone on from if its hash says
that the medium holds it; and before the table is written, all of it is read back and proved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Protocol

from boards.slot import TABLE_OCTETS
from boards.state import Slot
from firmware.update.progress import Nowhere, Progress, Received
from firmware.wire.image_check import ImageCheck, ImageError, Piece
from firmware.wire.provisioning import Firmware

_KEPT_OCTETS = 1 << 20
"""So often what has come is flushed, and noted as a place to go on from."""
_READ_OCTETS = 1 << 16


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
        progress: keeps how far it has come, beyond a restart.
    """

    def __init__(
        self,
        flash: Flash,
        slot: Slot,
        firmware: Firmware,
        check: ImageCheck,
        placing: Callable[[ImageCheck], Placing],
        progress: Progress | None = None,
    ) -> None:
        self.firmware = firmware
        self.slot: Slot = slot
        self._flash = flash
        self._check = check
        self._placing = placing(check)
        self._progress: Progress = progress or Nowhere()
        self._digest = hashlib.sha256()
        self._kept = 0
        """Octets that are a place to go on from."""
        self.taken = 0
        """Octets that have come; the rest begins here."""
        self.done = False
        room = flash.room(slot) - TABLE_OCTETS
        if firmware.octets > room:
            raise SlotFull(f"the image has {firmware.octets} octets, the slot {room}")
        flash.write(slot, 0, bytes(TABLE_OCTETS))
        flash.flush()
        self._go_on(placing)

    def _go_on(self, placing: Callable[[ImageCheck], Placing]) -> None:
        """From what came before a restart, if that is what the medium holds."""
        kept, firmware = self._progress.load(), self.firmware
        if kept is None or (kept.sha256, kept.slot) != (firmware.sha256, self.slot):
            return
        if not 0 < kept.octets <= firmware.octets:
            return
        check, digest = self._check.again(), hashlib.sha256()
        placed = placing(check)
        try:
            for octets in self._on_medium(kept.octets):
                digest.update(octets)
                placed.take(check.feed(octets))
        except ImageError:
            return
        if digest.hexdigest() == kept.digest:
            self._check, self._placing, self._digest = check, placed, digest
            self.taken = self._kept = kept.octets

    def _on_medium(self, octets: int) -> Iterator[bytes]:
        """The beginning of the image, as it was written."""
        for at in range(0, octets, _READ_OCTETS):
            wanted = min(_READ_OCTETS, octets - at)
            yield self._flash.read(self.slot, TABLE_OCTETS + at, wanted)

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
        self._digest.update(octets)
        self.taken += len(octets)
        if self.taken - self._kept >= _KEPT_OCTETS or self.taken == self.firmware.octets:
            self._flash.flush()
            self._kept = self.taken
            kept = Received(self.firmware.sha256, self.slot, self.taken, self._digest.hexdigest())
            self._progress.keep(kept)

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
        again = self._check.again()
        for octets in self._on_medium(self.taken):
            again.feed(octets)
        again.finish()
