"""PostgreSQL as the store: several hosts on one database, one balance and one limit for all.

A connection here does what `sqlite3.Connection` does for the rest of the host, and raises the
same errors, so that charging knows one store. It speaks the SQL of SQLite as far as the two agree;
`?` and a few words are translated once for each text of a statement.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.pq import TransactionStatus

from host.store.connection import COMMITS_ARE_DURABLE, COMMITS_WAIT_FOR_NO_DISK, UTC_MS
from host.store.sqlite import BUSY_TIMEOUT_MS, StoreError

POSTGRES_SCHEMA = 7
"""The newest of host/store/migrations. Its numbers are PostgreSQL's own from 5, where it began."""
CONNECT_TIMEOUT_S = 5
_SCHEMA = Path(__file__).with_name("schema_postgres.sql")
WRITERS_LOCK = 0x4C6F6F70
"""Of the writers of one database, one at a time is between BEGIN IMMEDIATE and COMMIT, as with
SQLite: each settlement changes the row of the revenue, so that they could not pass each other
anyway; waiting here instead, they never deadlock, and limits and money are counted as they are."""
_OPTIONS = (
    f"-c lock_timeout={BUSY_TIMEOUT_MS} -c statement_timeout={4 * BUSY_TIMEOUT_MS} "
    # A host that hangs, or whose machine is gone, keeps the others waiting no longer.
    f"-c idle_in_transaction_session_timeout={2 * BUSY_TIMEOUT_MS} "
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 "
    # Durable before it is acknowledged, whatever the server's default is.
    "-c synchronous_commit=on"
)
_WITH_ID = frozenset(
    (
        *("account", "call", "caller_filter", "deck", "did_order", "forwarding", "movement"),
        *("outbox", "ring_group", "sip_uri"),
    )
)
"""Tables that number their rows themselves."""
_STATEMENTS = {
    "BEGIN": "BEGIN ISOLATION LEVEL REPEATABLE READ",
    # READ COMMITTED: what is read after the lock is what the writer before has committed.
    "BEGIN IMMEDIATE": "BEGIN ISOLATION LEVEL READ COMMITTED",
    UTC_MS: "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    COMMITS_ARE_DURABLE: "SET synchronous_commit = on",
    COMMITS_WAIT_FOR_NO_DISK: "SET synchronous_commit = off",
}
_WORDS = re.compile(r"'(?:[^']|'')*'|\?\d*|%| INDEXED BY \w+|\binstr\(")
_INSERT = re.compile(r"\s*INSERT INTO (\w+)")


class _Translated(NamedTuple):
    text: str
    order: tuple[int, ...] | None
    """Which parameter stands at each place; None: one after the other."""
    numbers: bool
    """It returns the number that the new row was given."""
    changes: bool
    """Its count of rows is one of rows that it changed."""


@lru_cache(maxsize=1_024)
def translate(statement: str) -> _Translated:
    """SQLite's text of a statement as PostgreSQL and psycopg take it."""
    order: list[int] = []

    def put(found: re.Match[str]) -> str:
        word = found[0]
        if word[0] == "?":
            order.append(int(word[1:]) - 1 if word[1:] else len(order))
            return "%s"
        if word.startswith(" INDEXED"):
            return ""
        if word == "instr(":
            return "strpos("
        return word.replace("%", "%%")

    text = _WORDS.sub(put, _STATEMENTS.get(statement, statement))
    into = _INSERT.match(text)
    numbers = bool(into and into[1] in _WITH_ID and " RETURNING " not in text)
    if numbers:
        text += " RETURNING id"
    plain = order == list(range(len(order)))
    changes = text.lstrip().startswith(("INSERT", "UPDATE", "DELETE"))
    return _Translated(text, None if plain else tuple(order), numbers, changes)


class PostgresCursor:
    """What a statement found; iterates over its rows."""

    def __init__(self, cursor: psycopg.Cursor[Any], numbered: bool) -> None:
        """Of a statement that was run; `numbered` when it returns a new row's number."""
        self._cursor = cursor
        self.rowcount = cursor.rowcount
        self.description = cursor.description
        self.lastrowid: int | None = None
        if numbered:
            for (number,) in cursor:
                self.lastrowid = number

    def fetchone(self) -> Any:
        """The next row, or None."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class PostgresConnection:
    """One connection; commits each statement by itself, unless BEGIN came before."""

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        """Connect.

        Raises:
            sqlite3.OperationalError: the server cannot be reached or refuses.
        """
        self._url = url
        self._read_only = read_only
        self._reading = False
        """A reader's transaction was begun."""
        self._conn = self._connect()
        self.total_changes = 0

    def _connect(self) -> psycopg.Connection[Any]:
        options = _OPTIONS + (" -c default_transaction_read_only=on" if self._read_only else "")
        try:
            conn = psycopg.connect(
                self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, options=options
            )
        except psycopg.Error as error:
            raise sqlite3.OperationalError(str(error).strip()) from error
        # The statements of a call are few and come again and again.
        conn.prepare_threshold = 3
        conn.prepared_max = 256
        conn.adapters.register_dumper(bool, _BoolAsNumber)
        conn.adapters.register_loader("numeric", _WholeNumber)
        return conn

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> PostgresCursor:
        """Run one statement.

        A reader whose server went away connects anew at its next question, and asks it again;
        within a transaction it does not, whose questions have to have answers of one instant.

        Raises:
            sqlite3.IntegrityError: a constraint or a trigger forbids it.
            sqlite3.OperationalError: the database is gone, busy, or asks for another try.
            sqlite3.Error: anything else.
        """
        text, order, numbers, changes = translate(statement)
        if order is not None:
            parameters = [parameters[index] for index in order]
        try:
            try:
                cursor = self._conn.execute(text, parameters)
            except psycopg.OperationalError:
                reading, self._reading = self._reading, False
                if not self._read_only or reading or self.alive:
                    raise
                self._conn = self._connect()
                cursor = self._conn.execute(text, parameters)
            if statement in ("BEGIN", "COMMIT", "ROLLBACK"):
                self._reading = statement == "BEGIN"
            if statement == "BEGIN IMMEDIATE":
                self._conn.execute("SELECT pg_advisory_xact_lock(%s)", (WRITERS_LOCK,))
            if changes and cursor.rowcount > 0:
                self.total_changes += cursor.rowcount
            return PostgresCursor(cursor, numbers)
        except psycopg.Error as error:
            raise _as_sqlite(error) from error

    def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row; errors as `execute` has them."""
        text, order, _, _ = translate(statement)
        if order is not None:
            rows = [[row[index] for index in order] for row in rows]
        try:
            self._conn.cursor().executemany(text, rows)
        except psycopg.Error as error:
            raise _as_sqlite(error) from error

    @property
    def in_transaction(self) -> bool:
        """BEGIN came, and neither COMMIT nor ROLLBACK."""
        status = self._conn.info.transaction_status
        return status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)

    @property
    def alive(self) -> bool:
        """False once the database has gone away: another connection is needed."""
        return not (self._conn.closed or self._conn.broken)

    def close(self) -> None:
        """Let go of the database; a transaction that is open is rolled back."""
        self._conn.close()


class _BoolAsNumber(Dumper):
    """Flags are numbers, 0 and 1, as in SQLite."""

    oid = psycopg.adapters.types["int8"].oid

    def dump(self, obj: object) -> bytes:
        return b"1" if obj else b"0"


class _WholeNumber(Loader):
    """Sums of numbers are numbers; PostgreSQL makes decimals of them, lest they overflow."""

    def load(self, data: Any) -> int:
        return int(bytes(data))


def _as_sqlite(error: psycopg.Error) -> sqlite3.Error:
    kind: type[sqlite3.Error] = sqlite3.DatabaseError
    if isinstance(error, psycopg.IntegrityError):
        kind = sqlite3.IntegrityError
    elif isinstance(error, psycopg.OperationalError):
        kind = sqlite3.OperationalError
    elif isinstance(error, psycopg.ProgrammingError):
        kind = sqlite3.ProgrammingError
    elif isinstance(error, psycopg.DataError):
        kind = sqlite3.DataError
    return kind(str(error).strip())


def open_postgres(url: str, *, read_only: bool = False) -> PostgresConnection:
    """Connect to the store, making its schema in a database that is empty.

    Raises:
        StoreError: it cannot be reached, holds something else or has another schema.
    """
    try:
        conn = PostgresConnection(url, read_only=read_only)
        try:
            _check_version(conn, read_only)
        except BaseException:
            conn.close()
            raise
    except sqlite3.Error as error:
        raise StoreError(f"cannot use the database {without_secret(url)}: {error}") from error
    return conn


def without_secret(url: str) -> str:
    """An address as it may stand in a log."""
    return re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", url)


def _check_version(conn: PostgresConnection, read_only: bool) -> None:
    version = version_of(conn)
    if version is None and not read_only:
        conn.execute("BEGIN IMMEDIATE")
        try:
            # Another program may have made it while this one waited.
            version = version_of(conn)
            if version is None:
                (tables,) = conn.execute(
                    "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
                ).fetchone()
                if tables:
                    raise StoreError("the database is one of something else: name another")
                # No parameters: the server takes the whole text at once.
                conn._conn.execute(_SCHEMA.read_text("utf-8"))
                conn.execute("INSERT INTO alembic_version VALUES (?)", (str(POSTGRES_SCHEMA),))
                version = POSTGRES_SCHEMA
            conn.execute("COMMIT")
        except psycopg.Error as error:
            raise _as_sqlite(error) from error
    if version != POSTGRES_SCHEMA:
        raise StoreError(_unfit(version))


def _unfit(version: int | None) -> str:
    if version is None:
        return "the database holds no store yet: start the host once"
    if version > POSTGRES_SCHEMA:
        return (
            f"the database has schema {version}, newer than this program's {POSTGRES_SCHEMA}: "
            "install the newer version of the program"
        )
    return (
        f"the database has schema {version}, this program needs {POSTGRES_SCHEMA}: stop the hosts "
        "on it, then run `loopstart-host store upgrade`"
    )


def version_of(conn: PostgresConnection) -> int | None:
    """The schema that a database has; None: it holds no store.

    Raises:
        sqlite3.Error: it cannot be asked.
    """
    for place in ("alembic_version", "store_version"):
        (there,) = conn.execute("SELECT to_regclass(?) IS NOT NULL", (place,)).fetchone()
        if there:
            found = conn.execute(f"SELECT * FROM {place}").fetchone()
            return None if found is None else int(found[0])
    return None
