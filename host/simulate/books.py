"""What must be true of the store, by what the simulator itself saw: asked, answered, paid, heard.

Beside the ledger's own audit (`host.charging.ledger.check`), and apart from it: nothing here is
derived from what charging noted when it can be known from outside.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from host.calls.call import Offered, State
from host.calls.routing import Refused
from host.charging import ledger
from host.charging.rating import charge
from host.charging.values import BilledLeg, Grant, Money, Reason, Refusal
from host.simulate import faults
from host.store.connection import Connection
from host.store.sqlite import StoreError

if TYPE_CHECKING:
    from host.simulate.host import SimHost
    from host.simulate.world import World


class Broken(Exception):
    """A promise that a run broke, in a sentence."""


class Shape(NamedTuple):
    """The billed legs that a call has, and which of them it does not go by any more."""

    legs: tuple[BilledLeg, ...]
    dropped: frozenset[int] = frozenset()


@dataclass(slots=True)
class Track:
    """What is known of one call from outside."""

    host: SimHost
    shapes: list[Shape]
    """The store has one of these: what was asked of it last, or was it not told."""
    granted: bool = False
    refused: bool = False
    answered_s: float | None = None
    stopped_s: float | None = None
    """When its host ended it; None while it has not."""
    settled: tuple[tuple[int, int, int], ...] | None = None
    """As acknowledged: leg, billed milliseconds, cost."""


@dataclass(slots=True)
class Order:
    """Money that the simulator moves itself."""

    kind: str
    account_id: int
    amount: int
    done: bool | None = None
    """Whether it stands in the ledger; None until that was acknowledged."""


class Books:
    """Watches one world."""

    def __init__(self, world: World) -> None:
        self.calls: dict[str, Track] = {}
        self.orders: dict[str, Order] = {}
        """By the key of the movement."""
        self.checks = 0
        self._world = world
        self._resolved: dict[tuple[int, int, int], str] = {}

    # --- what is seen ---

    def asked(self, call_id: str, plan: Offered | Refused, host: SimHost) -> None:
        """A host was asked for a call."""
        self.must(call_id not in self.calls, f"call id {call_id} came twice")
        legs = () if isinstance(plan, Refused) else plan.legs
        self.calls[call_id] = Track(host, [Shape(legs)])
        if not isinstance(plan, Refused):
            shut = self._world.months.shut(host.reader, plan.facts.callee)
            self.must(not shut, f"a call to DID {plan.facts.callee} was let in: it is {shut}")
        self._world.schedule.trace("asked", call_id, len(legs))

    def authorized(self, call_id: str, answer: object) -> None:
        """Charging answered."""
        track = self.calls[call_id]
        track.granted = isinstance(answer, Grant)
        track.refused = isinstance(answer, Refusal)
        self._world.schedule.trace("authorized", call_id, answer)

    def amending(self, call_id: str, drop: tuple[int, ...], legs: tuple[BilledLeg, ...]) -> None:
        """A call is to go another way than its first."""
        track = self.calls[call_id]
        for before in list(track.shapes):
            dropped = before.dropped | set(drop)
            track.shapes += [Shape(before.legs, dropped), Shape(before.legs + legs, dropped)]
        self._world.schedule.trace("amending", call_id, drop, len(legs))

    def rerouted(self, call_id: str, answer: object) -> None:
        """Charging answered that."""
        track = self.calls[call_id]
        if isinstance(answer, Grant):
            track.shapes = track.shapes[-1:]
            self._world.reached[faults.AMENDED] += 1
        elif isinstance(answer, Refusal) and answer.reason is not Reason.STORE:
            track.shapes = track.shapes[-2:-1]

    def answered(self, call_id: str, drop: tuple[int, ...]) -> None:
        """Somebody picked up, where others rang beside: from now on there is talk."""
        track = self.calls[call_id]
        track.answered_s = self._world.schedule.now
        if drop:
            track.shapes += [Shape(one.legs, one.dropped | set(drop)) for one in list(track.shapes)]

    def stored_answer(self, call_id: str, ok: bool) -> None:
        """Whether the store has noted it."""
        track = self.calls[call_id]
        if ok:
            track.shapes = track.shapes[-1:]

    def settling(self, call_id: str, talk_ms: int) -> None:
        """The call is over; its settlement goes to the store, not for the first time perhaps."""
        track = self.calls[call_id]
        if track.stopped_s is None:
            track.stopped_s = self._world.schedule.now
        self._world.schedule.trace("over", call_id, talk_ms)

    def settled(self, call_id: str, result: object) -> None:
        """The store answered a settlement."""
        if isinstance(result, tuple):
            told = tuple((leg.leg, leg.billed_ms, int(leg.cost)) for leg in result)
            track = self.calls[call_id]
            self.must(
                track.settled in (None, told), f"call {call_id} was settled twice, differently"
            )
            track.settled = told
            self._world.schedule.trace("settled", call_id, told)
        else:
            self._world.schedule.trace("not settled", call_id)

    def refused(self, error: BaseException) -> None:
        """The store did not do something: for want of room, or being away, but for no mistake."""
        excused = isinstance(error, StoreError | sqlite3.OperationalError)
        self.must(excused, f"the store was asked for what it must refuse: {error!r}")

    # --- what must hold ---

    def committed(self, conn: Connection) -> None:
        """After each commit: the two sums that money hangs on."""
        total, least = conn.execute(
            "SELECT sum(balance), min(iif(kind = 'funds', balance - held, 0)) FROM ledger_account"
        ).fetchone()
        self.must(total == 0, f"the ledger sums to {total}, not to 0")
        self.must(least >= 0, f"held exceeds funds by {-least}")

    def check(self, conn: Connection) -> None:
        """All of it, in one snapshot; at any instant between two commits."""
        self.checks += 1
        conn.execute("BEGIN")
        try:
            self._check_late(conn)
            self._world.months.check(conn)
            for fault in ledger.check(conn):
                raise Broken(fault)
            self._check_money(conn)
            self._check_holds(conn)
            self._check_channels(conn)
            self._check_records(conn)
        finally:
            conn.execute("ROLLBACK")

    def check_end(self, conn: Connection) -> None:
        """When all is quiet: nothing is left of any call, and all that was told is so."""
        self.check(conn)
        for what, query in (
            ("pending holds", "SELECT count(*) FROM hold WHERE state = 'pending'"),
            ("channels taken", "SELECT count(*) FROM live_limit"),
            ("open calls", "SELECT count(*) FROM call WHERE state = 'open'"),
            ("legs without a cost", "SELECT count(*) FROM leg WHERE cost IS NULL"),
            ("accounts with money held", "SELECT count(*) FROM ledger_account WHERE held <> 0"),
        ):
            (count,) = conn.execute(query).fetchone()
            self.must(count == 0, f"{count} {what} at the end")
        for host in self._world.living():
            self.must(
                not host.control.calls, f"{host.name} still has {len(host.control.calls)} calls"
            )
            self.must(not host.sessions.open, f"{host.name} left relay sessions open")
        for key, order in self.orders.items():
            self.must(order.done is not None, f"{key} was never acknowledged")

    def _check_money(self, conn: Connection) -> None:
        (total,) = conn.execute("SELECT coalesce(sum(amount), 0) FROM posting").fetchone()
        self.must(total == 0, f"all postings sum to {total}, not to 0")
        due: Counter[int] = Counter()
        for kind, key, debit, credit, amount in conn.execute(
            "SELECT kind, key, debit_id, credit_id, amount FROM movement WHERE kind <> 'call'"
        ):
            if key.startswith("fee:did:"):  # seen to by `Months.check`
                due[debit] -= amount
                continue
            order = self.orders.get(key)
            self.must(order is not None, f"nobody asked for the {kind} {key} of {amount}")
            assert order is not None
            account = credit if kind == "payment" else debit
            self.must(
                (order.kind, order.account_id, order.amount) == (kind, account, amount),
                f"{kind} {key} of {amount} is not what was asked: {order}",
            )
            self.must(order.done is not False, f"{key} was refused, and taken")
            due[account] += amount if kind == "payment" else -amount
        present = {key for (key,) in conn.execute("SELECT key FROM movement WHERE key IS NOT NULL")}
        for key, order in self.orders.items():
            self.must(not order.done or key in present, f"{key} was acknowledged, and is lost")
        for account, cost in conn.execute("SELECT account_id, sum(cost) FROM cdr GROUP BY 1"):
            due[account] -= cost
        for account, balance, held in conn.execute(
            "SELECT id, balance, held FROM ledger_account WHERE kind = 'funds'"
        ):
            self.must(
                balance == due[account],
                f"account {account} has {balance}; payments less fees and CDRs are {due[account]}",
            )
            self.must(0 <= held <= balance, f"account {account} holds {held} of {balance}")

    def _check_late(self, conn: Connection) -> None:
        """Nothing is posted for a call that is closed."""
        for call_id, amount, late_ms in conn.execute(
            "SELECT call_id, amount, movement.utc_ms - ended_utc_ms FROM movement "
            "JOIN call ON call.id = movement.call WHERE movement.utc_ms <> ended_utc_ms "
            "UNION ALL SELECT call_id, amount, movement.utc_ms - ended_utc_ms FROM movement "
            "JOIN call ON instr(movement.key, ':' || call_id || ':') > 0 "
            "WHERE movement.kind = 'fee' AND movement.key LIKE 'fee:call:%'"
        ):
            raise Broken(
                f"late fee: {amount} was posted for call {call_id} {late_ms} ms after it was closed"
            )

    def _check_holds(self, conn: Connection) -> None:
        covered: Counter[tuple[str, int]] = Counter()
        for row, call_id, state, leg, sequence, amount, hold in conn.execute(
            "SELECT hold.call, call_id, call.state, leg, hold.sequence, amount, hold.state "
            "FROM hold JOIN call ON call.id = hold.call"
        ):
            before = self._resolved.get((row, leg, sequence))
            self.must(
                before in (None, hold),
                f"hold {sequence} of call {call_id} was {before} and is now {hold}",
            )
            if hold != "pending":
                self._resolved[row, leg, sequence] = hold
            elif state == "open":
                covered[call_id, leg] += amount
            else:
                raise Broken(f"hold {sequence} of call {call_id} outlived it")
        for call_id, granted_ms in conn.execute(
            "SELECT call_id, granted_ms FROM call WHERE state = 'open'"
        ).fetchall():
            shape = self._shape(conn, call_id)
            for leg in shape.legs:
                cost, held = charge(leg.tariff, granted_ms), covered[call_id, leg.leg]
                if leg.leg in shape.dropped:
                    cost = Money(0)
                self.must(
                    held == cost,
                    f"call {call_id} leg {leg.leg} was granted {granted_ms} ms, which cost {cost}, "
                    f"and has {held} held",
                )

    def _check_channels(self, conn: Connection) -> None:
        open_calls = [
            call_id for (call_id,) in conn.execute("SELECT call_id FROM call WHERE state = 'open'")
        ]
        due: set[tuple[str, str, int]] = set()
        in_use: Counter[str] = Counter()
        most: dict[str, int] = {}
        for call_id in open_calls:
            shape = self._shape(conn, call_id)
            for leg in shape.legs:
                for limit in leg.limits if leg.leg not in shape.dropped else ():
                    due.add((limit.key, call_id, leg.leg))
                    in_use[limit.key] += 1
                    most[limit.key] = limit.most
        taken = set(
            conn.execute(
                "SELECT key, call_id, leg FROM live_limit JOIN call ON call.id = live_limit.call"
            ).fetchall()
        )
        wrong = sorted(due ^ taken)
        self.must(not wrong, f"channels in use are not those of the open calls: {wrong[:2]}")
        for key, count in in_use.items():
            self.must(count <= most[key], f"{key}: {count} calls at once, {most[key]} allowed")
        for call_id in open_calls:
            host = self.calls[call_id].host
            self.must(
                host.dead or call_id in host.control.calls or call_id in host.in_doubt,
                f"call {call_id} has a hold and a channel, and its host knows nothing of it",
            )
        standing = set(open_calls)
        for host in self._world.living():
            for call in host.control.calls.values():
                if call.state is State.TALKING:
                    self.must(
                        call.id in standing or host.stalled_once,
                        f"call {call.id} talks, and has no channel and no hold",
                    )

    def _check_records(self, conn: Connection) -> None:
        ended: dict[str, list[tuple[Any, ...]]] = {}
        for row in conn.execute(
            "SELECT cdr.call_id, leg, cdr.account_id, billed_ms, cost, granted_ms, cdr.ended_by, "
            "cdr.reason FROM cdr JOIN call ON call.id = cdr.id ORDER BY cdr.id, leg"
        ):
            ended.setdefault(row[0], []).append(row)
        for call_id, rows in ended.items():
            track = self.calls.get(call_id)
            if track is None:
                raise Broken(f"a CDR of call {call_id}, which nobody asked for")
            self._check_call(call_id, track, rows)
        (lost,) = conn.execute(
            "SELECT count(*) FROM call WHERE state = 'open' AND call_id IN "
            "(SELECT call_id FROM cdr)"
        ).fetchone()
        self.must(lost == 0, f"{lost} open calls have a CDR")
        known = set(ended) | {
            call_id for (call_id,) in conn.execute("SELECT call_id FROM call WHERE state = 'open'")
        }
        for call_id, track in self.calls.items():
            if track.granted or track.settled:
                self.must(call_id in known, f"call {call_id} was granted, and is lost")

    def _check_call(self, call_id: str, track: Track, rows: Iterable[tuple[Any, ...]]) -> None:
        found = list(rows)
        if found[0][7]:  # a refusal: one record, no cost
            self.must(
                len(found) == 1 and not found[0][4], f"refused call {call_id} has CDRs {found}"
            )
            self.must(not track.granted, f"call {call_id} was granted, and says refused")
            return
        numbers = [row[1] for row in found]
        unbilled = frozenset(row[1] for row in found if not row[3] and not row[4])
        legs, dropped = next(
            (
                ({leg.leg: leg for leg in shape.legs}, shape.dropped)
                for shape in reversed(track.shapes)
                if numbers == sorted(leg.leg for leg in shape.legs) and shape.dropped <= unbilled
            ),
            ({}, frozenset()),
        )
        self.must(bool(legs), f"call {call_id} has CDRs {found}, and was to have {track.shapes}")
        bound_ms = self.bound_ms(track, by_crash=found[0][6] == "crash")
        for _, number, account_id, billed_ms, cost, granted_ms, _, _ in found:
            leg = legs[number]
            if number in dropped:
                continue
            self.must(account_id == leg.account_id, f"call {call_id} is billed to {account_id}")
            self.must(
                cost == charge(leg.tariff, billed_ms),
                f"CDR of call {call_id} leg {number} says {cost} for {billed_ms} ms",
            )
            self.must(
                billed_ms <= granted_ms, f"call {call_id}: {billed_ms} ms of {granted_ms} granted"
            )
            self.must(
                billed_ms <= bound_ms,
                f"call {call_id} is billed {billed_ms} ms, beyond the {bound_ms} ms that it can "
                "have lasted",
            )
        if track.settled is not None:
            told = tuple((row[1], row[3], row[4]) for row in found)
            self.must(told == track.settled, f"call {call_id}: told {track.settled}, kept {told}")

    def bound_ms(self, track: Track, by_crash: bool) -> int:
        """The longest talk that may be billed: from the answer to the end, and where the end did
        not reach the store, to the last heartbeat of the process that carried the call."""
        if track.answered_s is None:
            return 0
        until = self._world.schedule.now if track.stopped_s is None else track.stopped_s
        if by_crash:
            until = track.host.beat_at
        # Both instants are cut to whole milliseconds on their way.
        return max(0, round((until - track.answered_s) * 1000) + 2)

    def _shape(self, conn: Connection, call_id: str) -> Shape:
        """Which shape an open call has in the store: one of those that it may have."""
        track = self.calls[call_id]
        rows = conn.execute(
            "SELECT leg, billed_ms IS NOT NULL FROM leg JOIN call ON call.id = leg.call "
            "WHERE call_id = ?",
            (call_id,),
        ).fetchall()
        legs = {leg for leg, _ in rows}
        dropped = {leg for leg, is_dropped in rows if is_dropped}
        for shape in track.shapes:
            if legs == {leg.leg for leg in shape.legs} and dropped == shape.dropped:
                return shape
        raise Broken(f"call {call_id} has the legs {rows}, and was to have {track.shapes}")

    @staticmethod
    def must(holds: bool, otherwise: str) -> None:
        if not holds:
            raise Broken(otherwise)
