"""The months of DIDs in a seed: the calendar, the job of the fees and how it dies, and what must be
true of each month: charged once, not before it begins, and by the first run that can."""

from __future__ import annotations

import sqlite3
from calendar import monthrange
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from host.charging import ledger
from host.charging.values import Now
from host.funds.alerts import queue
from host.numbering.orders import FeeTerms, Step, due, order_did, run_fees
from host.simulate.disk import Crashed, Wire
from host.simulate.prepared import DAY_MS, ORDERED, ROUTED, UTC_0
from host.store.connection import Connection
from host.store.opening import open_writer
from host.store.sqlite import StoreError

if TYPE_CHECKING:
    from host.simulate.world import World

Fees = Callable[[Connection, Now], Iterator[Step]]
TERMS = FeeTerms()
SKIP_DAYS = 3
SKIPS = 22
"""The calendar is put on by so many days, so often in a seed: 66 days, two months' ends or three
for each DID, and time for a grace and a suspension to run out."""
BETWEEN, INSIDE, TWICE = (
    "fees killed between months",
    "fees killed inside a month",
    "fees run twice at once",
)
_WORDS = {
    "paid": "months paid",
    "grace": "graces",
    "suspended": "suspensions",
    "released": "releases",
}


def fees(conn: Connection, now: Now) -> Iterator[Step]:
    """The job as `loopstart-host fees run` does it."""
    return run_fees(conn, now, TERMS, queue)


class _Job:
    """One run of the job's process."""

    def __init__(self, world: World, now: Now, take: Fees) -> None:
        self.now = now
        conn = open_writer(world.disk.path)
        conn.execute("PRAGMA wal_autocheckpoint = 0")
        world.disk.set_full(conn)
        self.wire = _Mortal(conn, lambda: None)
        self._steps = take(self.wire, now)  # type: ignore[arg-type]  # has what operations use

    def step(self) -> Step | None:
        """The next thing that the job does; None when it has done all."""
        return next(self._steps, None)

    def end(self) -> None:
        """The process is over, and what it had not committed with it."""
        self.wire.dead = True
        self.wire.close()


class _Mortal(Wire):
    """A connection of a process whose end nothing outlives: not even its handlers of errors."""

    dead = False

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """Run a statement."""
        if self.dead:
            raise Crashed
        try:
            return super().execute(sql, parameters)
        except Crashed:
            self.dead = True
            raise


class Months:
    """Lets time go by in a world, and watches what is taken for it."""

    def __init__(self, world: World, take: Fees = fees) -> None:
        self.laid: set[str] = set()
        """Ways to die that wait for a run with something to do."""
        self._world = world
        self._take = take
        self._dice = world.months_dice
        self._latest_ms = 0
        self._runs: set[int] = set()
        self._released: dict[int, int] = {}
        """By order, the last movement there was when it was first seen released."""
        self._jobs: list[_Job] = []

    # --- what happens ---

    def begin(self, conn: Connection) -> None:
        """Orders of the weeks before the seed, each with its first month paid."""
        for number, (name, _, monthly) in ORDERED.items():
            days = 15 if name == "bolt" else self._dice.randrange(8, 30)  # 15: the 31st
            at = UTC_0 - days * DAY_MS + self._dice.randrange(DAY_MS // 2)
            self._world.pay_now(conn, name, monthly)
            conn.execute("BEGIN IMMEDIATE")
            order_did(conn, Now(at, 0), number, name, **ROUTED.get(number, {}))
            conn.execute("COMMIT")

    def plan(self, load_s: float) -> None:
        """Put on the calendar all along the load, and run the job after each time."""
        at, dice = self._world.schedule.at, self._dice
        for index in range(SKIPS):
            at(load_s * (index + 0.5) / SKIPS, self._skip)
        at(load_s * (0.45 + 0.1 * dice.random()), partial(self._world.pay, "thin", 1_600_000))
        at(load_s * 0.97, self._order_again)

    def _skip(self) -> None:
        self._world.skipped_ms += SKIP_DAYS * DAY_MS
        self._world.schedule.trace("calendar", self._world.skipped_ms)
        delay_s = self._dice.uniform(0.1, 4)
        self._world.schedule.at(delay_s, self.run)
        if self._dice.random() < 0.3:
            self._world.schedule.at(delay_s + self._dice.uniform(0, 3), self.run)

    def _order_again(self) -> None:
        """What was released is ordered by another customer: its months begin anew."""
        with closing(open_writer(self._world.disk.path)) as conn:
            number = "+12125550178"
            free = "SELECT 1 FROM did WHERE number = ? AND order_id IS NULL"
            if self._world.disk.full or conn.execute(free, (number,)).fetchone() is None:
                return
            conn.execute("BEGIN IMMEDIATE")
            try:
                order_did(conn, self._now(), number, "calm")
            except ValueError:  # not enough funds, perhaps
                conn.execute("ROLLBACK")
            else:
                conn.execute("COMMIT")

    def _now(self) -> Now:
        return self._dice.choice(self._world.machines).now(self._world.schedule.now)

    def run(self) -> None:
        """Start the job, with the death that is laid for it."""
        world, now = self._world, self._now()
        try:
            job = _Job(world, now, self._take)
        except StoreError:
            world.schedule.at(2.0, self.run)
            return
        busy = bool(due(job.wire.conn, now.utc_ms))
        if busy:
            self._began(now)
        if busy and INSIDE in self.laid:
            job.wire.countdown = self._dice.randrange(0, 9)
        if busy and TWICE in self.laid:
            other = _Job(world, self._now(), self._take)
            self._began(other.now)
            self.laid.discard(TWICE)
            world.injected(TWICE)
            self._jobs += (job, other)
            self._one(job)
            self._one(other)
            return
        while True:
            alive, step = self._take_step(job)
            if step is None:
                break
            if BETWEEN in self.laid:
                self.laid.discard(BETWEEN)
                world.injected(BETWEEN)
                alive = False
                job.end()
                world.schedule.at(self._dice.uniform(0.2, 3), self.run)
                break
        if alive and self._world.disk.full is False:
            self._check_run(job.wire.conn, now.utc_ms)
        if alive:
            job.end()

    def _began(self, now: Now) -> None:
        self._runs.add(now.utc_ms)
        self._latest_ms = max(self._latest_ms, now.utc_ms)

    def _one(self, job: _Job) -> None:
        """One step of a job beside which another one runs."""
        alive, step = self._take_step(job)
        if step is not None:
            self._world.schedule.at(self._dice.uniform(0.001, 0.02), partial(self._one, job))
            return
        self._jobs.remove(job)
        if alive:
            job.end()

    def _take_step(self, job: _Job) -> tuple[bool, Step | None]:
        """Whether the job lives still, and what it did; None: nothing, or no more."""
        world = self._world
        try:
            step = job.step()
        except Crashed:
            self.laid.discard(INSIDE)
            world.injected(INSIDE)
            job.end()
            world.schedule.at(self._dice.uniform(0.2, 3), self.run)
            return False, None
        except sqlite3.OperationalError as error:
            # A full disk: what is due stays due, and the job looks again.
            world.books.refused(error)
            world.schedule.at(4.0, self.run)
            job.end()
            return False, None
        if step is not None:
            world.schedule.trace("month", step)
            world.reached[_WORDS[step.what]] += 1
            world.books.committed(job.wire.conn)
        return True, step

    def reopen(self) -> None:
        """A crash of somebody moved the store's files."""
        for job in self._jobs:
            job.wire.conn.close()
            job.wire.conn = open_writer(self._world.disk.path)
            job.wire.conn.execute("PRAGMA wal_autocheckpoint = 0")

    # --- what must hold ---

    @staticmethod
    def shut(conn: Connection, number: str) -> str:
        """Why no call to this DID may be let in now; empty: it may."""
        if number not in ORDERED:
            return ""
        state, order = conn.execute(
            "SELECT state, order_id FROM did WHERE number = ?", (number,)
        ).fetchone()
        return "suspended" if state == "suspended" else "" if order else "nobody's"

    def _check_run(self, conn: Connection, utc_ms: int) -> None:
        """After a run of the job that nothing disturbed: all that it could take is taken."""
        if utc_ms < self._latest_ms:
            return  # another run saw a later clock, and did what is not due by this one
        must = self._world.books.must
        for (
            number,
            payer,
            ordered_ms,
            months,
            unpaid_ms,
            suspended_ms,
            monthly,
            state,
        ) in conn.execute(
            "SELECT did_order.number, did_order.account_id, ordered_utc_ms, months, "
            "unpaid_utc_ms, suspended_utc_ms, monthly, state FROM did_order "
            "JOIN did ON did.order_id = did_order.id WHERE released_utc_ms IS NULL"
        ):
            begins = _begins(ordered_ms, months)
            if begins > utc_ms:
                must(state == "active", f"DID {number} is paid, and is in state {state}")
                continue
            available = ledger.balance(conn, payer).available
            must(
                available < monthly,
                f"late fee: month {months} of DID {number} began {utc_ms - begins} ms ago, "
                f"{available} is there, and its {monthly} were not taken",
            )
            must(
                unpaid_ms in self._runs,
                f"late fee: month {months} of DID {number} began {utc_ms - begins} ms ago, and no "
                "run has found it unpaid",
            )
            if utc_ms < unpaid_ms + 7 * DAY_MS:
                must(state == "grace", f"DID {number} is {state} within its grace")
                continue
            must(suspended_ms in self._runs, f"DID {number} is {state} after its grace")
            must(state == "suspended", f"DID {number} is {state}, not suspended")
            must(utc_ms < suspended_ms + 14 * DAY_MS, f"DID {number} was never released")

    def check(self, conn: Connection) -> int:
        """At any instant: each month's fee once, in its month, of whom it is. Answers how many."""
        must = self._world.books.must
        orders = {
            row[0]: row[1:]
            for row in conn.execute(
                "SELECT id, number, account_id, ordered_utc_ms, months, released_utc_ms, release, "
                "suspended_utc_ms FROM did_order"
            )
        }
        taken: dict[int, set[int]] = {order: set() for order in orders}
        last = 0
        for movement, key, utc_ms, debit, amount in conn.execute(
            "SELECT id, key, utc_ms, debit_id, amount FROM movement WHERE key LIKE 'fee:did:%' "
            "ORDER BY id"
        ):
            last = movement
            parts = key.split(":")[2:]
            what = f"late fee: {amount} was taken as {key}"
            must(len(parts) == 2, f"{what}, beside the fee of that month")
            order, month = map(int, parts)
            must(order in orders, f"{what}, of no order")
            number, payer, ordered_ms, months, released_ms, _, _ = orders[order]
            must(debit == payer, f"{what} from account {debit}, not {payer}")
            monthly = {ORDERED[number][2]}
            must(amount in monthly, f"{what}, and DID {number} costs {monthly}")
            must(month < months, f"{what}, and {months} months are noted as paid")
            must(utc_ms >= _begins(ordered_ms, month), f"{what} before its month began")
            before = self._released.get(order)
            must(
                before is None or movement <= before,
                f"{what} after DID {number} was released: its months were closed",
            )
            taken[order].add(month)
        for order, (number, _, _, months, released_ms, release, suspended_ms) in orders.items():
            must(
                taken[order] == set(range(months)),
                f"DID {number} has {months} months paid, fees were taken for {taken[order]}",
            )
            if released_ms is not None:
                self._released.setdefault(order, last)
                must(
                    release != "unpaid" or released_ms >= suspended_ms + 14 * DAY_MS,
                    f"DID {number} was released before its suspension was over",
                )
        return sum(map(len, taken.values()))


def _begins(ordered_ms: int, month: int) -> int:
    """When a month begins: the same day and time, or the last day of a month that has it not."""
    ordered = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ordered_ms)
    at, day = ordered.replace(day=1), ordered.day
    for _ in range(month):
        at = (at + timedelta(days=31)).replace(day=1)
    at = at.replace(day=min(day, monthrange(at.year, at.month)[1]))
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
