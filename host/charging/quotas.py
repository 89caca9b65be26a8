"""How much talk a call is granted, and when it asks for more (RFC 8506, 5.1). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.charging.rating import charge, joint_quota_ms
from host.charging.values import Grant, Money, Tariff

_NOTHING = Money(0)


@dataclass(frozen=True, slots=True)
class PayingLeg:
    """A leg as quotas see it."""

    leg: int
    account_id: int
    tariff: Tariff
    held: Money = _NOTHING
    """What its holds cover already."""

    @property
    def free(self) -> bool:
        """True when no talk, however long, costs anything."""
        return self.tariff.per_minute == 0 and self.tariff.connect_fee == 0


@dataclass(frozen=True, slots=True)
class Extension:
    """A grant, and what has to be reserved for it."""

    grant: Grant
    holds: tuple[tuple[PayingLeg, Money], ...]
    """What each leg needs on top of what it holds; only amounts above 0."""


def extend(
    legs: Sequence[PayingLeg],
    available: Mapping[int, Money],
    *,
    granted_ms: int,
    step_ms: int,
    most_ms: int,
    renew_before_ms: int,
) -> Extension:
    """Grant `step_ms` more talk, or what the money buys, or what is left of `most_ms`.

    Args:
        available: by paying account, what it has beyond all holds; an account that is not in
            it pays without limit.
        granted_ms: what the call has already; 0 at first. Never taken back.

    Returns:
        A grant of no more than `granted_ms` and without holds when the money is out. Legs
        that one account pays share its money; the shortest of all legs counts. Calls that
        cost nothing are granted `most_ms` at once.
    """
    if all(leg.free for leg in legs):
        return Extension(Grant(most_ms, most_ms, True), ())
    wanted_ms = min(granted_ms + step_ms, most_ms)
    quota = wanted_ms
    for account_id in {leg.account_id for leg in legs if not leg.free}:
        if account_id in available:
            paid = [leg for leg in legs if leg.account_id == account_id and not leg.free]
            funds = Money(available[account_id] + sum(leg.held for leg in paid))
            quota = joint_quota_ms([leg.tariff for leg in paid], funds, quota)
    if quota <= granted_ms:
        return Extension(Grant(granted_ms, granted_ms, True), ())
    if quota == most_ms:
        renew_at = quota
    else:
        renew_at = quota - min(renew_before_ms, (quota - granted_ms) // 2)
    needed = ((leg, Money(charge(leg.tariff, quota) - leg.held)) for leg in legs)
    return Extension(
        Grant(quota, renew_at, quota == most_ms or quota < wanted_ms),
        tuple((leg, amount) for leg, amount in needed if amount > 0),
    )
