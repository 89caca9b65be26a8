"""Numbers that bring incoming calls: what the host has, whose they are, where their calls go. The
write side; ordering and months stand in `host.numbering.orders`."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from host.charging.values import Money
from host.numbering.checks import (
    ProvisioningError,
    account_row,
    known_pop,
    main_row,
    number_of,
    range_of,
    taken,
)
from host.numbering.e164 import normalise
from host.numbering.offers import Country, find_offer, toll_free_offers
from host.numbering.routings import checked_routing
from host.numbering.values import Plan
from host.store.connection import Connection

CHANNELS: dict[Plan, int] = {"per-minute": 25, "flat": 2, "international": 2, "toll-free": 25}
"""Simultaneous calls of a DID, by its plan."""
LONGEST_RING_S = 180


class Price(NamedTuple):
    """What a DID costs."""

    monthly: Money
    per_minute: Money
    """The dearer one, where it depends on the caller's country."""
    american: Money | None = None
    """A minute, of callers in the United States; None: as `per_minute`."""
    canadian: Money | None = None


def add_did(
    conn: Connection,
    number: str,
    *,
    plan: Plan,
    pop: str,
    account: str = "",
    per_minute: Money | None = None,
    monthly: Money | None = None,
    channels: int | None = None,
    is_range: bool = False,
    carrier_country: Country | None = None,
    description: str = "",
) -> str:
    """Own a number, or with `is_range` all that begin so. Returns it in E.164.

    A price that is not given is the offer's for this place and plan, or for this country of a
    toll-free number's carrier. With `account` it is that account's at once, and no monthly fee is
    taken; without, customers may order it.
    """
    e164 = range_of(number) if is_range else number_of(number)
    price = price_of(e164, plan, per_minute, monthly, carrier_country)
    account_id = account_row(conn, account)[0] if account else None
    known_pop(conn, pop)
    try:
        conn.execute(
            "INSERT INTO did (number, is_range, plan, monthly, per_minute, american_per_minute, "
            "canadian_per_minute, channels, pop, account_id, carrier_country, description) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                e164,
                is_range,
                plan,
                *price,
                CHANNELS[plan] if channels is None else channels,
                pop,
                account_id,
                carrier_country or "",
                description,
            ),
        )
    except sqlite3.IntegrityError as error:
        raise taken(error, f"DID {e164}") from error
    return e164


def set_did(
    conn: Connection,
    number: str,
    *,
    pop: str | None = None,
    plan: Plan | None = None,
    account: str | None = None,
    description: str | None = None,
) -> str:
    """Move a DID to another POP, plan (with its channels and price) or account, or describe it.

    A new plan's monthly fee is due from the next month on. A DID whose months are paid stays with
    its customer.
    """
    e164, old_plan = did_row(conn, number)
    if pop is not None:
        conn.execute("UPDATE did SET pop = ? WHERE number = ?", (known_pop(conn, pop), e164))
    if plan is not None and plan != old_plan:
        (country,) = conn.execute(
            "SELECT carrier_country FROM did WHERE number = ?", (e164,)
        ).fetchone()
        price = price_of(e164, plan, None, None, country or None)
        conn.execute(
            "UPDATE did SET plan = ?, channels = ?, monthly = ?, per_minute = ?, "
            "american_per_minute = ?, canadian_per_minute = ? WHERE number = ?",
            (plan, CHANNELS[plan], *price, e164),
        )
    if account is not None:
        _give(conn, e164, account)
    if description is not None:
        conn.execute("UPDATE did SET description = ? WHERE number = ?", (description, e164))
    return e164


def route_did(
    conn: Connection,
    number: str,
    *,
    routing: str | None = None,
    failover_busy: str | None = None,
    failover_unreachable: str | None = None,
    failover_noanswer: str | None = None,
    ring_s: int | None = None,
) -> str:
    """Send a DID's calls somewhere (`host.numbering.routings`), and elsewhere where that is busy,
    cannot be reached, or has not answered after `ring_s` seconds (0: as long as any call rings).
    What is None stays; an empty routing is the account that has the DID. Returns the number."""
    e164, _ = did_row(conn, number)
    owner = owner_of(conn, e164)
    if ring_s is not None and not 0 <= ring_s <= LONGEST_RING_S:
        raise ProvisioningError(f"a DID rings for 0 to {LONGEST_RING_S} seconds, not {ring_s}")
    texts = {
        "routing": routing,
        "failover_busy": failover_busy,
        "failover_unreachable": failover_unreachable,
        "failover_noanswer": failover_noanswer,
    }
    changes: dict[str, str | int] = {
        name: checked_routing(conn, owner, text) for name, text in texts.items() if text is not None
    }
    if ring_s is not None:
        changes["ring_s"] = ring_s
    if changes:
        columns = ", ".join(f"{name} = ?" for name in changes)
        conn.execute(f"UPDATE did SET {columns} WHERE number = ?", (*changes.values(), e164))
    return e164


def price_of(
    e164: str,
    plan: Plan,
    per_minute: Money | None = None,
    monthly: Money | None = None,
    carrier_country: Country | None = None,
) -> Price:
    """What a DID costs on a plan: as given, else as the lists of offers say.

    Raises:
        ProvisioningError: a price is neither given nor in a list.
    """
    if plan not in CHANNELS:
        raise ProvisioningError(f"unknown plan {plan!r}: use one of {', '.join(CHANNELS)}")
    if plan == "toll-free" and per_minute is None:
        for one in toll_free_offers():
            if one.carrier == carrier_country:
                return Price(
                    one.monthly if monthly is None else monthly,
                    one.per_minute(None),
                    one.american_callers,
                    one.canadian_callers,
                )
        raise ProvisioningError(
            f"a toll-free number costs what its carrier takes: name the carrier's country, or the "
            f"price a minute of {e164}"
        )
    offer = find_offer(e164, plan)
    if per_minute is None:
        if offer is None and plan == "per-minute":
            raise ProvisioningError(f"no offer for {e164} on {plan}: name its price a minute")
        per_minute = offer.per_minute if offer else Money(0)
    if monthly is None:
        monthly = offer.monthly if offer else Money(0)
    return Price(monthly, per_minute)


def did_row(conn: Connection, number: str) -> tuple[str, str]:
    """Number and plan of a DID or range that the host has."""
    for e164 in (normalise(number), "+" + number.removeprefix("+")):
        found: tuple[str, str] | None = conn.execute(
            "SELECT number, plan FROM did WHERE number = ?", (e164,)
        ).fetchone()
        if found is not None:
            return found
    raise ProvisioningError(f"no DID {number}: `did list` shows them")


def owner_of(conn: Connection, e164: str) -> int:
    """The main account that a DID belongs to."""
    found: tuple[int] | None = conn.execute(
        "SELECT coalesce(parent_id, account.id) FROM did JOIN account ON account.id = account_id "
        "WHERE number = ?",
        (e164,),
    ).fetchone()
    if found is None:
        raise ProvisioningError(f"{e164} belongs to nobody: `did order {e164} --account NAME`")
    return found[0]


def _give(conn: Connection, e164: str, account: str) -> None:
    account_id = account_row(conn, account)[0]
    before = conn.execute(
        "SELECT coalesce(parent_id, account.id), order_id FROM did "
        "LEFT JOIN account ON account.id = account_id WHERE number = ?",
        (e164,),
    ).fetchone()
    if before[0] != main_row(conn, account):
        if before[1] is not None:
            raise ProvisioningError(
                f"{e164} is paid by the month by another customer: `did release {e164}` first, "
                "then let this one order it"
            )
        # What the one before had set up is not the other's to reach.
        conn.execute(
            "UPDATE did SET routing = '', failover_busy = '', failover_unreachable = '', "
            "failover_noanswer = '' WHERE number = ?",
            (e164,),
        )
        conn.execute("DELETE FROM caller_filter WHERE did = ?", (e164,))
    conn.execute("UPDATE did SET account_id = ? WHERE number = ?", (account_id, e164))
