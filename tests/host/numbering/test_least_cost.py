"""Carriers are tried cheapest first, and nothing is sold below cost unless it is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from host.charging.money import parse_usd
from host.charging.rating import charge
from host.charging.values import Money, Reason, Refusal, Tariff
from host.numbering import provisioning
from host.numbering.deck import import_deck
from host.numbering.directory import Directory
from host.numbering.least_cost import losing_talk_ms
from host.numbering.values import Account, Carrier, OutgoingPlan
from host.store.opening import open_reader, open_writer

tariffs = st.builds(
    Tariff,
    per_minute=st.integers(0, 30).map(lambda cents: Money(cents * 60)),
    first_s=st.integers(1, 70),
    step_s=st.sampled_from([1, 6, 7, 30, 60]),
    connect_fee=st.sampled_from([0, 0, 5, 60]).map(Money),
)


@given(tariffs, tariffs)
@example(Tariff(Money(600), 6, 6), Tariff(Money(600), 60, 60))
@example(Tariff(Money(600), 60, 60), Tariff(Money(660), 6, 6))
@example(Tariff(Money(600), 6, 6, Money(10_000)), Tariff(Money(660), 6, 6))
def test_the_first_second_that_loses_is_found_exactly(price: Tariff, cost: Tariff) -> None:
    """Amounts are whole here, so that the charges themselves can be compared."""
    losing = losing_talk_ms(price, cost)
    for second in range(1_500 if losing is None else min(losing // 1000, 20_000)):
        talk_ms = second * 1000 + 1
        assert charge(price, talk_ms) >= charge(cost, talk_ms), (second, losing)
    if losing is not None:
        assert charge(price, losing) < charge(cost, losing)
    else:
        assert price.per_minute >= cost.per_minute


class House:
    """Three carriers, an account on value with a price of 0.0052 for 1514."""

    def __init__(self, path: Path) -> None:
        self.conn = open_writer(path)
        provisioning.seed(self.conn)
        for priority, name in enumerate(("first", "second", "third")):
            carrier = Carrier(name, f"192.0.2.{priority + 1}", 5060, "udp")
            provisioning.add_carrier(self.conn, carrier, priority=priority)
        provisioning.add_account(self.conn, "alice", realm="r", password="x", route="value")
        self.now = 1_800_000_000_000
        self.directory = Directory(open_reader(path), "r", utc_ms=lambda: self.now)

    def charges(self, carrier: str, *lines: str, header: str = "prefix,cost") -> int:
        text = [f"{line}\n" for line in (header, *lines)]
        return import_deck(self.conn, text, utc_ms=lambda: self.now, carrier=carrier).deck

    def plan(self, number: str = "5145550100", account: str = "alice") -> OutgoingPlan | Refusal:
        found = self.directory.account_by_username(account)
        assert isinstance(found, Account)
        return self.directory.route_outgoing(found, number)

    def tried(self, number: str = "5145550100") -> list[str]:
        plan = self.plan(number)
        assert isinstance(plan, OutgoingPlan), plan
        return [carrier.name for carrier in plan.carriers]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "host.sqlite")
    yield made
    made.conn.close()


def test_without_decks_carriers_go_by_priority(house: House) -> None:
    assert house.tried() == ["first", "second", "third"]


def test_the_cheapest_is_tried_first_and_who_has_no_deck_last(house: House) -> None:
    house.charges("third", "1,0.004")
    assert house.tried() == ["third", "first", "second"]
    house.charges("second", "1,0.003", "1613,0.005")
    assert house.tried() == ["second", "third", "first"]
    assert house.tried("6135550100") == ["third", "second", "first"]


def test_what_costs_the_same_goes_by_priority(house: House) -> None:
    for name in ("third", "second", "first"):
        house.charges(name, "1,0.004")
    assert house.tried() == ["first", "second", "third"]


def test_increments_and_connect_fees_count(house: House) -> None:
    header = "prefix,cost,first_s,step_s,connect_fee"
    house.conn.execute("UPDATE config SET value_below_cost = 1")
    house.charges("first", "1,0.004,60,60,0", header=header)  # two minutes of a call of 90 s
    house.charges("second", "1,0.005,1,1,0", header=header)
    house.charges("third", "1,0.003,1,1,0.01", header=header)
    assert house.tried() == ["second", "first", "third"]


def test_a_carrier_whose_deck_has_not_the_number_is_not_asked(house: House) -> None:
    house.charges("first", "44,0.001")
    assert house.tried() == ["second", "third"]
    house.charges("second", "1,0.001", "1514,")
    house.charges("third", "44,0.001")
    refusal = house.plan()
    assert isinstance(refusal, Refusal)
    assert refusal == (Reason.NO_CARRIER, "no carrier has a rate for +15145550100 (Canada)")


def test_carriers_that_a_rate_names_are_tried_cheapest_first(house: House) -> None:
    house.charges("first", "1,0.004")
    house.charges("second", "1,0.001")
    house.charges("third", "1,0.003")
    house.conn.execute("UPDATE rate SET carriers = 'first,third' WHERE deck = 1 AND prefix='1514'")
    assert house.tried() == ["third", "first"]


def test_a_cost_deck_takes_force_at_its_instant(house: House) -> None:
    house.charges("second", "1,0.001")
    import_deck(
        house.conn,
        ["prefix,cost\n", "1,0.005\n"],
        utc_ms=lambda: house.now,
        carrier="second",
        effective_utc_ms=house.now + 1_000,
    )
    house.charges("third", "1,0.003")
    assert house.tried() == ["second", "third", "first"]
    house.now += 1_000
    assert house.tried() == ["third", "second", "first"]


def test_no_call_is_sold_below_cost(house: House) -> None:
    house.charges("first", "1,0.0053")
    assert house.tried() == ["second", "third"]
    house.charges("second", "1,0.0052")
    house.charges("third", "1,0.0052,60,60", header="prefix,cost,first_s,step_s")
    assert house.tried() == ["second"]
    house.charges("second", "1,0.01")
    refusal = house.plan()
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NO_CARRIER
    assert refusal.detail == (
        "below cost: first takes 0.00053 for 1 s, the call pays 0.00052; second takes 0.001 for "
        "1 s, the call pays 0.00052; third takes 0.0052 for 1 s, the call pays 0.00052 "
        "for +15145550100 (Canada)"
    )


@pytest.mark.parametrize("switch", ["account", "main account", "route", "deck"])
def test_below_cost_may_be_allowed(house: House, switch: str) -> None:
    provisioning.add_account(house.conn, "home", realm="r", password="x", parent="alice")
    provisioning.set_account(house.conn, "home", route="value")
    for name in ("first", "second", "third"):
        house.charges(name, "1,0.03")
    who = "home" if switch == "main account" else "alice"
    assert isinstance(house.plan(account=who), Refusal)
    if switch in ("account", "main account"):
        provisioning.set_account(house.conn, "alice", below_cost=True)
    elif switch == "route":
        house.conn.execute("UPDATE config SET premium_below_cost = 1")
        assert isinstance(house.plan(account=who), Refusal)
        house.conn.execute("UPDATE config SET value_below_cost = 1")
    else:
        house.conn.execute("UPDATE deck SET below_cost = 1 WHERE id = 1")
    assert isinstance(house.plan(account=who), OutgoingPlan)


def test_a_carrier_that_goes_takes_its_decks_along(house: House) -> None:
    house.charges("first", "1,0.001")
    provisioning.remove_carrier(house.conn, "first")
    assert house.tried() == ["second", "third"]
    provisioning.add_carrier(house.conn, Carrier("first", "192.0.2.1", 5060, "udp"), priority=0)
    plan = house.plan()
    assert isinstance(plan, OutgoingPlan)
    assert [carrier.cost for carrier in plan.carriers] == [None, None, None]


def test_the_plan_says_what_each_carrier_charges_and_by_which_deck(house: House) -> None:
    deck = house.charges("first", "1,0.004", "15,0.005")
    plan = house.plan()
    assert isinstance(plan, OutgoingPlan)
    cost = plan.carriers[0].cost
    assert cost == (deck, "first 15", Tariff(parse_usd("0.005")))
    assert plan.legs[0].deck == 1
