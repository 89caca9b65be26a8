"""Stretches of numbers of which none is a DID, as far as calls have asked about them.

Nearly all numbers that are called are no DID of this host, and few are called twice. But between
two DIDs that follow each other there is none, whatever the number, so that one look at the store
answers for all numbers of such a stretch.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from host.numbering.e164 import MAX_DIGITS, prefixes
from host.store.connection import Connection

_LAST = "~"
"""Behind all numbers."""
_NEIGHBOURS = """
SELECT (SELECT max(number) FROM did WHERE number < ?1),
    (SELECT min(number) FROM did WHERE number > ?1)"""
_RANGES = f"""
SELECT count(*) FROM did WHERE number IN ({", ".join("?" * MAX_DIGITS)}) AND is_range = 1"""


class Gaps:
    """Open intervals of numbers, E.164 in the order of their text; at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._starts: list[str] = []
        self._ends: list[str] = []

    def __contains__(self, number: str) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and self._starts[at] < number < self._ends[at]

    def add(self, start: str, end: str) -> None:
        """Remember that there is nothing between `start` and `end`."""
        if len(self._starts) >= self._size:
            self.clear()
        at = bisect_left(self._starts, start)
        self._starts.insert(at, start)
        self._ends.insert(at, end)

    def clear(self) -> None:
        """Forget all of them, since DIDs may have come."""
        self._starts.clear()
        self._ends.clear()


def read_gap(conn: Connection, number: str) -> tuple[str, str] | None:
    """The DIDs before and behind a number (E.164) that belongs to none.

    None where the DID before is a range or within one: that range may end anywhere between the
    two. (A range further back cannot reach beyond it: all its numbers begin alike, so those
    before and behind the DID can only be in it if the DID is.)
    """
    before, behind = conn.execute(_NEIGHBOURS, (number,)).fetchone()
    if before is not None:
        begins: list[str | None] = ["+" + digits for digits in prefixes(before[1:])]
        begins += [None] * (MAX_DIGITS - len(begins))
        (ranges,) = conn.execute(_RANGES, begins).fetchone()
        if ranges:
            return None
    return before or "", behind or _LAST
