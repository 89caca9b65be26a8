"""What an account may spend, and call one number, in a day (UTC, of each call's start).

Each leg of an account with such a limit has a row of its day: its holds while it lives, its cost
once it is settled. So a day's rows add up to what is spent and what may yet be, and the limit
bounds the grant as the balance does. Accounts without limits have no rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from host.charging.values import BilledLeg, Money, Now, Reason, Refusal
from host.store.connection import Connection

_DAY_MS = 86_400_000
_LEFT = """
SELECT ? - coalesce(sum(amount), 0) FROM day_spend WHERE account_id = ? AND day = ?"""
_LEFT_OF_CALL = """
SELECT leg.account_id, min(most - (SELECT sum(amount) FROM day_spend AS every
    WHERE every.account_id = own.account_id AND every.day = own.day))
FROM day_spend AS own JOIN leg ON leg.call = own.call AND leg.leg = own.leg
WHERE own.call = ? GROUP BY leg.account_id"""
_COUNT = "SELECT count(*) FROM day_call WHERE account_id = ? AND day = ? AND number = ?"
_HELD = """
UPDATE day_spend SET amount = (SELECT coalesce(sum(hold.amount), 0) FROM hold
    WHERE hold.call = day_spend.call AND hold.leg = day_spend.leg AND hold.state = 'pending')
WHERE call = ?"""
_COST = """
UPDATE day_spend SET amount = (SELECT coalesce(cost, 0) FROM leg
    WHERE leg.call = day_spend.call AND leg.leg = day_spend.leg) WHERE call = ?"""


def too_many(conn: Connection, now: Now, legs: Sequence[BilledLeg]) -> Refusal | None:
    """A refusal where a number was called as often today as it may be."""
    day = now.utc_ms // _DAY_MS
    for leg in legs:
        for limit in leg.day_calls:
            (count,) = conn.execute(_COUNT, (limit.account_id, day, leg.number)).fetchone()
            if count >= limit.most:
                told = f"{leg.number} was called {count} times today, the limit is {limit.most}"
                return Refusal(Reason.DAY_CALLS, told)
    return None


def left(conn: Connection, now: Now, legs: Sequence[BilledLeg]) -> dict[int, Money]:
    """What the day's limits leave to each paying account; those without limits are not in it."""
    day = now.utc_ms // _DAY_MS
    found: dict[int, Money] = {}
    for leg in legs:
        for limit in leg.day_spend:
            (rest,) = conn.execute(_LEFT, (limit.most, limit.account_id, day)).fetchone()
            found[leg.account_id] = Money(max(0, min(rest, found.get(leg.account_id, rest))))
    return found


def left_of(conn: Connection, call: int) -> dict[int, Money]:
    """The same for the legs of a live call, beyond what they hold; of the day that it began on."""
    return {
        account_id: Money(max(0, rest)) for account_id, rest in conn.execute(_LEFT_OF_CALL, (call,))
    }


def note(conn: Connection, now: Now, call: int, legs: Sequence[BilledLeg]) -> None:
    """Count a call that was granted; its holds are placed."""
    day = now.utc_ms // _DAY_MS
    for leg in legs:
        for limit in leg.day_spend:
            conn.execute(
                "INSERT INTO day_spend (account_id, day, call, leg, most, amount) "
                "VALUES (?, ?, ?, ?, ?, 0)",
                (limit.account_id, day, call, leg.leg, limit.most),
            )
        for limit in leg.day_calls:
            conn.execute(
                "INSERT INTO day_call (account_id, day, number, call) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (limit.account_id, day, leg.number, call),
            )
    hold(conn, call)


def hold(conn: Connection, call: int) -> None:
    """What a live call holds has changed."""
    conn.execute(_HELD, (call,))


def settle(conn: Connection, call: int) -> None:
    """A call is settled: its cost takes the place of its holds."""
    conn.execute(_COST, (call,))
