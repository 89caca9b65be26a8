"""Authorise, answer, renew, settle: the life of a paid call, one transaction each.

Every method is run by the store's writer inside a transaction: it reads and writes through the
connection that it is given, takes the time as an argument, and may be repeated without harm.
"""

from __future__ import annotations

from collections.abc import Sequence

from host.charging import days, recovery, sql
from host.charging.quotas import PayingLeg, extend
from host.charging.rating import FREE, charge
from host.charging.values import (
    BilledLeg,
    CallFacts,
    CarrierCost,
    Ending,
    Grant,
    LegSettlement,
    Limit,
    Money,
    Now,
    Reason,
    Refusal,
    Rule,
    Tariff,
)
from host.settings import ChargingSettings
from host.store.connection import Connection

_MAX_TEXT = 256
"""A peer decides what stands in a CDR, not how long it is."""

_LIMIT_RULES = {Reason.ACCOUNT_CHANNELS: Rule.ACCOUNT_CHANNELS, Reason.ONE_NUMBER: Rule.ONE_NUMBER}
_CHARGE_RULES = {"out": Rule.CHARGE_OUT, "in": Rule.CHARGE_DID}


class Charging:
    """Charges the calls of one host. All state is in the store, but what it saw of other hosts."""

    def __init__(
        self,
        host_id: str,
        boot_id: str,
        settings: ChargingSettings,
        rules_off: frozenset[Rule] = frozenset(),
    ) -> None:
        """Charge for `host_id`, in the boot whose monotonic clock `boot_id` names."""
        self.host_id = host_id
        self.boot_id = boot_id
        self.settings = settings
        self.rules_off = rules_off
        self._beats: dict[str, recovery.Beat] = {}

    def authorize(
        self,
        conn: Connection,
        now: Now,
        call: CallFacts,
        legs: tuple[BilledLeg, ...],
        max_talk_ms: int,
    ) -> Grant | Refusal:
        """Take channels and the first holds for all legs, or for none (initial request).

        Limits are checked first, in the order given, then the money of each paying account.
        A refusal writes its CDR. The same call id again gets the same answer and no second
        hold.
        """
        assert max_talk_ms > 0
        most_ms = min(max_talk_ms, self.settings.max_call_s * 1000)
        legs = tuple(self._priced(leg) for leg in legs)
        limits = [
            (leg.leg, limit)
            for leg in legs
            for limit in leg.limits
            if _LIMIT_RULES.get(limit.reason) not in self.rules_off
        ]
        accounts = tuple(dict.fromkeys(leg.account_id for leg in legs))
        facts = conn.execute(
            sql.facts_query(len(limits), len(accounts)),
            (call.call_id, *(limit.key for _, limit in limits), *accounts),
        ).fetchone()
        if facts[0] is not None:
            return self._answer_again(conn, call.call_id)
        refusal = _over_limit(limits, facts[1 : 1 + len(limits)])
        if refusal is not None:
            self.refuse(conn, now, call, refusal)
            return refusal
        available = dict(zip(accounts, map(Money, facts[1 + len(limits) :]), strict=True))
        capped = any(leg.day_spend or leg.day_calls for leg in legs)
        if capped:
            refusal = days.too_many(conn, now, legs) or self._within_day(conn, now, legs, available)
            if refusal is not None:
                self.refuse(conn, now, call, refusal)
                return refusal
        paying = [PayingLeg(leg.leg, leg.account_id, leg.tariff) for leg in legs]
        extension = extend(
            paying,
            {} if Rule.BALANCE in self.rules_off else available,
            granted_ms=0,
            step_ms=self.settings.quota_s * 1000,
            most_ms=most_ms,
            renew_before_ms=self.settings.renew_before_s * 1000,
        )
        grant = extension.grant
        if grant.quota_ms == 0:
            short = self._short(paying, available)
            refusal = Refusal(Reason.NO_MONEY, f"account {short} has {available[short]} available")
            self.refuse(conn, now, call, refusal)
            return refusal
        row = conn.execute(
            sql.INSERT_CALL,
            (
                *self._facts(now, call),
                most_ms,
                grant.quota_ms,
                grant.renew_at_ms,
                grant.final,
                grant.quota_ms,
                capped,
            ),
        ).lastrowid
        assert row is not None
        self._insert_legs(conn, row, legs, limits)
        self._hold(conn, row, 0, extension.holds, available)
        if capped:
            days.note(conn, now, row, legs)
        return grant

    def amend(
        self,
        conn: Connection,
        now: Now,
        call_id: str,
        drop: Sequence[int],
        legs: tuple[BilledLeg, ...],
        max_talk_ms: int = 0,
    ) -> Grant | Refusal:
        """Send a call that nobody has answered yet another way: legs in `drop` are charged nothing,
        `legs` are added, with limits and money as `authorize` has them.

        `max_talk_ms` bounds the call from now on; 0: as before. A refusal adds nothing, and writes
        no CDR: the call has its own.
        """
        found = conn.execute(sql.SELECT_OPEN, (call_id,)).fetchone()
        if found is None:
            return Refusal(Reason.STORE, "the call is over")
        row, _, most_ms, sequence, was_capped, answered_mono = found
        assert answered_mono is None, "an answered call goes no other way"
        for number in drop:
            self._drop(conn, row, number)
        if max_talk_ms:
            most_ms = min(most_ms, max_talk_ms)
        legs = tuple(self._priced(leg) for leg in legs)
        limits = [
            (leg.leg, limit)
            for leg in legs
            for limit in leg.limits
            if _LIMIT_RULES.get(limit.reason) not in self.rules_off
        ]
        refusal = _over_limit(limits, [in_use(conn, limit.key) for _, limit in limits])
        paying = self._paying(conn, row)
        new = [PayingLeg(leg.leg, leg.account_id, leg.tariff) for leg in legs]
        accounts = {leg.account_id for leg in paying} | {leg.account_id for leg in legs}
        available = {account_id: _available(conn, account_id) for account_id in accounts}
        capped = bool(was_capped) or any(leg.day_spend or leg.day_calls for leg in legs)
        if capped and refusal is None:
            for account_id, rest in days.left_of(conn, row).items():
                available[account_id] = min(available[account_id], rest)
            refusal = days.too_many(conn, now, legs) or self._within_day(conn, now, legs, available)
        extension = extend(
            [*paying, *new],
            {} if Rule.BALANCE in self.rules_off else available,
            granted_ms=0,
            step_ms=self.settings.quota_s * 1000,
            most_ms=most_ms,
            renew_before_ms=self.settings.renew_before_s * 1000,
        )
        grant = extension.grant
        if refusal is None and grant.quota_ms == 0:
            short = self._short(new, available)
            refusal = Refusal(Reason.NO_MONEY, f"account {short} has {available[short]} available")
        if refusal is not None:
            return refusal
        self._insert_legs(conn, row, legs, limits)
        conn.execute(
            sql.UPDATE_AMENDED,
            (
                grant.quota_ms,
                grant.renew_at_ms,
                grant.final,
                grant.quota_ms,
                sequence + 1,
                most_ms,
                capped,
                row,
            ),
        )
        self._hold(conn, row, sequence + 1, extension.holds, available)
        if capped:
            days.note(conn, now, row, legs)
        return grant

    def _drop(self, conn: Connection, row: int, leg: int) -> None:
        """A leg that the call does not go by."""
        conn.execute(sql.DROP_LEG, (row, leg))
        conn.execute(sql.VOID_HOLDS, (row, leg))
        conn.execute(sql.FREE_LIMITS_OF_LEG, (row, leg))
        days.hold(conn, row)

    @staticmethod
    def _insert_legs(
        conn: Connection,
        row: int,
        legs: tuple[BilledLeg, ...],
        limits: list[tuple[int, Limit]],
    ) -> None:
        for leg in legs:
            tariff = leg.tariff
            conn.execute(
                sql.INSERT_LEG,
                (
                    row,
                    leg.leg,
                    leg.direction,
                    leg.account_id,
                    tariff.per_minute,
                    tariff.first_s,
                    tariff.step_s,
                    tariff.connect_fee,
                    leg.tariff_ref,
                    leg.route,
                    leg.deck,
                    leg.callee,
                ),
            )
        if limits:
            conn.execute(
                sql.live_limit_insert(len(limits)),
                [value for leg_number, limit in limits for value in (limit.key, row, leg_number)],
            )

    def refuse(self, conn: Connection, now: Now, call: CallFacts, refusal: Refusal) -> None:
        """Write the CDR of a call that was refused: its reason, zero talk, zero cost."""
        conn.execute(
            sql.INSERT_REFUSED,
            (
                *self._facts(now, call),
                now.utc_ms,
                refusal.reason.value,
                _text(refusal.detail),
            ),
        )

    def answered(
        self,
        conn: Connection,
        now: Now,
        call_id: str,
        carrier: str,
        cost: CarrierCost | None = None,
        drop: Sequence[int] = (),
    ) -> None:
        """Note when the call was answered, by which carrier it goes, and what that charges us if
        it is known. Counts once. Legs in `drop` rang beside the one that answered, and are charged
        nothing."""
        if drop:
            found = conn.execute(sql.SELECT_OPEN, (call_id,)).fetchone()
            for number in drop if found is not None else ():
                self._drop(conn, found[0], number)
        answer = (now.utc_ms, now.mono_ms, _text(carrier))
        if cost is None:
            conn.execute(sql.UPDATE_ANSWERED, (*answer, call_id))
            return
        tariff = cost.tariff
        conn.execute(
            sql.UPDATE_ANSWERED_AT_COST,
            (
                *answer,
                cost.deck,
                _text(cost.ref),
                tariff.per_minute,
                tariff.first_s,
                tariff.step_s,
                tariff.connect_fee,
                call_id,
            ),
        )

    def renew(self, conn: Connection, now: Now, call_id: str) -> Grant:
        """Hold money for more talk (update request).

        Without money the grant is final and its quota unchanged. A request that comes again,
        while a whole quota is still unused, changes nothing; nor does one for a call that has
        ended or was never authorised.
        """
        found = conn.execute(sql.SELECT_RENEWAL, (call_id,)).fetchone()
        if found is None:
            return Grant(0, 0, True)
        row, state, granted, renew_at, final, most, sequence, answered_mono, capped = found
        if state != "open":
            return Grant(granted, granted, True)
        talk_ms = 0 if answered_mono is None else max(0, now.mono_ms - answered_mono)
        if granted >= most or granted - talk_ms > self.settings.quota_s * 1000:
            return Grant(granted, renew_at, bool(final))
        legs = self._paying(conn, row)
        available = {leg.account_id: _available(conn, leg.account_id) for leg in legs}
        if capped:
            for account_id, rest in days.left_of(conn, row).items():
                available[account_id] = min(available[account_id], rest)
        extension = extend(
            legs,
            {} if Rule.BALANCE in self.rules_off else available,
            granted_ms=granted,
            step_ms=self.settings.quota_s * 1000,
            most_ms=most,
            renew_before_ms=self.settings.renew_before_s * 1000,
        )
        grant = extension.grant
        # A call that gets nothing more is still alive: its last hold's validity stays.
        if grant.quota_ms > granted:
            conn.execute(
                sql.UPDATE_RENEWED,
                (
                    grant.quota_ms,
                    grant.renew_at_ms,
                    grant.final,
                    grant.quota_ms - granted,
                    sequence + 1,
                    row,
                ),
            )
            self._hold(conn, row, sequence + 1, extension.holds, available)
            if capped:
                days.hold(conn, row)
        return grant

    def settle(
        self, conn: Connection, now: Now, call_id: str, talk_ms: int, ending: Ending
    ) -> tuple[LegSettlement, ...]:
        """End the call (terminate request): post its cost, void the rest, write the CDRs.

        Billed is the smaller of measured and granted talk, whatever the disposition says.
        Repeating it is harmless and returns the same; a call that was refused or never
        authorised has no legs to settle.
        """
        assert talk_ms >= 0
        rows = conn.execute(sql.SELECT_SETTLEMENT, (call_id,)).fetchall()
        if not rows or rows[0][1] == "refused":
            return ()
        row, state, granted, answered_utc, sequence = rows[0][:5]
        if state != "open":
            return tuple(
                LegSettlement(found[5], found[11], Money(found[12]))
                for found in rows
                if found[5] is not None
            )
        billed_ms = min(talk_ms, granted)
        settled = []
        for found in rows:
            leg, account_id, rate, first, step, fee = found[5:11]
            if leg is None:
                break
            if found[11] is not None:  # dropped before the answer
                settled.append(LegSettlement(leg, found[11], Money(found[12])))
                continue
            tariff = Tariff(Money(rate), first, step, Money(fee))
            cost = charge(tariff, billed_ms)
            if rate or fee:
                cost = self._post(conn, now, (row, leg, account_id), sequence, cost)
            conn.execute(sql.UPDATE_LEG, (billed_ms, cost, row, leg))
            settled.append(LegSettlement(leg, billed_ms, cost))
        if talk_ms and answered_utc is None:
            # The note of the answer was lost on its way to the store; the talk was not.
            answered_utc = now.utc_ms - talk_ms
        carrier = _text(ending.carrier)
        takes, first, step, fee, capped = rows[0][13:]
        carrier_cost = None
        if takes is not None:
            # A carrier charges for what was talked, whatever we granted.
            carrier_cost = charge(Tariff(Money(takes), first, step, Money(fee)), talk_ms)
        conn.execute(
            sql.UPDATE_ENDED,
            (
                now.utc_ms,
                talk_ms,
                ending.disposition,
                ending.cause,
                ending.ended_by,
                answered_utc,
                _text(ending.detail),
                carrier_cost,
                carrier,
                carrier,
                row,
            ),
        )
        conn.execute(sql.FREE_LIMITS, (row,))
        if capped:
            days.settle(conn, row)
        return tuple(settled)

    def heartbeat(self, conn: Connection, now: Now) -> None:
        """Say durably that this host is alive: after a crash it bills up to here, no further.

        The first one of a process comes after `recover`, which needs the last one before.
        """
        recovery.heartbeat(conn, now, self.host_id, self.boot_id)

    def recover(self, conn: Connection, now: Now) -> int:
        """At start: settle this host's open calls up to its last heartbeat; returns how many."""
        if Rule.RECOVERY in self.rules_off:
            return 0
        return recovery.recover(conn, now, self.host_id, self.settle)

    def supervise(self, conn: Connection, now: Now) -> int:
        """Settle calls of any host that nobody renewed within twice their hold's validity.

        Each is billed up to its host's last heartbeat. Returns how many there were.
        """
        return recovery.supervise(conn, now, self.boot_id, self._beats, self.settle)

    def _facts(self, now: Now, call: CallFacts) -> tuple[object, ...]:
        return (
            call.call_id,
            self.host_id,
            self.boot_id,
            _text(call.account),
            call.account_id,
            call.direction,
            _text(call.caller),
            _text(call.callee),
            now.utc_ms,
            now.mono_ms,
        )

    def _priced(self, leg: BilledLeg) -> BilledLeg:
        if self.rules_off and _CHARGE_RULES[leg.direction] in self.rules_off:
            return leg._replace(tariff=FREE)
        return leg

    def _answer_again(self, conn: Connection, call_id: str) -> Grant | Refusal:
        state, granted, renew_at, final, reason, detail = conn.execute(
            sql.SELECT_ANSWER, (call_id,)
        ).fetchone()
        if state == "refused":
            return Refusal(Reason(reason), detail)
        return Grant(granted, renew_at, bool(final))

    @staticmethod
    def _paying(conn: Connection, row: int) -> list[PayingLeg]:
        """The legs of a call that were not dropped, with what they hold."""
        return [
            PayingLeg(leg, account_id, Tariff(Money(rate), first, step, Money(fee)), Money(held))
            for leg, account_id, rate, first, step, fee, held in conn.execute(
                sql.SELECT_PAYING, (row,)
            )
        ]

    @staticmethod
    def _short(paying: Sequence[PayingLeg], available: dict[int, Money]) -> int:
        """The account that cannot pay the first moment."""
        return next(
            (leg.account_id for leg in paying if charge(leg.tariff, 1) > available[leg.account_id]),
            paying[0].account_id,
        )

    @staticmethod
    def _within_day(
        conn: Connection,
        now: Now,
        legs: tuple[BilledLeg, ...],
        available: dict[int, Money],
    ) -> Refusal | None:
        """Lower what is available to what the day's limits leave; a refusal where that is less than
        the first increment of a leg, and money were there."""
        for account_id, rest in days.left(conn, now, legs).items():
            first = sum(charge(leg.tariff, 1) for leg in legs if leg.account_id == account_id)
            if rest < first <= available[account_id]:
                return Refusal(
                    Reason.DAY_SPEND, f"account {account_id} may spend {rest} more today"
                )
            available[account_id] = min(available[account_id], rest)
        return None

    def _hold(
        self,
        conn: Connection,
        row: int,
        sequence: int,
        holds: Sequence[tuple[PayingLeg, Money]],
        available: dict[int, Money],
    ) -> None:
        if Rule.HOLDS in self.rules_off:
            return
        for leg, amount in holds:
            if Rule.BALANCE in self.rules_off:
                # The database refuses to hold what is not there, rule or no rule.
                amount = min(amount, available[leg.account_id])
                available[leg.account_id] = Money(available[leg.account_id] - amount)
                if amount <= 0:
                    continue
            conn.execute(sql.INSERT_HOLD, (row, leg.leg, sequence, leg.account_id, amount))

    def _post(
        self,
        conn: Connection,
        now: Now,
        leg: tuple[int, int, int],
        sequence: int,
        cost: Money,
    ) -> Money:
        """Resolve one leg's holds and post what it cost; returns what was posted."""
        row, number, account_id = leg
        if sequence:
            conn.execute(sql.RESOLVE_HOLDS, (cost, row, number))
        else:
            conn.execute(sql.RESOLVE_ONLY_HOLD, ("posted" if cost else "void", row, number))
        if self.rules_off:
            # With holds or balance off the money may be gone; it is never overdrawn.
            cost = min(cost, _available(conn, account_id))
        if cost:
            conn.execute(sql.INSERT_MOVEMENT, (row, number, now.utc_ms, account_id, cost))
        return cost


def in_use(conn: Connection, key: str) -> int:
    """How many live legs bear the limit `key`."""
    (count,) = conn.execute("SELECT count(*) FROM live_limit WHERE key = ?", (key,)).fetchone()
    return int(count)


def _available(conn: Connection, account_id: int) -> Money:
    found = conn.execute(
        "SELECT CASE WHEN balance > held + debt THEN balance - held - debt ELSE 0 END "
        "FROM ledger_account WHERE id = ?",
        (account_id,),
    ).fetchone()
    return Money(found[0] if found else 0)


def _over_limit(limits: list[tuple[int, Limit]], counts: Sequence[int]) -> Refusal | None:
    taken: dict[str, int] = {}
    for (_, limit), count in zip(limits, counts, strict=True):
        # Two legs of this very call may bear the same key.
        own = taken.get(limit.key, 0)
        if count + own >= limit.most:
            return Refusal(limit.reason, f"{limit.key} has {count + own} of {limit.most} in use")
        taken[limit.key] = own + 1
    return None


def _text(text: str) -> str:
    """Text of a peer as the store takes it: bounded, and valid UTF-8."""
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
