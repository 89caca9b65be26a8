"""The supervisor of the companions (`host.supervise`), as the process that carries calls has it.

It is a child, not the parent: the process that `serve` started is the one that carries calls, its
signals and its exit status are that process's own, and nothing that happens to a companion, or to
what supervises them, reaches a call.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import structlog

_PROGRAM = Path(__file__).with_name("supervise.py")
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0


class Companions:
    """Starts the supervisor, and again if it dies.

    Args:
        asked: what `host.supervise` takes; empty: there are no companions.
    """

    def __init__(self, asked: str) -> None:
        self._asked = asked
        self._delay_s = FIRST_DELAY_S
        self.pid = 0
        """Of the supervisor; 0 while there is none."""
        self._log = structlog.get_logger("host")

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start it, and take notice when it ends."""
        if self._asked:
            self._loop = loop
            self._spawn()

    def _spawn(self) -> None:
        # Nobody writes there: each end reads the end of the other's life.
        self._ours, theirs = socket.socketpair()
        command = [sys.executable, "-I", "-S", str(_PROGRAM), self._asked]
        # A session of its own: the terminal's interrupt is for the calls alone, and companions
        # stay while those are brought to their end.
        try:
            self.pid = os.posix_spawn(
                command[0],
                command,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
                setsid=True,
            )
        except OSError as error:
            self._log.error("no companions", error=str(error))
        theirs.close()
        self._loop.add_reader(self._ours, self._ended)

    def _ended(self) -> None:
        self._loop.remove_reader(self._ours)
        self._ours.close()
        if self.pid:
            os.waitpid(self.pid, 0)  # its end of the pair closes as it exits
            self.pid = 0
        self._log.error("supervisor ended", again_s=self._delay_s)
        self._loop.call_later(self._delay_s, self._spawn)
        self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)

    def close(self) -> None:
        """End it all, as the end of this process does."""
        if self.pid:
            self._loop.remove_reader(self._ours)
            self._ours.close()
            os.waitpid(self.pid, 0)
            self.pid = 0
