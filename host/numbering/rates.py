"""Which deck is in force, and the rate of a number in it: customers' prices and carriers' charges.

A deck takes force by the clock alone: the instants at which anything changes are known, so a
look-up asks no more than whether the next one has come.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from host.charging.values import CarrierCost, Money, Tariff
from host.numbering.e164 import MAX_DIGITS, prefixes
from host.numbering.least_cost import UNKNOWN, NoCost
from host.numbering.rate_index import Builder, Found, RateIndex, TooShort
from host.numbering.values import Route
from host.store.connection import Connection

CUSTOMERS = ""
"""Stands where a deck names its carrier, for what customers pay."""
NEVER_MS = 1 << 62
_ROUTES: tuple[Route, ...] = ("value", "premium")

_CANDIDATES = ", ".join("?" * MAX_DIGITS)
_LONGEST = f"""
SELECT length(prefix), per_minute, first_s, step_s, connect_fee, carriers FROM rate
WHERE deck = ? AND route = ? AND prefix IN ({_CANDIDATES}) ORDER BY length(prefix) DESC LIMIT 1"""


class Rate(NamedTuple):
    """The row of the deck that fits a number best."""

    route: Route
    prefix: str
    tariff: Tariff
    carriers: tuple[str, ...]
    """Names in order; empty: all carriers by their priority."""
    deck: int
    """Version of the deck that it stands in."""


_RATE: Any = tuple.__new__
"""Makes a named tuple in half the time of calling it."""


class Deck(NamedTuple):
    """A deck that is ready, as the table has it."""

    id: int
    carrier: str
    """Empty: what customers pay."""
    effective_utc_ms: int
    below_cost: bool
    changes: int


class _Table:
    """One route of one deck."""

    def __init__(self, conn: Connection, deck: int, route: str) -> None:
        self._conn = conn
        self.deck = deck
        self._route = route
        self.look_up = read_index(conn, deck, route).find

    def find(self, digits: str) -> Found | None:
        """As `RateIndex.find`, whatever the number's length."""
        try:
            return self.look_up(digits)
        except TooShort:
            return self.find_short(digits)

    def find_short(self, digits: str) -> Found | None:
        """A number that a longer prefix begins with: the rates themselves are asked."""
        candidates: list[str | None] = list(prefixes(digits[:MAX_DIGITS]))
        candidates += [None] * (MAX_DIGITS - len(candidates))
        row = self._conn.execute(_LONGEST, (self.deck, self._route, *candidates)).fetchone()
        if row is None or row[1] is None:
            return None
        tariff = Tariff(Money(row[1]), row[2], row[3], Money(row[4]))
        return row[0], tariff, tuple(filter(None, row[5].split(",")))


class Rates:
    """The decks in force. Used by one thread, on a connection that nobody else uses meanwhile."""

    def __init__(self, conn: Connection) -> None:
        """Nothing is in force until `load`."""
        self._conn = conn
        self._in_force: dict[str, Deck] = {}
        self._tables: dict[tuple[int, int, str], _Table] = {}
        """By deck, its changes, and route."""
        self._prices: dict[Route, _Table] = {}
        """What customers pay."""
        self.from_ms = self.until_ms = 0
        """The decks in force are so from the one instant until before the other, UTC."""

    def load(self, utc_ms: int) -> None:
        """Bring in what is in force at `utc_ms`; what has gone out of force is let go."""
        decks = ready_decks(self._conn)
        self._in_force = {one.carrier: one for one in in_force(decks, utc_ms)}
        came = [one.effective_utc_ms for one in decks if one.effective_utc_ms <= utc_ms]
        to_come = [one.effective_utc_ms for one in decks if one.effective_utc_ms > utc_ms]
        # A clock that is set back to before the last change is noticed as well.
        self.from_ms, self.until_ms = max(came, default=-NEVER_MS), min(to_come, default=NEVER_MS)
        wanted = [
            (deck.id, deck.changes, route)
            for deck in self._in_force.values()
            for route in (("cost",) if deck.carrier else _ROUTES)
        ]
        self._tables = {key: self._tables[key] for key in wanted if key in self._tables}
        for deck, changes, route in wanted:
            if (deck, changes, route) not in self._tables:
                self._tables[deck, changes, route] = _Table(self._conn, deck, route)
        self._prices = {}
        if CUSTOMERS in self._in_force:
            own = self._in_force[CUSTOMERS]
            for name in _ROUTES:
                self._prices[name] = self._tables[own.id, own.changes, name]

    def find(self, route: Route, digits: str) -> Rate | None:
        """What customers pay for a number (digits of E.164), if it is offered on that route."""
        if not digits:
            return None
        try:
            table = self._prices[route]
            found = table.look_up(digits)  # all calls come this way: one step less
        except KeyError:  # no deck is in force
            return None
        except TooShort:
            found = table.find_short(digits)
        if found is None:
            return None
        length, tariff, carriers = found
        return _RATE(Rate, (route, digits[:length], tariff, carriers, table.deck))  # type: ignore[no-any-return]

    def cost(self, carrier: str, digits: str) -> CarrierCost | NoCost | None:
        """What a carrier charges for a number; None: it does not take it; UNKNOWN: it has no
        deck."""
        deck = self._in_force.get(carrier) if carrier else None
        if deck is None:
            return UNKNOWN
        found = self._tables[deck.id, deck.changes, "cost"].find(digits)
        if found is None:
            return None
        length, tariff, _ = found
        return CarrierCost(deck.id, f"{carrier} {digits[:length]}", tariff)

    @property
    def below_cost(self) -> bool:
        """True when the customers' deck may be sold below cost."""
        deck = self._in_force.get(CUSTOMERS)
        return deck is not None and deck.below_cost

    def destination(self, rate: Rate) -> str:
        """What the deck calls a rate's prefix; empty if it has no name."""
        found = self._conn.execute(
            "SELECT destination FROM rate WHERE deck = ? AND route = ? AND prefix = ?",
            (rate.deck, rate.route, rate.prefix),
        ).fetchone()
        return found[0] if found else ""


def ready_decks(conn: Connection) -> list[Deck]:
    """All that are ready, whenever they take force."""
    return [
        Deck(row[0], row[1], row[2], bool(row[3]), row[4])
        for row in conn.execute(
            "SELECT id, carrier, effective_utc_ms, below_cost, changes FROM deck "
            "WHERE state = 'ready'"
        )
    ]


def in_force(decks: list[Deck], utc_ms: int) -> list[Deck]:
    """Of the customers' and of each carrier's decks, the one that is in force at an instant."""
    latest: dict[str, Deck] = {}
    for deck in sorted(decks, key=lambda one: (one.effective_utc_ms, one.id)):
        if deck.effective_utc_ms <= utc_ms:
            latest[deck.carrier] = deck
    return list(latest.values())


def read_index(conn: Connection, deck: int, route: str) -> RateIndex:
    """The packed rates of one deck and route, packed now where the store has them not."""
    parts = conn.execute(
        "SELECT data FROM rate_index WHERE deck = ? AND route = ? ORDER BY part", (deck, route)
    )
    index = RateIndex.from_parts(row[0] for row in parts)
    if index is not None:
        return index
    builder = Builder()
    for prefix, per_minute, first_s, step_s, connect_fee, carriers in _rows(conn, deck, route):
        builder.add(prefix, per_minute, first_s, step_s, connect_fee, carriers)
    return builder.finish()


def _rows(
    conn: Connection, deck: int, route: str
) -> Iterator[tuple[str, int | None, int, int, int, str]]:
    yield from conn.execute(
        "SELECT prefix, per_minute, first_s, step_s, connect_fee, carriers FROM rate "
        "WHERE deck = ? AND route = ? ORDER BY prefix",
        (deck, route),
    )
