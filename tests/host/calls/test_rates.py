"""Rates and carriers' charges, as calls and their CDRs see them."""

from __future__ import annotations

import pytest

from host.charging.money import parse_usd
from host.charging.rating import charge
from host.charging.values import Money, Tariff
from host.numbering.deck import import_deck
from host.numbering.quoting import Quote, quote
from tests.host.sip.agents import cast
from tests.host.sip.world import VALUE_PER_MINUTE, World


def put(world: World, *lines: str, carrier: str = "", after_s: float = 0) -> int:
    """An operator imports a deck, for now or for later."""
    now = world.host._now().utc_ms
    return import_deck(
        world.conn,
        [f"{line}\n" for line in lines],
        utc_ms=lambda: now,
        carrier=carrier,
        effective_utc_ms=now + round(after_s * 1000) if after_s else None,
    ).deck


def test_a_call_keeps_the_tariff_that_it_began_with(world: World) -> None:
    alice, _ = cast(world)
    put(world, "prefix,value", "1514,1", after_s=10)
    before = alice.call()
    world.run(30)  # the deck takes force in the middle of this call, and of no restart
    after = alice.call()
    world.run(60)
    before.bye()
    after.bye()
    world.finish()
    first, second = world.cdrs()
    assert first["cost"] == charge(Tariff(Money(VALUE_PER_MINUTE)), first["billed_ms"])
    assert second["cost"] == charge(Tariff(parse_usd("1")), second["billed_ms"])
    assert (first["deck"], second["deck"]) == (1, 2)
    assert first["tariff_ref"] == second["tariff_ref"] == "value 1514"


@pytest.mark.parametrize("before_ms", [60, 0])
def test_the_instant_decides_which_deck_a_call_is_rated_by(world: World, before_ms: int) -> None:
    alice, _ = cast(world)
    put(world, "prefix,value", "1514,1", after_s=10)
    world.run(10 - before_ms / 1000)
    caller = alice.call()
    world.run(10)
    caller.bye()
    world.finish()
    assert world.cdr()["deck"] == (1 if before_ms else 2)


def test_the_cdr_says_what_the_carrier_took_and_what_is_left(world: World) -> None:
    alice, _ = cast(world)
    deck = put(world, "prefix,cost,connect_fee", "1,0.003,0.0001", carrier="north")
    caller = alice.call()
    world.run(45)
    caller.bye()
    world.finish()
    cdr = world.cdr()
    took = charge(Tariff(parse_usd("0.003"), 6, 6, parse_usd("0.0001")), cdr["talk_ms"])
    assert cdr["carrier_cost"] == took > 0
    assert cdr["margin"] == cdr["cost"] - took > 0
    assert (cdr["carrier"], cdr["cost_ref"], cdr["cost_deck"]) == ("north", "north 1", deck)


def test_without_a_deck_of_the_carrier_the_margin_is_not_known(world: World) -> None:
    alice, _ = cast(world)
    caller = alice.call()
    world.run(10)
    caller.bye()
    world.finish()
    cdr = world.cdr()
    assert (cdr["carrier_cost"], cdr["margin"], cdr["cost_deck"]) == (None, None, None)


def test_a_call_that_would_lose_money_is_refused_and_its_cdr_says_why(world: World) -> None:
    alice, north = cast(world)
    put(world, "prefix,cost", "1,0.02", carrier="north")
    caller = alice.call()
    world.run(5)
    assert caller.outcome == 503
    assert north.sides == []
    world.finish()
    cdr = world.cdr()
    assert (cdr["disposition"], cdr["reason"], cdr["cost"]) == ("refused", "no carrier", 0)
    assert cdr["detail"].startswith("below cost: north takes 0.002 for 1 s, the call pays 0.00052")


def test_a_call_that_the_operator_lets_lose_money_shows_it(world: World) -> None:
    alice, _ = cast(world)
    put(world, "prefix,cost", "1,0.02", carrier="north")
    world.conn.execute("UPDATE account SET below_cost = 1 WHERE username = 'alice'")
    caller = alice.call()
    world.run(30)
    caller.bye()
    world.finish()
    cdr = world.cdr()
    assert cdr["margin"] == cdr["cost"] - cdr["carrier_cost"] < 0


def test_quote_grant_charge_and_cdr_are_one(world: World) -> None:
    alice, _ = cast(world)
    put(world, "prefix,value,first_s,step_s,connect_fee", "1514,0.006,30,6,0.001")
    account = world.host.directory.account_by_username("alice")
    caller = alice.call()
    world.run(40)
    (held,) = world.conn.execute("SELECT sum(amount) FROM hold").fetchone()
    (granted,) = world.conn.execute("SELECT granted_ms FROM call").fetchone()
    caller.bye()
    world.finish()
    cdr = world.cdr()
    for talk_ms, amount in ((granted, held), (cdr["billed_ms"], cdr["cost"])):
        found = quote(world.host.directory, "5145550100", talk_ms, account)
        assert isinstance(found, Quote)
        assert found.cost == amount == charge(found.leg.tariff, talk_ms)
        assert (found.leg.tariff_ref, found.leg.deck) == (cdr["tariff_ref"], cdr["deck"])
