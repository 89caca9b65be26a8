"""Payments that go back: counter-postings for refunds and chargebacks.

A chargeback takes what was paid, whether or not it was spent since. What the customer still
has covers it first; the rest is a debt, with which no paid call begins or is renewed until a
payment repays it. Holds of live calls are never touched: the calls live to the end of their
quota. So the funds stay what the database demands, at least what is held of them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from host.charging.ledger import DEBTS_FROM, PAYMENTS_ID, balance, move
from host.charging.values import Money, Now, Reason, Refusal
from host.store.connection import Connection

Kind = Literal["refund", "chargeback"]


class Taken(NamedTuple):
    """What a return took."""

    from_funds: Money
    from_debt: Money
    """What the customer owes for it."""


def take_back(
    conn: Connection,
    now: Now,
    account_id: int,
    amount: Money,
    kind: Kind,
    key: str,
    *,
    may_owe: bool,
    note: str = "",
) -> Taken | Refusal:
    """Post that money of a main account goes back to where it came from.

    Args:
        key: provider and the return's id; the caller sees to it that it is new.
        may_owe: the money is gone already; what the funds lack becomes debt. Else it is refused
            when less than `amount` is available.

    Raises:
        UnknownAccount: there is no such main account.
        sqlite3.IntegrityError: the key came before.
    """
    assert amount > 0
    funds = balance(conn, account_id)
    if not may_owe and funds.available < amount:
        return Refusal(Reason.NO_MONEY, f"account {account_id} has {funds.available} available")
    own = Money(min(amount, funds.funds - funds.held))
    owed = Money(amount - own)
    if own:
        move(conn, now, kind, f"{kind}:{key}", account_id, PAYMENTS_ID, own, note)
    if owed:
        debt_id = DEBTS_FROM - account_id
        conn.execute(
            "INSERT INTO ledger_account (id, kind) VALUES (?, 'debt') ON CONFLICT DO NOTHING",
            (debt_id,),
        )
        move(conn, now, kind, f"{kind}:owed:{key}", debt_id, PAYMENTS_ID, owed, note)
    return Taken(own, owed)


def give_again(
    conn: Connection,
    now: Now,
    account_id: int,
    amount: Money,
    kind: Kind,
    key: str,
    note: str = "",
) -> None:
    """Post that a return was undone: a refund failed, a dispute was won.

    What is still owed is repaid by it first.
    """
    assert amount > 0
    repaid = min(balance(conn, account_id).debt, amount)
    key = f"{kind}:undone:{key}"
    if repaid:
        debt_id = DEBTS_FROM - account_id
        move(conn, now, kind, f"{key}:owed", PAYMENTS_ID, debt_id, repaid, note)
    if amount > repaid:
        move(conn, now, kind, key, PAYMENTS_ID, account_id, amount - repaid, note)
