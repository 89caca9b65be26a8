"""A store of an older schema is brought up to date when it is opened, with all that is in it."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from host.store.opening import open_reader, open_writer
from host.store.sqlite import SCHEMA_VERSION, StoreError

SCHEMAS = Path(__file__).parent / "schemas"
"""What stores of earlier releases began as, one file a schema."""

pytestmark = pytest.mark.sqlite_only(reason="schemas of files")


def shape(conn: sqlite3.Connection) -> dict[str, object]:
    """Tables with their columns, and the text of everything else."""
    found: dict[str, object] = {}
    for kind, name, sql in conn.execute("SELECT type, name, sql FROM sqlite_schema").fetchall():
        found[f"{kind} {name}"] = (
            sorted(row[1:] for row in conn.execute(f"SELECT * FROM pragma_table_info('{name}')"))
            if kind == "table"
            else re.sub(r"\s+", " ", sql or "")
        )
    return {key: _unplaced(value) for key, value in found.items()}


def _unplaced(value: object) -> object:
    return sorted(value, key=str) if isinstance(value, list) else value


@pytest.fixture(params=range(1, SCHEMA_VERSION))
def old(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "host.sqlite"
    conn = sqlite3.connect(path)
    conn.executescript((SCHEMAS / f"{request.param}.sql").read_text())
    conn.execute(f"PRAGMA user_version = {request.param}")
    conn.execute("INSERT INTO account (username, ha1_md5, channels) VALUES ('alice', 'x', 7)")
    conn.execute("INSERT INTO pop (name) VALUES ('default')")
    conn.execute(
        "INSERT INTO did (number, plan, channels, pop, account_id) "
        "VALUES ('+12125550100', 'flat', 2, 'default', 1)"
    )
    conn.execute(
        "INSERT INTO carrier (name, address, port, transport, source_port) "
        "VALUES ('north', '192.0.2.9', 5062, 'tcp', 0)"
    )
    if request.param <= 3:  # one deck was in force, and what a broken import left
        conn.executemany(
            "INSERT INTO rate (deck, route, prefix, per_minute) VALUES (?, 'value', '1514', ?)",
            ((4, 520_000), (5, 530_000)),
        )
        conn.execute("UPDATE config SET deck = 5")
    else:
        conn.execute(
            "INSERT INTO deck (id, state, effective_utc_ms, touched_utc_ms, rates) "
            "VALUES (5, 'ready', 0, 0, 1)"
        )
        conn.execute(
            "INSERT INTO rate (deck, route, prefix, per_minute) VALUES (5, 'value', '1514', 530000)"
        )
    conn.commit()
    conn.close()
    return path


def test_a_store_of_an_earlier_release_is_brought_up_to_date(old: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        open_reader(old)
    conn, fresh = open_writer(old), open_writer(tmp_path / "fresh.sqlite")
    assert conn.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert shape(conn) == shape(fresh)
    row = conn.execute("SELECT username, channels, iax2, iax2_secret, call_token FROM account")
    assert row.fetchall() == [("alice", 7, 0, "", "yes")]
    row = conn.execute("SELECT name, address, port, transport, trunk FROM carrier")
    assert row.fetchall() == [("north", "192.0.2.9", 5062, "tcp", 0)]
    assert conn.execute("SELECT account_id FROM did").fetchall() == [(1,)]
    row = conn.execute("SELECT id, state, effective_utc_ms, rates FROM deck")
    assert row.fetchall() == [(5, "ready", 0, 1)]
    row = conn.execute("SELECT deck, route, prefix, per_minute FROM rate")
    assert row.fetchall() == [(5, "value", "1514", 530_000)]
    (before,) = conn.execute("SELECT version FROM config").fetchone()
    conn.execute("UPDATE carrier SET transport = 'iax2'")
    assert conn.execute("SELECT version FROM config").fetchone() == (before + 1,)
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute("UPDATE carrier SET transport = 'sctp'")
    for store in (conn, fresh):
        store.execute("INSERT INTO ledger_account (id, kind) VALUES (-1001, 'debt')")
        with pytest.raises(sqlite3.IntegrityError):
            store.execute("INSERT INTO ledger_account (id, kind) VALUES (-9, 'gifts')")
        store.execute(
            "INSERT INTO movement (kind, key, utc_ms, debit_id, credit_id, amount) "
            "VALUES ('chargeback', 'c', 0, -1001, -2, 5)"
        )
        assert store.execute("PRAGMA foreign_key_check").fetchall() == []
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert conn.execute("SELECT debt FROM ledger_account WHERE id = 1").fetchone() == (5,)
    conn.close()
    open_writer(old).close()
    fresh.close()


def test_a_store_of_a_later_release_is_left_alone(old: Path) -> None:
    conn = sqlite3.connect(old)
    conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    conn.close()
    with pytest.raises(StoreError, match="newer"):
        open_writer(old)
