"""The rates of one deck and route packed for look-up by longest prefix. Pure.

A prefix covers an interval of all fifteen-digit numbers, and longer prefixes cut pieces out of it.
Laid side by side the pieces are a sorted array of starts, so that one search by halves finds the
longest prefix, however the prefixes nest: a few steps for a million of them, in 12 octets
a piece. Neighbours of one length and price are one piece. Prices are kept once for all prefixes
that have them.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from host.charging.values import Money, Tariff
from host.numbering.e164 import MAX_DIGITS

_MAGIC = b"LSRI\x01"
_HEADER = struct.Struct("<5sIII")
"""Magic with its version; how many pieces, numbers of prices, octets of carriers' names."""
_NOT_OFFERED = -1
_PADDING = "0" * MAX_DIGITS
_SPAN = tuple(10 ** (MAX_DIGITS - length) for length in range(MAX_DIGITS + 1))
_BEGINS = ((100_000, 31), (0, 37))
"""From so many pieces on, numbers that agree but for so many bits have one beginning, half a
million or some seven thousand of them in all: fewer steps to a piece."""
_LENGTH_BITS = 4
_LENGTH = (1 << _LENGTH_BITS) - 1
_MOST_PRICES = (1 << (32 - _LENGTH_BITS)) - 1
_REMEMBERED = 65_536
"""Prices that a builder looks for a second use of, and whose tariffs are made once; more of them
are kept as often as they come."""
PART_OCTETS = 1 << 19

Found = tuple[int, Tariff, tuple[str, ...]]
"""Length of the prefix, what it costs, and the names of carriers in order (empty: all)."""


class TooShort(LookupError):
    """The number ends before the longest prefix that it may have: the rates themselves know."""


class RateIndex:
    """A packed deck. Made by `Builder` or `from_parts`; never changes."""

    __slots__ = (
        "_begins",
        "_carriers",
        "_entries",
        "_names",
        "_prices",
        "_shift",
        "_starts",
        "_tariffs",
    )

    def __init__(self) -> None:
        """Empty; to be filled by those who make one."""
        self._starts = array("Q")
        self._entries = array("I")
        """Number of the price from 1 on, then four bits of the prefix's length; 0: no rate."""
        self._prices = array("q")
        """Three a price: a minute, connect fee, and in one first and further increment with the
        number of the list of names."""
        self._names: list[tuple[str, ...]] = []
        self._shift = 50
        """How many of a number's last bits its beginning lacks."""
        self._begins = array("I")
        """For each beginning, how many pieces start before it."""
        self._tariffs: list[Tariff | None] = []
        """What was made of each price when it was first asked for."""
        self._carriers: list[tuple[str, ...]] = []
        """And the names of its carriers: a pair of the two would be one more object to fetch."""

    def __len__(self) -> int:
        """How many pieces there are."""
        return len(self._starts)

    def find(self, digits: str) -> Found | None:
        """The longest prefix of `digits`, of which 15 count; None: none, or it is not offered.

        Raises:
            TooShort: rates differ by digits that would come after the last one.
        """
        try:
            number = int(digits) * _SPAN[len(digits)]
        except IndexError:
            number = int(digits[:MAX_DIGITS])
        begins, begin = self._begins, number >> self._shift
        piece = bisect_right(self._starts, number, begins[begin], begins[begin + 1]) - 1
        if piece < 0:
            return None
        entry = self._entries[piece]
        if not entry:
            return None
        length = entry & _LENGTH
        if length > len(digits):
            raise TooShort(digits)
        price = entry >> _LENGTH_BITS
        try:
            tariff = self._tariffs[price]
        except IndexError:  # among so many that they are not remembered
            tariff = None
        if tariff is not None:
            return length, tariff, self._carriers[price]
        return self._tell(length, price)

    def _tell(self, length: int, price: int) -> Found | None:
        """What a price says, remembered: they are few, and asked for again and again."""
        per_minute, connect_fee, rest = self._prices[price * 3 - 3 : price * 3]
        if per_minute == _NOT_OFFERED:
            return None
        first_s, step_s = rest & 0xFFFF, rest >> 16 & 0xFFFF
        tariff = Tariff(Money(per_minute), first_s, step_s, Money(connect_fee))
        carriers = self._names[rest >> 32]
        if price < len(self._tariffs):
            self._tariffs[price], self._carriers[price] = tariff, carriers
        return length, tariff, carriers

    def _open(self) -> RateIndex:
        """Note where each beginning begins; then it can be searched."""
        starts = self._starts
        remembered = min(len(self._prices) // 3 + 1, _REMEMBERED)
        self._tariffs, self._carriers = [None] * remembered, [()] * remembered
        shift = self._shift = next(bits for pieces, bits in _BEGINS if len(starts) >= pieces)
        count = (10**MAX_DIGITS - 1 >> shift) + 1
        if len(starts) > count:
            found = (bisect_left(starts, n << shift) for n in range(count + 1))
            self._begins = array("I", found)
            return self
        # Few pieces: one look at each costs less than a search for each beginning.
        begins = self._begins = array("I")
        for piece, start in enumerate(starts):
            begins.extend(array("I", [piece]) * ((start >> shift) + 1 - len(begins)))
        begins.extend(array("I", [len(starts)]) * (count + 1 - len(begins)))
        return self

    def _arrays(self) -> tuple[array[int], array[int], array[int]]:
        return self._starts, self._entries, self._prices

    def parts(self) -> Iterator[bytes]:
        """The whole of it as octets, little-endian, at most `PART_OCTETS` at a time."""
        names = "\n".join(",".join(one) for one in self._names).encode()
        yield _HEADER.pack(_MAGIC, len(self._starts), len(self._prices), len(names))
        for values in self._arrays():
            step = PART_OCTETS // values.itemsize
            for start in range(0, len(values), step):
                yield _swapped(values[start : start + step]).tobytes()
        for start in range(0, len(names), PART_OCTETS):
            yield names[start : start + PART_OCTETS]

    @classmethod
    def from_parts(cls, parts: Iterable[bytes]) -> RateIndex | None:
        """What `parts` gave; None if there is none, or it is another version's."""
        rest = iter(parts)
        header = next(rest, b"")
        if len(header) != _HEADER.size:
            return None
        magic, pieces, prices, octets = _HEADER.unpack(header)
        if magic != _MAGIC:
            return None
        made = cls()
        wanted = tuple(zip(made._arrays(), (pieces, pieces, prices), strict=True))
        for values, count in wanted:
            while len(values) < count:
                values.frombytes(next(rest, b"") or _torn())
            _swapped(values, in_place=True)
        names = b"".join(rest)
        if len(names) != octets or any(len(values) != count for values, count in wanted):
            _torn()
        made._names = [tuple(filter(None, one.split(","))) for one in names.decode().split("\n")]
        return made._open()


class Builder:
    """Packs rates that come in the order of their prefixes' text."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._made = RateIndex()
        self._known: dict[tuple[int, int, int, int, str], int] = {}
        self._names: dict[str, int] = {}
        self._open: list[tuple[int, int]] = []
        """Ends and entries of the prefixes that the last one lies in, and of itself."""
        self._last = ""

    def add(
        self,
        prefix: str,
        per_minute: int | None,
        first_s: int,
        step_s: int,
        connect_fee: int,
        carriers: str,
    ) -> None:
        """One rate; `per_minute` None: not offered."""
        assert self._last < prefix, "each prefix once, in order"
        self._last = prefix
        start = int((prefix + _PADDING)[:MAX_DIGITS])
        self._close(start)
        offered = _NOT_OFFERED if per_minute is None else per_minute
        price = self._price((offered, first_s, step_s, connect_fee, carriers))
        entry = price << _LENGTH_BITS | len(prefix)
        self._emit(start, entry)
        self._open.append((start + _SPAN[len(prefix)], entry))

    def finish(self) -> RateIndex:
        """The packed deck; nothing may be added afterwards."""
        self._close(10**MAX_DIGITS)
        self._made._names = [tuple(filter(None, one.split(","))) for one in self._names]
        return self._made._open()

    def _close(self, start: int) -> None:
        """Go on with what lies around prefixes that end at or before `start`."""
        while self._open and self._open[-1][0] <= start:
            end, _ = self._open.pop()
            self._emit(end, self._open[-1][1] if self._open else 0)

    def _emit(self, start: int, entry: int) -> None:
        starts, entries = self._made._starts, self._made._entries
        if starts and starts[-1] == start:
            starts.pop()
            entries.pop()
        if not entries or entries[-1] != entry:
            starts.append(start)
            entries.append(entry)

    def _price(self, row: tuple[int, int, int, int, str]) -> int:
        price = self._known.get(row)
        if price is None:
            per_minute, first_s, step_s, connect_fee, carriers = row
            assert max(first_s, step_s) <= 0xFFFF
            names = self._names.setdefault(carriers, len(self._names))
            rest = names << 32 | step_s << 16 | first_s
            self._made._prices.extend((per_minute, connect_fee, rest))
            price = len(self._made._prices) // 3
            assert price <= _MOST_PRICES
            if len(self._known) < _REMEMBERED:
                self._known[row] = price
        return price


def _swapped(values: array[int], *, in_place: bool = False) -> array[int]:
    """Between this machine's order of octets and little-endian."""
    if sys.byteorder == "little":
        return values
    values = values if in_place else values[:]
    values.byteswap()
    return values


def _torn() -> bytes:
    raise AssertionError("a packed deck is written in one transaction and so is whole")
