"""Shows that a program's loop goes round: a file that says when it did so last.

A process that hangs lives all the same, as far as anybody sees who asks the kernel. Whoever feeds
the watchdog reads the file instead. It holds seconds of the monotonic clock, which no setting of
the time of day moves; on a board, which never sleeps, /proc/uptime counts the same.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger("loopstart")
SUFFIX = ".beat"
EVERY_MS = 2_000.0
STALE_S = 30
"""A loop that has not gone round for so long hangs: no name is asked for as long as that."""
START_S = 180
"""What a process may take from its start to its loop, on the slowest board and beside other work: a
board that restarts for less would never start."""
WHOLE = "program"
"""Name of the beat of the process that was started first."""


class Heartbeat:
    """One loop's.

    Args:
        run: folder that a restart of the machine empties.
        name: of the loop; a line's, or `WHOLE`.
    """

    def __init__(self, run: Path, name: str) -> None:
        self._path = run / (name + SUFFIX)
        self._due_ms = 0.0
        self._told = False

    def beat(self, now_ms: float) -> None:
        """The loop goes round; the file is written when that is due."""
        if now_ms < self._due_ms:
            return
        self._due_ms = now_ms + EVERY_MS
        self._write(int(now_ms // 1000))

    def grant(self, now_ms: float, seconds: float = START_S) -> None:
        """A process begins: its first beat may take so long."""
        self._write(int(now_ms // 1000 + seconds - STALE_S))

    def close(self) -> None:
        """The loop has ended: nobody waits for it."""
        with suppress(OSError):
            self._path.unlink()

    def _write(self, seconds: int) -> None:
        # In one write, and of one length, so that whoever reads beside it reads a number.
        octets = f"{seconds:<11d}\n".encode()
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.pwrite(descriptor, octets, 0)
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._told:
                self._told = True
                what = {"file": str(self._path), "detail": error.strerror}
                _log.warning("no heartbeat is told", extra=what)
