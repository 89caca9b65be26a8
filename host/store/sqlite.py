"""Opening the store: one writer's connection, and read-only ones beside it.

WAL lets readers go on while the writer commits; synchronous FULL makes a commit durable before
it is acknowledged, which money asks for.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

SCHEMA_VERSION = 7
BUSY_TIMEOUT_MS = 5_000
"""So long a connection waits for another process (the command line, say) to let go."""

_SCHEMA = Path(__file__).with_name("schema.sql")
_STEPS = {
    number: Path(__file__).with_name(f"schema_{number + 1}.sql")
    for number in range(1, SCHEMA_VERSION)
}
"""Schema to what brings a store from there to the next."""


class StoreError(Exception):
    """The store did not do what was asked; nothing of it is half done."""


def open_writer(path: str | Path) -> sqlite3.Connection:
    """Open the store for writing, making file and schema where there is none.

    The connection commits nothing by itself (`isolation_level` None): BEGIN and COMMIT are the
    caller's. It may be used by another thread than this one, but by one at a time.

    Raises:
        StoreError: the file cannot be opened, is no store, or was written by a newer version.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        conn = _connect(str(path), uri=False)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot open the store {path}: {error}") from error
    try:
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = FULL")
        # Savepoints keep their undo pages here; a file for them would cost system calls.
        conn.execute("PRAGMA temp_store = MEMORY")
        # Hot pages are then copied into the file once for many commits, not for a few.
        conn.execute("PRAGMA wal_autocheckpoint = 4000")
        # Calls write at the ends of tables; a larger cache would fill with pages not met again.
        conn.execute("PRAGMA cache_size = -1000")
        conn.execute("PRAGMA journal_size_limit = 67108864")
        _migrate(conn, path)
    except sqlite3.Error as error:
        conn.close()
        raise StoreError(f"cannot use {path} as the store: {error}") from error
    except StoreError:
        conn.close()
        raise
    return conn


def open_reader(path: str | Path) -> sqlite3.Connection:
    """Open an existing store read-only; writing through it fails.

    Raises:
        StoreError: there is no such file or it is no store of this version.
    """
    path = Path(path)
    try:
        conn = _connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the store {path}: {error}") from error
    try:
        conn.execute("PRAGMA query_only = ON")
        (version,) = conn.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        conn.close()
        raise StoreError(f"cannot read the store {path}: {error}") from error
    if version != SCHEMA_VERSION:
        conn.close()
        raise StoreError(f"{path} has schema {version}, this program needs {SCHEMA_VERSION}")
    return conn


def steps() -> dict[int, str]:
    """What each schema after the first brought, by its number."""
    about = {}
    for number, path in _STEPS.items():
        first = path.read_text("utf-8").split("\n\n")[0].replace("\n-- ", " ")
        about[number + 1] = first.partition(": ")[2].rstrip(".")
    return about


def _connect(database: str, *, uri: bool) -> sqlite3.Connection:
    conn = sqlite3.connect(
        database,
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        uri=uri,
    )
    conn.execute("PRAGMA foreign_keys = ON")
    return conn


def _migrate(conn: sqlite3.Connection, path: Path) -> None:
    # IMMEDIATE: of two programs that find an empty file, one makes the schema, one waits.
    if _version(conn) == SCHEMA_VERSION:
        return
    conn.execute("BEGIN IMMEDIATE")
    try:
        version = _version(conn)
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{path} has schema {version}, newer than this program's {SCHEMA_VERSION}: "
                "install the newer version of the program"
            )
        if version == 0:
            (tables,) = conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if tables:
                raise StoreError(f"{path} is a database of something else: name another file")
            for statement in _statements(_SCHEMA.read_text("utf-8")):
                conn.execute(statement)
        else:
            for step in range(version, SCHEMA_VERSION):
                for statement in _statements(_STEPS[step].read_text("utf-8")):
                    conn.execute(statement)
        conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        conn.execute("COMMIT")
    except BaseException:
        conn.execute("ROLLBACK")
        raise


def _version(conn: sqlite3.Connection) -> int:
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    return int(version)


def _statements(script: str) -> list[str]:
    """Cut a script into statements; `executescript` would commit the transaction around it."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    assert not pending.strip(), "schema.sql ends within a statement"
    return statements
