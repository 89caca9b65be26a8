"""Gives a board its configuration at its boot loader, through the mailbox; no I/O."""

from __future__ import annotations

from boards.hardware import Flash, Loader
from boards.loader_run import LoaderRun
from boards.mailbox import HEAD_OCTETS, encode
from boards.prompt import FlashFailed, Steps


class ProvisionDialogue(LoaderRun):
    """Writes the mailbox, and has the board boot as it would."""

    def __init__(self, flash: Flash, loader: Loader, octets: bytes, now: float) -> None:
        """
        Args:
            flash, loader: of the board's file.
            octets: the configuration's file.
            now: seconds of a monotonic clock.
        Raises:
            FlashFailed: the board has no mailbox, or too small a one.
        """
        if flash.mailbox is None:
            raise FlashFailed(
                "the board's file has no [flash.mailbox], through which a configuration could go"
            )
        filled = encode(octets)
        filled += bytes(-len(filled) % flash.block_octets)
        if len(filled) > flash.mailbox.octets:
            raise FlashFailed(
                f"the configuration has {len(octets)} octets; this board takes "
                f"{flash.mailbox.octets - HEAD_OCTETS}"
            )
        self._filled, self._at = filled, flash.mailbox.offset
        super().__init__(flash, loader, len(filled), now)

    def _run(self) -> Steps:
        yield from self._place(self._at, self._filled)
        self._tell("the configuration is on the board, which takes it when it starts")
