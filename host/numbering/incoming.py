"""What stands in the store of one DID, and of what its calls may go to: read for the directory."""

from __future__ import annotations

from typing import NamedTuple

from host.charging.values import Money, Tariff
from host.numbering.e164 import MAX_DIGITS, normalise, prefixes
from host.numbering.offers import callers_country
from host.numbering.routings import Routing, parse_routing
from host.numbering.values import Failovers, Forward, GroupMember
from host.store.connection import Connection

_COLUMNS = (
    "number, plan, per_minute, first_s, step_s, channels, pop, account_id, routing, failover_busy, "
    "failover_unreachable, failover_noanswer, ring_s, state, american_per_minute, "
    "canadian_per_minute"
)
_CANDIDATES = ", ".join("?" * MAX_DIGITS)
# One question for the number itself and all ranges that it could be of: most numbers that are
# called are no DID at all, and were asked about never before.
_DID = f"""
SELECT {_COLUMNS} FROM did WHERE number IN ({_CANDIDATES}) AND (is_range = 1 OR number = ?)
ORDER BY length(number) DESC LIMIT 1"""
_FILTERS = """
SELECT caller, routing, failover_busy, failover_unreachable, failover_noanswer FROM caller_filter
WHERE did IN ('', ?1) AND account_id = (SELECT coalesce(parent_id, id) FROM account WHERE id = ?2)
ORDER BY did = '', caller = '*', length(caller) DESC"""
# A number beats how it begins, since it is longer; the filter of one DID that of all.


class Filter(NamedTuple):
    """Where the calls of some callers go."""

    caller: str
    routing: Routing
    failovers: Failovers

    def fits(self, caller: str) -> bool:
        """Whether it is about this caller: E.164, or empty of one who shows no number."""
        if self.caller == "*":
            return True
        if not caller:
            return self.caller == "anonymous"
        if self.caller.endswith("*"):
            return caller.startswith(self.caller[:-1])
        return caller == self.caller


class Did(NamedTuple):
    """A DID, or a range of them."""

    number: str
    plan: str
    tariff: Tariff
    channels: int
    pop: str
    account_id: int | None
    routing: Routing | None
    failovers: Failovers
    ring_s: int
    suspended: bool
    american: Money | None
    canadian: Money | None
    filters: tuple[Filter, ...]

    def tariff_for(self, caller: str) -> Tariff:
        """What a call costs, which with a toll-free number depends on where the caller (E.164) is;
        of one who is nowhere known the dearer rate."""
        if self.american is None or self.canadian is None:
            return self.tariff
        country = callers_country(caller)
        if country == "United States":
            return self.tariff._replace(per_minute=self.american)
        if country == "Canada":
            return self.tariff._replace(per_minute=self.canadian)
        return self.tariff._replace(per_minute=max(self.american, self.canadian))

    def filter_for(self, caller: str) -> Filter | None:
        """The filter that fits the caller best; `caller` as a carrier or device sends it."""
        if not self.filters:
            return None
        number = normalise(caller) or normalise("+" + caller) or ""
        return next((one for one in self.filters if one.fits(number)), None)


def read_did(conn: Connection, number: str) -> Did | None:
    """The DID or range that a number (E.164) belongs to, if it is ours."""
    begins: list[str | None] = ["+" + digits for digits in prefixes(number[1 : 1 + MAX_DIGITS])]
    begins += [None] * (MAX_DIGITS - len(begins))
    row = conn.execute(_DID, (*begins, number)).fetchone()
    if row is None:
        return None
    american, canadian = row[14:]
    return Did(
        number=row[0],
        plan=row[1],
        tariff=Tariff(Money(row[2]), row[3], row[4]),
        channels=row[5],
        pop=row[6],
        account_id=row[7],
        routing=_routing(row[8]),
        failovers=_failovers(row[9:12]),
        ring_s=row[12],
        suspended=row[13] == "suspended",
        american=american,
        canadian=canadian,
        filters=tuple(
            Filter(caller, parse_routing(routing), _failovers(failovers))
            for caller, routing, *failovers in conn.execute(_FILTERS, (row[0], row[7]))
        ),
    )


def read_forward(conn: Connection, id: int) -> Forward | None:
    """A forward to a number."""
    row = conn.execute("SELECT number, caller_id FROM forwarding WHERE id = ?", (id,)).fetchone()
    return None if row is None else Forward(*row)


def read_sip_uri(conn: Connection, id: int) -> str | None:
    """A SIP URI."""
    row = conn.execute("SELECT uri FROM sip_uri WHERE id = ?", (id,)).fetchone()
    return None if row is None else str(row[0])


def read_group(conn: Connection, id: int) -> tuple[GroupMember, ...]:
    """Whom a ring group rings, in order; empty: there is none."""
    return tuple(
        GroupMember(parse_routing(target), delay_s)
        for target, delay_s in conn.execute(
            "SELECT target, delay_s FROM ring_group_member WHERE group_id = ? ORDER BY position",
            (id,),
        )
    )


def _routing(text: str) -> Routing | None:
    return parse_routing(text) if text else None


def _failovers(texts: list[str] | tuple[str, ...]) -> Failovers:
    busy, unreachable, no_answer = (_routing(text) for text in texts)
    return busy, unreachable, no_answer
