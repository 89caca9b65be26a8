"""A board's flash as a block device or a file under Linux: slots, and the boot state."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from boards.hardware import Flash as Layout
from boards.hardware import Region
from boards.state import Slot
from boards.state_device import StateDevice


class Medium:
    """`firmware.update.slots.Flash`, and the boot state beside it.

    Args:
        path: of the block device, or of a file in its place.
        layout: as the board file describes it.
    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.boot = StateDevice(layout, path)
        self._layout = layout
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

    def room(self, slot: Slot) -> int:
        """See `firmware.update.slots.Flash`."""
        return self._region(slot).octets

    def write(self, slot: Slot, offset: int, octets: bytes) -> None:
        """See `firmware.update.slots.Flash`."""
        region = self._region(slot)
        assert 0 <= offset <= offset + len(octets) <= region.octets, "only the slot is written"
        self._write(region.offset + offset, octets)

    def read(self, slot: Slot, offset: int, octets: int) -> bytes:
        """See `firmware.update.slots.Flash`."""
        region = self._region(slot)
        assert 0 <= offset <= offset + octets <= region.octets
        return os.pread(self._descriptor, octets, region.offset + offset)

    def flush(self) -> None:
        """See `firmware.update.slots.Flash`; what is read after it comes from the medium, where
        the system knows how."""
        os.fsync(self._descriptor)
        with suppress(OSError, AttributeError):
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def _region(self, slot: Slot) -> Region:
        return self._layout.slot_a if slot == "a" else self._layout.slot_b

    def _write(self, offset: int, octets: bytes) -> None:
        rest = memoryview(octets)
        while rest:
            written = os.pwrite(self._descriptor, rest, offset)
            rest, offset = rest[written:], offset + written
