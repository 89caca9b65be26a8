"""Decks of rates: read from CSV, and put into the store without holding up calls.

Columns: `prefix` (digits of E.164 without +) and at least one of `value` and `premium` (USD a
minute; empty: not offered), and if wanted `destination`, `first_s`, `step_s`, `connect_fee`,
`carriers` (names in order, `|` between; empty: all carriers by priority).
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from host.charging.money import parse_usd
from host.numbering.e164 import MAX_DIGITS

DEFAULT_DECK = Path(__file__).parent / "decks" / "default.csv"

COLUMNS = (
    "prefix",
    "destination",
    "value",
    "premium",
    "first_s",
    "step_s",
    "connect_fee",
    "carriers",
)
_ROUTES = ("value", "premium")
_CHUNK = 2_000
"""Rows a transaction: the calls' own commits come in between."""
_MOST_ERRORS = 20


class DeckRow(NamedTuple):
    """One rate, in the order of the table's columns after `deck`."""

    route: str
    prefix: str
    destination: str
    per_minute: int | None
    first_s: int
    step_s: int
    connect_fee: int
    carriers: str


class DeckError(ValueError):
    """A deck that cannot be read; `lines` has a sentence a fault, each naming its line."""

    def __init__(self, lines: list[str]) -> None:
        """Keep the sentences."""
        super().__init__("\n".join(lines))
        self.lines = lines


def read_deck(lines: Iterable[str]) -> list[DeckRow]:
    """Read a whole deck, or none of it.

    Raises:
        DeckError: with up to twenty faults, each with its line.
    """
    reader = csv.DictReader(lines, skipinitialspace=True)
    try:
        header = [name.strip().lstrip("\ufeff") for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise DeckError([f"line 1: {error}"]) from None
    reader.fieldnames = header
    unknown = [name for name in header if name not in COLUMNS]
    if unknown:
        raise DeckError(
            [f"line 1: unknown column {unknown[0]!r}: the columns are {', '.join(COLUMNS)}"]
        )
    routes = [route for route in _ROUTES if route in header]
    if "prefix" not in header or not routes:
        raise DeckError(["line 1: the header needs prefix, and value or premium or both"])
    rows: list[DeckRow] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    records = iter(reader)
    while len(faults) < _MOST_ERRORS:
        try:
            record = next(records, None)
            if record is None:
                break
            rows.extend(_read_record(record, routes, seen, reader.line_num))
        except (ValueError, csv.Error) as error:
            faults.append(f"line {reader.line_num}: {error}")
    if not rows and not faults:
        faults.append("line 2: there is no rate below the header")
    if faults:
        raise DeckError(faults)
    return rows


def _read_record(
    record: dict[str, str], routes: list[str], seen: dict[str, int], line: int
) -> Iterator[DeckRow]:
    if None in record or None in record.values():
        raise ValueError("it has not as many fields as the header")
    prefix = record["prefix"].strip().removeprefix("+")
    if not (prefix.isascii() and prefix.isdigit()) or len(prefix) > MAX_DIGITS:
        raise ValueError(f"prefix {prefix!r} is not 1 to {MAX_DIGITS} digits")
    if prefix in seen:
        raise ValueError(f"prefix {prefix} stands in line {seen[prefix]} already")
    seen[prefix] = line
    first_s, step_s = _increment(record, "first_s"), _increment(record, "step_s")
    fee = _amount(record, "connect_fee") or 0
    carriers = ",".join(
        name for name in (part.strip() for part in record.get("carriers", "").split("|")) if name
    )
    for route in routes:
        yield DeckRow(
            route,
            prefix,
            record.get("destination", "").strip(),
            _amount(record, route),
            first_s,
            step_s,
            fee,
            carriers,
        )


def _increment(record: dict[str, str], column: str) -> int:
    text = record.get(column, "").strip() or "6"
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:6]) <= 3_600:
        raise ValueError(f"{column} {text!r} is not a number of seconds from 1 to 3600")
    return int(text)


def _amount(record: dict[str, str], column: str) -> int | None:
    text = record.get(column, "").strip()
    if not text:
        return None
    amount = parse_usd(text)
    if amount < 0:
        raise ValueError(f"{column} {text!r} is negative")
    return amount


def import_deck(
    conn: sqlite3.Connection,
    rows: Iterable[DeckRow],
    *,
    replace: bool = False,
    progress: Callable[[int], None] = lambda rows: None,
    give_way: Callable[[], None] = lambda: None,
) -> int:
    """Put rates into force, all of them at one instant or none.

    Args:
        replace: what is not among `rows` goes; else it stays as it is.
        progress: told after each chunk how many rows of the new deck stand.
        give_way: called after each chunk to wait a little: who waits for the store tries again
            only now and then, and would not get in between two chunks.

    Returns:
        How many rows the deck in force has now.
    """
    assert not conn.in_transaction
    (current,) = conn.execute("SELECT deck FROM config").fetchone()
    merged: dict[tuple[str, str], DeckRow] = {}
    if not replace:
        for row in conn.execute(
            "SELECT route, prefix, destination, per_minute, first_s, step_s, connect_fee, carriers "
            "FROM rate WHERE deck = ?",
            (current,),
        ):
            found = DeckRow(*row)
            merged[found.route, found.prefix] = found
    merged.update(((row.route, row.prefix), row) for row in rows)
    # In the order of the table's key, so that every chunk is appended.
    ordered = sorted(merged.values())
    with _transaction(conn):
        (deck,) = conn.execute(
            "SELECT max(deck, coalesce((SELECT max(deck) FROM rate), 0)) + 1 FROM config"
        ).fetchone()
        # Taken by its first row, so that an import beside this one takes the next number.
        _insert(conn, deck, ordered[:1])
    for start in range(1, len(ordered), _CHUNK):
        with _transaction(conn):
            _insert(conn, deck, ordered[start : start + _CHUNK])
        progress(min(start + _CHUNK, len(ordered)))
        give_way()
    with _transaction(conn):
        conn.execute("UPDATE config SET deck = ?", (deck,))
    _drop_others(conn, deck, give_way)
    return len(ordered)


def _insert(conn: sqlite3.Connection, deck: int, rows: list[DeckRow]) -> None:
    conn.executemany(
        "INSERT INTO rate (deck, route, prefix, destination, per_minute, first_s, step_s, "
        "connect_fee, carriers) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((deck, *row) for row in rows),
    )


def _drop_others(conn: sqlite3.Connection, deck: int, give_way: Callable[[], None]) -> None:
    """Remove the deck that was in force, and what a broken import left behind."""
    removed = _CHUNK
    while removed == _CHUNK:
        with _transaction(conn):
            removed = conn.execute(
                "DELETE FROM rate WHERE (deck, route, prefix) IN "
                "(SELECT deck, route, prefix FROM rate WHERE deck < ? LIMIT ?)",
                (deck, _CHUNK),
            ).rowcount
        give_way()


class _transaction:
    """BEGIN IMMEDIATE, then COMMIT, or ROLLBACK on any exception."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn

    def __enter__(self) -> None:
        self._conn.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._conn.execute("COMMIT" if kind is None else "ROLLBACK")
