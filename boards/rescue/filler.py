"""Fills the spare slot with an image that comes in pieces, and has it boot next.

Nothing is written before the header is proved: board, signature, floor. Then the boot state is told
that the slot cannot boot, its table is destroyed, the image follows, is read back and proved, the
table is written, and the state last. A power cut at any instant leaves a board that boots what it
booted before, or rescue again. Runs under MicroPython, too.
"""

from boards import slot as slots
from boards.rescue import state as states
from firmware.wire.image_check import ImageCheck, ImageError

_PIECE = 1 << 16


class SlotFiller:
    """One image.

    Attributes:
        slot: that is filled, `a` or `b`.
        taken: octets that have come.
    """

    def __init__(self, medium, layout, board, verify) -> None:  # type: ignore[no-untyped-def]
        """
        Args:
            medium: `read(offset, octets)`, `write(offset, octets)` and `flush()` of the flash;
                each raises OSError where it refuses.
            layout: offsets by name, as `boards.rescue.layout` has them.
            board: name of this board.
            verify: see `ImageCheck`.
        """
        self._medium = medium
        self._layout = layout
        self._board = board
        self._blocks = [medium.read(at, states.OCTETS) for at in layout["state"]]
        _, self._state = states.newest(self._blocks)
        self.floor: int = self._state.floor if self._state is not None else 0
        self.slot: str = self._state.spare if self._state is not None else "a"
        self.taken = 0
        self.known = self._state is not None
        """Is there a boot state?"""
        self.good = self._state.proved if self._state is not None else []
        """Slots that have proved good."""
        self._at: int = layout[self.slot]
        self._check = ImageCheck(board, self.floor, verify)
        self._placing = slots.Placing(self._check)
        self._held = b""
        """The header, until it is proved."""

    def feed(self, octets: bytes) -> None:
        """Take the next octets.

        Raises:
            ImageError: the image is refused.
            OSError: the flash refuses.
        """
        begun = bool(self._check.parts)
        pieces = self._check.feed(octets)
        if not self._check.parts:
            self._held += octets
            return
        if not begun:
            octets, self._held = self._held + octets, b""
            self._begin()
        self._placing.take(pieces)
        if slots.TABLE_OCTETS + self.taken + len(octets) > self._layout["slot_octets"]:
            raise ImageError("the image is larger than the slot: is it for this board?")
        self._medium.write(self._at + slots.TABLE_OCTETS + self.taken, octets)
        self.taken += len(octets)

    def finish(self) -> int:
        """All has come: prove what is in the flash, and have it boot; answers the version.

        Raises:
            ImageError: the image is refused, or the flash has not kept it.
            OSError: the flash refuses.
        """
        self._check.finish()
        self._medium.flush()
        again = ImageCheck(self._board, 0, None)
        for at in range(0, self.taken, _PIECE):
            count = min(_PIECE, self.taken - at)
            again.feed(self._medium.read(self._at + slots.TABLE_OCTETS + at, count))
        again.finish()
        self._medium.write(self._at, self._placing.table())
        self._medium.flush()
        self._write_state(states.to_be_tried(self._state, self.slot))
        return self._check.version

    def _begin(self) -> None:
        if any(name == slots.RESCUE for name, _, _ in self._check.parts):
            raise ImageError(slots.NOT_FOR_A_SLOT)
        if self._state is not None:
            self._write_state(states.before_writing(self._state))
        self._medium.write(self._at, bytes(slots.TABLE_OCTETS))
        self._medium.flush()

    def _write_state(self, state: states.State) -> None:
        """Overwrite the block that does not count."""
        index, _ = states.newest(self._blocks)
        older = 1 - index if index >= 0 else 0
        self._blocks[older] = state.to_bytes()
        self._medium.write(self._layout["state"][older], self._blocks[older])
        self._medium.flush()
        self._state = state
