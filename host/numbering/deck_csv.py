"""Decks of rates as CSV, row by row: what is wrong is told by its line.

Columns of what customers pay: `prefix` (digits of E.164, + allowed) and at least one of `value` and
`premium` (USD a minute; empty: not offered); of what a carrier charges: `prefix` and `cost`. If
wanted `destination`, `first_s` and `step_s` (seconds; 6 and 6), `connect_fee` (USD), and for
customers `carriers` (names, `|` between; empty: all). Lines that begin with # are notes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from host.charging.money import parse_usd
from host.numbering.e164 import MAX_DIGITS

SHOWN_FAULTS = 20
"""So many faults are told in words; all are counted."""
_PRICES = {False: ("value", "premium"), True: ("cost",)}
_OTHERS = {
    False: ("destination", "first_s", "step_s", "connect_fee", "carriers"),
    True: ("destination", "first_s", "step_s", "connect_fee"),
}
_MOST_INCREMENT_S = 3_600
_MOST_TEXT = 200


class Row(NamedTuple):
    """One line of a deck."""

    line: int
    prefix: str
    destination: str
    first_s: int
    step_s: int
    connect_fee: int
    carriers: str
    """Names, comma between."""
    prices: tuple[int | None, ...]
    """One for each of `DeckReader.routes`."""


class DeckError(ValueError):
    """A deck that cannot be taken.

    `lines` has a sentence a fault, each naming its line, the first `SHOWN_FAULTS` of `count`.
    """

    def __init__(self, lines: list[str], count: int | None = None) -> None:
        """Keep the sentences."""
        super().__init__("\n".join(lines))
        self.lines = lines
        self.count = len(lines) if count is None else count


class Faults:
    """What is wrong so far: all of it counted, the first of it in words."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.count = 0
        self._told: list[tuple[int, str]] = []

    def add(self, line: int, what: str) -> None:
        """One more."""
        self.count += 1
        if len(self._told) < 2 * SHOWN_FAULTS:
            self._told.append((line, what))

    def error(self) -> DeckError:
        """All of them, by line."""
        told = sorted(self._told)[:SHOWN_FAULTS]
        return DeckError([f"line {line}: {what}" for line, what in told], self.count)


class DeckReader:
    """Reads a deck once, in bounded memory.

    Args:
        lines: of the file, as text; undecodable octets as lone surrogates.
        cost: a carrier's deck.

    Raises:
        DeckError: the header is wrong.
    """

    def __init__(self, lines: Iterable[str], *, cost: bool) -> None:
        self.faults = Faults()
        self._reader = csv.reader(map(_without_note, lines), skipinitialspace=True)
        header = self._header()
        prices, known = _PRICES[cost], ("prefix", *_PRICES[cost], *_OTHERS[cost])
        for name in header:
            if name not in known:
                raise self._fault(f"unknown column {name!r}: the columns are {', '.join(known)}")
            if header.count(name) > 1:
                raise self._fault(f"the column {name} stands there twice")
        self.routes = tuple(name for name in prices if name in header)
        """Which of value, premium and cost the deck has."""
        if "prefix" not in header or not self.routes:
            wanted = "cost" if cost else "value or premium or both"
            raise self._fault(f"the header needs prefix, and {wanted}")
        self._at = {name: index for index, name in enumerate(header)}

    def _header(self) -> list[str]:
        try:
            for record in self._reader:
                if any(record):
                    return [name.strip().lstrip("\ufeff") for name in record]
        except csv.Error as error:
            raise self._fault(str(error)) from None
        raise self._fault("there is no header")

    def _fault(self, what: str) -> DeckError:
        return DeckError([f"line {max(1, self._reader.line_num)}: {what}"])

    def __iter__(self) -> Iterator[Row]:
        """Rows that are right; the others are noted in `faults`."""
        reader, faults, at = self._reader, self.faults, self._at
        width = len(at)
        prefix_at = at["prefix"]
        price_at = tuple((name, at[name]) for name in self.routes)
        first_at, step_at, fee_at, carriers_at, destination_at = (
            at.get(name) for name in ("first_s", "step_s", "connect_fee", "carriers", "destination")
        )
        while True:
            try:
                record = next(reader)
                if not record:
                    continue
                if len(record) != width:
                    raise ValueError(f"it has {len(record)} fields, the header has {width}")
                destination = "" if destination_at is None else record[destination_at].strip()
                carriers = "" if carriers_at is None else record[carriers_at]
                yield Row(
                    reader.line_num,
                    _prefix(record[prefix_at]),
                    destination if destination.isascii() else _text(destination),
                    6 if first_at is None else _increment("first_s", record[first_at]),
                    6 if step_at is None else _increment("step_s", record[step_at]),
                    0 if fee_at is None else _amount("connect_fee", record[fee_at]) or 0,
                    _carriers(carriers) if carriers else "",
                    tuple([_amount(name, record[index]) for name, index in price_at]),
                )
            except StopIteration:
                return
            except (ValueError, csv.Error) as error:
                faults.add(reader.line_num, str(error))


def _without_note(line: str) -> str:
    return "\n" if line[:1] == "#" else line


def _prefix(text: str) -> str:
    prefix = text.strip().removeprefix("+")
    if not (prefix.isascii() and prefix.isdigit()) or len(prefix) > MAX_DIGITS:
        raise ValueError(f"prefix {text[:40]!r} is not 1 to {MAX_DIGITS} digits")
    if prefix[0] == "0":
        raise ValueError(f"prefix {text[:40]!r} begins with 0, as no country code does")
    return prefix


@lru_cache(maxsize=1024)
def _increment(column: str, text: str) -> int:
    digits = text.strip() or "6"
    known = digits.isascii() and digits.isdigit() and len(digits) <= 6
    if not known or not 1 <= int(digits) <= _MOST_INCREMENT_S:
        raise ValueError(
            f"{column} {text[:40]!r} is not a number of seconds from 1 to {_MOST_INCREMENT_S}"
        )
    return int(digits)


@lru_cache(maxsize=65_536)
def _amount(column: str, text: str) -> int | None:
    stripped = text.strip()
    if not stripped:
        return None
    try:
        amount = parse_usd(stripped)
    except ValueError as error:
        raise ValueError(f"{column} {str(error)[:120]}") from None
    if amount < 0:
        raise ValueError(f"{column} {text[:40]!r} is negative")
    return amount


@lru_cache(maxsize=4_096)
def _carriers(text: str) -> str:
    names = [part.strip() for part in text.split("|")]
    if "," in text or "\n" in text:
        raise ValueError(f"carriers {text[:40]!r}: write names with | between")
    return _text(",".join(name for name in names if name))


def _text(text: str) -> str:
    if len(text) > _MOST_TEXT:
        raise ValueError(f"{text[:40]!r}... is longer than {_MOST_TEXT} letters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{ascii(text)[:60]} is not in UTF-8") from None
    return text
