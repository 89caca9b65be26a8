"""What a call would cost, planned and rated by what plans and bills it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from host.charging.rating import charge
from host.charging.values import BilledLeg, Money, Refusal
from host.numbering.directory import Directory
from host.numbering.values import Account, Carrier, Route

_ANYBODY = Account(
    id=0,
    billing_id=0,
    username="a customer",
    status="active",
    ha1_md5="",
    ha1_sha256="",
    route="value",
    premium_fallback=True,
    channels=0,
    calls_to_one_number=0,
    caller_id="",
    international=True,
)


class Quote(NamedTuple):
    """A call that would go out."""

    number: str
    """E.164 with `+`."""
    leg: BilledLeg
    cost: Money
    """What the customer would pay."""
    carriers: tuple[Carrier, ...]
    """In the order in which they would be tried."""
    carrier_cost: Money | None
    """What the first of them would charge us; None: not known."""


def quote(
    directory: Directory,
    number: str,
    talk_ms: int,
    account: Account | None = None,
    route: Route | None = None,
) -> Quote | Refusal:
    """What `talk_ms` of talk with a number as dialled would cost.

    Args:
        account: by its rules and its route; None: somebody on value who may call anywhere.
        route: this one and no other.
    """
    caller = account or _ANYBODY
    if route is not None:
        caller = replace(caller, route=route, premium_fallback=False)
    # Not by the remembered plans of an account that it is not quite.
    plan = directory.plan_outgoing(caller, number)
    if isinstance(plan, Refusal):
        return plan
    leg, first = plan.legs[0], plan.carriers[0]
    carrier_cost = charge(first.cost.tariff, talk_ms) if first.cost else None
    return Quote(plan.number, leg, charge(leg.tariff, talk_ms), plan.carriers, carrier_cost)
