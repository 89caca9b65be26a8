"""The same charging in PostgreSQL: what it promises about money holds there, too.

A cluster of its own, in a folder of its own, is started for these tests and ended after them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from host.charging import ledger
from host.charging.service import Charging
from host.charging.values import CallFacts, Grant, Money, Now, Reason, Refusal
from host.settings import ChargingSettings
from host.store.postgres import PostgresConnection, open_postgres, translate, without_secret
from host.store.sqlite import StoreError
from tests.host.charging import world
from tests.host.charging.world import CENT, UTC_0, World, channels, leg, one_number
from tests.host.store.clusters import Cluster, needs_postgres


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    own = Cluster()
    try:
        yield own
    finally:
        own.remove()


@pytest.fixture
def url(cluster: Cluster) -> str:
    """A database with nothing in it."""
    return cluster.database()


def _world(url: str, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(world, "open_writer", lambda _path: open_postgres(url))
    return World(Path("unused"))


@needs_postgres
def test_a_paid_call_costs_the_same_and_the_books_balance(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a dollar, a call of 32 s at a cent a minute, 6/6, costs six tenths of a cent."""
    there = _world(url, monkeypatch)
    alice = there.account(100 * CENT, "alice")
    call = leg(alice, world.PER_MINUTE, channels(alice, 5), one_number(alice))
    assert isinstance(there.authorize("c1", call), Grant)
    assert there.funds(alice).held == CENT
    there.answered("c1")
    assert there.settle("c1", 32_000) == [600_000]
    assert there.settle("c1", 32_000) == [600_000], "told twice, it is charged once"
    assert there.funds(alice) == (100 * CENT - 600_000, 0, 100 * CENT - 600_000, 0)
    (cdr,) = there.cdrs("c1")
    assert (cdr["billed_ms"], cdr["cost"], cdr["disposition"]) == (32_000, 600_000, "answered")
    there.sound()


@needs_postgres
def test_limits_and_money_refuse_there_too(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = _world(url, monkeypatch)
    alice = there.account(3 * CENT, "alice")
    limits = (channels(alice, 5), one_number(alice))
    answers = [there.authorize(f"c{n}", leg(alice, world.PER_MINUTE, *limits)) for n in range(3)]
    assert [type(answer) for answer in answers] == [Grant, Grant, Refusal]
    assert cast(Refusal, answers[2]).reason is Reason.ONE_NUMBER
    assert isinstance(there.authorize("c3", leg(alice)), Grant)
    poor = there.authorize("c4", leg(alice))
    assert cast(Refusal, poor).reason is Reason.NO_MONEY
    there.sound()


@needs_postgres
def test_the_database_itself_refuses_what_charging_must_never_do(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = _world(url, monkeypatch)
    alice = there.account(CENT, "alice")
    assert isinstance(there.authorize("c1", leg(alice)), Grant)
    for statement in (
        "UPDATE posting SET amount = amount + 1",
        "DELETE FROM posting",
        "UPDATE movement SET amount = amount + 1",
        "DELETE FROM movement",
        "DELETE FROM hold",
        "UPDATE hold SET amount = amount + 1",
        "INSERT INTO hold (call, leg, sequence, account_id, amount) "
        f"SELECT call, leg, 1, account_id, {CENT} FROM hold",
        "INSERT INTO posting VALUES (999, -1, 5)",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            there.conn.execute(statement)
    there.settle("c1", 6_000)
    with pytest.raises(sqlite3.IntegrityError):
        there.conn.execute("UPDATE hold SET state = 'pending'")
    there.sound()


@needs_postgres
def test_hosts_that_race_for_one_balance_never_grant_more_than_it_has(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given money for seven first holds, four hosts authorise twenty calls each: seven pass."""
    there = _world(url, monkeypatch)
    alice = there.account(7 * CENT, "alice")
    answers: list[object] = []
    start = threading.Barrier(4)

    def host(number: int) -> None:
        conn = open_postgres(url)
        charging = Charging(f"host{number}", "boot", ChargingSettings())
        start.wait(10)
        for n in range(20):
            call = CallFacts(f"h{number}-{n}", "alice", alice, "out", "", "+15145550100")
            conn.execute("BEGIN IMMEDIATE")
            answer = charging.authorize(
                cast(sqlite3.Connection, conn), Now(UTC_0, 5_000), call, (leg(alice),), 3_600_000
            )
            conn.execute("COMMIT")
            answers.append(answer)
        conn.close()

    threads = [threading.Thread(target=host, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 80
    assert sum(isinstance(answer, Grant) for answer in answers) == 7
    balance = ledger.balance(there.conn, alice)
    assert (balance.held, balance.available) == (7 * CENT, Money(0))
    there.sound()


@needs_postgres
def test_a_database_of_something_else_is_left_alone(url: str) -> None:
    conn = PostgresConnection(url)
    conn.execute("CREATE TABLE customers (name text)")
    conn.close()
    with pytest.raises(StoreError, match="something else"):
        open_postgres(url)


def test_a_server_that_is_not_there_is_told_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot use the database") as told:
        open_postgres(f"postgresql://host:hunter2@/calls?host={tmp_path}")
    assert "hunter2" not in str(told.value)
    assert without_secret("postgresql://host:hunter2@db/calls") == "postgresql://host:***@db/calls"


def test_statements_are_translated() -> None:
    assert translate("SELECT ? LIKE '50%?' || ?").text == "SELECT %s LIKE '50%%?' || %s"
    assert translate("SELECT ?2, ?1").order == (1, 0)
    assert translate("INSERT INTO call (a) VALUES (?)").text.endswith(" RETURNING id")
    assert not translate("INSERT INTO hold (a) VALUES (?)").numbers
