"""Decks of rates into the store, in force from an instant on, without holding up calls.

A file is read and sorted beside the store; then the new deck is written next to those in force,
a short transaction at a time, and becomes ready in one step. Memory is bounded whatever the size.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from host.numbering.deck_csv import DeckError, DeckReader, Faults
from host.numbering.rate_index import Builder
from host.numbering.rates import CUSTOMERS, Deck, in_force, ready_decks
from host.store.connection import COMMITS_ARE_DURABLE, COMMITS_WAIT_FOR_NO_DISK, Connection

DEFAULT_DECK = Path(__file__).parent / "decks" / "default.csv"

_CHUNK = 5_000
"""Rows a transaction: the calls' own commits come in between."""
_PARTS = 4
"""Parts of an index a transaction, half a megabyte each."""
_DEAD_MS = 60_000
"""An import that gave no sign of life for so long has ended."""

_Values = tuple[str, str, int | None, int, int, int, str]
"""prefix, destination, per_minute, first_s, step_s, connect_fee, carriers."""


class Imported(NamedTuple):
    """What an import did."""

    deck: int
    """Its version."""
    imported: int
    """Rates of the file: a line has one for each route that the file has."""
    total: int
    """Rates of the deck, with those that stayed."""
    effective_utc_ms: int
    followed_by: tuple[int, ...]
    """Decks that take force after it, and do not know of it."""


def import_deck(
    conn: Connection,
    lines: Iterable[str],
    *,
    utc_ms: Callable[[], int],
    name: str = "",
    carrier: str = CUSTOMERS,
    effective_utc_ms: int | None = None,
    replace: bool = False,
    below_cost: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    give_way: Callable[[], None] = lambda: None,
) -> Imported:
    """Put a deck into force, all of it or none.

    Within a transaction of the caller it is written in that one; else in many short ones.

    Args:
        lines: of a CSV file (see `host.numbering.deck_csv`).
        utc_ms: what time it is.
        carrier: whose charges these are; CUSTOMERS: what customers pay.
        effective_utc_ms: takes force then; None: as soon as it is ready.
        replace: what is not in the file goes; else it stays as it is in the deck before.
        below_cost: may be sold for less than a carrier takes.
        progress: told after each transaction how many rates of how many stand.
        give_way: called after each transaction to wait a little: who waits for the store tries
            again only now and then, and would not get in between two transactions.

    Raises:
        DeckError: the file has faults, or another import is under way.
    """
    own = not conn.in_transaction
    with closing(_staging()) as staged:
        reader = DeckReader(lines, cost=carrier != CUSTOMERS)
        count = _stage(staged, reader)
        deck, base = _begin(conn, utc_ms, name, carrier, effective_utc_ms, below_cost, replace)
        load = _Load(conn, deck, utc_ms, progress, give_way)
        load.expected = count * len(reader.routes) + (base.rates if base else 0)
        try:
            if own:
                # Not each part is waited for until it is on the disk, but the last step, and with
                # it all before.
                conn.execute(COMMITS_WAIT_FOR_NO_DISK)
            routes = ("cost",) if carrier else ("premium", "value")
            for route in routes:
                fresh: Iterator[_Values] = iter(())
                if route in reader.routes:
                    fresh = _staged_rows(staged, reader.routes.index(route))
                old = _stored_rows(conn, base.id, route) if base else iter(())
                load.route(route, _merged(old, fresh))
            if own:
                conn.execute(COMMITS_ARE_DURABLE)
            effective = _ready(conn, load, utc_ms, carrier, effective_utc_ms, base)
        except BaseException:
            if own:
                _abandon(conn, deck)
            raise
    _drop_superseded(conn, utc_ms(), carrier)
    _purge(conn, deck, give_way)
    later = tuple(
        one.id
        for one in ready_decks(conn)
        if one.carrier == carrier and one.effective_utc_ms > effective
    )
    return Imported(deck, count * len(reader.routes), load.written, effective, later)


def withdraw(conn: Connection, deck: int, utc_ms: int) -> Deck | None:
    """Take back a deck: one that has not taken force, or the one in force, whose place the one
    before it takes, which is returned. Its rates go with the next import.

    Raises:
        DeckError: there is no such deck, or nothing would stand in its place.
    """
    decks = ready_decks(conn)
    found = next((one for one in decks if one.id == deck), None)
    if found is None:
        raise DeckError([f"no deck {deck} that is or will be in force: `rates decks` shows them"])
    left = [one for one in decks if one.id != deck and one.carrier == found.carrier]
    before = next(iter(in_force(left, utc_ms)), None)
    if found.carrier == CUSTOMERS and before is None:
        raise DeckError([f"without deck {deck} nothing could be called: import another first"])
    conn.execute("UPDATE deck SET state = 'withdrawn' WHERE id = ?", (deck,))
    return before


# --- the file, sorted beside the store ---------------------------------------------------------


def _staging() -> Connection:
    """A database on disk that goes with its connection."""
    staged = sqlite3.connect("", isolation_level=None)
    staged.execute("PRAGMA cache_size = -16000")
    staged.execute("PRAGMA synchronous = OFF")
    staged.execute("PRAGMA journal_mode = OFF")
    staged.execute(
        "CREATE TABLE line (line INTEGER, prefix TEXT, destination TEXT, first_s INTEGER, "
        "step_s INTEGER, connect_fee INTEGER, carriers TEXT, price_0 INTEGER, price_1 INTEGER)"
    )
    return staged


def _stage(staged: Connection, reader: DeckReader) -> int:
    """Read the whole file; answers how many lines have rates.

    Raises:
        DeckError: with all that is wrong.
    """
    none = (None,) * (2 - len(reader.routes))
    staged.execute("BEGIN")
    staged.executemany(
        "INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((*row[:7], *row[7], *none) for row in reader),
    )
    staged.execute("CREATE TABLE sorted AS SELECT * FROM line ORDER BY prefix, line")
    staged.execute("DROP TABLE line")
    faults: Faults = reader.faults
    for line, prefix, before in staged.execute(
        "SELECT one.line, one.prefix, before.line FROM sorted AS one "
        "JOIN sorted AS before ON before.rowid = one.rowid - 1 WHERE before.prefix = one.prefix"
    ):
        faults.add(line, f"prefix {prefix} stands in line {before} already")
    (count,) = staged.execute("SELECT count(*) FROM sorted").fetchone()
    staged.execute("COMMIT")
    if not count and not faults.count:
        raise DeckError(["line 2: there is no rate below the header"])
    if faults.count:
        raise faults.error()
    return int(count)


def _staged_rows(staged: Connection, price: int) -> Iterator[_Values]:
    yield from staged.execute(
        f"SELECT prefix, destination, price_{price}, first_s, step_s, connect_fee, carriers "
        "FROM sorted ORDER BY rowid"
    )


def _stored_rows(conn: Connection, deck: int, route: str) -> Iterator[_Values]:
    """Rates of a deck in order, some at a time: a long read would keep the log from being
    copied into the file."""
    last = ""
    while True:
        rows: list[_Values] = conn.execute(
            "SELECT prefix, destination, per_minute, first_s, step_s, connect_fee, carriers "
            "FROM rate WHERE deck = ? AND route = ? AND prefix > ? ORDER BY prefix LIMIT ?",
            (deck, route, last, _CHUNK),
        ).fetchall()
        if not rows:
            return
        yield from rows
        last = rows[-1][0]


def _merged(old: Iterator[_Values], fresh: Iterator[_Values]) -> Iterator[_Values]:
    """Both in order; of a prefix that both have, the fresh one."""
    one, other = next(old, None), next(fresh, None)
    while one is not None and other is not None:
        if one[0] < other[0]:
            yield one
            one = next(old, None)
        else:
            if one[0] == other[0]:
                one = next(old, None)
            yield other
            other = next(fresh, None)
    if one is not None:
        yield one
        yield from old
    if other is not None:
        yield other
        yield from fresh


# --- into the store ----------------------------------------------------------------------------


class _Base(NamedTuple):
    """The deck that a new one goes on from."""

    id: int
    rates: int


def _begin(
    conn: Connection,
    utc_ms: Callable[[], int],
    name: str,
    carrier: str,
    effective_utc_ms: int | None,
    below_cost: bool,
    replace: bool,
) -> tuple[int, _Base | None]:
    """Take a version, alone."""
    with transaction(conn):
        now = utc_ms()
        for other, touched in conn.execute(
            "SELECT id, touched_utc_ms FROM deck WHERE state = 'loading'"
        ).fetchall():
            if abs(now - touched) < _DEAD_MS:
                raise DeckError(
                    [
                        f"deck {other} is being imported (last sign of life "
                        f"{abs(now - touched) / 1000:.0f} s ago): wait until it is done; if that "
                        "import was killed, try again in a minute"
                    ]
                )
            conn.execute("UPDATE deck SET state = 'withdrawn' WHERE id = ?", (other,))
        base = None
        if not replace:
            base = _base(conn, carrier, now if effective_utc_ms is None else effective_utc_ms)
        effective = now if effective_utc_ms is None else effective_utc_ms
        deck = conn.execute(
            "INSERT INTO deck (carrier, name, state, effective_utc_ms, touched_utc_ms, below_cost) "
            "VALUES (?, ?, 'loading', ?, ?, ?)",
            (carrier, name, effective, now, below_cost),
        ).lastrowid
    assert deck is not None
    return deck, base


def _base(conn: Connection, carrier: str, utc_ms: int) -> _Base | None:
    for deck in in_force(ready_decks(conn), utc_ms):
        if deck.carrier == carrier:
            (rates,) = conn.execute("SELECT rates FROM deck WHERE id = ?", (deck.id,)).fetchone()
            return _Base(deck.id, rates)
    return None


class _Load:
    """A deck that is being written."""

    def __init__(
        self,
        conn: Connection,
        deck: int,
        utc_ms: Callable[[], int],
        progress: Callable[[int, int], None],
        give_way: Callable[[], None],
    ) -> None:
        self.deck = deck
        self.written = 0
        self.expected = 0
        """At most; rates of the base that are changed stand in the file as well."""
        self._conn = conn
        self._utc_ms = utc_ms
        self._progress = progress
        self._give_way = give_way

    def route(self, route: str, rows: Iterator[_Values]) -> None:
        """Write the rates of one route, and them packed."""
        deck, builder = self.deck, Builder()
        add = builder.add
        while chunk := list(itertools.islice(rows, _CHUNK)):
            values = [(deck, route, *row) for row in chunk]
            with transaction(self._conn):
                self._conn.executemany(
                    "INSERT INTO rate (deck, route, prefix, destination, per_minute, first_s, "
                    "step_s, connect_fee, carriers) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    values,
                )
                self._alive()
            for prefix, _, per_minute, first_s, step_s, connect_fee, carriers in chunk:
                add(prefix, per_minute, first_s, step_s, connect_fee, carriers)
            self.written += len(chunk)
            self._progress(self.written, max(self.expected, self.written))
            self._give_way()
        parts = enumerate(builder.finish().parts())
        while some := list(itertools.islice(parts, _PARTS)):
            with transaction(self._conn):
                self._conn.executemany(
                    "INSERT INTO rate_index (deck, route, part, data) VALUES (?, ?, ?, ?)",
                    ((deck, route, number, data) for number, data in some),
                )
                self._alive()
            self._give_way()

    def _alive(self) -> None:
        if not self._conn.execute(
            "UPDATE deck SET touched_utc_ms = ? WHERE id = ? AND state = 'loading'",
            (self._utc_ms(), self.deck),
        ).rowcount:
            raise DeckError([f"deck {self.deck} was given up by another import: try again"])


def _ready(
    conn: Connection,
    load: _Load,
    utc_ms: Callable[[], int],
    carrier: str,
    effective_utc_ms: int | None,
    base: _Base | None,
) -> int:
    """The one step; answers from when on the deck is in force."""
    with transaction(conn):
        now = utc_ms()
        effective = now if effective_utc_ms is None else effective_utc_ms
        if base is not None:
            still = _base(conn, carrier, effective)
            if still is None or still.id != base.id:
                raise DeckError(
                    [f"deck {base.id}, which this one goes on from, has been replaced: try again"]
                )
        changed = conn.execute(
            "UPDATE deck SET state = 'ready', effective_utc_ms = ?, touched_utc_ms = ?, rates = ? "
            "WHERE id = ? AND state = 'loading'",
            (effective, now, load.written, load.deck),
        ).rowcount
        if not changed:
            raise DeckError([f"deck {load.deck} was given up by another import: try again"])
    return effective


def _abandon(conn: Connection, deck: int) -> None:
    if conn.in_transaction:
        conn.execute("ROLLBACK")
    conn.execute(COMMITS_ARE_DURABLE)
    conn.execute("UPDATE deck SET state = 'withdrawn' WHERE id = ? AND state = 'loading'", (deck,))


def _drop_superseded(conn: Connection, utc_ms: int, carrier: str) -> None:
    """The deck in force and the one before it stay, and those to come; older ones go."""
    with transaction(conn):
        for (deck,) in conn.execute(
            "SELECT id FROM deck WHERE state = 'ready' AND carrier = ? AND effective_utc_ms <= ? "
            "ORDER BY effective_utc_ms DESC, id DESC LIMIT 1000000 OFFSET 2",
            (carrier, utc_ms),
        ).fetchall():
            conn.execute("UPDATE deck SET state = 'dropped' WHERE id = ?", (deck,))


def _purge(conn: Connection, deck: int, give_way: Callable[[], None]) -> None:
    """Remove the rates of decks that are not and will not be in force."""
    gone = conn.execute(
        "SELECT id FROM deck WHERE state IN ('withdrawn', 'dropped') AND id <> ? "
        "AND (EXISTS (SELECT 1 FROM rate WHERE rate.deck = deck.id) "
        "OR EXISTS (SELECT 1 FROM rate_index WHERE rate_index.deck = deck.id))",
        (deck,),
    ).fetchall()
    for (old,) in gone:
        with transaction(conn):
            conn.execute("DELETE FROM rate_index WHERE deck = ?", (old,))
        for route in ("cost", "premium", "value"):
            removed = _CHUNK
            while removed == _CHUNK:
                with transaction(conn):
                    removed = conn.execute(
                        "DELETE FROM rate WHERE deck = ?1 AND route = ?2 AND prefix <= coalesce("
                        "(SELECT prefix FROM rate WHERE deck = ?1 AND route = ?2 "
                        "ORDER BY prefix LIMIT 1 OFFSET ?3 - 1), ':')",
                        (old, route, _CHUNK),
                    ).rowcount
                give_way()


class transaction:
    """BEGIN IMMEDIATE, then COMMIT, or ROLLBACK on any exception; within another, nothing."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._own = not conn.in_transaction

    def __enter__(self) -> None:
        if self._own:
            self._conn.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._own:
            self._conn.execute("COMMIT" if kind is None else "ROLLBACK")
