"""The timers of many transactions, each in constant time.

All transactions share a few durations, so each duration has a queue in order of arrival: its
head is due first, no heap is needed, and a timer is stopped by removing it. What merely waits to
be forgotten shares buckets of half a second and costs one list entry.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from math import floor, inf
from typing import Generic, Protocol, TypeVar

from firmware.wire.sip.timers import LINGER_GRAIN_S


class Timed(Protocol):
    """What a queue holds."""

    interval_s: float
    """The retransmission queue that it stands in; 0 for none. Kept by `Clock`."""


T = TypeVar("T", bound=Timed)


class Bucket:
    """What is forgotten together."""

    __slots__ = ("client", "deadline", "merged", "server")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.server: list[str] = []
        self.client: list[str] = []
        self.merged: list[int] = []


class Clock(Generic[T]):
    """Retransmission timers, one limit a transaction, and buckets of what lingers.

    `now` is in monotonic seconds and never decreases.
    """

    __slots__ = ("_limit_s", "_limits", "_lingering", "_retries", "next_deadline_s")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._limits: OrderedDict[T, float] = OrderedDict()
        self._retries: dict[float, OrderedDict[T, float]] = {}
        self._lingering: dict[float, deque[Bucket]] = {}
        self.next_deadline_s = inf
        """No timer is due before; it may be early when timers were stopped since."""

    def retry(self, item: T, interval_s: float, now: float) -> None:
        """Start the retransmission timer; the item must not have one."""
        queue = self._retries.get(interval_s)
        if queue is None:
            queue = self._retries[interval_s] = OrderedDict()
        deadline = now + interval_s
        queue[item] = deadline
        item.interval_s = interval_s
        if deadline < self.next_deadline_s:
            self.next_deadline_s = deadline

    def limit(self, item: T, now: float) -> None:
        """Start the 64*T1 timer, anew if it runs."""
        self._limits.pop(item, None)
        deadline = self._limits[item] = now + self._limit_s
        if deadline < self.next_deadline_s:
            self.next_deadline_s = deadline

    def stop_retry(self, item: T) -> None:
        """Stop the retransmission timer if it runs."""
        if item.interval_s:
            del self._retries[item.interval_s][item]
            item.interval_s = 0.0

    def stop(self, item: T) -> None:
        """Stop both timers if they run."""
        if item.interval_s:
            del self._retries[item.interval_s][item]
            item.interval_s = 0.0
        self._limits.pop(item, None)

    def bucket(self, duration_s: float, now: float) -> Bucket:
        """What is forgotten after `duration_s`, at most `LINGER_GRAIN_S` later."""
        queue = self._lingering.get(duration_s)
        if queue is None:
            queue = self._lingering[duration_s] = deque()
        deadline = (floor((now + duration_s) / LINGER_GRAIN_S) + 1) * LINGER_GRAIN_S
        if queue and queue[-1].deadline >= deadline:
            return queue[-1]
        bucket = Bucket(deadline)
        queue.append(bucket)
        if deadline < self.next_deadline_s:
            self.next_deadline_s = deadline
        return bucket

    def due(self, now: float) -> tuple[list[tuple[T, float]], list[T], list[Bucket]]:
        """Take what is due: to retransmit (with the interval that ran), at its limit, to forget.

        What is at its limit is not retransmitted as well. Call `settle` after carrying it out.
        """
        limits: list[T] = []
        while self._limits:
            item, deadline = next(iter(self._limits.items()))
            if deadline > now:
                break
            self.stop(item)
            limits.append(item)
        retries: list[tuple[T, float]] = []
        for interval_s, queue in self._retries.items():
            while queue:
                item, deadline = next(iter(queue.items()))
                if deadline > now:
                    break
                del queue[item]
                item.interval_s = 0.0
                retries.append((item, interval_s))
        buckets: list[Bucket] = []
        for lingering in self._lingering.values():
            while lingering and lingering[0].deadline <= now:
                buckets.append(lingering.popleft())
        return retries, limits, buckets

    def settle(self) -> None:
        """Find the next deadline from the heads of the queues."""
        heads = [next(iter(queue.values())) for queue in self._retries.values() if queue]
        heads += [queue[0].deadline for queue in self._lingering.values() if queue]
        if self._limits:
            heads.append(next(iter(self._limits.values())))
        self.next_deadline_s = min(heads, default=inf)
