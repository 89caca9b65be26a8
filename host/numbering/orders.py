"""Ordering and releasing DIDs, and their months: the fee at the order, then on the same day each
month, once; what follows when it cannot be paid.

Every function is one transaction's work, and a crash between any two leaves nothing that the next
run does not find: what is due follows from what was paid, and each month has a key of its own in
the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple, Protocol

from host.charging.ledger import balance, take_fee
from host.charging.money import format_usd
from host.charging.values import Money, Now
from host.numbering.checks import NotEnoughFunds, ProvisioningError, account_row, main_row
from host.numbering.deck import transaction
from host.numbering.dids import did_row, owner_of, price_of, route_did, set_did
from host.numbering.months import month_begins
from host.numbering.values import Plan
from host.store.connection import Connection

DAY_MS = 86_400_000


class Tell(Protocol):
    """Queues mail to a main account in the transaction that it tells of, once for each token
    (`host.funds.alerts.queue`)."""

    def __call__(
        self,
        conn: Connection,
        now: Now,
        account_id: int,
        kind: str,
        token: str,
        **facts: Any,
    ) -> object: ...


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """What happens to a DID whose fee cannot be paid."""

    grace_days: int = 7
    """Its calls are still delivered for so long."""
    suspended_days: int = 14
    """Then they are not, for so long; then it is released."""


class Ordered(NamedTuple):
    """A DID that was ordered, or with `test` could be."""

    number: str
    monthly: Money
    """Taken at once, and each month."""
    paid_until_utc_ms: int


class Step(NamedTuple):
    """One thing that was done about one DID's months."""

    number: str
    account_id: int
    """The main account that pays."""
    what: Literal["paid", "grace", "suspended", "released"]
    month: int
    """0 was paid at the order."""
    amount: Money


def order_did(
    conn: Connection,
    now: Now,
    number: str,
    account: str,
    *,
    plan: Plan | None = None,
    pop: str | None = None,
    routing: str = "",
    failover_busy: str = "",
    failover_unreachable: str = "",
    failover_noanswer: str = "",
    ring_s: int = 0,
    description: str = "",
    test: bool = False,
) -> Ordered:
    """Give a DID to an account, its first month paid by the main account. With `test` nothing is
    changed.

    `plan` and `pop` are those that the DID has, if not given.

    Raises:
        NotEnoughFunds: the fee is more than what is available.
        ProvisioningError: no such DID, it belongs to somebody, or it cannot be routed so.
    """
    e164, old_plan = did_row(conn, number)
    payer, account_id = main_row(conn, account), account_row(conn, account)[0]
    before, order_id, monthly, country = conn.execute(
        "SELECT account_id, order_id, monthly, carrier_country FROM did WHERE number = ?", (e164,)
    ).fetchone()
    if order_id is not None or (before is not None and owner_of(conn, e164) != payer):
        raise ProvisioningError(f"{e164} is taken: `did list` shows those that are not")
    if plan is not None and plan != old_plan:
        monthly = price_of(e164, plan, carrier_country=country or None).monthly
    available = balance(conn, payer).available
    if available < monthly:
        raise NotEnoughFunds(
            f"{e164} costs {format_usd(monthly)} USD a month, {format_usd(available)} USD is "
            f"available: let {account} deposit funds"
        )
    # A routing that is refused undoes the order, whatever else the caller's transaction does.
    with transaction(conn):
        conn.execute("SAVEPOINT ordering")
        try:
            order_id = conn.execute(
                "INSERT INTO did_order (number, account_id, ordered_utc_ms, paid_until_utc_ms) "
                "VALUES (?, ?, ?, ?)",
                (e164, payer, now.utc_ms, now.utc_ms),
            ).lastrowid
            assert order_id is not None
            set_did(conn, e164, pop=pop, plan=plan, description=description)
            conn.execute(
                "UPDATE did SET account_id = ?, order_id = ?, state = 'active' WHERE number = ?",
                (account_id, order_id, e164),
            )
            route_did(
                conn,
                e164,
                routing=routing,
                failover_busy=failover_busy,
                failover_unreachable=failover_unreachable,
                failover_noanswer=failover_noanswer,
                ring_s=ring_s,
            )
            paid = _pay(conn, now, order_id)
            assert paid, "what is available was looked at"
        except BaseException:
            conn.execute("ROLLBACK TO ordering")
            conn.execute("RELEASE ordering")
            raise
        if test:
            conn.execute("ROLLBACK TO ordering")
        conn.execute("RELEASE ordering")
    return Ordered(e164, Money(monthly), month_begins(now.utc_ms, 1))


def release_did(
    conn: Connection, number: str, now: Now, why: Literal["asked", "unpaid"] = "asked"
) -> str:
    """Take a DID from its account; it stays ours, and can be ordered by another. Nothing of its
    month is paid back."""
    e164, _ = did_row(conn, number)
    conn.execute(
        "UPDATE did_order SET released_utc_ms = ?, release = ? "
        "WHERE number = ? AND released_utc_ms IS NULL",
        (now.utc_ms, why, e164),
    )
    conn.execute(
        "UPDATE did SET account_id = NULL, order_id = NULL, state = 'active', description = '', "
        "routing = '', failover_busy = '', failover_unreachable = '', failover_noanswer = '', "
        "ring_s = 0 WHERE number = ?",
        (e164,),
    )
    conn.execute("DELETE FROM caller_filter WHERE did = ?", (e164,))
    return e164


def due(conn: Connection, utc_ms: int) -> list[int]:
    """Orders with a month that has begun and is not paid, oldest first."""
    return [
        order_id
        for (order_id,) in conn.execute(
            "SELECT id FROM did_order WHERE released_utc_ms IS NULL AND paid_until_utc_ms <= ? "
            "ORDER BY paid_until_utc_ms, id",
            (utc_ms,),
        )
    ]


def fee_step(conn: Connection, now: Now, order_id: int, terms: FeeTerms, tell: Tell) -> Step | None:
    """Do the next thing about the months of one order: take one month's fee, or go one step towards
    the release. One transaction; None when there is nothing to do now."""
    row = conn.execute(
        "SELECT did_order.number, did_order.account_id, months, paid_until_utc_ms, unpaid_utc_ms, "
        "suspended_utc_ms, monthly FROM did_order JOIN did ON did.order_id = did_order.id "
        "WHERE did_order.id = ? AND released_utc_ms IS NULL",
        (order_id,),
    ).fetchone()
    if row is None:
        return None
    number, payer, month, due_ms, unpaid_ms, suspended_ms, monthly = row
    if due_ms > now.utc_ms:
        return None

    def step(what: Literal["paid", "grace", "suspended", "released"], until_ms: int = 0) -> Step:
        if what != "paid":
            tell(
                conn,
                now,
                payer,
                f"did-{what}",
                f"did-{what}-{order_id}-{month}",
                number=number,
                amount=monthly,
                due=_date(due_ms),
                until=_date(until_ms),
            )
        return Step(number, payer, what, month, Money(monthly))

    if _pay(conn, now, order_id):
        return step("paid")
    if unpaid_ms is None:
        conn.execute("UPDATE did_order SET unpaid_utc_ms = ? WHERE id = ?", (now.utc_ms, order_id))
        conn.execute("UPDATE did SET state = 'grace' WHERE number = ?", (number,))
        return step("grace", now.utc_ms + terms.grace_days * DAY_MS)
    if suspended_ms is None:
        if now.utc_ms < unpaid_ms + terms.grace_days * DAY_MS:
            return None
        conn.execute(
            "UPDATE did_order SET suspended_utc_ms = ? WHERE id = ?", (now.utc_ms, order_id)
        )
        conn.execute("UPDATE did SET state = 'suspended' WHERE number = ?", (number,))
        return step("suspended", now.utc_ms + terms.suspended_days * DAY_MS)
    if now.utc_ms < suspended_ms + terms.suspended_days * DAY_MS:
        return None
    release_did(conn, number, now, "unpaid")
    return step("released", now.utc_ms)


def run_fees(conn: Connection, now: Now, terms: FeeTerms, tell: Tell) -> Iterator[Step]:
    """Do all that is to be done about months now, each thing in a transaction of its own; a store
    that several do this in does each thing once."""
    for order_id in due(conn, now.utc_ms):
        while True:
            conn.execute("BEGIN IMMEDIATE")
            try:
                step = fee_step(conn, now, order_id, terms, tell)
            except BaseException:
                conn.execute("ROLLBACK")
                raise
            conn.execute("COMMIT")
            if step is None:
                break
            yield step


def _pay(conn: Connection, now: Now, order_id: int) -> bool:
    """Take the next month's fee, if it can be paid."""
    number, payer, ordered_ms, month, monthly, state = conn.execute(
        "SELECT did_order.number, did_order.account_id, ordered_utc_ms, months, monthly, state "
        "FROM did_order JOIN did ON did.order_id = did_order.id WHERE did_order.id = ?",
        (order_id,),
    ).fetchone()
    begins = month_begins(ordered_ms, month)
    if monthly:
        note = f"DID {number}, month from {_date(begins)}"
        if take_fee(conn, now, payer, Money(monthly), f"did:{order_id}:{month}", note) is not None:
            return False
    conn.execute(
        "INSERT INTO did_month (order_id, month, from_utc_ms, amount) VALUES (?, ?, ?, ?)",
        (order_id, month, begins, monthly),
    )
    conn.execute(
        "UPDATE did_order SET months = ?, paid_until_utc_ms = ?, unpaid_utc_ms = NULL, "
        "suspended_utc_ms = NULL WHERE id = ?",
        (month + 1, month_begins(ordered_ms, month + 1), order_id),
    )
    if state != "active":
        conn.execute("UPDATE did SET state = 'active' WHERE number = ?", (number,))
    return True


def _date(utc_ms: int) -> str:
    return str(date(1970, 1, 1) + timedelta(days=utc_ms // DAY_MS))
