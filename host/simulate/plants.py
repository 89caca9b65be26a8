"""Mistakes planted into charging and into the job of the fees, to show that the simulator finds
each. Test only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from host.charging import ledger
from host.charging.service import Charging
from host.charging.values import Ending, LegSettlement, Money, Now
from host.numbering.orders import Step
from host.simulate.months import Fees, fees
from host.simulate.prepared import DAY_MS
from host.store.connection import Connection

_TAKE = (
    "INSERT OR IGNORE INTO movement (kind, key, utc_ms, debit_id, credit_id, amount) "
    "SELECT 'fee', ?, ?, id, -1, ? FROM ledger_account WHERE id = ? AND balance - held >= ?"
)
"""Takes an amount where there is that much, so that the database has no reason to refuse."""


class DoubleSettle(Charging):
    """A settlement that is repeated, its first answer having been lost, posts once more."""

    def settle(
        self, conn: Connection, now: Now, call_id: str, talk_ms: int, ending: Ending
    ) -> tuple[LegSettlement, ...]:
        """As charging does, but not once."""
        before = conn.execute("SELECT state FROM call WHERE call_id = ?", (call_id,)).fetchone()
        settled = super().settle(conn, now, call_id, talk_ms, ending)
        if before == ("ended",):
            _take_all(conn, now, call_id, f"again at {now.mono_ms}")
        return settled


class LateFee(Charging):
    """One call in six is charged a fee when it is over: with a heartbeat after its settlement."""

    def heartbeat(self, conn: Connection, now: Now) -> None:
        """As charging does, and a little more."""
        super().heartbeat(conn, now)
        for (call_id,) in conn.execute(
            "SELECT call_id FROM call WHERE state = 'ended' AND id % 6 = 0"
        ).fetchall():
            _take_all(conn, now, call_id, "fee:call")


class LostHold(Charging):
    """One grant in ten reserves nothing."""

    def _hold(self, conn: Connection, row: int, *arguments: object) -> None:
        if row % 10:
            super()._hold(conn, row, *arguments)  # type: ignore[arg-type]


class UnrefundedHold(Charging):
    """One settlement in ten posts the cost and leaves what was held beyond it reserved."""

    def _post(
        self,
        conn: Connection,
        now: Now,
        leg: tuple[int, int, int],
        sequence: int,
        cost: Money,
    ) -> Money:
        row, number, _ = leg
        if row % 10:
            return super()._post(conn, now, leg, sequence, cost)
        rest = conn.execute(
            "SELECT coalesce(sum(amount), 0) FROM hold WHERE call = ? AND leg = ?", (row, number)
        ).fetchone()[0]
        posted = super()._post(conn, now, leg, sequence, cost)
        if rest > cost:
            conn.execute(
                "INSERT INTO hold (call, leg, sequence, account_id, amount) "
                "SELECT ?, ?, 1000, id, ? FROM ledger_account WHERE id = ? AND balance - held >= ?",
                (row, number, rest - cost, leg[2], rest - cost),
            )
        return posted


def late_month(conn: Connection, now: Now) -> Iterator[Step]:
    """A month's fee is taken six days after the month began."""
    return fees(conn, now._replace(utc_ms=now.utc_ms - 6 * DAY_MS))


def double_month(conn: Connection, now: Now) -> Iterator[Step]:
    """A month that was paid is charged once more."""
    for step in fees(conn, now):
        if step.what == "paid":
            key = f"did:{step.number}:{step.month}:again"
            conn.execute("BEGIN IMMEDIATE")
            ledger.take_fee(conn, now, step.account_id, step.amount, key)
            conn.execute("COMMIT")
        yield step


def _take_all(conn: Connection, now: Now, call_id: str, why: str) -> None:
    for leg, account_id, cost in conn.execute(
        "SELECT leg.leg, leg.account_id, cost FROM leg JOIN call ON call.id = leg.call "
        "WHERE call_id = ? AND cost > 0",
        (call_id,),
    ).fetchall():
        key = f"{why}:{call_id}:{leg}"
        conn.execute(_TAKE, (key, now.utc_ms, cost, account_id, cost))


class Plant(NamedTuple):
    """What carries calls and takes fees in a seed."""

    charging: type[Charging] = Charging
    fees: Fees = fees


PLANTS = {
    "double-settle": Plant(DoubleSettle),
    "lost-hold": Plant(LostHold),
    "late-fee": Plant(LateFee),
    "late-month": Plant(fees=late_month),
    "double-month": Plant(fees=double_month),
    "unrefunded-hold": Plant(UnrefundedHold),
}
