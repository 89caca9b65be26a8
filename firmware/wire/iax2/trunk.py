"""Audio of many calls to one address in one datagram each tick (RFC 5456, 8.1.3.1)."""

from __future__ import annotations

from math import floor, inf

from firmware.wire.iax2.frames import META, META_TRUNK, TRUNK_ENTRY, TRUNK_MINI

_META_TRUNK = int(META_TRUNK)


class Trunks:
    """What waits for the next tick, address by address.

    Ticks stand on a grid of `tick_ms` that all addresses share, so that a process wakes up once
    a tick for all its trunks.
    """

    __slots__ = ("_limit", "_queues", "_sizes", "_started", "_tick_s", "_timestamps", "due")

    def __init__(self, tick_ms: int, timestamps: bool, max_octets: int) -> None:
        self._tick_s = tick_ms / 1000
        self._timestamps = timestamps
        self._limit = max_octets - META.size
        self._queues: dict[tuple[str, int], list[bytes]] = {}
        self._sizes: dict[tuple[str, int], int] = {}
        self._started = -inf
        self.due = inf
        """When `flush` is wanted."""

    def add(
        self,
        address: tuple[str, int],
        number: int,
        low_ms: int,
        payload: bytes,
        now: float,
        outgoing: list[tuple[bytes, tuple[str, int]]],
    ) -> None:
        """Queue 20 ms of audio; leaves at once what would make the frame too long."""
        length = len(payload)
        if self._timestamps:
            head = TRUNK_MINI.pack(length, number, low_ms)
        else:
            head = TRUNK_ENTRY.pack(number, length)
        queue = self._queues.get(address)
        if queue is None:
            queue = self._queues[address] = []
            self._sizes[address] = 0
        size = self._sizes[address] + len(head) + length
        # Without timestamps two frames of one call would seem to be of one time.
        twice = not self._timestamps and head in queue
        if (size > self._limit or twice) and queue:
            outgoing.append((self._frame(queue, now), address))
            queue.clear()
            size = len(head) + length
        queue.append(head)
        queue.append(payload)
        self._sizes[address] = size
        if self.due == inf:
            self.due = self._next_tick(now)

    def _next_tick(self, now: float) -> float:
        # Now may be a tick, as near as a float comes to it: that is not the next one.
        return (floor(now / self._tick_s + 0.01) + 1) * self._tick_s

    def _frame(self, queue: list[bytes], now: float) -> bytes:
        if self._started == -inf:
            self._started = now
        stamp = int((now - self._started) * 1000) & 0xFFFFFFFF
        return META.pack(0, _META_TRUNK, self._timestamps, stamp) + b"".join(queue)

    def flush(self, now: float, outgoing: list[tuple[bytes, tuple[str, int]]]) -> None:
        """One frame to each address that something waits for."""
        idle = []
        for address, queue in self._queues.items():
            if queue:
                outgoing.append((self._frame(queue, now), address))
                queue.clear()
                self._sizes[address] = 0
            else:
                idle.append(address)
        for address in idle:
            del self._queues[address], self._sizes[address]
        self.due = inf
        if self._queues:
            # On the grid, whether this came late or not.
            self.due = self._next_tick(now)
