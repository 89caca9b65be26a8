"""The double-entry ledger: payments in, balances, and the audit of all of it.

A customer's balance is what we owe the customer. A payment moves from `payments` to the
customer, a call from the customer to `revenue`; every movement is two postings that sum to
zero, which the database's own triggers make and keep. What a customer owes, since a payment
went back that was spent already, stands in a debt account of its own: nothing is available
until it is repaid.
"""

from __future__ import annotations

from typing import NamedTuple

from host.charging.rating import charge
from host.charging.values import Money, Now, Reason, Refusal, Tariff
from host.store.connection import Connection

REVENUE_ID = -1
PAYMENTS_ID = -2
DEBTS_FROM = -1000
"""A customer's debt account is this less the customer's number."""


_NOTHING = Money(0)


class Balance(NamedTuple):
    """What a customer has."""

    funds: Money
    """Paid in and not yet spent."""
    held: Money
    """Of it, what live calls have reserved."""
    available: Money
    """`funds` less `held` and `debt`; never below 0."""
    debt: Money = _NOTHING
    """Owed to us, since a payment went back after it was spent; the next payment repays it."""


class UnknownAccount(LookupError):
    """The ledger has no customer of that number."""


def pay(
    conn: Connection,
    now: Now,
    account_id: int,
    amount: Money,
    provider: str,
    provider_id: str,
    note: str = "",
    fee: Money = _NOTHING,
) -> bool:
    """Credit a payment to a main account, once for each payment id of the provider.

    Args:
        amount: what was received.
        fee: of it, what we keep; the rest repays the debt, if there is one, and is credited.

    Returns:
        True when it was credited; False when this very payment was credited before.

    Raises:
        ValueError: the amount is not above the fee, provider or its id is empty, or the same
            payment id came before with another amount or for another account.
        UnknownAccount: there is no such main account.
    """
    if amount <= 0:
        raise ValueError(f"a payment is above zero: {amount}")
    if not 0 <= fee < amount:
        raise ValueError(f"a fee of {fee} leaves nothing of {amount}")
    if not provider or not provider_id:
        raise ValueError("a payment needs its provider and the provider's id for it")
    debt = _funds(conn, account_id)[2]
    payment = f"{provider}:{provider_id}"
    debt_id = DEBTS_FROM - account_id
    before = conn.execute(
        "SELECT max(CASE WHEN credit_id > 0 THEN credit_id "
        "WHEN credit_id < ? THEN ? - credit_id ELSE 0 END), "
        "sum(amount) FROM movement WHERE debit_id = ? AND key IN (?, ?, ?)",
        (
            DEBTS_FROM,
            DEBTS_FROM,
            PAYMENTS_ID,
            f"payment:{payment}",
            f"debt:{payment}",
            f"fee:{payment}",
        ),
    ).fetchone()
    if before[1] is not None:
        if before != (account_id, amount):
            raise ValueError(
                f"payment {provider_id} of {provider} was credited before, {before[1]} units to "
                f"account {before[0]}: the same id cannot stand for another payment"
            )
        return False
    repaid = min(debt, amount - fee)
    if fee:
        move(conn, now, "fee", f"fee:{payment}", PAYMENTS_ID, REVENUE_ID, fee, note)
    if repaid:
        move(conn, now, "debt", f"debt:{payment}", PAYMENTS_ID, debt_id, repaid, note)
    if amount - fee > repaid:
        rest = amount - fee - repaid
        move(conn, now, "payment", f"payment:{payment}", PAYMENTS_ID, account_id, rest, note)
    if debt > repaid:
        # Holds that were freed since: what is there goes before what is owed.
        funds, held, _ = _funds(conn, account_id)
        own = min(debt - repaid, funds - held)
        if own:
            move(conn, now, "debt", f"debt:own:{payment}", account_id, debt_id, own, note)
    return True


def move(
    conn: Connection,
    now: Now,
    kind: str,
    key: str,
    debit_id: int,
    credit_id: int,
    amount: int,
    note: str = "",
) -> None:
    """Post one movement that is no call's; its two postings follow by themselves.

    Raises:
        sqlite3.IntegrityError: the key came before, or the debited funds do not suffice.
    """
    conn.execute(
        "INSERT INTO movement (kind, key, utc_ms, debit_id, credit_id, amount, note) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (kind, key, now.utc_ms, debit_id, credit_id, amount, note),
    )


def take_fee(
    conn: Connection, now: Now, account_id: int, amount: Money, key: str, note: str = ""
) -> Refusal | None:
    """Move a fee from a main account to revenue, once for each `key`.

    Returns:
        A refusal when less than `amount` is available; else None.

    Raises:
        ValueError: the amount is not above zero.
        UnknownAccount: there is no such main account.
    """
    if amount <= 0:
        raise ValueError(f"a fee is above zero: {amount}")
    available = balance(conn, account_id).available
    found = conn.execute("SELECT 1 FROM movement WHERE key = ?", (f"fee:{key}",)).fetchone()
    if found:
        return None
    if available < amount:
        return Refusal(Reason.NO_MONEY, f"account {account_id} has {available} available")
    move(conn, now, "fee", f"fee:{key}", account_id, REVENUE_ID, amount, note)
    return None


def balance(conn: Connection, account_id: int) -> Balance:
    """What a main account has.

    Raises:
        UnknownAccount: there is no such main account.
    """
    funds, held, debt = _funds(conn, account_id)
    return Balance(Money(funds), Money(held), Money(max(0, funds - held - debt)), Money(debt))


def _funds(conn: Connection, account_id: int) -> tuple[int, int, int]:
    found: tuple[int, int, int] | None = conn.execute(
        "SELECT balance, held, debt FROM ledger_account WHERE id = ? AND kind = 'funds'",
        (account_id,),
    ).fetchone()
    if found is None:
        raise UnknownAccount(f"no main account {account_id} in the ledger")
    return found


# Each query finds nothing in a sound ledger; its rows fill the sentence.
_AUDIT: tuple[tuple[str, str], ...] = (
    (
        "movement {} has {} postings that sum to {}, not two that sum to 0",
        "SELECT movement.id, count(posting.amount), coalesce(sum(posting.amount), 0) "
        "FROM movement LEFT JOIN posting ON movement_id = movement.id GROUP BY movement.id "
        "HAVING count(posting.amount) <> 2 OR sum(posting.amount) <> 0",
    ),
    (
        "posting of {} to account {} belongs to no movement",
        "SELECT amount, account_id FROM posting WHERE movement_id NOT IN (SELECT id FROM movement)",
    ),
    (
        "posting of movement {} to account {} differs from the movement",
        "SELECT movement_id, account_id FROM posting JOIN movement ON movement.id = movement_id "
        "WHERE NOT (account_id = debit_id AND posting.amount = -movement.amount) "
        "AND NOT (account_id = credit_id AND posting.amount = movement.amount)",
    ),
    (
        "all postings together sum to {}, not to 0",
        "SELECT sum(amount) FROM posting HAVING coalesce(sum(amount), 0) <> 0",
    ),
    (
        "account {} shows a balance of {}, its postings sum to {}",
        "SELECT id, balance, coalesce(total, 0) FROM ledger_account LEFT JOIN "
        "(SELECT account_id, sum(amount) AS total FROM posting GROUP BY account_id) AS sums "
        "ON account_id = id WHERE balance <> coalesce(total, 0)",
    ),
    (
        "account {} shows {} held, its pending holds sum to {}",
        "SELECT ledger_account.id, held, coalesce(total, 0) FROM ledger_account LEFT JOIN "
        "(SELECT account_id, sum(amount) AS total FROM hold WHERE state = 'pending' "
        "GROUP BY account_id) AS sums ON account_id = ledger_account.id "
        "WHERE held <> coalesce(total, 0)",
    ),
    (
        "account {} holds {} of a balance of {}",
        "SELECT id, held, balance FROM ledger_account "
        "WHERE kind = 'funds' AND (held > balance OR held < 0)",
    ),
    (
        "account {} shows a debt of {}, its postings sum to {}",
        "SELECT id, debt, coalesce(total, 0) FROM ledger_account LEFT JOIN "
        "(SELECT account_id, -sum(amount) AS total FROM posting WHERE account_id <= -1000 "
        "GROUP BY account_id) AS sums ON account_id = -1000 - id WHERE debt <> coalesce(total, 0)",
    ),
    (
        "deposit {} by {} is {}, but the ledger {} it",
        "SELECT deposit.id, method, state, CASE WHEN moved THEN 'has' ELSE 'lacks' END "
        "FROM (SELECT *, EXISTS "
        "(SELECT 1 FROM movement WHERE key IN ('payment:' || method || ':' || payment_id, "
        "'debt:' || method || ':' || payment_id)) AS moved FROM deposit) AS deposit "
        "WHERE (state = 'credited') <> moved",
    ),
    (
        "of payment {} by {}, {} went back, more than the {} that were received",
        "SELECT deposit.payment_id, deposit.method, sum(from_funds + from_debt), deposit.amount "
        "FROM deposit JOIN payment_return USING (method, payment_id) "
        "WHERE payment_return.state IN ('asked', 'done') GROUP BY deposit.id "
        "HAVING sum(from_funds + from_debt) > deposit.amount",
    ),
    (
        "hold {} of call {} leg {} is pending, but the call is over",
        "SELECT hold.sequence, coalesce(call_id, CAST(hold.call AS TEXT)), leg FROM hold "
        "LEFT JOIN call "
        "ON call.id = hold.call WHERE hold.state = 'pending' AND "
        "coalesce(call.state, '') <> 'open'",
    ),
    (
        "hold {} of call {} leg {} is {}, but the call is live",
        "SELECT hold.sequence, call_id, leg, hold.state FROM hold JOIN call ON call.id = hold.call "
        "JOIN leg USING (call, leg) "
        "WHERE hold.state <> 'pending' AND call.state = 'open' AND billed_ms IS NULL",
    ),
    (
        "channel {} is taken by call {}, which is over",
        "SELECT key, coalesce(call_id, CAST(live_limit.call AS TEXT)) FROM live_limit "
        "LEFT JOIN call "
        "ON call.id = live_limit.call WHERE "
        "coalesce(call.state, '') <> 'open'",
    ),
    (
        "CDR of call {} leg {} says {}, the ledger moved {} from account {}",
        "SELECT call_id, leg.leg, cost, coalesce(amount, 0), coalesce(debit_id, leg.account_id) "
        "FROM leg JOIN call ON call.id = leg.call "
        "LEFT JOIN movement ON movement.call = leg.call AND movement.leg = leg.leg "
        "WHERE call.state = 'ended' AND (cost IS NULL OR cost <> coalesce(amount, 0) "
        "OR coalesce(debit_id, leg.account_id) <> leg.account_id)",
    ),
    (
        "call {} leg {} is live, but {} was posted for it",
        "SELECT call_id, leg.leg, amount FROM leg JOIN call ON call.id = leg.call "
        "JOIN movement ON movement.call = leg.call AND movement.leg = leg.leg "
        "WHERE call.state = 'open'",
    ),
    (
        "CDRs cost {} in all, calls moved {} in the ledger",
        "SELECT cdrs, moved FROM (SELECT (SELECT coalesce(sum(cost), 0) FROM leg) AS cdrs, "
        "(SELECT coalesce(sum(amount), 0) FROM movement WHERE kind = 'call') AS moved) AS sums "
        "WHERE cdrs <> moved",
    ),
    (
        "call {} was refused, but has legs",
        "SELECT DISTINCT call_id FROM call JOIN leg ON leg.call = call.id WHERE state = 'refused'",
    ),
    (
        "call {} is billed {} ms of {} ms talk and {} ms granted",
        "SELECT call_id, billed_ms, talk_ms, granted_ms FROM call JOIN leg ON leg.call = call.id "
        "WHERE state = 'ended' AND (billed_ms > talk_ms OR billed_ms > granted_ms)",
    ),
    (
        "fee {} of {} belongs to no month of a DID that was ordered",
        "SELECT movement.key, movement.amount FROM movement WHERE key LIKE 'fee:did:%' "
        "AND NOT EXISTS (SELECT 1 FROM did_month JOIN did_order ON did_order.id = order_id "
        "WHERE 'fee:did:' || order_id || ':' || month = movement.key "
        "AND did_month.amount = movement.amount AND account_id = movement.debit_id)",
    ),
    (
        "month {} of DID {} (order {}) costs {}, but the ledger lacks it",
        "SELECT month, number, order_id, amount FROM did_month JOIN did_order "
        "ON did_order.id = order_id WHERE amount > 0 AND NOT EXISTS (SELECT 1 FROM movement "
        "WHERE key = 'fee:did:' || order_id || ':' || month)",
    ),
    (
        "DID {} (order {}) has {} months paid, its months are {} up to {}",
        "SELECT number, id, months, count(month), coalesce(max(month), 0) FROM did_order "
        "LEFT JOIN did_month ON order_id = id GROUP BY id "
        "HAVING count(month) <> months OR coalesce(max(month) + 1, 0) <> months",
    ),
    (
        "DID {} names order {}, which is of another number, released or nobody's",
        "SELECT did.number, order_id FROM did LEFT JOIN did_order ON did_order.id = order_id "
        "WHERE order_id IS NOT NULL AND (coalesce(did_order.number, '') <> did.number "
        "OR released_utc_ms IS NOT NULL)",
    ),
    (
        "day {} of account {} counts {} for call {} leg {}, which {}",
        "SELECT day, day_spend.account_id, day_spend.amount, call_id, day_spend.leg, "
        "CASE call.state WHEN 'open' THEN 'holds ' || held ELSE 'cost ' || cost END "
        "FROM (SELECT *, "
        "(SELECT coalesce(sum(amount), 0) FROM hold WHERE hold.call = day_spend.call "
        "AND hold.leg = day_spend.leg AND hold.state = 'pending') AS held FROM day_spend) "
        "AS day_spend JOIN call ON call.id = day_spend.call JOIN leg "
        "ON leg.call = day_spend.call AND leg.leg = day_spend.leg "
        "WHERE day_spend.amount <> CASE call.state WHEN 'open' THEN held ELSE cost END",
    ),
)


def check(conn: Connection) -> list[str]:
    """Audit ledger, holds, channels and CDRs in one snapshot; returns a sentence a fault."""
    own = not conn.in_transaction
    if own:
        conn.execute("BEGIN")
    try:
        faults = [
            sentence.format(*row) for sentence, query in _AUDIT for row in conn.execute(query)
        ]
        for call_id, leg, billed_ms, cost, rate, first, step, fee in conn.execute(
            "SELECT call_id, leg, billed_ms, cost, per_minute, first_s, step_s, connect_fee "
            "FROM leg JOIN call ON call.id = leg.call WHERE cost > 0"
        ):
            due = charge(Tariff(Money(rate), first, step, Money(fee)), billed_ms)
            if cost > due:
                faults.append(f"CDR of call {call_id} leg {leg} says {cost}, its talk costs {due}")
        for call_id, talk_ms, cost, rate, first, step, fee in conn.execute(
            "SELECT call_id, talk_ms, carrier_cost, cost_per_minute, cost_first_s, cost_step_s, "
            "cost_connect_fee FROM call WHERE carrier_cost IS NOT NULL"
        ):
            due = charge(Tariff(Money(rate), first, step, Money(fee)), talk_ms)
            if cost != due:
                faults.append(
                    f"CDR of call {call_id} says that its carrier took {cost}, its talk costs {due}"
                )
    finally:
        if own:
            conn.execute("ROLLBACK")
    return faults
