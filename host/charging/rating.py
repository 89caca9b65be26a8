"""What talk costs, and how much talk an amount buys. The only place where a call is rated.

Pure integer arithmetic: quotes, grants, bills and CDRs all come from `charge`, and
`quota_ms` is its exact inverse, so that no two of them can ever differ by a rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

from host.charging.values import Money, Tariff

FREE = Tariff(per_minute=Money(0))


def charge(tariff: Tariff, talk_ms: int) -> Money:
    """Cost of one call leg.

    Args:
        tariff: the row chosen when the hold was opened, not today's row.
        talk_ms: answer to hang-up in monotonic milliseconds; 0 means unanswered.

    Returns:
        At least 0, rounded once, upward, to one unit (10^-8 USD). Whole increments are
        charged: the first at once, each further one as soon as it begins.

    Raises:
        ValueError: `talk_ms` is negative.

    >>> charge(Tariff(per_minute=Money(600_000), first_s=30, step_s=6), 32_000)
    360000
    """
    if talk_ms < 0:
        raise ValueError(f"talk_ms is negative: {talk_ms}")
    if talk_ms == 0:
        return Money(0)
    billed_s = tariff.first_s
    beyond_ms = talk_ms - tariff.first_s * 1000
    if beyond_ms > 0:
        billed_s += -(-beyond_ms // (tariff.step_s * 1000)) * tariff.step_s
    return Money(tariff.connect_fee - (-tariff.per_minute * billed_s // 60))


def quota_ms(tariff: Tariff, funds: Money, most_ms: int) -> int:
    """The longest talk, at most `most_ms`, whose charge `funds` cover.

    Returns:
        `most_ms`, or else whole increments; 0 when not even the first one with the connect fee
        is covered. Exactly inverse to `charge`: one millisecond more, if `most_ms` allows it,
        costs more than `funds`.

    Raises:
        ValueError: `most_ms` is negative.
    """
    if most_ms < 0:
        raise ValueError(f"most_ms is negative: {most_ms}")
    left = funds - tariff.connect_fee
    if most_ms == 0 or left < 0:
        return 0
    if tariff.per_minute == 0:
        return most_ms
    # ceil(per_minute * s / 60) <= left  <=>  s <= left * 60 / per_minute, left being whole.
    affordable_s = left * 60 // tariff.per_minute
    if affordable_s < tariff.first_s:
        return 0
    steps = (affordable_s - tariff.first_s) // tariff.step_s
    return min(most_ms, (tariff.first_s + steps * tariff.step_s) * 1000)


def joint_quota_ms(tariffs: Sequence[Tariff], funds: Money, most_ms: int) -> int:
    """The longest talk that `funds` cover for several legs at once, each by its own tariff.

    The sum of the charges is a staircase that never falls, so it is searched by halves.

    Returns:
        As `quota_ms`; each end found is the end of an increment of one of the legs.
    """
    if len(tariffs) == 1:
        return quota_ms(tariffs[0], funds, most_ms)
    if sum(charge(tariff, most_ms) for tariff in tariffs) <= funds:
        return most_ms
    covered, beyond = 0, most_ms
    while beyond - covered > 1:
        middle = (covered + beyond) // 2
        if sum(charge(tariff, middle) for tariff in tariffs) <= funds:
            covered = middle
        else:
            beyond = middle
    return covered
