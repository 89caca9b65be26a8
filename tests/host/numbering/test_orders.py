"""A DID is ordered, paid by the month, released; what follows when its fee cannot be paid."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from host.charging import ledger
from host.charging.values import USD, Money, Now
from host.funds.alerts import queue, set_alert
from host.funds.letters import Letter, compose
from host.numbering import orders, provisioning
from host.numbering.checks import NotEnoughFunds, ProvisioningError
from host.numbering.months import month_begins
from host.numbering.orders import FeeTerms, Step
from host.store.opening import open_writer
from tests.stores import dump

NEW_YORK = "+12125550100"
TERMS = FeeTerms(grace_days=7, suspended_days=14)


def at(text: str) -> Now:
    """An instant, UTC."""
    when = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return Now(round(when.timestamp()) * 1000, 0)


def day(utc_ms: int) -> str:
    return datetime.fromtimestamp(utc_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = open_writer(tmp_path / "host.sqlite")
    provisioning.seed(conn)
    for name in ("alice", "bob"):
        provisioning.add_account(conn, name, realm="example.net", password="secret")
    provisioning.add_did(conn, NEW_YORK, plan="per-minute", pop="default")
    yield conn
    conn.close()


def pay(conn: sqlite3.Connection, amount: int, key: str = "1", account: int = 1) -> None:
    ledger.pay(conn, Now(0, 0), account, Money(amount), "manual", key)


def run(conn: sqlite3.Connection, when: str) -> list[tuple[str, int]]:
    """What the fee job does at an instant."""
    return [(step.what, step.month) for step in orders.run_fees(conn, at(when), TERMS, queue)]


def state(conn: sqlite3.Connection) -> str:
    (found,) = conn.execute("SELECT state FROM did WHERE number = ?", (NEW_YORK,)).fetchone()
    return str(found)


def fees(conn: sqlite3.Connection) -> list[int]:
    return [
        amount
        for (amount,) in conn.execute("SELECT amount FROM movement WHERE kind = 'fee' ORDER BY id")
    ]


def test_the_fee_of_the_first_month_is_taken_at_the_order(conn: sqlite3.Connection) -> None:
    pay(conn, 2 * USD)
    ordered = orders.order_did(conn, at("2026-01-31 10:30"), NEW_YORK, "alice")
    assert ordered.monthly == 85_000_000
    assert day(ordered.paid_until_utc_ms) == "2026-02-28 10:30"
    assert ledger.balance(conn, 1).funds == 2 * USD - 85_000_000
    (owner,) = conn.execute("SELECT account_id FROM did").fetchone()
    assert owner == 1
    with pytest.raises(ProvisioningError, match="taken"):
        orders.order_did(conn, at("2026-01-31 10:31"), NEW_YORK, "bob")


@pytest.mark.parametrize("fault", ["no money", "no such routing", "only a test"])
def test_an_order_that_comes_to_nothing_changes_nothing(
    conn: sqlite3.Connection, fault: str
) -> None:
    pay(conn, 84_999_999 if fault == "no money" else 2 * USD)
    before = dump(conn)
    now = at("2026-01-31 10:30")
    if fault == "no money":
        with pytest.raises(NotEnoughFunds, match=r"0\.85 USD a month"):
            orders.order_did(conn, now, NEW_YORK, "alice")
    elif fault == "no such routing":
        with pytest.raises(ProvisioningError, match="none of that id"):
            orders.order_did(conn, now, NEW_YORK, "alice", routing="fwd:7")
    else:
        orders.order_did(conn, now, NEW_YORK, "alice", test=True)
    assert dump(conn) == before


def test_what_live_calls_hold_pays_no_fee(conn: sqlite3.Connection) -> None:
    pay(conn, USD)
    conn.execute("UPDATE ledger_account SET held = 20000000 WHERE id = 1")
    with pytest.raises(NotEnoughFunds):
        orders.order_did(conn, at("2026-01-31 10:30"), NEW_YORK, "alice")


def test_the_same_day_each_month_or_the_last(conn: sqlite3.Connection) -> None:
    pay(conn, 10 * USD)
    orders.order_did(conn, at("2026-01-31 10:30"), NEW_YORK, "alice")
    assert run(conn, "2026-02-28 10:29:59") == []
    assert run(conn, "2026-02-28 10:30") == [("paid", 1)]
    assert run(conn, "2026-02-28 10:30") == []
    assert run(conn, "2026-03-31 10:29:59") == []
    assert run(conn, "2026-03-31 10:30") == [("paid", 2)]
    assert run(conn, "2026-04-30 10:30") == [("paid", 3)]
    assert fees(conn) == [85_000_000] * 4
    leap = at("2028-01-30 00:00").utc_ms
    assert [day(month_begins(leap, n))[:10] for n in (1, 2, 12, 13)] == [
        "2028-02-29", "2028-03-30", "2029-01-30", "2029-02-28",
    ]  # fmt: skip


def test_a_host_that_was_away_takes_the_months_that_passed_each_once(
    conn: sqlite3.Connection,
) -> None:
    pay(conn, 10 * USD)
    orders.order_did(conn, at("2026-01-31 10:30"), NEW_YORK, "alice")
    assert run(conn, "2026-05-31 10:30") == [("paid", month) for month in (1, 2, 3, 4)]
    assert fees(conn) == [85_000_000] * 5
    assert ledger.check(conn) == []


def test_a_fee_that_cannot_be_paid_grace_suspended_released_with_a_mail_each(
    conn: sqlite3.Connection,
) -> None:
    set_alert(conn, 1, address="alice@example.net", language="fr")
    pay(conn, USD)
    orders.order_did(conn, at("2026-01-15 00:00"), NEW_YORK, "alice", routing="sys:busy")
    assert run(conn, "2026-02-15 00:00") == [("grace", 1)]
    assert state(conn) == "grace"
    assert run(conn, "2026-02-21 23:59") == []
    assert run(conn, "2026-02-22 00:00") == [("suspended", 1)]
    assert state(conn) == "suspended"
    assert run(conn, "2026-03-07 23:59") == []
    assert run(conn, "2026-03-08 00:00") == [("released", 1)]
    assert run(conn, "2026-04-08 00:00") == []
    row = conn.execute("SELECT account_id, order_id, state, routing FROM did").fetchone()
    assert row == (None, None, "active", "")
    kinds = conn.execute("SELECT kind, account_id FROM outbox ORDER BY id").fetchall()
    assert kinds == [("did-grace", 1), ("did-suspended", 1), ("did-released", 1)]
    assert fees(conn) == [85_000_000]
    pay(conn, USD, "2", 2)
    orders.order_did(conn, at("2026-04-08 00:00"), NEW_YORK, "bob")
    assert fees(conn) == [85_000_000] * 2


def test_money_in_time_brings_a_suspended_did_back_on_its_old_day(
    conn: sqlite3.Connection,
) -> None:
    pay(conn, USD)
    orders.order_did(conn, at("2026-01-15 00:00"), NEW_YORK, "alice")
    assert run(conn, "2026-02-15 00:00") == [("grace", 1)]
    assert run(conn, "2026-02-22 00:00") == [("suspended", 1)]
    pay(conn, 10 * USD, "2")
    assert run(conn, "2026-03-01 00:00") == [("paid", 1)]
    assert state(conn) == "active"
    assert run(conn, "2026-03-14 23:59") == []
    assert run(conn, "2026-03-15 00:00") == [("paid", 2)]


def test_a_month_is_not_paid_back(conn: sqlite3.Connection) -> None:
    pay(conn, USD)
    orders.order_did(conn, at("2026-01-15 00:00"), NEW_YORK, "alice")
    orders.release_did(conn, NEW_YORK, at("2026-01-15 00:01"))
    assert ledger.balance(conn, 1).funds == USD - 85_000_000
    assert run(conn, "2026-02-15 00:00") == []


def test_a_new_plan_is_paid_from_the_next_month_on(conn: sqlite3.Connection) -> None:
    pay(conn, 10 * USD)
    orders.order_did(conn, at("2026-01-15 00:00"), NEW_YORK, "alice")
    provisioning.set_did(conn, NEW_YORK, plan="flat")
    assert fees(conn) == [85_000_000]
    run(conn, "2026-02-15 00:00")
    assert fees(conn) == [85_000_000, 425_000_000]


def test_a_customer_is_not_deleted_while_dids_are_paid_by_the_month(
    conn: sqlite3.Connection,
) -> None:
    pay(conn, USD)
    orders.order_did(conn, at("2026-01-15 00:00"), NEW_YORK, "alice")
    with pytest.raises(ProvisioningError, match="did release"):
        provisioning.remove_account(conn, "alice")
    with pytest.raises(ProvisioningError, match="by another customer"):
        provisioning.set_did(conn, NEW_YORK, account="bob")


@pytest.mark.sqlite_only(reason="each death has a copy of the file")
def test_a_crash_between_any_two_writes_takes_no_fee_twice(
    conn: sqlite3.Connection, tmp_path: Path
) -> None:
    """The job dies at each statement in turn, and is run again: in the end each month is paid
    once, and each mail waits once."""
    set_alert(conn, 1, address="alice@example.net")
    pay(conn, 3 * USD)
    orders.order_did(conn, at("2026-01-31 10:30"), NEW_YORK, "alice")
    text = "".join(f"{line}\n" for line in dump(conn))
    instants = ("2026-05-31 10:30", "2026-06-07 10:30", "2026-06-21 10:30")
    endings = set()
    for dies_at in range(1, 60):
        copy = sqlite3.connect(tmp_path / f"{dies_at}.sqlite", isolation_level=None)
        _restore(copy, text)
        left = dies_at
        done: list[Step] = []
        for when in instants:
            dying = _Dying(copy, left)
            try:
                done += orders.run_fees(dying, at(when), TERMS, queue)  # type: ignore[arg-type]
            except _Killed:
                if copy.in_transaction:
                    copy.execute("ROLLBACK")
            left = dying.left if dying.left > 0 else 1_000_000
            done += orders.run_fees(copy, at(when), TERMS, queue)
        paid = [amount for (amount,) in copy.execute("SELECT amount FROM did_month")]
        mails = [kind for (kind,) in copy.execute("SELECT kind FROM outbox ORDER BY id")]
        endings.add((tuple(fees(copy)), tuple(paid), tuple(mails)))
        assert ledger.check(copy) == []
        copy.close()
    assert endings == {
        ((85_000_000,) * 3, (85_000_000,) * 3, ("did-grace", "did-suspended", "did-released"))
    }


class _Killed(BaseException):
    pass


class _Dying:
    """A connection whose process is killed before its n-th write or commit."""

    def __init__(self, conn: sqlite3.Connection, left: int) -> None:
        self._conn = conn
        self.left = left

    @property
    def in_transaction(self) -> bool:
        return self._conn.in_transaction

    def execute(self, sql: str, values: object = ()) -> sqlite3.Cursor:
        if not sql.startswith(("SELECT", "BEGIN", "ROLLBACK")):
            self.left -= 1
            if self.left == 0:
                raise _Killed
        return self._conn.execute(sql, values)  # type: ignore[arg-type]


def _restore(copy: sqlite3.Connection, dump: str) -> None:
    copy.executescript(dump)


@pytest.mark.parametrize("language", ["en", "fr", "es"])
def test_each_letter_about_a_did_names_number_amount_and_day(
    conn: sqlite3.Connection, language: str
) -> None:
    set_alert(conn, 1, address="alice@example.net", language=language)
    pay(conn, USD)
    orders.order_did(conn, at("2026-01-15 00:00"), NEW_YORK, "alice")
    for when in ("2026-02-15 00:00", "2026-02-22 00:00", "2026-03-08 00:00"):
        run(conn, when)
    rows = conn.execute("SELECT token, kind, facts, utc_ms FROM outbox ORDER BY id").fetchall()
    for token, kind, facts, utc_ms in rows:
        letter = Letter(1, token, kind, facts, utc_ms, 0, "alice", "alice@example.net", language)
        message = compose(letter, "billing@example.net")
        text = message.get_content()
        assert NEW_YORK in message["Subject"]
        assert "0.85 USD" in text
        assert "2026-02-15" in text
        until = {"did-grace": "2026-02-22", "did-suspended": "2026-03-08"}.get(kind, NEW_YORK)
        assert until in text
    assert len(rows) == 3


def test_the_audit_finds_a_fee_that_belongs_to_no_month(conn: sqlite3.Connection) -> None:
    pay(conn, 10 * USD)
    orders.order_did(conn, at("2026-01-15 00:00"), NEW_YORK, "alice")
    assert ledger.check(conn) == []
    ledger.move(conn, at("2026-01-16 00:00"), "fee", "fee:did:1:1", 1, ledger.REVENUE_ID, 5)
    (found,) = ledger.check(conn)
    assert "fee:did:1:1" in found
