"""Flashes a board over its serial console: octets and `now` in, octets and progress out; no I/O.

What is to be written goes in pieces of 64 KiB, each by YMODEM into RAM, checked there by its CRC,
written, read back and checked again. A piece whose CRC the flash already has is not sent: a run
that was broken off goes on where it stopped. The slot in use is never written, and the boot state
last.
"""

from __future__ import annotations

import binascii
from collections.abc import Generator
from dataclasses import dataclass

from boards.hardware import Flash, Loader, Region
from boards.prompt import TRIES, FlashFailed, Prompt, Silent, Steps, Wire
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

PIECE_OCTETS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Write:
    """Octets for a place of the flash that no slot is: the boot part, rescue."""

    offset: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """A sentence for whoever watches."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    done: int
    """Octets that are in the flash, and proved to be."""
    total: int
    sent: int
    """Octets that went over the wire in this run; what was there already is not among them, nor is
    the boot state."""


Event = Told | Progress


class FlashDialogue:
    """One run. `receive` and `tick` give what to send, `take_events` what to show."""

    def __init__(
        self,
        flash: Flash,
        loader: Loader,
        image: bytes,
        version: int,
        now: float,
        writes: tuple[Write, ...] = (),
    ) -> None:
        """
        Args:
            flash, loader: of the board's file.
            image: what the idle slot gets; verified already.
            version: of the image.
            now: seconds of a monotonic clock.
            writes: what else is to be written, before the slot.
        Raises:
            FlashFailed: the image does not fit.
        """
        if len(image) > flash.slot_a.octets:
            raise FlashFailed(
                f"the image has {len(image)} octets, a slot of this board {flash.slot_a.octets}: "
                "is it an image for this board?"
            )
        for write in writes:
            assert write.offset % flash.block_octets == 0
            end = write.offset + len(write.octets)
            for region in (flash.state, flash.slot_a, flash.slot_b):
                assert end <= region.offset or write.offset >= region.end, "only the dialogue does"
        self.slot: Slot | None = None
        """The slot that is written, once it is known."""
        self.over = False
        self.failure = ""
        """Why it failed, and what to do; empty where it has not."""
        self._flash, self._loader = flash, loader
        self._image, self._version, self._writes = image, version, writes
        self._wire = Wire(now)
        self._prompt = Prompt(loader, self._wire, self._tell)
        self._events: list[Event] = []
        self._two = (b"", b"")
        """The two blocks of the boot state, as they are in the flash."""
        self._done = self._sent = 0
        self._total = len(image) + sum(len(one.octets) for one in writes)
        self._steps = self._run()
        self._go_on()

    @property
    def deadline(self) -> float:
        """When `tick` is due next, if nothing comes before."""
        return self._wire.deadline

    def receive(self, octets: bytes, now: float) -> bytes:
        """Take what the board has said; gives what to send."""
        self._wire.came += octets
        return self.tick(now)

    def tick(self, now: float) -> bytes:
        """Go on at `deadline`; gives what to send."""
        self._wire.now = now
        self._go_on()
        out = bytes(self._wire.out)
        self._wire.out.clear()
        return out

    def take_events(self) -> list[Event]:
        """What has happened since it was asked last."""
        events, self._events = self._events, []
        return events

    def _go_on(self) -> None:
        if self.over:
            return
        try:
            next(self._steps)
        except StopIteration:
            self.over = True
        except FlashFailed as failed:
            self.over, self.failure = True, str(failed)
        except Silent:
            self.over, self.failure = True, "the board has not taken the last command: try again"

    def _tell(self, text: str) -> None:
        self._events.append(Told(text))

    # --- the run ---

    def _run(self) -> Steps:
        prompt = self._prompt
        yield from prompt.catch()
        self._tell("at the prompt of the boot loader")
        for command in self._loader.prepare:
            yield from prompt.command(command)
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
        for write in self._writes:
            yield from self._place(write.offset, write.octets)
        slot: Region = self._flash.slot_a if self.slot == "a" else self._flash.slot_b
        yield from self._place(slot.offset, self._image)
        yield from self._write_state(to_be_tried(state) if state else installed())
        self._tell(f"everything is written and proved; the board boots slot {self.slot}")
        yield from prompt.boot()

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

    def _write_state(self, state: BootState) -> Generator[None, None, BootState]:
        """Overwrite the older block; gives the state as it counts then."""
        index, octets = next_write(*self._two, state)
        yield from self._place(self._flash.state_blocks[index], octets, counted=False)
        self._two = (octets, self._two[1]) if index == 0 else (self._two[0], octets)
        latest = newest(*self._two)
        assert latest is not None
        return latest[1]

    def _read(self, offset: int, octets: int) -> Steps:
        size = self._flash.block_octets
        yield from self._prompt.read(self._loader.check_address, offset // size, -(-octets // size))

    def _place(self, offset: int, octets: bytes, counted: bool = True) -> Steps:
        """Have these octets in the flash, piece by piece."""
        for at in range(0, len(octets), PIECE_OCTETS):
            piece = octets[at : at + PIECE_OCTETS]
            filled = piece + bytes(-len(piece) % self._flash.block_octets)
            yield from self._piece(offset + at, filled, counted)
            if counted:
                self._done += len(piece)
                self._progress(0)

    def _piece(self, offset: int, octets: bytes, counted: bool) -> Steps:
        """Have one piece there: sent only where the flash has another."""
        wanted, loader = binascii.crc32(octets), self._loader
        for attempt in range(TRIES):
            yield from self._read(offset, len(octets))
            if (yield from self._prompt.crc(loader.check_address, len(octets))) == wanted:
                return
            if attempt == TRIES - 1:
                break
            yield from self._load(octets, wanted, counted)
            size = self._flash.block_octets
            blocks = len(octets) // size
            yield from self._prompt.write(loader.load_address, offset // size, blocks)
        raise FlashFailed(
            f"the flash does not keep what is written at {offset:#x}: it is worn out, or [flash] "
            "of the board's file is wrong. The slot in use was not touched"
        )

    def _load(self, octets: bytes, wanted: int, counted: bool) -> Steps:
        """Have a piece in RAM, as it is."""
        for _ in range(TRIES):
            went = self._progress if counted else _nothing
            arrived = yield from self._prompt.send(octets, went)
            if not arrived:
                continue
            address = self._loader.load_address
            if (yield from self._prompt.crc(address, len(octets))) == wanted:
                self._sent += len(octets) if counted else 0
                return
        raise FlashFailed(
            "pieces do not arrive as they are sent: use a shorter cable or a lower baud rate, then "
            "run the same command again; it goes on where it has stopped"
        )

    def _progress(self, within: int) -> None:
        self._events.append(Progress(self._done, self._total, self._sent + within))


def _nothing(_: int) -> None:
    """The boot state is not among what is counted."""
