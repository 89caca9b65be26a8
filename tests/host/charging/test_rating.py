"""What talk costs, and what money buys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.charging.money import format_usd, parse_usd
from host.charging.rating import charge, joint_quota_ms, quota_ms
from host.charging.values import Money, Tariff

tariffs = st.builds(
    Tariff,
    per_minute=st.integers(0, 10**9).map(Money),
    first_s=st.integers(1, 120),
    step_s=st.integers(1, 90),
    connect_fee=st.sampled_from([0, 0, 1, 500_000, 10**8]).map(Money),
)
talks = st.integers(0, 8_000_000)


@pytest.mark.parametrize(
    ("per_minute", "first_s", "step_s", "talk_s", "cost"),
    [
        ("0.006", 30, 6, 32, "0.0036"),
        ("0.006", 30, 6, 57, "0.0060"),
        ("0.006", 30, 6, 75, "0.0078"),
        ("0.009", 6, 6, 5, "0.0009"),
        ("0.006", 6, 6, 27, "0.0030"),
        ("0.0052", 6, 6, 60, "0.0052"),
    ],
)
def test_known_prices(per_minute: str, first_s: int, step_s: int, talk_s: int, cost: str) -> None:
    tariff = Tariff(parse_usd(per_minute), first_s, step_s)
    assert charge(tariff, talk_s * 1000) == parse_usd(cost)


def test_no_answer_costs_nothing_and_the_first_millisecond_the_first_increment() -> None:
    tariff = Tariff(Money(600_000), first_s=30, step_s=6, connect_fee=Money(1_000))
    assert charge(tariff, 0) == 0
    assert charge(tariff, 1) == charge(tariff, 30_000) == 301_000
    assert charge(tariff, 30_001) == charge(tariff, 36_000) == 361_000


def test_an_amount_that_does_not_divide_is_rounded_once_and_upward() -> None:
    assert charge(Tariff(Money(7), 1, 1), 1_000) == 1
    assert charge(Tariff(Money(7), 1, 1), 17_000) == 2
    assert charge(Tariff(Money(7), 1, 1), 60_000) == 7


def test_talk_is_never_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        charge(Tariff(Money(1)), -1)
    with pytest.raises(ValueError, match="negative"):
        quota_ms(Tariff(Money(1)), Money(1), -1)


@given(tariffs, talks, talks)
def test_longer_talk_never_costs_less(tariff: Tariff, one: int, other: int) -> None:
    assert charge(tariff, min(one, other)) <= charge(tariff, max(one, other))


@given(tariffs, st.integers(-5, 10**11), talks)
def test_a_quota_is_the_exact_inverse_of_the_charge(
    tariff: Tariff, funds: int, most_ms: int
) -> None:
    quota = quota_ms(tariff, Money(funds), most_ms)
    assert 0 <= quota <= most_ms
    if quota:
        assert charge(tariff, quota) <= funds
    if quota < most_ms:
        assert charge(tariff, quota + 1) > funds
        beyond = quota - tariff.first_s * 1000
        assert quota == 0 or (beyond >= 0 and beyond % (tariff.step_s * 1000) == 0)


@given(st.lists(tariffs, min_size=1, max_size=3), st.integers(0, 10**10), talks)
def test_legs_share_one_purse(legs: list[Tariff], funds: int, most_ms: int) -> None:
    quota = joint_quota_ms(legs, Money(funds), most_ms)
    assert 0 <= quota <= most_ms
    assert sum(charge(tariff, quota) for tariff in legs) <= funds or quota == 0
    if quota < most_ms:
        assert sum(charge(tariff, quota + 1) for tariff in legs) > funds


@given(st.integers(-(10**17), 10**17))
def test_money_is_read_as_it_was_written(units: int) -> None:
    assert parse_usd(format_usd(units)) == units


@pytest.mark.parametrize("text", ["", "x", "1e400", "NaN", "Infinity", "0.000000001", "1,5"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_usd(text)
