"""What schema a store has, and bringing it to the newest: for the command line alone.

SQLite's files are upgraded by opening them, which one host does; a database of PostgreSQL has
several hosts, so that an operator says when, once, and Alembic does it.
"""

from __future__ import annotations

import ast
import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.store import sqlite
from host.store.opening import is_postgres, open_writer
from host.store.sqlite import StoreError

_MIGRATIONS = Path(__file__).with_name("migrations")


@dataclass(frozen=True, slots=True)
class StoreState:
    """Where a store stands."""

    kind: str
    """sqlite or postgresql."""
    schema: int | None
    """None: there is no store yet."""
    newest: int
    """What this program needs."""
    pending: tuple[tuple[int, str], ...]
    """Steps that lead there, and what each is for."""


def state(database: str | Path) -> StoreState:
    """Look, and change nothing.

    Raises:
        StoreError: the store cannot be reached, or is none.
    """
    if is_postgres(database):
        return _postgres_state(str(database))
    schema = _sqlite_schema(Path(database))
    steps = sqlite.steps()
    return StoreState("sqlite", schema, sqlite.SCHEMA_VERSION, _after(schema, steps))


def upgrade(database: str | Path) -> StoreState:
    """Bring a store to the newest schema, or make it; all of it or nothing. Returns what it was.

    Of two programs that do it at once one waits for the other, and then finds nothing to do.

    Raises:
        StoreError: the store cannot be reached, is none, or a newer program's.
    """
    before = state(database)
    if is_postgres(database) and before.schema is not None:
        return _upgrade_postgres(str(database), before)
    open_writer(database).close()
    return before


def _after(schema: int | None, steps: dict[int, str]) -> tuple[tuple[int, str], ...]:
    if schema is None:
        return ()
    return tuple((number, about) for number, about in sorted(steps.items()) if number > schema)


def _sqlite_schema(path: Path) -> int | None:
    if not path.exists():
        return None
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as conn:
            (version,) = conn.execute("PRAGMA user_version").fetchone()
            (tables,) = conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the store {path}: {error}") from error
    if not version and tables:
        raise StoreError(f"{path} is a database of something else")
    return int(version) or None


def _postgres_state(url: str) -> StoreState:
    from host.store.postgres import (
        POSTGRES_SCHEMA,
        PostgresConnection,
        version_of,
        without_secret,
    )

    try:
        with contextlib.closing(PostgresConnection(url, read_only=True)) as conn:
            schema = version_of(conn)
    except sqlite3.Error as error:
        raise StoreError(f"cannot use the database {without_secret(url)}: {error}") from error
    return StoreState("postgresql", schema, POSTGRES_SCHEMA, _after(schema, _revisions()))


def _revisions() -> dict[int, str]:
    """Numbers and first lines of Alembic's steps, read without Alembic."""
    return {
        int(path.name[:4]): (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")
        .splitlines()[0]
        .rstrip(".")
        for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")
    }


def _upgrade_postgres(url: str, before: StoreState) -> StoreState:
    import psycopg

    from host.store.postgres import CONNECT_TIMEOUT_S, WRITERS_LOCK, without_secret

    try:
        import sqlalchemy
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory
        from alembic.util import CommandError
    except ImportError as error:
        raise StoreError(f"{error}: `pip install loopstart[postgres]`") from error

    def connect() -> Any:
        # A host that is at work lets go at its next commit; no limit on what the steps take.
        return psycopg.connect(
            url, connect_timeout=CONNECT_TIMEOUT_S, options="-c lock_timeout=30000"
        )

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=connect, poolclass=sqlalchemy.NullPool
    )
    try:
        with engine.begin() as conn:
            conn.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (WRITERS_LOCK,))
            config.attributes["connection"] = conn
            before = _stamped(conn, config, before)
            if before.schema is not None and before.schema > before.newest:
                raise StoreError(
                    f"the database has schema {before.schema}, newer than this program's "
                    f"{before.newest}: install the newer version of the program"
                )
            command.upgrade(config, "head")
            assert ScriptDirectory.from_config(config).get_current_head() == str(before.newest)
    except (sqlalchemy.exc.SQLAlchemyError, CommandError) as error:
        raise StoreError(
            f"nothing was changed in the database {without_secret(url)}: {error}"
        ) from error
    return before


def _stamped(conn: Any, config: Any, before: StoreState) -> StoreState:
    """What the database is now that nobody else changes it; Alembic is told where it began."""
    from alembic import command

    there = "SELECT to_regclass('alembic_version') IS NOT NULL"
    if conn.exec_driver_sql(there).scalar():
        place = "SELECT version_num FROM alembic_version"
        schema = int(conn.exec_driver_sql(place).scalar())
    else:
        schema = int(conn.exec_driver_sql("SELECT version FROM store_version").scalar())
        command.stamp(config, str(schema))
    return StoreState(before.kind, schema, before.newest, _after(schema, _revisions()))
