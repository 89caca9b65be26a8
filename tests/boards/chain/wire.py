"""The line between a board and its host's HTTPS: counts what goes over it, and can be cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress

_PIECE = 16_384


class Wire:
    """Carries TCP connections from one port of the loopback to another.

    Args:
        port: where the board comes to.
        onward: where its host listens.
    """

    def __init__(self, port: int, onward: int) -> None:
        self._port, self._onward = port, onward
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()
        self.carried = 0
        """Octets to the board, over all connections."""
        self.cut_at: int | None = None
        """The connection that reaches so many is broken off; None: none is."""

    async def open(self) -> None:
        """Begin to carry."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)

    def close(self) -> None:
        """Carry no more."""
        if self._server is not None:
            self._server.close()
        for task in self._carrying:
            task.cancel()

    async def _carry(self, board: asyncio.StreamReader, to_board: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        with suppress(OSError, asyncio.CancelledError):
            host, to_host = await asyncio.open_connection("127.0.0.1", self._onward)
            up = asyncio.create_task(self._pass(board, to_host, False))
            try:
                await self._pass(host, to_board, True)
            finally:
                up.cancel()
                to_host.close()
        to_board.close()

    async def _pass(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, counts: bool
    ) -> None:
        with suppress(OSError):
            while octets := await source.read(_PIECE):
                if counts:
                    self.carried += len(octets)
                    if self.cut_at is not None and self.carried >= self.cut_at:
                        self.cut_at = None
                        to.transport.abort()
                        return
                to.write(octets)
                await to.drain()
            if not counts:
                to.write_eof()
