"""A database of PostgreSQL of an earlier schema is brought up to date, once, with all in it."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from host.charging import ledger
from host.charging.service import Charging
from host.charging.values import CallFacts, Ending, Grant, Money, Now
from host.settings import ChargingSettings
from host.store.postgres import POSTGRES_SCHEMA, PostgresConnection, open_postgres
from host.store.sqlite import SCHEMA_VERSION, StoreError
from host.store.upgrading import StoreState, state, upgrade
from tests.host.charging.world import CENT, PER_MINUTE, UTC_0, channels, leg
from tests.host.store.clusters import Cluster, needs_postgres

SCHEMAS = Path(__file__).parent / "schemas"
FIRST = 5
"""The first schema that PostgreSQL had."""
_CATALOG = (
    # columns, in no order: a step adds them at the end
    "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, "
    "a.attidentity, coalesce(l.collname, ''), coalesce(pg_get_expr(d.adbin, d.adrelid), '') "
    "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
    "LEFT JOIN pg_collation l ON l.oid = a.attcollation "
    "LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum "
    "WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated "
    "FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT pg_get_triggerdef(t.oid), tgenabled FROM pg_trigger t WHERE NOT tgisinternal",
    "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    "SELECT relname, relkind, reloptions::text FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace",
    "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'",
    "SELECT * FROM alembic_version",
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    own = Cluster()
    yield own
    own.remove()


@pytest.fixture(params=range(FIRST, POSTGRES_SCHEMA))
def old(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A database as an earlier release made it."""
    return _of(cluster, request.param)


def _of(cluster: Cluster, schema: int) -> str:
    url = cluster.database()
    with psycopg.connect(url) as conn:
        conn.execute((SCHEMAS / f"postgres_{schema}.sql").read_text())
    return url


def catalog(url: str) -> list[list[Any]]:
    """All that the schema is made of."""
    with psycopg.connect(url) as conn:
        return [sorted(conn.execute(query).fetchall(), key=str) for query in _CATALOG]


def rows(url: str) -> dict[str, list[Any]]:
    """All that stands in the tables, but the number of the schema."""
    with psycopg.connect(url) as conn:
        names = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {
            name: sorted(conn.execute(f"SELECT to_jsonb(t)::text FROM {name} t").fetchall())
            for (name,) in names.fetchall()
            if name not in ("alembic_version", "store_version")
        }


def _lived_in(conn: PostgresConnection, dice: random.Random) -> None:
    """What a host leaves: accounts, money, and calls that ended, ring, or talk."""
    charging = Charging("host1", "boot1", ChargingSettings())
    for number in range(dice.randrange(1, 4)):
        account = conn.execute(
            "INSERT INTO account (username) VALUES (?)", (f"a{number}",)
        ).lastrowid
        assert account is not None
        funds = Money(dice.randrange(9) * CENT + 1)
        ledger.pay(conn, Now(UTC_0, 0), account, funds, "card", f"p{number}")
        for n in range(dice.randrange(5)):
            call = CallFacts(f"c{number}-{n}", "a", account, "out", "", f"+1514555{n:04}")
            bill = (leg(account, PER_MINUTE, channels(account, 3)),)
            begun = charging.authorize(conn, Now(UTC_0, n), call, bill, 3_600_000)
            if isinstance(begun, Grant) and dice.random() < 0.7:
                charging.answered(conn, Now(UTC_0 + 1, n + 1), call.call_id, "north")
                if dice.random() < 0.6:
                    ending = Ending("answered", 16, "caller")
                    talk_ms = dice.randrange(90_000)
                    charging.settle(conn, Now(UTC_0 + talk_ms, 9), call.call_id, talk_ms, ending)


@needs_postgres
def test_the_host_refuses_an_older_schema_and_names_the_command(old: str) -> None:
    for read_only in (False, True):
        with pytest.raises(StoreError, match="loopstart-host store upgrade"):
            open_postgres(old, read_only=read_only)


@needs_postgres
def test_an_upgraded_database_is_what_a_fresh_one_is(old: str, cluster: Cluster) -> None:
    fresh = cluster.database()
    assert state(fresh) == StoreState("postgresql", None, POSTGRES_SCHEMA, ())
    open_postgres(fresh).close()
    before = state(old)
    assert [number for number, _ in before.pending] == list(
        range((before.schema or 0) + 1, POSTGRES_SCHEMA + 1)
    )
    assert upgrade(old) == before
    for there, wanted in zip(catalog(old), catalog(fresh), strict=True):
        assert there == wanted
    for url in (old, fresh):
        assert state(url) == StoreState("postgresql", POSTGRES_SCHEMA, POSTGRES_SCHEMA, ())
        assert not upgrade(url).pending, "and again there is nothing to do"
        open_postgres(url).close()


@needs_postgres
@pytest.mark.parametrize("schema", range(FIRST, POSTGRES_SCHEMA))
def test_what_is_in_it_survives_and_the_books_balance(cluster: Cluster, schema: int) -> None:
    @seed(20_261)
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32))
    def holds(number: int) -> None:
        url = _of(cluster, schema)
        with contextlib.closing(PostgresConnection(url)) as conn:
            _lived_in(conn, random.Random(number))
            assert ledger.check(conn) == []
        before = rows(url)
        upgrade(url)
        after = rows(url)
        # A step may add tables and columns; what was there stays as it was.
        for name, lines in before.items():
            now = [json.loads(line) for (line,) in after[name]]
            for (line,) in lines:
                row = json.loads(line)
                assert any(row.items() <= new.items() for new in now), (number, name, row)
        with contextlib.closing(open_postgres(url)) as conn:
            assert ledger.check(conn) == []
            charging = Charging("host1", "boot2", ChargingSettings())
            charging.recover(conn, Now(UTC_0, 0))
            assert ledger.check(conn) == []
            held = conn.execute("SELECT sum(held) FROM ledger_account").fetchone()
            assert held == (0,)

    holds()


@needs_postgres
def test_two_programs_that_upgrade_do_it_once(cluster: Cluster, tmp_path: Path) -> None:
    url = _of(cluster, FIRST)
    code = f"from host.store.upgrading import upgrade; print(len(upgrade({url!r}).pending))"
    programs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = sorted(int(program.communicate(timeout=60)[0]) for program in programs)
    assert said == [0, 0, POSTGRES_SCHEMA - FIRST]


@needs_postgres
def test_a_step_that_fails_leaves_everything_as_it_was(cluster: Cluster) -> None:
    url = _of(cluster, FIRST)
    with psycopg.connect(url) as conn:  # what the last step takes away is in use
        conn.execute("CREATE VIEW mine AS SELECT * FROM store_version")
    with pytest.raises(StoreError, match="nothing was changed"):
        upgrade(url)
    with psycopg.connect(url) as conn:
        there = conn.execute(
            "SELECT to_regclass('alembic_version'), reloptions FROM pg_class "
            "WHERE relname = 'ledger_account'"
        )
        assert there.fetchall() == [(None, None)]


@needs_postgres
def test_a_database_of_a_later_release_is_left_alone(cluster: Cluster) -> None:
    url = cluster.database()
    open_postgres(url).close()
    with psycopg.connect(url) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '999'")
    for use in (open_postgres, upgrade):
        with pytest.raises(StoreError, match="newer"):
            use(url)


@pytest.mark.sqlite_only(reason="what a file lacks")
def test_a_file_says_what_it_lacks_and_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "host.sqlite"
    assert state(path).schema is None
    assert not path.exists()
    conn = sqlite3.connect(path)
    conn.executescript((SCHEMAS / "3.sql").read_text())
    conn.execute("PRAGMA user_version = 3")
    conn.close()
    found = state(path)
    assert (found.kind, found.schema, found.newest) == ("sqlite", 3, SCHEMA_VERSION)
    assert [number for number, _ in found.pending] == list(range(4, SCHEMA_VERSION + 1))
    assert found.pending[0][1].startswith("decks with dates")
    assert state(path) == found, "to look changes nothing"
    assert upgrade(path) == found
    assert state(path).pending == ()


def test_the_command_tells_what_is_pending_and_does_it(tmp_path: Path) -> None:
    path, config = tmp_path / "host.sqlite", tmp_path / "host.toml"
    config.write_text(f'database = "{path}"\n')
    conn = sqlite3.connect(path)
    conn.executescript((SCHEMAS / "4.sql").read_text())
    conn.execute("PRAGMA user_version = 4")
    conn.close()

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "host.cli.main", "store", *words, "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    told = command("status", "--json")
    assert told.returncode == 1
    (row,) = json.loads(told.stdout)
    assert (row["store"], row["schema"], row["pending"][0]["schema"]) == ("sqlite", 4, 5)
    done = command("upgrade")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == f"the store is now at schema {SCHEMA_VERSION}"
    assert command("status").returncode == 0
    again = command("upgrade")
    assert (again.returncode, again.stdout) == (
        0,
        f"the store is already at schema {SCHEMA_VERSION}\n",
    )
