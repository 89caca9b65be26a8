"""What a call cost us: kept from its answer on, charged once it is over, whatever ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from host.charging import ledger
from host.charging.values import USD, CarrierCost, Money, Tariff
from tests.host.charging.world import CENT, World, leg

NORTH = CarrierCost(3, "north 1514", Tariff(Money(CENT // 2), 60, 60, Money(7)))


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path / "host.sqlite")
    made.authorize("c1", leg(made.account(USD)))
    return made


def answered(world: World, cost: CarrierCost | None = NORTH) -> None:
    world.charging.answered(world.conn, world.now, "c1", "north", cost)


def carrier_took(world: World) -> tuple[object, object]:
    (cdr,) = world.cdrs("c1")
    return cdr["carrier_cost"], cdr["margin"]


def test_the_carriers_own_increments_and_fee_count(world: World) -> None:
    answered(world)
    world.settle("c1", 6_000)
    assert carrier_took(world) == (CENT // 2 + 7, CENT // 10 - CENT // 2 - 7)
    world.sound()


def test_the_first_answer_counts(world: World) -> None:
    answered(world)
    answered(world, CarrierCost(4, "south 1", Tariff(Money(1))))
    world.settle("c1", 60_000)
    (cdr,) = world.cdrs("c1")
    assert (cdr["cost_ref"], cdr["carrier_cost"]) == ("north 1514", CENT // 2 + 7)


def test_no_talk_costs_us_nothing(world: World) -> None:
    answered(world)
    world.settle("c1", 0)
    assert carrier_took(world) == (0, 0)


def test_without_an_answer_nothing_is_known(world: World) -> None:
    world.settle("c1", 0)
    assert carrier_took(world) == (None, None)


def test_a_crash_keeps_what_the_carrier_takes(world: World) -> None:
    answered(world)
    world.ms += 45_000
    world.charging.heartbeat(world.conn, world.now)
    world.conn.close()
    after = World(world.path)
    after.ms = world.ms
    assert after.charging.recover(after.conn, after.now) == 1
    assert carrier_took(after)[0] == CENT // 2 + 7
    after.sound()


def test_the_audit_finds_a_carriers_cost_that_is_not_that_of_the_talk(world: World) -> None:
    answered(world)
    world.settle("c1", 60_000)
    world.conn.execute("UPDATE call SET carrier_cost = 1")
    (fault,) = ledger.check(world.conn)
    assert fault == f"CDR of call c1 says that its carrier took 1, its talk costs {CENT // 2 + 7}"


def test_of_a_call_to_a_did_that_is_forwarded_the_forward_bears_what_its_carrier_took(
    tmp_path: Path,
) -> None:
    """Three legs: out to the DID, in, and out again; one carrier was asked."""
    world = World(tmp_path / "host.sqlite")
    account = world.account(USD)
    world.authorize(
        "c1",
        leg(account),
        leg(account)._replace(leg=1, direction="in"),
        leg(account)._replace(leg=2),
    )
    answered(world)
    world.settle("c1", 60_000)
    took = [(cdr["direction"], cdr["carrier_cost"]) for cdr in world.cdrs("c1")]
    assert took == [("out", None), ("in", None), ("out", CENT // 2 + 7)]
    world.sound()


def test_of_two_forwards_that_rang_the_one_that_answered_bears_it(tmp_path: Path) -> None:
    world = World(tmp_path / "host.sqlite")
    account = world.account(USD)
    world.authorize(
        "c1",
        leg(account)._replace(direction="in"),
        leg(account)._replace(leg=1),
        leg(account)._replace(leg=2),
    )
    world.charging.answered(world.conn, world.now, "c1", "north", NORTH, drop=(2,))
    world.settle("c1", 60_000)
    took = [(cdr["leg"], cdr["carrier_cost"], cdr["margin"]) for cdr in world.cdrs("c1")]
    assert took == [(0, None, None), (1, CENT // 2 + 7, CENT - CENT // 2 - 7), (2, None, None)]
    world.sound()
