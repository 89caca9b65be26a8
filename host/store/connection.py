"""What the rest of the host asks of a connection to its store, whichever database that is.

`sqlite3.Connection` fulfils it as it is, `host.store.postgres.PostgresConnection` for PostgreSQL.
Both raise the errors of `sqlite3`: IntegrityError when a constraint or a trigger forbids what was
asked, OperationalError when the database is away, busy or full.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

# What has no words that both databases know; `host.store.postgres` has the others.
UTC_MS = "SELECT CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
"""The store's own clock."""
COMMITS_ARE_DURABLE = "PRAGMA synchronous = FULL"
"""A commit is on the disk when it is acknowledged, as money asks for and each connection begins."""
COMMITS_WAIT_FOR_NO_DISK = "PRAGMA synchronous = NORMAL"
"""A commit may be lost with the machine, but not without all that come after it."""


class Cursor(Protocol):
    """What a statement found; iterates over its rows."""

    @property
    def rowcount(self) -> int:
        """Rows that the statement changed."""

    @property
    def lastrowid(self) -> int | None:
        """The number that a row inserted last was given by the store."""

    @property
    def description(self) -> Any:
        """One tuple a column that was asked for, its name first."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """The rows that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """One connection; commits each statement by itself, unless BEGIN came before."""

    @property
    def in_transaction(self) -> bool:
        """BEGIN came, and neither COMMIT nor ROLLBACK."""

    @property
    def total_changes(self) -> int:
        """Rows changed through this connection so far."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any:
        """Run one statement for each row."""

    def close(self) -> None:
        """Let go of the database; a transaction that is open is rolled back."""
