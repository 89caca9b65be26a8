"""What a customer's calls came to: sums over all calls that are over, kept so that each is looked
at once."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple

from host.store.connection import Connection

_MOST = 1_000
# The first call that is not over yet: those before it change no more.
_WATERMARK = """
SELECT coalesce((SELECT min(id) FROM call WHERE state = 'open'),
    (SELECT coalesce(max(id), 0) + 1 FROM call))"""
_SUMS = """
SELECT coalesce(sum(leg.cost), 0), count(*), coalesce(sum(leg.billed_ms), 0) FROM call
JOIN leg ON leg.call = call.id
WHERE call.id >= ? AND call.id < ? AND leg.account_id = ? AND call.state = 'ended'
    AND call.started_utc_ms >= ?"""
_CLOCK_MS = 3_600_000
"""Clocks are set, so that calls in the order of their ids stand in that of time but for so much."""


class Sums(NamedTuple):
    """Of billed legs."""

    cost: int = 0
    calls: int = 0
    billed_ms: int = 0


class Totals:
    """Sums of all calls of each customer, of those who asked last."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[int, Sums]] = OrderedDict()
        self._lock = Lock()

    def of(self, conn: Connection, account_id: int) -> Sums:
        """All of a main account's, up to now."""
        (watermark,) = conn.execute(_WATERMARK).fetchone()
        with self._lock:
            since, known = self._known.pop(account_id, (0, Sums()))
        row = conn.execute(_SUMS, (since, watermark, account_id, 0)).fetchone()
        known = Sums(*(a + b for a, b in zip(known, row, strict=True)))
        with self._lock:
            self._known[account_id] = (max(since, watermark), known)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        rest = conn.execute(_SUMS, (watermark, 1 << 62, account_id, 0)).fetchone()
        return Sums(*(a + b for a, b in zip(known, rest, strict=True)))


def since(conn: Connection, account_id: int, utc_ms: int) -> Sums:
    """A main account's, of calls that began then or later."""
    first = first_call(conn, utc_ms)
    return Sums(*conn.execute(_SUMS, (first, 1 << 62, account_id, utc_ms)).fetchone())


def first_call(conn: Connection, utc_ms: int) -> int:
    """A call's number at which, or after which, all calls stand that began at `utc_ms` or later:
    found by halving, since calls have no index by time."""
    low, high = conn.execute(
        "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM call"
    ).fetchone()
    query = "SELECT id, started_utc_ms FROM call WHERE id >= ? ORDER BY id LIMIT 1"
    while low < high:
        middle = (low + high) // 2
        found, began = conn.execute(query, (middle,)).fetchone()
        if began < utc_ms - _CLOCK_MS:
            low = found + 1
        else:
            high = middle
    return int(low)
