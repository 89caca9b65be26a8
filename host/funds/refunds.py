"""Refunds and chargebacks of deposits: each posted once, undone once, never more than came in.

A refund that we ask for is posted before the provider is asked, so that the money is not spent
meanwhile. A return that the provider tells of is posted whatever the customer has left; a
notice of one that comes before the payment's own is kept until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from host.charging.money import format_usd
from host.charging.returns import Kind, give_again, take_back
from host.charging.values import Money, Now, Refusal
from host.funds.notices import Returned, Undone
from host.store.connection import Connection

if TYPE_CHECKING:
    from host.funds.deposits import Deposit


class Done(NamedTuple):
    """What a notice of a return did; `Outcome` of `host.funds.deposits` in the making."""

    what: Literal["returned", "repeated", "early", "undone"]
    detail: str
    account_id: int


class Return(NamedTuple):
    """One refund or chargeback."""

    method: str
    id: str
    kind: Kind
    payment_id: str
    amount: Money
    state: Literal["early", "asked", "done", "undone"]
    from_funds: Money
    from_debt: Money
    reference: str


def find(conn: Connection, method: str, return_id: str) -> Return | None:
    """A return by its id."""
    row = conn.execute(
        "SELECT method, id, kind, payment_id, amount, state, from_funds, from_debt, reference "
        "FROM payment_return WHERE method = ? AND id = ?",
        (method, return_id),
    ).fetchone()
    return Return(*row) if row else None


def remaining(conn: Connection, deposit: Deposit) -> Money:
    """What of a deposit has not gone back."""
    (gone,) = conn.execute(
        "SELECT coalesce(sum(from_funds + from_debt), 0) FROM payment_return "
        "WHERE method = ? AND payment_id = ? AND state IN ('asked', 'done')",
        (deposit.method, deposit.payment_id),
    ).fetchone()
    return Money(deposit.amount - gone)


def ask(
    conn: Connection,
    now: Now,
    deposit: Deposit,
    amount: Money | None,
    return_id: str,
    note: str = "",
) -> Return | Refusal:
    """Post a refund of ours. The same id again posts nothing and answers what stands.

    Args:
        amount: None: all that can be refunded; the fee stays with us.

    Returns:
        The refund, or a refusal when the customer has spent the money.

    Raises:
        ValueError: the deposit was not credited, or more is asked than is left of it.
    """
    found = find(conn, deposit.method, return_id)
    if found is not None:
        if found.payment_id != deposit.payment_id or amount not in (None, found.amount):
            raise ValueError(f"refund {return_id} stands for another: take another id")
        return found
    if deposit.state != "credited" or deposit.payment_id is None:
        raise ValueError(f"deposit {deposit.id} is {deposit.state}: nothing was credited")
    left = Money(remaining(conn, deposit) - deposit.fee)
    amount = left if amount is None else amount
    if not 0 < amount <= left:
        raise ValueError(
            f"{format_usd(amount)} USD cannot be refunded: of deposit {deposit.id} there "
            f"is {format_usd(max(0, left))} USD that did not go back"
        )
    taken = take_back(
        conn,
        now,
        deposit.account_id,
        amount,
        "refund",
        f"{deposit.method}:{return_id}",
        may_owe=False,
        note=note,
    )
    if isinstance(taken, Refusal):
        return taken
    made = Return(
        deposit.method, return_id, "refund", deposit.payment_id, amount, "asked", *taken, ""
    )
    _insert(conn, now, made, note)
    return made


def done(conn: Connection, method: str, return_id: str, reference: str) -> None:
    """The provider sent the money of a refund of ours."""
    conn.execute(
        "UPDATE payment_return SET state = 'done', reference = ? "
        "WHERE method = ? AND id = ? AND state = 'asked'",
        (reference, method, return_id),
    )


def returned(conn: Connection, now: Now, notice: Returned, deposit: Deposit | None) -> Done:
    """A provider tells that money went back."""
    found = find(conn, notice.method, notice.own_id or notice.return_id)
    account = deposit.account_id if deposit else 0
    if found is not None:
        if found.state == "asked":
            done(conn, found.method, found.id, notice.return_id)
        return Done("repeated", f"{found.kind} {found.id}", account)
    made = Return(
        notice.method,
        notice.own_id or notice.return_id,
        notice.kind,
        notice.payment_id,
        notice.amount,
        "early",
        Money(0),
        Money(0),
        notice.return_id,
    )
    _insert(conn, now, made, "")
    if deposit is None or deposit.state != "credited":
        return Done("early", f"payment {notice.payment_id} is not credited", account)
    return _post(conn, now, made, deposit)


def undone(conn: Connection, now: Now, notice: Undone, deposit: Deposit | None) -> Done:
    """A refund failed, or a dispute was won: the customer has the money again."""
    return_id = notice.own_id or notice.return_id
    account = deposit.account_id if deposit else 0
    found = find(conn, notice.method, return_id)
    if found is None:
        # What it undoes is still on its way, and will find this.
        ids = (notice.method, return_id, notice.kind, notice.payment_id)
        _insert(conn, now, Return(*ids, Money(0), "undone", Money(0), Money(0), ""), "")
        return Done("early", f"{notice.kind} {return_id} was not told yet", account)
    if found.state == "undone":
        return Done("repeated", f"{found.kind} {found.id}", account)
    amount = Money(found.from_funds + found.from_debt)
    if amount:
        assert deposit is not None, "what was posted was of a deposit"
        key = f"{found.method}:{found.id}"
        give_again(conn, now, deposit.account_id, amount, found.kind, key)
    _set(conn, found._replace(state="undone"))
    if deposit is not None and amount:
        # Returns that were told while nothing was left for them; now there is.
        _post_all(
            conn, now, deposit, "state = 'done' AND from_funds + from_debt < payment_return.amount"
        )
    return Done("undone", f"{format_usd(amount)} USD of {found.kind} {found.id}", account)


def catch_up(conn: Connection, now: Now, deposit: Deposit | None) -> None:
    """Post what went back of a payment before it was credited."""
    assert deposit is not None
    _post_all(conn, now, deposit, "state = 'early'")


def _post_all(conn: Connection, now: Now, deposit: Deposit, condition: str) -> None:
    rows = conn.execute(
        f"SELECT id FROM payment_return WHERE method = ? AND payment_id = ? AND {condition} "
        "ORDER BY utc_ms, id",
        (deposit.method, deposit.payment_id),
    ).fetchall()
    for (return_id,) in rows:
        found = find(conn, deposit.method, return_id)
        assert found is not None
        _post(conn, now, found, deposit)


def _post(conn: Connection, now: Now, found: Return, deposit: Deposit) -> Done:
    before = found.from_funds + found.from_debt
    amount = Money(min(found.amount - before, remaining(conn, deposit)))
    note = ""
    if before + amount < found.amount:
        note = f"{format_usd(found.amount)} USD was told, more than was left of the payment"
    own, owed = found.from_funds, found.from_debt
    if amount:
        key = f"{found.method}:{found.id}" + (f":{before}" if before else "")
        taken = take_back(
            conn, now, deposit.account_id, amount, found.kind, key, may_owe=True, note=note
        )
        assert not isinstance(taken, Refusal)
        own, owed = Money(own + taken.from_funds), Money(owed + taken.from_debt)
    _set(conn, found._replace(state="done", from_funds=own, from_debt=owed), note)
    text = f"{format_usd(amount)} USD of {found.kind} {found.id}"
    if owed:
        text += f", {format_usd(owed)} of it owed"
    return Done("returned", text, deposit.account_id)


def _insert(conn: Connection, now: Now, made: Return, note: str) -> None:
    conn.execute(
        "INSERT INTO payment_return (method, id, kind, payment_id, amount, state, from_funds, "
        "from_debt, reference, utc_ms, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*made, now.utc_ms, note),
    )


def _set(conn: Connection, found: Return, note: str = "") -> None:
    conn.execute(
        "UPDATE payment_return SET state = ?, from_funds = ?, from_debt = ?, "
        "note = coalesce(?, note) WHERE method = ? AND id = ?",
        (found.state, found.from_funds, found.from_debt, note or None, found.method, found.id),
    )
