"""Who calls, where to, by whom and at what price: the read side for the process with calls.

Everything is looked up in the store and kept in bounded caches, which are dropped as soon as
the configuration's version differs; that version is read once a question, which costs a few
microseconds. A number or name that a stranger made up is never kept longer than the cache has
room for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from host.charging.values import BilledLeg, Limit, Money, Reason, Refusal, Rule, Tariff
from host.numbering.bounds import COLUMNS, may_call, read_bounds, route_of
from host.numbering.e164 import normalise, plain, ruled
from host.numbering.gaps import Gaps, read_gap
from host.numbering.incoming import Did, read_did, read_forward, read_group, read_sip_uri
from host.numbering.least_cost import order
from host.numbering.rates import Rate, Rates
from host.numbering.values import (
    Account,
    Carrier,
    Forward,
    GroupMember,
    IncomingPlan,
    OutgoingPlan,
    Route,
)
from host.store.connection import UTC_MS, Connection

_ACCOUNTS = 16_384
"""Half a kilobyte each, and each is asked for whenever its devices register again."""
_STRANGERS = 4_096
"""Names and addresses that are nobody's, which are remembered so as not to ask again."""
_NUMBERS = 1_024
"""Numbers are many and dialled seldom, and a plan is a kilobyte."""
_V = TypeVar("_V")

_ACCOUNT = f"""
SELECT id, coalesce(parent_id, id), username,
    CASE WHEN (SELECT status FROM account AS parent WHERE parent.id = account.parent_id)
        <> 'active' THEN 'blocked' ELSE status END,
    ha1_md5, ha1_sha256, route, premium_fallback, channels, calls_to_one_number, caller_id,
    address, port, contact, number_range, media, international, area_code, dial_rules, parent_id,
    iax2, iax2_secret, call_token, encryption, trunk,
    coalesce(nullif(below_cost, 0), (SELECT below_cost FROM account AS parent
        WHERE parent.id = account.parent_id), 0), {COLUMNS}
FROM account"""
_CARRIER_COLUMNS = (
    "name, address, port, transport, prefix, media, codecs, username, secret, call_token, "
    "encryption, trunk"
)
_CARRIER = f"SELECT {_CARRIER_COLUMNS} FROM carrier"
_EMERGENCIES = f"""
SELECT number, send, {_CARRIER_COLUMNS}
FROM emergency JOIN carrier ON carrier.name = emergency.carrier"""
_FREE = Tariff(Money(0))
_LONGEST_RULE = 4
"""What may stand before an emergency number that a dial rule takes away."""


class _Cache(Generic[_V]):
    """A bounded cache that keeps what is not there apart from what is.

    Strangers choose the names that are not there; those must not drive out the others.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._found: dict[object, _V] = {}
        self._missing: set[object] = set()

    def get(self, key: object, look_up: Callable[[], _V | None]) -> _V | None:
        if key in self._found:
            return self._found[key]
        if key in self._missing:
            return None
        value = look_up()
        # Emptied as a whole when full: no bookkeeping on the way of every call.
        if value is None:
            if len(self._missing) >= min(self._size, _STRANGERS):
                self._missing.clear()
            self._missing.add(key)
        else:
            if len(self._found) >= self._size:
                self._found.clear()
            self._found[key] = value
        return value

    def clear(self) -> None:
        self._found.clear()
        self._missing.clear()


class Directory:
    """Answers the questions of registration and call set-up. Used by one thread."""

    def __init__(
        self,
        conn: Connection,
        realm: str,
        rules_off: frozenset[Rule] = frozenset(),
        *,
        refreshed_by_user: bool = False,
        utc_ms: Callable[[], int] | None = None,
    ) -> None:
        """Read through `conn`, which nobody else uses meanwhile.

        With `refreshed_by_user` changes are noticed by `refresh` alone, which the user calls
        once a call or registration; otherwise by each question. `utc_ms` says what time it is,
        milliseconds since 1970 UTC: decks of rates take force by it. Without it the store is
        asked, which takes longer.
        """
        self.realm = realm
        self._refreshed_by_user = refreshed_by_user
        self._conn = conn
        self._rules_off = rules_off
        self._version = -1
        self._utc_ms = utc_ms or self._store_utc_ms
        self._rates = Rates(conn)
        self._below_cost: dict[Route, bool] = {}
        """Routes that may be sold below cost."""
        self._accounts: _Cache[Account] = _Cache(_ACCOUNTS)
        self._carriers: _Cache[Carrier] = _Cache(_ACCOUNTS)
        self._dids: _Cache[Did] = _Cache(_NUMBERS)
        self._gaps = Gaps(_NUMBERS)
        self._numbers: _Cache[tuple[str, ...]] = _Cache(_NUMBERS)
        self._plans: _Cache[OutgoingPlan | Refusal] = _Cache(_NUMBERS)
        """Plans of calls to the outside, by account and what it dialled."""
        self._places: _Cache[Any] = _Cache(_NUMBERS)
        """What DIDs' calls go to, by kind and id."""
        self._in_order: tuple[Carrier, ...] = ()
        self._emergencies: dict[str, tuple[Carrier, str]] = {}
        self._blocking: frozenset[int] = frozenset()
        """Accounts with blocked numbers; 0 stands for all."""

    def account_by_username(self, username: str) -> Account | None:
        """The account or sub-account of that name, whatever its status."""
        self._refresh()
        return self._accounts.get(username, lambda: self._account("username = ?", (username,)))

    def account_by_address(self, address: str, port: int) -> Account | None:
        """The PBX trunk that is known by this address; one of that very port comes first."""
        self._refresh()
        return self._accounts.get(
            (address, port),
            lambda: self._account(
                "address = ? AND address <> '' AND port IN (0, ?) ORDER BY port DESC",
                (address, port),
            ),
        )

    def carrier_by_address(self, address: str, port: int, iax2: bool = False) -> Carrier | None:
        """The carrier that sends from this address and port, over SIP or over IAX2, if it is
        enabled."""
        self._refresh()
        return self._carriers.get(
            (address, port, iax2), lambda: self._carrier_from(address, port, iax2)
        )

    def route_outgoing(self, account: Account, dialled: str) -> OutgoingPlan | Refusal:
        """Plan a call to the outside world.

        Refusals: BLOCKED (the account, or international calls for it), NO_DESTINATION (no
        number, or no rate that the account may use), NO_CARRIER.
        """
        self._refresh()
        plan = self._plans.get((account.id, dialled), lambda: self._plan_outgoing(account, dialled))
        assert plan is not None
        return plan

    def plan_outgoing(self, account: Account, dialled: str) -> OutgoingPlan | Refusal:
        """As `route_outgoing`, for an account that is in no store; nothing is remembered."""
        self._refresh()
        return self._plan_outgoing(account, dialled)

    def _plan_outgoing(self, account: Account, dialled: str) -> OutgoingPlan | Refusal:
        if account.status != "active":
            return Refusal(Reason.BLOCKED, f"account {account.username} is {account.status}")
        number = normalise(dialled, account.area_code, account.dial_rules)
        if number is None:
            return Refusal(
                Reason.NO_DESTINATION, f"{dialled[:40]} is no number that can be dialled"
            )
        refusal = may_call(account, number)
        if refusal is not None:
            return refusal
        route = route_of(account, number)
        rate = self._choose_rate(account, route, number)
        if rate is None:
            return Refusal(Reason.NO_DESTINATION, f"no {route} rate for {number}")
        bounds = account.bounds
        most, asked = bounds.max_per_minute, rate.tariff.per_minute
        if most is not None and asked > most:
            return Refusal(Reason.RATE, f"{number} costs {asked} a minute, the limit is {most}")
        carriers = self._carriers_of(account, rate, number[1:])
        if isinstance(carriers, Refusal):
            where = self._rates.destination(rate)
            told = f"{carriers.detail} for {number}{f' ({where})' if where else ''}"
            return Refusal(carriers.reason, told)
        billing = f"account:{account.billing_id}"
        leg = BilledLeg(
            leg=0,
            direction="out",
            account_id=account.billing_id,
            tariff=rate.tariff,
            tariff_ref=f"{rate.route} {rate.prefix}",
            route=rate.route,
            limits=(
                Limit(f"{billing}:out", account.channels, Reason.ACCOUNT_CHANNELS),
                *_own_channels(account),
                Limit(f"{billing}:to:{number}", account.calls_to_one_number, Reason.ONE_NUMBER),
            ),
            deck=rate.deck,
            day_spend=bounds.day_spend,
            day_calls=bounds.day_calls,
            number=number if bounds.day_calls else "",
        )
        return OutgoingPlan(number, (leg,), carriers, bounds.max_call_ms)

    def emergency(self, account: Account, dialled: str) -> OutgoingPlan | None:
        """Plan a call to an emergency number, which nothing stands in the way of and nobody pays
        for; None: it is none. It may be dialled as the account dials others (`9-1-1`, or 9911
        where 9 goes before numbers to the outside). All other carriers follow the one that is to
        take it."""
        self._refresh()
        digits = plain(dialled)
        number = next(
            (
                one
                for one in (digits, ruled(digits, account.dial_rules))
                if one in self._emergencies
            ),
            None,
        )
        if number is None:
            return None
        carrier, send = self._emergencies[number]
        others = tuple(one for one in self._in_order if one.name != carrier.name)
        leg = BilledLeg(
            leg=0,
            direction="out",
            account_id=account.billing_id,
            tariff=_FREE,
            tariff_ref="emergency",
            route="emergency",
        )
        return OutgoingPlan(number, (leg,), (carrier, *others), send=send or number)

    def like_emergency(self, dialled: str) -> bool:
        """True for what may be an emergency number, by the dial rules of whoever it is; without a
        look at the store."""
        digits = plain(dialled)
        return any(
            digits.endswith(number) and len(digits) <= len(number) + _LONGEST_RULE
            for number in self._emergencies
        )

    def route_incoming(
        self, number: str, carrier: str, caller: str = ""
    ) -> IncomingPlan | Refusal | None:
        """Plan a call to one of our numbers; None when it is no DID of ours.

        Refusals: NO_DESTINATION (the DID belongs to no account), BLOCKED, SUSPENDED. `carrier`
        only names where it came from in the refusal: a DID is reached through any carrier that
        we know. `caller` decides what a toll-free number costs, and which filter applies.
        """
        self._refresh()
        called = normalise(number) or normalise("+" + number)
        if called is None or called in self._gaps:
            return None
        did = self._dids.get(called, lambda: self._did(called))
        if did is None:
            return None
        if did.account_id is None:
            return Refusal(
                Reason.NO_DESTINATION, f"{did.number} has no account (call from {carrier})"
            )
        account = self.account(did.account_id)
        assert account is not None, "the store keeps a DID's account, or none"
        if account.status != "active":
            return Refusal(Reason.BLOCKED, f"account {account.username} is {account.status}")
        if did.suspended:
            return Refusal(Reason.SUSPENDED, f"the month of {did.number} is not paid")
        leg = BilledLeg(
            leg=0,
            direction="in",
            account_id=account.billing_id,
            tariff=did.tariff_for(caller),
            tariff_ref=f"did {did.plan}",
            route=did.plan,
            limits=(Limit(f"did:{did.number}", did.channels, Reason.DID_CHANNELS),),
        )
        found = did.filter_for(caller)
        routing, failovers = (did.routing, did.failovers) if found is None else found[1:]
        return IncomingPlan(called, account, did.pop, (leg,), routing, failovers, did.ring_s)

    def account(self, account_id: int) -> Account | None:
        """The account of that number."""
        return self._accounts.get(account_id, lambda: self._account("id = ?", (account_id,)))

    def forward(self, id: int) -> Forward | None:
        """A number that calls are forwarded to."""
        return self._places.get(("fwd", id), lambda: read_forward(self._conn, id))

    def sip_uri(self, id: int) -> str | None:
        """A SIP URI that calls go to."""
        return self._places.get(("sip", id), lambda: read_sip_uri(self._conn, id))

    def group(self, id: int) -> tuple[GroupMember, ...]:
        """Whom a ring group rings."""
        return self._places.get(("grp", id), lambda: read_group(self._conn, id)) or ()

    def caller_allowed(self, account: Account, caller: str) -> bool:
        """True when the account may show this number: its own, its DIDs, its range."""
        number = normalise(caller, account.area_code)
        if number is None:
            return False
        self._refresh()
        if account.number_range and number.startswith(account.number_range):
            return True
        if number == normalise(account.caller_id, account.area_code):
            return True
        billing_id = account.billing_id
        own = self._numbers.get(billing_id, lambda: self._own_numbers(billing_id)) or ()
        return any(
            number.startswith(did[:-1]) if did.endswith("*") else number == did for did in own
        )

    def shown_caller(self, account: Account, caller: str) -> str:
        """The number to show for an outgoing call, E.164; empty: none (anonymous).

        A trunk that owns what it sends shows that; else the account's caller id stands.
        """
        if self.caller_allowed(account, caller):
            return normalise(caller, account.area_code) or ""
        return normalise(account.caller_id, account.area_code) or account.caller_id

    def rate(self, route: Route, number: str) -> Rate | None:
        """The longest prefix of `number` (E.164) in the deck of one route, if it is offered."""
        if not self._refreshed_by_user:
            self.refresh()
        return self._rates.find(route, number[1:])

    def _choose_rate(self, account: Account, route: Route, number: str) -> Rate | None:
        if Rule.ROUTE_CHOICE in self._rules_off:
            route = "value"
        rate = self._rates.find(route, number[1:])
        if rate is None and route == "value" and account.premium_fallback:
            rate = self._rates.find("premium", number[1:])
        return rate

    def _carriers_of(
        self, account: Account, rate: Rate, digits: str
    ) -> tuple[Carrier, ...] | Refusal:
        """Those that the rate names, or all, cheapest first."""
        carriers = self._in_order
        if rate.carriers:
            by_name = {carrier.name: carrier for carrier in carriers}
            carriers = tuple(by_name[name] for name in rate.carriers if name in by_name)
        costs = [self._rates.cost(carrier.name, digits) for carrier in carriers]
        allowed = account.below_cost or self._below_cost[rate.route] or self._rates.below_cost
        return order(carriers, costs, rate.tariff, below_cost=allowed)

    def _refresh(self) -> None:
        if not self._refreshed_by_user:
            self.refresh()

    def refresh(self) -> None:
        """Drop what is remembered if the configuration changed, or a deck's hour has come; one
        cheap look-up if not. While the store cannot be read, what is remembered stands."""
        try:
            (version,) = self._conn.execute("SELECT version FROM config").fetchone()
        except sqlite3.OperationalError:
            if self._version < 0:
                raise
            return
        now, rates = self._utc_ms(), self._rates
        if version == self._version and rates.from_ms <= now < rates.until_ms:
            return
        # Caches are filled from what is in force now or later; a change in between only
        # means that they are dropped once more at the next question.
        self._version = version
        for cache in (
            self._accounts,
            self._carriers,
            self._dids,
            self._numbers,
            self._plans,
            self._places,
        ):
            cache.clear()
        self._gaps.clear()
        self._in_order = tuple(
            _carrier(row)
            for row in self._conn.execute(_CARRIER + " WHERE enabled = 1 ORDER BY priority, name")
        )
        # One that is not enabled takes them all the same: they always pass.
        self._emergencies = {
            row[0]: (_carrier(row[2:]), row[1]) for row in self._conn.execute(_EMERGENCIES)
        }
        self._blocking = frozenset(
            account_id
            for (account_id,) in self._conn.execute(
                "SELECT DISTINCT account_id FROM blocked_number"
            )
        )
        value, premium = self._conn.execute(
            "SELECT value_below_cost, premium_below_cost FROM config"
        ).fetchone()
        self._below_cost = {"value": bool(value), "premium": bool(premium)}
        rates.load(now)

    def _store_utc_ms(self) -> int:
        (now,) = self._conn.execute(UTC_MS).fetchone()
        return int(now)

    def _account(self, where: str, values: tuple[object, ...]) -> Account | None:
        row = self._conn.execute(f"{_ACCOUNT} WHERE {where} LIMIT 1", values).fetchone()
        if row is None:
            return None
        channels, to_one = row[8], row[9]
        if row[19] is not None:
            # The channels are the main account's, whichever of its devices calls.
            channels, to_one = self._conn.execute(
                "SELECT channels, calls_to_one_number FROM account WHERE id = ?", (row[19],)
            ).fetchone()
        return Account(
            id=row[0],
            billing_id=row[1],
            username=row[2],
            status=row[3],
            ha1_md5=row[4],
            ha1_sha256=row[5],
            route=row[6],
            premium_fallback=bool(row[7]),
            channels=channels,
            calls_to_one_number=to_one,
            caller_id=row[10],
            address=row[11],
            port=row[12],
            contact=row[13],
            number_range=row[14],
            media=row[15],
            international=bool(row[16]),
            area_code=row[17],
            dial_rules=row[18],
            iax2=bool(row[20]),
            iax2_secret=row[21],
            call_token=row[22],
            encryption=row[23],
            trunk=bool(row[24]),
            below_cost=bool(row[25]),
            bounds=read_bounds(self._conn, (row[0], row[1]), row[26:], self._blocking),
        )

    def _did(self, number: str) -> Did | None:
        did = read_did(self._conn, number)
        if did is None:
            gap = read_gap(self._conn, number)
            if gap is not None:
                self._gaps.add(*gap)
        return did

    def _carrier_from(self, address: str, port: int, iax2: bool) -> Carrier | None:
        row = self._conn.execute(
            _CARRIER + " WHERE enabled = 1 AND address = ? AND source_port IN (0, ?) "
            "AND CASE transport WHEN 'iax2' THEN 1 ELSE 0 END = ? "
            "ORDER BY source_port DESC LIMIT 1",
            (address, port, int(iax2)),
        ).fetchone()
        return None if row is None else _carrier(row)

    def _own_numbers(self, billing_id: int) -> tuple[str, ...]:
        return tuple(
            number + "*" if is_range else number
            for number, is_range in self._conn.execute(
                "SELECT number, is_range FROM did WHERE account_id IN "
                "(SELECT id FROM account WHERE id = ?1 OR parent_id = ?1) LIMIT 1000",
                (billing_id,),
            )
        )


def _own_channels(account: Account) -> tuple[Limit, ...]:
    most = account.bounds.own_channels
    if most is None:
        return ()
    return (Limit(f"account:{account.id}:own", most, Reason.ACCOUNT_CHANNELS),)


def _carrier(row: tuple[Any, ...]) -> Carrier:
    name, address, port, transport, prefix, media, codecs = row[:7]
    return Carrier(
        name=name,
        address=address,
        port=port,
        transport=transport,
        prefix=prefix,
        media=media,
        codecs=tuple(codecs.split(",")),
        username=row[7],
        secret=row[8],
        call_token=row[9],
        encryption=row[10],
        trunk=bool(row[11]),
    )
