"""Opening the store that the settings name: a file of SQLite, or a database of PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from host.store import sqlite
from host.store.connection import Connection

_POSTGRES = ("postgresql://", "postgres://")


def is_postgres(database: str | Path) -> bool:
    """Whether this names a database of PostgreSQL (by its URL), not a file."""
    return isinstance(database, str) and database.startswith(_POSTGRES)


def open_writer(database: str | Path) -> Connection:
    """Open the store for writing, making what is missing, its schema too.

    Raises:
        StoreError: it cannot be opened, is no store, or was written by a newer version.
    """
    if is_postgres(database):
        return _postgres(str(database), read_only=False)
    return sqlite.open_writer(database)


def open_reader(database: str | Path) -> Connection:
    """Open an existing store read-only; writing through it fails.

    Raises:
        StoreError: it cannot be reached, or is no store of this version.
    """
    if is_postgres(database):
        return _postgres(str(database), read_only=True)
    return sqlite.open_reader(database)


def _postgres(url: str, *, read_only: bool) -> Connection:
    # A host on a file has no memory to spare for a client of PostgreSQL.
    try:
        from host.store.postgres import open_postgres
    except ImportError as error:
        raise sqlite.StoreError(
            f"the database is one of PostgreSQL, whose client is missing ({error}): "
            "run `pip install 'loopstart[postgres]'`"
        ) from error
    return open_postgres(url, read_only=read_only)
