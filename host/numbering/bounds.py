"""What each account may do, as it stands in the store, and whether one call is within it."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from host.charging.values import DayLimit, Money, Reason, Refusal
from host.numbering.countries import country_of
from host.numbering.e164 import is_international
from host.numbering.values import FREELY, Account, Bounds, Route
from host.store.connection import Connection

COLUMNS = (
    "protocol, codecs, route_us, route_canada, route_international, own_channels, networks, pops, "
    "countries, max_per_minute, max_call_s, daily_spend, daily_to_one_number"
)
_NONE = ("any", "", "", "", "", None, "", "", "", None, None, None, None)
_FROM_MAIN = "max_per_minute, max_call_s, daily_spend, daily_to_one_number"


def read_bounds(
    conn: Connection, ids: tuple[int, int], row: tuple[Any, ...], blocking: frozenset[int]
) -> Bounds:
    """The bounds of an account.

    Args:
        ids: the account's number and its main account's; the same of a main account.
        row: its `COLUMNS`.
        blocking: accounts that have blocked numbers; 0 stands for all.
    """
    account_id, main_id = ids
    main = (None, None, None, None)
    if main_id != account_id:
        main = conn.execute(f"SELECT {_FROM_MAIN} FROM account WHERE id = ?", (main_id,)).fetchone()
    blocked: tuple[str, ...] = ()
    if not blocking.isdisjoint((0, *ids)):
        found = conn.execute("SELECT prefix FROM blocked_number WHERE account_id IN (0, ?, ?)", ids)
        blocked = tuple(prefix for (prefix,) in found)
    if row == _NONE and not blocked and main == (None, None, None, None):
        return FREELY
    protocol, codecs, us, canada, abroad, own_channels, networks, pops, countries = row[:9]
    per_minute, call_s, spend, calls = row[9:]
    longest_s = _least(call_s, main[1])
    return Bounds(
        protocol=protocol,
        codecs=_list(codecs),
        routes=(us, canada, abroad),
        networks=tuple(map(ip_network, _list(networks))),
        pops=_list(pops),
        countries=frozenset(_list(countries)),
        max_per_minute=_least(per_minute, main[0]),
        max_call_ms=(longest_s or 0) * 1000,
        blocked=blocked,
        day_spend=_day_limits((account_id, spend), (main_id, main[2])),
        day_calls=_day_limits((account_id, calls), (main_id, main[3])),
        own_channels=own_channels if main_id != account_id else None,
    )


def may_call(account: Account, number: str) -> Refusal | None:
    """Whether an account may call a number (E.164), whatever that costs."""
    bounds = account.bounds
    begin = next((begin for begin in bounds.blocked if number.startswith(begin)), "")
    if begin:
        return Refusal(Reason.BLOCKED, f"numbers that begin with {begin} are blocked: {number}")
    if is_international(number) and not account.international:
        return Refusal(Reason.BLOCKED, f"account {account.username} may not call abroad: {number}")
    if bounds.countries and (country := country_of(number)) not in bounds.countries:
        return Refusal(
            Reason.BLOCKED,
            f"account {account.username} may not call {country or 'there'}: {number}",
        )
    return None


def route_of(account: Account, number: str) -> Route:
    """The route that the account has chosen for a number (E.164)."""
    routes = account.bounds.routes
    if not any(routes):
        return account.route
    country = country_of(number)
    index = 0 if country == "US" else 1 if country == "CA" else 2
    return routes[index] or account.route


def _least(own: int | None, of_main: int | None) -> Any:
    both = [one for one in (own, of_main) if one is not None]
    return Money(min(both)) if both else None


def _day_limits(own: tuple[int, int | None], main: tuple[int, int | None]) -> tuple[DayLimit, ...]:
    found = {account_id: most for account_id, most in (own, main) if most is not None}
    return tuple(DayLimit(*one) for one in found.items())


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()
