"""Which carriers a call may go to, cheapest first, and where it would be sold below cost. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from math import lcm

from host.charging.money import format_usd
from host.charging.rating import charge
from host.charging.values import CarrierCost, Reason, Refusal, Tariff
from host.numbering.values import Carrier

USUAL_TALK_MS = 90_000
"""Carriers are compared by what they charge for a call of this length, which tells increments and
connect fees apart as well as prices a minute."""


class NoCost:
    """A carrier has no deck: what it charges is not known."""


UNKNOWN = NoCost()
"""Its only instance."""


def order(
    carriers: Sequence[Carrier],
    costs: Sequence[CarrierCost | NoCost | None],
    price: Tariff,
    *,
    below_cost: bool,
) -> tuple[Carrier, ...] | Refusal:
    """Carriers in the order in which they are tried, each with what it charges.

    Args:
        carriers: those that the rate allows, by priority.
        costs: what each charges for the number at hand; None: its deck does not have the number,
            and it is not asked; UNKNOWN: it has no deck, and it is asked after all that have one.
        price: what the customer pays.
        below_cost: carriers that take more than the customer pays are tried all the same.

    Returns:
        At least one carrier, or NO_CARRIER with the reason.
    """
    known: list[tuple[int, Carrier]] = []
    unknown: list[Carrier] = []
    dear: list[str] = []
    for carrier, cost in zip(carriers, costs, strict=True):
        if cost is None:
            continue
        if isinstance(cost, NoCost):
            unknown.append(carrier)
            continue
        if not below_cost:
            talk_ms = losing_talk_ms(price, cost.tariff)
            if talk_ms is not None:
                dear.append(_dearer(carrier, price, cost.tariff, talk_ms))
                continue
        known.append((charge(cost.tariff, USUAL_TALK_MS), replace(carrier, cost=cost)))
    known.sort(key=lambda one: one[0])  # stable: what costs the same stays by priority
    ordered = (*(carrier for _, carrier in known), *unknown)
    if ordered:
        return ordered
    if dear:
        return Refusal(Reason.NO_CARRIER, "below cost: " + "; ".join(dear))
    return Refusal(Reason.NO_CARRIER, "no carrier has a rate" if carriers else "no carrier")


@lru_cache(maxsize=1024)
def losing_talk_ms(price: Tariff, cost: Tariff) -> int | None:
    """The shortest talk that costs more than it brings, by tariffs unrounded; None: there is none.

    The gap is smallest where an increment of the carrier has just begun. Once both are past
    their first increments it repeats itself with the common period of their steps, but for what
    the prices a minute differ by.
    """
    period_s = lcm(price.step_s, cost.step_s)
    steady_s = max(price.first_s, cost.first_s)
    falls_by = (cost.per_minute - price.per_minute) * period_s
    soonest: int | None = None
    for second in (0, *range(cost.first_s, steady_s + period_s, cost.step_s)):
        gap = _sixtieths(price, second) - _sixtieths(cost, second)
        if gap >= 0:
            if falls_by <= 0 or second < steady_s:
                continue
            second += (gap // falls_by + 1) * period_s
        if soonest is None or second < soonest:
            soonest = second
    return None if soonest is None else soonest * 1000 + 1


def _sixtieths(tariff: Tariff, second: int) -> int:
    """What talk of a little more than so many seconds costs, in sixtieths of a unit: unrounded."""
    beyond_s = second - tariff.first_s
    steps = beyond_s // tariff.step_s + 1 if beyond_s >= 0 else 0
    billed_s = tariff.first_s + steps * tariff.step_s
    return tariff.connect_fee * 60 + tariff.per_minute * billed_s


def _dearer(carrier: Carrier, price: Tariff, cost: Tariff, talk_ms: int) -> str:
    talk_s = talk_ms // 1000 + 1
    takes, pays = (format_usd(charge(one, talk_ms)) for one in (cost, price))
    return f"{carrier.name} takes {takes} for {talk_s} s, the call pays {pays}"
