"""When UDP sockets are looked at: at once while few datagrams come, in batches while many do.

Every datagram that wakes the loop finds the processor's caches cold, which costs more than the
datagram: at 50 calls a second the same work takes twice as long when it is done in small pieces.
So under load all sockets, whatever their protocol, are looked at once a tick, by one epoll. (A
system call for many datagrams at once would save little: two hundredths, measured.)
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable

WINDOW_S = 0.2
BUSY_PER_S = 200
"""So many datagrams a second make batches worth their delay; half of it ends them."""
BATCH = 192
"""As many datagrams make a batch that is full: under load the ticks come closer together."""
REST_S = 0.02
"""Between ticks that are further apart than this nobody else should wait for the next one."""


class Watch:
    """Watches sockets.

    Args:
        calm_s: how far apart batches of signalling are at most; 0: no batches.
        lively_s: how far apart batches are while sound goes through; 0: no batches.
        lively: whether sound has gone through since it was asked last.
        begin: called before a batch is taken.
        over: called after it, and at each tick.
    """

    def __init__(
        self,
        calm_s: float,
        *,
        begin: Callable[[], None],
        over: Callable[[], None],
        lively_s: float = 0.0,
        lively: Callable[[], bool] = lambda: False,
    ) -> None:
        self._calm_s = calm_s
        self._lively_s = lively_s
        self._ask = lively
        self._begin = begin
        self._over = over
        self._epoll = select.epoll()
        self._drains: dict[int, Callable[[], int]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._readable)
        self._since = 0.0
        self._count = 0
        self._lively = False
        self._closed = False
        self.ticking = False
        """True while `over` is called once a tick, whatever comes."""
        self.resting = False
        """True while ticks are so far apart that others should neither wait for them nor keep
        their own work from being done in between."""

    @property
    def calm(self) -> bool:
        """True while there are batches, and no sound among them."""
        return self.ticking and not self._lively

    def add(self, sock: socket.socket, drain: Callable[[], int]) -> None:
        """Watch a socket; `drain` takes what has come and answers how many datagrams."""
        self._drains[sock.fileno()] = drain
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def remove(self, sock: socket.socket) -> None:
        if self._drains.pop(sock.fileno(), None) is not None and not self._closed:
            self._epoll.unregister(sock.fileno())

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if not self.ticking:
                self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _readable(self) -> None:
        """Datagrams are there: taken at once; when they come often, batches begin."""
        now = self._loop.time()
        if now - self._since > WINDOW_S:
            self._since, self._count = now, 0
        self._count += self._take()
        if self._count < BUSY_PER_S * WINDOW_S or self._closed:
            return
        self._lively = self._ask()
        pace_s = self._lively_s if self._lively else self._calm_s
        if pace_s:
            self.ticking = True
            self._loop.remove_reader(self._epoll.fileno())
        self._since, self._count = now, 0
        if pace_s:
            self._sleep(pace_s)

    def _tick(self) -> None:
        if self._closed:
            return
        self._count += self._take()
        now = self._loop.time()
        count, elapsed = self._count, now - self._since
        over = elapsed >= WINDOW_S
        if over:
            self._since, self._count = now, 0
            self._lively = self._ask()
        if self._lively:
            pace_s = self._lively_s
        else:
            # What a full batch saves is saved: more datagrams come sooner, not in larger heaps.
            pace_s = min(self._calm_s, BATCH * elapsed / count) if count else self._calm_s
        if pace_s and not (over and count < BUSY_PER_S * WINDOW_S / 2):
            self._sleep(pace_s)
            return
        self.ticking = self.resting = False
        self._loop.add_reader(self._epoll.fileno(), self._readable)
        self._over()  # what another thread left while it still saw `ticking`

    def _sleep(self, pace_s: float) -> None:
        self.resting = pace_s > REST_S
        self._loop.call_later(pace_s, self._tick)

    def _take(self) -> int:
        count = 0
        try:
            self._begin()
            drains = self._drains
            for number, _ in self._epoll.poll(0):
                drain = drains.get(number)
                if drain is not None:
                    count += drain()
            self._over()
        except Exception as error:
            # A mistake of ours: loud, but it may not make the host deaf to everybody else.
            self._loop.call_exception_handler(
                {"message": "a datagram was not dealt with", "exception": error}
            )
        return count
