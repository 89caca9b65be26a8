"""Deposits from opening to credit, in whatever order and however often notices come.

Every function is run inside one transaction of the store and takes the time as an argument.
A payment is credited once by the provider's id of it, which is the key of its movement.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from host.charging import ledger
from host.charging.money import format_usd
from host.charging.payments import TERMS, fee_of
from host.charging.values import Money, Now
from host.funds import refunds
from host.funds.notices import CENT, CURRENCY, Failed, Notice, Paid, Returned
from host.store.connection import Connection, Cursor

PROVIDED = ("card", "paypal")
"""Ways to pay that a provider stands behind."""


class Deposit(NamedTuple):
    """What is known of one deposit."""

    id: str
    method: str
    account_id: int
    amount: Money
    """Asked; once it is credited, received."""
    fee: Money = Money(0)
    """Of what was received, what we kept."""
    state: Literal["pending", "credited", "failed", "review"] = "pending"
    reference: str = ""
    payment_id: str | None = None


class Outcome(NamedTuple):
    """What a notice did."""

    what: Literal[
        "credited", "repeated", "review", "failed", "returned", "early", "undone", "unknown"
    ]
    detail: str = ""
    account_id: int = 0


_SELECT = (
    "SELECT id, method, account_id, amount, fee, state, reference, payment_id FROM deposit WHERE "
)


def open_deposit(
    conn: Connection,
    now: Now,
    deposit_id: str,
    method: str,
    account_id: int,
    amount: Money,
    note: str = "",
    reference: str = "",
) -> Deposit:
    """Note that a customer means to pay. The same again changes nothing.

    Raises:
        ValueError: below the minimum of the method, finer than a cent where a provider moves
            it, or the id stands for another deposit.
        UnknownAccount: there is no such main account.
    """
    fee_of(method, amount)
    if method in PROVIDED and amount % CENT:
        raise ValueError(f"{format_usd(amount)} USD: a payment by {method} is in whole cents")
    ledger.balance(conn, account_id)
    found = by_id(conn, deposit_id)
    if found is None:
        conn.execute(
            "INSERT INTO deposit (id, method, account_id, amount, state, reference, "
            "opened_utc_ms, changed_utc_ms, note) VALUES (?, ?, ?, ?, 'pending', ?, ?, ?, ?)",
            (deposit_id, method, account_id, amount, reference, now.utc_ms, now.utc_ms, note),
        )
        found = by_id(conn, deposit_id)
        assert found is not None
    elif found[:4] != (deposit_id, method, account_id, amount):
        raise ValueError(f"deposit {deposit_id} stands for another payment: take another id")
    return found


def set_reference(conn: Connection, deposit_id: str, reference: str) -> None:
    """Keep the provider's id of the session or order."""
    conn.execute("UPDATE deposit SET reference = ? WHERE id = ?", (reference, deposit_id))


def by_id(conn: Connection, deposit_id: str) -> Deposit | None:
    """A deposit by our id."""
    return _one(conn.execute(_SELECT + "id = ?", (deposit_id,)))


def by_payment(conn: Connection, method: str, payment_id: str) -> Deposit | None:
    """A deposit by the provider's id of the money."""
    query = _SELECT + "method = ? AND payment_id = ?"
    return _one(conn.execute(query, (method, payment_id)))


def find(conn: Connection, name: str) -> Deposit | None:
    """A deposit by our id or by the provider's.

    Raises:
        ValueError: payments of two providers bear this id.
    """
    found = by_id(conn, name)
    if found is not None:
        return found
    rows = conn.execute(_SELECT + "payment_id = ? OR reference = ?", (name, name)).fetchall()
    if len(rows) > 1:
        raise ValueError(f"{name} stands for several deposits: use one of our ids")
    return Deposit(*rows[0]) if rows else None


def apply(conn: Connection, now: Now, notice: Notice) -> Outcome:
    """Do what a provider's notice says, once, whatever came before it."""
    if isinstance(notice, Paid):
        return _paid(conn, now, notice)
    if isinstance(notice, Failed):
        return _failed(conn, now, notice)
    if isinstance(notice, Returned):
        done = refunds.returned(conn, now, notice, by_payment(conn, *notice[:2]))
    else:
        done = refunds.undone(conn, now, notice, by_payment(conn, *notice[:2]))
    return Outcome(*done)


def credit_by_hand(
    conn: Connection,
    now: Now,
    account_id: int,
    method: str,
    amount: Money,
    payment_id: str,
    note: str = "",
) -> tuple[bool, Money]:
    """An operator says that a payment came; answers whether it is new, and its fee.

    Raises:
        ValueError: below the minimum, or the payment was credited otherwise before.
        UnknownAccount: there is no such main account.
    """
    fee = fee_of(method, amount)
    fresh = ledger.pay(conn, now, account_id, amount, method, payment_id, note, fee)
    found = by_payment(conn, method, payment_id)
    if found is None:
        # Also for a payment that was credited before deposits were kept.
        deposit_id = f"{method}:{payment_id}"
        conn.execute(
            "INSERT INTO deposit (id, method, account_id, amount, fee, state, payment_id, "
            "opened_utc_ms, changed_utc_ms, note) VALUES (?, ?, ?, ?, ?, 'credited', ?, ?, ?, ?)",
            (deposit_id, method, account_id, amount, fee, payment_id, now.utc_ms, now.utc_ms, note),
        )
    elif fresh:
        _set_credited(conn, now, found.id, amount, fee, payment_id, account_id)
    if fresh:
        refunds.catch_up(conn, now, by_payment(conn, method, payment_id))
    return fresh, fee


def confirm_wire(
    conn: Connection, now: Now, wire_id: str, received: Money | None, payment_id: str = ""
) -> Outcome:
    """An operator saw a wire on the bank's statement: credit what was received, less the fee.

    Args:
        received: None: what was announced.
        payment_id: the bank's reference; our id where there is none.

    Raises:
        ValueError: no such wire, it was rejected, was confirmed with another amount, or is
            below the minimum.
    """
    wire = _wire(conn, wire_id)
    received = wire.amount if received is None else received
    payment_id = payment_id or wire.payment_id or wire.id
    if wire.state == "credited":
        if (received, payment_id) != (wire.amount, wire.payment_id):
            raise ValueError(
                f"wire {wire_id} was confirmed before, with {format_usd(wire.amount)} USD as "
                f"{wire.payment_id}: add another wire for another payment"
            )
        return Outcome("repeated", "it was confirmed before", wire.account_id)
    if wire.state == "failed":
        raise ValueError(f"wire {wire_id} was rejected: add it anew if it came after all")
    if received < TERMS["wire"].least:
        raise ValueError(
            f"{format_usd(received)} USD is less than the minimum by wire, "
            f"{format_usd(TERMS['wire'].least)} USD: `wire reject` it and send it back"
        )
    other = by_payment(conn, "wire", payment_id)
    if other is not None and other.id != wire.id:
        raise ValueError(f"the bank's {payment_id} was credited before, as wire {other.id}")
    return _credit(conn, now, wire, payment_id, received)


def reject_wire(conn: Connection, now: Now, wire_id: str, why: str) -> Outcome:
    """A wire did not come, or goes back.

    Raises:
        ValueError: no such wire, or it was credited.
    """
    wire = _wire(conn, wire_id)
    if wire.state == "credited":
        raise ValueError(f"wire {wire_id} was credited: `refund {wire_id}` takes it back")
    if wire.state == "failed":
        return Outcome("repeated", "it was rejected before", wire.account_id)
    _set_state(conn, now, wire.id, "failed", why)
    return Outcome("failed", why, wire.account_id)


def _paid(conn: Connection, now: Now, notice: Paid) -> Outcome:
    found = by_payment(conn, notice.method, notice.payment_id)
    if found is not None:
        if found.state in ("credited", "review"):
            return Outcome("repeated", f"deposit {found.id}", found.account_id)
    else:
        found = by_id(conn, notice.deposit_id) if notice.deposit_id else None
    if found is None or found.method != notice.method:
        return Outcome("unknown", f"payment {notice.payment_id} is of no deposit of ours")
    fault = ""
    if found.payment_id not in (None, notice.payment_id):
        # Paid twice: the second payment is a matter of its own.
        fault = f"deposit {found.id} was paid before, by {found.payment_id}"
        again = f"{found.id}:{notice.payment_id}"
        conn.execute(
            "INSERT INTO deposit (id, method, account_id, amount, state, reference, "
            "opened_utc_ms, changed_utc_ms) VALUES (?, ?, ?, ?, 'pending', ?, ?, ?)",
            (
                again,
                found.method,
                found.account_id,
                found.amount,
                found.reference,
                now.utc_ms,
                now.utc_ms,
            ),
        )
        found = found._replace(id=again)
    elif notice.currency.upper() != CURRENCY:
        fault = f"it came in {notice.currency.upper()[:8]}, not in {CURRENCY}"
    elif notice.amount != found.amount:
        came, asked = format_usd(notice.amount), format_usd(found.amount)
        fault = f"{came} USD came where {asked} USD was asked"
    if fault:
        conn.execute(
            "UPDATE deposit SET payment_id = ? WHERE id = ?", (notice.payment_id, found.id)
        )
        _set_state(conn, now, found.id, "review", fault)
        return Outcome("review", fault, found.account_id)
    return _credit(conn, now, found, notice.payment_id, notice.amount)


def _failed(conn: Connection, now: Now, notice: Failed) -> Outcome:
    found = by_id(conn, notice.deposit_id)
    if found is None or found.method != notice.method:
        return Outcome("unknown", f"no deposit {notice.deposit_id}")
    if found.state != "pending":
        # Money that came is not unmade by a notice that was late.
        return Outcome("repeated", f"it is {found.state}", found.account_id)
    _set_state(conn, now, found.id, "failed", notice.why)
    return Outcome("failed", notice.why, found.account_id)


def _credit(
    conn: Connection, now: Now, deposit: Deposit, payment_id: str, amount: Money
) -> Outcome:
    fee = fee_of(deposit.method, amount)
    text = f"{format_usd(amount)} USD by {deposit.method}"
    if fee:
        text += f", less a fee of {format_usd(fee)}"
    fresh = ledger.pay(conn, now, deposit.account_id, amount, deposit.method, payment_id, text, fee)
    _set_credited(conn, now, deposit.id, amount, fee, payment_id, deposit.account_id)
    refunds.catch_up(conn, now, by_id(conn, deposit.id))
    return Outcome("credited" if fresh else "repeated", text, deposit.account_id)


def _set_credited(
    conn: Connection,
    now: Now,
    deposit_id: str,
    amount: Money,
    fee: Money,
    payment_id: str,
    account_id: int,
) -> None:
    conn.execute(
        "UPDATE deposit SET state = 'credited', amount = ?, fee = ?, payment_id = ?, "
        "account_id = ?, changed_utc_ms = ? WHERE id = ?",
        (amount, fee, payment_id, account_id, now.utc_ms, deposit_id),
    )


def _set_state(conn: Connection, now: Now, deposit_id: str, state: str, note: str) -> None:
    conn.execute(
        "UPDATE deposit SET state = ?, note = ?, changed_utc_ms = ? WHERE id = ?",
        (state, note[:200], now.utc_ms, deposit_id),
    )


def _wire(conn: Connection, wire_id: str) -> Deposit:
    found = by_id(conn, wire_id)
    if found is None or found.method != "wire":
        raise ValueError(f"no wire {wire_id!r}: `wire list` shows them")
    return found


def _one(cursor: Cursor) -> Deposit | None:
    row = cursor.fetchone()
    return Deposit(*row) if row else None
