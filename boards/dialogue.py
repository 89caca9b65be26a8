"""Flashes a board at its boot loader: rescue, the idle slot, then the boot state; no I/O.

The slot in use is never written, and the boot state last: what was broken off boots as before.
"""

from __future__ import annotations

from collections.abc import Generator

from boards.hardware import Flash, Loader, Region
from boards.loader_run import LoaderRun, Write
from boards.prompt import FlashFailed, Network, Steps
from boards.state import (
    STATE_OCTETS,
    BootState,
    Slot,
    before_writing,
    installed,
    newest,
    next_write,
    to_be_tried,
)


class RescueDialogue(LoaderRun):
    """Fills the rescue region alone; slots and boot state stay as they are.

    Until its table, the last piece, is written, the region holds what does not start.
    """

    def __init__(
        self,
        flash: Flash,
        loader: Loader,
        rescue: bytes,
        now: float,
        writes: tuple[Write, ...] = (),
        network: Network | None = None,
    ) -> None:
        """
        Args:
            flash, loader: of the board's file.
            rescue: what the region gets; verified already. Empty: it stays as it is.
            now: seconds of a monotonic clock.
            writes: what else is to be written, before it.
            network: see `LoaderRun`.
        Raises:
            FlashFailed: it does not fit.
        """
        if len(rescue) > flash.rescue.octets:
            raise FlashFailed(
                f"the rescue system has {len(rescue)} octets, its place on this board "
                f"{flash.rescue.octets}: is it for this board?"
            )
        for write in writes:
            assert write.offset % flash.block_octets == 0
            end = write.offset + len(write.octets)
            for region in (flash.state, flash.rescue, flash.slot_a, flash.slot_b):
                assert end <= region.offset or write.offset >= region.end, "only the dialogue does"
        self._rescue, self._writes = rescue, writes
        self._two = (b"", b"")
        """The two blocks of the boot state, as they are in the flash."""
        total = len(rescue) + sum(len(one.octets) for one in writes)
        super().__init__(flash, loader, total, now, network)

    def _run(self) -> Steps:
        state = yield from self._state()
        yield from self._besides(state)
        self._tell("the rescue system is written and proved; the board starts as it did before")

    def _besides(self, state: BootState | None) -> Steps:
        """What is written beside a slot."""
        for write in self._writes:
            if state is None or not write.blank_alone:
                yield from self._place(write.offset, write.octets)
            else:
                self._total -= len(write.octets)
        if self._rescue:
            self._tell("the rescue system is written")
            yield from self._place_system(self._flash.rescue, self._rescue)

    def _place_system(self, region: Region, octets: bytes) -> Steps:
        """The table of its parts, in the first piece, is the last: what was filled in part does not
        boot."""
        first = self._piece_octets
        yield from self._place(region.offset + first, octets[first:])
        yield from self._place(region.offset, octets[:first])

    def _blocks(self) -> Steps:
        """Fetch the two blocks of the boot state."""
        found = []
        for offset in self._flash.state_blocks:
            address = self._loader.check_address
            yield from self._read(offset, STATE_OCTETS)
            found.append((yield from self._prompt.dump(address, STATE_OCTETS)))
        self._two = (found[0], found[1])

    def _state(self) -> Generator[None, None, BootState | None]:
        yield from self._blocks()
        latest = newest(*self._two)
        return latest[1] if latest else None


class FlashDialogue(RescueDialogue):
    """Fills the slot that is not the only good one, and has the board boot it."""

    def __init__(
        self,
        flash: Flash,
        loader: Loader,
        image: bytes,
        version: int,
        now: float,
        writes: tuple[Write, ...] = (),
        network: Network | None = None,
        rescue: bytes = b"",
    ) -> None:
        """
        Args:
            flash, loader: of the board's file.
            image: what the idle slot gets; verified already.
            version: of the image.
            now: seconds of a monotonic clock.
            writes: what else is to be written, before the slot.
            network: where the board fetches pieces by TFTP, from `offered`; None: they are sent
                over the console.
            rescue: what the rescue region gets, before the slot; empty: it stays as it is.
        Raises:
            FlashFailed: the image does not fit.
        """
        if len(image) > flash.slot_a.octets:
            raise FlashFailed(
                f"the image has {len(image)} octets, a slot of this board {flash.slot_a.octets}: "
                "is it an image for this board?"
            )
        self.slot: Slot | None = None
        """The slot that is written, once it is known."""
        self._image, self._version = image, version
        super().__init__(flash, loader, rescue, now, writes, network)
        self._total += len(image)

    def _run(self) -> Steps:
        state = yield from self._state()
        if state is not None and self._version < state.floor:
            raise FlashFailed(
                f"the image has version {self._version}; the oldest that this board takes is "
                f"{state.floor}"
            )
        self.slot = state.spare if state else "a"
        self._tell(f"slot {self.slot} is written")
        if state is not None and before_writing(state) != state:
            state = yield from self._write_state(before_writing(state))
            assert state.spare == self.slot
        yield from self._besides(state)
        slot: Region = self._flash.slot_a if self.slot == "a" else self._flash.slot_b
        yield from self._place_system(slot, self._image)
        yield from self._write_state(to_be_tried(state) if state else installed())
        self._tell(f"everything is written and proved; the board boots slot {self.slot}")

    def _write_state(self, state: BootState) -> Generator[None, None, BootState]:
        """Overwrite the older block; gives the state as it counts then."""
        index, octets = next_write(*self._two, state)
        yield from self._place(self._flash.state_blocks[index], octets, counted=False)
        self._two = (octets, self._two[1]) if index == 0 else (self._two[0], octets)
        latest = newest(*self._two)
        assert latest is not None
        return latest[1]
