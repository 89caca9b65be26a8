"""When to register where: primary and backup servers, back-off, return to the first.

Pure: instants and random numbers are passed in. One attempt at a time runs; a device that is
registered at a backup stays so while it tries the first server again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_NO_USE_ELSEWHERE = frozenset({401, 403, 404, 407})
"""The account itself is refused: another server of the same service would say the same."""


@dataclass(frozen=True, slots=True)
class RetryTimes:
    """RFC 5626, 4.5: the pause doubles, and is drawn between half and all of it."""

    least_ms: float = 30_000
    most_ms: float = 1_800_000
    timeout_ms: float = 10_000
    """An attempt without an answer is given up after so long."""
    fallback_ms: float = 3_600_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """Send REGISTER to this server."""

    server: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Remove one's own binding at this server, or stop trying there."""

    server: int


Order = Attempt | Leave


class Registration:
    """The plan of one account over its servers.

    Args:
        servers: how many there are; 0 is the first choice.
        random: numbers from 0 to 1, for jitter.
    """

    def __init__(self, servers: int, times: RetryTimes, random: Callable[[], float]) -> None:
        assert servers > 0, "an account has a server"
        self._servers = servers
        self._times = times
        self._random = random
        self.current: int | None = None
        """The server that the device is registered at."""
        self.trying: int | None = None
        self._failures = 0
        """Rounds in which no server would have us."""
        self._timer_ms: float | None = None
        self._renew_ms: float | None = None
        """When to register anew at the current server over a new connection."""
        self._renewed_ms = -math.inf

    @property
    def deadline_ms(self) -> float | None:
        """When to call `handle_timer`."""
        instants = (self._timer_ms, self._renew_ms)
        return min((one for one in instants if one is not None), default=None)

    def start(self, now_ms: float) -> list[Order]:
        """Register for the first time."""
        return self._try(0, now_ms)

    def registered(self, server: int, now_ms: float) -> list[Order]:
        """A server accepted us: for the first time, or again in a refresh."""
        if server == self.current:
            return []
        if server != self.trying:
            return [Leave(server)]  # an answer after we had given up
        orders: list[Order] = [] if self.current is None else [Leave(self.current)]
        self.current = server
        self.trying = self._renew_ms = None
        self._failures = 0
        self._timer_ms = now_ms + self._times.fallback_ms if server != 0 else None
        return orders

    def failed(self, server: int, status: int, now_ms: float) -> list[Order]:
        """A server refused us, or could not be reached (`status` 0, 408, 503...)."""
        orders: list[Order] = [Leave(server)]
        hopeless = status in _NO_USE_ELSEWHERE
        if server == self.current:
            self.current = self._renew_ms = None
            if self.trying is not None:
                return orders
            if server != 0 and not hopeless:
                return orders + self._try(0, now_ms)
        elif server != self.trying:
            return []
        self.trying = None
        if self.current is not None:
            self._timer_ms = now_ms + self._times.fallback_ms
            return orders
        following = server + 1
        if following < self._servers and not hopeless:
            return orders + self._try(following, now_ms)
        self._timer_ms = now_ms + self._pause_ms()
        self._failures += 1
        return orders

    def disconnected(self, server: int, now_ms: float) -> list[Order]:
        """The connection that calls come by is gone: the binding is worth nothing without another
        (RFC 5626, 4.4). At once, but to a server that goes on closing them, not again and again."""
        if server == self.current:
            self._renew_ms = max(now_ms, self._renewed_ms + self._times.least_ms)
        return self.handle_timer(now_ms)

    def handle_timer(self, now_ms: float) -> list[Order]:
        """Call when `deadline_ms` has come."""
        if self._renew_ms is not None and now_ms >= self._renew_ms:
            self._renew_ms, self._renewed_ms = None, now_ms
            assert self.current is not None, "who is registered nowhere has nothing to renew"
            return [Attempt(self.current), *self.handle_timer(now_ms)]
        if self._timer_ms is None or now_ms < self._timer_ms:
            return []
        self._timer_ms = None
        if self.trying is not None:
            return self.failed(self.trying, 0, now_ms)
        return self._try(0, now_ms)

    def _try(self, server: int, now_ms: float) -> list[Order]:
        self.trying = server
        self._timer_ms = now_ms + self._times.timeout_ms
        return [Attempt(server)]

    def _pause_ms(self) -> float:
        longest = min(self._times.most_ms, self._times.least_ms * 2.0 ** min(self._failures, 30))
        return longest * (0.5 + 0.5 * self._random())
