"""Where tests keep their stores: files of SQLite, or with `--store postgres` databases in the
cluster that the environment names (PGHOST and so on, as `pg_virtualenv` sets them).

A test names a path either way. With PostgreSQL the path stands for a database of its own, made
from a template when it is first opened; so tests and the programs that they start find the same.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from host.store import sqlite
from host.store.connection import Connection
from host.store.postgres import PostgresConnection, open_postgres
from host.store.sqlite import StoreError

VARIABLE = "LOOPSTART_TEST_STORE"
_TEMPLATE = f"loopstart_template_{os.getpid()}"
_MADE: dict[str, Path] = {}


def on_postgres() -> bool:
    """Whether this run tries PostgreSQL."""
    return os.environ.get(VARIABLE) == "postgres"


def database_at(path: str | Path) -> str:
    """What a configuration says to open the store that `path` stands for, made if it was not."""
    if not on_postgres():
        return str(path)
    return _made(path)


def use_postgres() -> None:
    """From now on paths stand for databases, in this process."""
    conn = PostgresConnection("postgresql:///postgres")
    try:
        conn.execute(f"CREATE DATABASE {_TEMPLATE}")
    finally:
        conn.close()
    open_postgres(f"postgresql:///{_TEMPLATE}").close()
    replaced: Any = sqlite
    replaced.open_writer = lambda path: open_postgres(_made(path))
    replaced.open_reader = _reader


def _reader(path: str | Path) -> Connection:
    name = _name(path)
    if name not in _MADE:
        raise StoreError(f"cannot read the store {path}: no test made it")
    return open_postgres(_url(name), read_only=True)


def forget(folder: Path) -> None:
    """Drop the databases that stand for paths in this folder."""
    if not on_postgres():
        return
    gone = [name for name, path in _MADE.items() if path.is_relative_to(folder)]
    _administer(*(f"DROP DATABASE {name} WITH (FORCE)" for name in gone))
    for name in gone:
        del _MADE[name]


def _made(path: str | Path) -> str:
    name = _name(path)
    if name not in _MADE:
        _administer(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        _MADE[name] = Path(path)
    return _url(name)


def _name(path: str | Path) -> str:
    return "t" + hashlib.sha256(str(Path(path).absolute()).encode()).hexdigest()[:24]


def _url(name: str) -> str:
    return f"postgresql:///{name}"


def _administer(*statements: str) -> None:
    if not statements:
        return
    conn = PostgresConnection("postgresql:///postgres")
    try:
        for statement in statements:
            conn.execute(statement)
    finally:
        conn.close()


def dump(conn: Any) -> list[str]:
    """All that a store holds, as text."""
    if not isinstance(conn, PostgresConnection):
        return [line for line in conn.iterdump() if "sqlite_sequence" not in line]
    lines = []
    tables = conn.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"
    )
    for (table,) in tables.fetchall():
        rows = conn.execute(f"SELECT * FROM {table}").fetchall()
        lines += sorted(f"{table} {row!r}" for row in rows)
    return lines


def settings_at(path: Path) -> str:
    """Lines of a configuration: the store that `path` stands for, the control socket beside it."""
    lines = f'database = "{database_at(path)}"'
    if on_postgres():
        lines += f'\ncontrol = "{path.with_name("host1.control")}"'
    return lines


def octets(conn: Any, path: Path) -> bytes:
    """All that stands in the store that `path` stands for."""
    return "\n".join(dump(conn)).encode() if on_postgres() else path.read_bytes()
