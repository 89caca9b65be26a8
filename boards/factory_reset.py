"""Has a board restore its defaults: at its boot loader, through the mailbox; no I/O.

The boot loader could clear the persistent part only block by block, and knows nothing of what is
in it. So it writes the same request that the button does, and the system clears the part at its
next start, before it mounts it. Slots and boot state are not touched.
"""

from __future__ import annotations

import re

from boards.hardware import Flash, Loader
from boards.loader_run import LoaderRun
from boards.mailbox import WIPE
from boards.prompt import FlashFailed, Steps

CLEAR_S = 180.0
"""From the boot to a system that has cleared everything: some flash writes a megabyte a second."""
_DONE, _FAILED = "factory reset: done", "factory reset: the flash cannot be written"
_RUNS = "runs from slot"
_LINE = re.compile(r"Loopstart: ([^\r\n]*)[\r\n]")


class FactoryResetDialogue(LoaderRun):
    """Writes the request, and has the board boot as it would."""

    def __init__(self, flash: Flash, loader: Loader, now: float) -> None:
        """
        Args:
            flash, loader: of the board's file.
            now: seconds of a monotonic clock.
        Raises:
            FlashFailed: the board has no mailbox.
        """
        if flash.mailbox is None:
            raise FlashFailed(
                "the board's file has no [flash.mailbox], through which the board could be asked"
            )
        self._at = flash.mailbox.offset
        self._filled = WIPE + bytes(-len(WIPE) % flash.block_octets)
        super().__init__(flash, loader, len(self._filled), now)

    def _run(self) -> Steps:
        yield from self._place(self._at, self._filled)
        self._tell("the board is asked to restore its defaults, which it does when it starts")


class ResetWatch:
    """The boot after it: octets of the console and `now` (seconds, monotonic) in, sentences out."""

    def __init__(self, started: float) -> None:
        self.over = False
        self.failure = ""
        """Why the defaults are not restored, and what to do; empty where they are."""
        self.deadline = started + CLEAR_S
        self._rest = ""
        self._done = False

    def receive(self, octets: bytes, now: float) -> list[str]:
        """Take what the console says; gives sentences for whoever watches."""
        text = self._rest + octets.decode("utf-8", "replace")
        said, end = [], 0
        for found in _LINE.finditer(text):
            end = found.end()
            if not self.over:
                said += self._line(found[1])
        self._rest = text[end:][-4_000:]
        if not self.over and now >= self.deadline:
            self._end(
                f"the board has not restored its defaults within {CLEAR_S:.0f} seconds: "
                "`python3 tasks.py console` shows what it says; run the same command again"
            )
        return said

    def _line(self, words: str) -> list[str]:
        if words == _DONE:
            self._done = True
            return ["the configuration is cleared"]
        if words == _FAILED:
            self._end("the board's flash cannot be written: it is worn out")
        elif words.startswith(("starting rescue", "nothing here starts")):
            self._end(
                "the board starts neither slot: flash it (`python3 tasks.py flash`); the defaults "
                "are restored when it starts"
            )
        elif _RUNS in words:
            # An older version starts as ever, and knows nothing of the request.
            self._end(
                ""
                if self._done
                else "the version on the board cannot restore the defaults: flash a newer one"
            )
            return [words]
        elif words.startswith(("starting ", "factory reset: ")):
            return [words]
        return []

    def _end(self, failure: str) -> None:
        self.over, self.failure = True, failure
