"""The ledger: what it takes, what it refuses, and that its audit finds what is wrong."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from host.charging import ledger
from host.charging.payments import fee_of
from host.charging.values import USD, Money
from tests.host.charging.world import CENT, World, leg


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One call that is over, one that is live."""
    world = World(tmp_path / "host.sqlite")
    alice = world.account(USD)
    assert alice == 1
    for call_id in ("over", "live"):
        world.authorize(call_id, leg(alice))
        world.answered(call_id)
    world.settle("over", 30_000)
    world.sound()
    return world


def test_a_payment_counts_once(world: World) -> None:
    before = world.funds(1).funds
    assert world.pay(1, 5 * USD, "tx1") is True
    assert world.pay(1, 5 * USD, "tx1") is False
    assert world.funds(1).funds == before + 5 * USD
    with pytest.raises(ValueError, match="cannot stand for another"):
        world.pay(1, 6 * USD, "tx1")
    world.sound()


def test_payments_that_cannot_be(world: World) -> None:
    with pytest.raises(ledger.UnknownAccount):
        world.pay(99, USD)
    with pytest.raises(ledger.UnknownAccount):
        world.pay(ledger.REVENUE_ID, USD)
    for amount in (0, -1):
        with pytest.raises(ValueError, match="above zero"):
            world.pay(1, amount, "tx")


def test_a_fee_counts_once_and_never_touches_what_is_held(world: World) -> None:
    before = world.funds(1)
    assert ledger.take_fee(world.conn, world.now, 1, Money(CENT), "w1") is None
    assert ledger.take_fee(world.conn, world.now, 1, Money(CENT), "w1") is None
    assert world.funds(1).funds == before.funds - CENT
    assert ledger.take_fee(world.conn, world.now, 1, Money(before.funds - CENT), "w2") is not None
    world.sound()


@pytest.mark.parametrize(
    ("provider", "dollars", "fee"),
    [("card", 15, 0), ("paypal", 15, 0), ("wire", 100, 15), ("wire", 999, 15), ("wire", 1000, 0)],
)
def test_minimum_payments_and_fees(provider: str, dollars: int, fee: int) -> None:
    assert fee_of(provider, Money(dollars * USD)) == fee * USD


@pytest.mark.parametrize(("provider", "dollars"), [("card", 14), ("wire", 99), ("cheque", 50)])
def test_payments_under_the_minimum(provider: str, dollars: int) -> None:
    with pytest.raises(ValueError):
        fee_of(provider, Money(dollars * USD))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE posting SET amount = amount + 1",
        "DELETE FROM posting",
        "UPDATE movement SET amount = 1",
        "DELETE FROM movement",
        "INSERT INTO posting VALUES (1, 1, 500)",
        "INSERT INTO posting VALUES (1, -1, 500)",
        "DELETE FROM hold",
        "UPDATE hold SET state = 'void' WHERE state = 'posted'",
        "UPDATE hold SET state = 'pending' WHERE state = 'posted'",
        "UPDATE hold SET amount = 1",
        "UPDATE ledger_account SET held = balance + 1 WHERE id = 1",
        "UPDATE ledger_account SET balance = -1 WHERE id = 1",
        "INSERT INTO hold (call, leg, sequence, account_id, amount) VALUES (2, 0, 9, 1, 99999999)",
        "INSERT INTO hold (call, leg, sequence, account_id, amount) VALUES (2, 0, 0, 1, 1)",
        "INSERT INTO movement (kind, call, leg, utc_ms, debit_id, credit_id, amount) "
        "VALUES ('call', 1, 0, 0, 1, -1, 5)",
        "INSERT INTO movement (kind, key, utc_ms, debit_id, credit_id, amount) "
        "VALUES ('fee', 'x', 0, 1, -1, 99999999999)",
    ],
)
def test_the_database_itself_refuses(world: World, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        world.conn.execute(statement)
    world.sound()


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        ("UPDATE posting SET amount = amount + 1 WHERE movement_id = 1", "sum to"),
        ("DELETE FROM posting WHERE movement_id = 2 AND account_id = -1", "not two"),
        ("UPDATE ledger_account SET balance = balance + 5 WHERE id = 1", "shows a balance"),
        ("UPDATE ledger_account SET held = held - 5 WHERE id = 1", "held, its pending"),
        ("UPDATE ledger_account SET held = balance * 2 WHERE id = 1", "of a balance of"),
        ("UPDATE hold SET state = 'void' WHERE call = 2", "but the call is live"),
        ("UPDATE hold SET state = 'pending' WHERE call = 1", "but the call is over"),
        ("UPDATE leg SET cost = cost - 1 WHERE call = 1", "the ledger moved"),
        ("UPDATE leg SET cost = NULL WHERE call = 1", "the ledger moved"),
        ("UPDATE leg SET billed_ms = 99999 WHERE call = 1", "is billed"),
        ("UPDATE leg SET billed_ms = 6000 WHERE call = 1", "its talk costs"),
        ("INSERT INTO live_limit VALUES ('account:1:out', 1, 0)", "which is over"),
        (
            "INSERT INTO movement (kind, call, leg, utc_ms, debit_id, credit_id, amount) "
            "VALUES ('call', 2, 0, 0, 1, -1, 5)",
            "is live, but",
        ),
        (
            "DROP INDEX movement_call; INSERT INTO movement "
            "(kind, call, leg, utc_ms, debit_id, credit_id, amount) "
            "VALUES ('call', 1, 0, 0, 1, -1, 500000)",
            "CDRs cost",
        ),
    ],
)
@pytest.mark.sqlite_only(reason="tampers by what files have: constraints that are switched off")
def test_the_audit_finds_what_was_tampered_with(world: World, tampering: str, found: str) -> None:
    for (name,) in world.conn.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'posting_%' "
        "OR name LIKE 'hold_%' AND type = 'trigger'"
    ).fetchall():
        if name != "posting_counts":
            world.conn.execute(f"DROP TRIGGER {name}")
    world.conn.execute("PRAGMA ignore_check_constraints = ON")
    world.conn.executescript(tampering)
    faults = ledger.check(world.conn)
    assert any(found in fault for fault in faults), faults
