"""Quotas, deadlines and a store that fails, as caller, callee and CDR see them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from host.charging import ledger
from host.charging.values import Money
from host.settings import ChargingSettings
from tests.host.sip.agents import Side, cast, hangs_up, rings
from tests.host.sip.world import VALUE_PER_MINUTE, World


def long_call(world: World, **account: object) -> tuple[Side, Side]:
    alice, north = cast(world, **account)
    caller = alice.call()
    world.run(2)
    assert caller.outcome == 200
    return caller, north.sides[0]


def byes(world: World) -> list[float]:
    return [
        t for t, source, _, data in world.wire if data[:4] == b"BYE " and source[0] == "10.0.0.1"
    ]


def test_the_quota_is_renewed_while_there_is_money(world: World) -> None:
    caller, _ = long_call(world)
    world.run(398)
    caller.bye()
    world.finish()
    assert world.host.store.done.count("renew") >= 6
    cdr = world.cdr()
    assert 398_000 < cdr["billed_ms"] < 400_000
    assert cdr["cost"] == -(-cdr["billed_ms"] // 6000) * VALUE_PER_MINUTE // 10


def test_the_last_quota_ends_the_call_on_both_sides_within_50_ms(world: World) -> None:
    caller, callee = long_call(world, usd_cents=1)  # 1 cent: 114 s at $0.0052, in steps of 6
    answered_at = callee.answered_at + 0.005  # on the wire
    world.finish()
    assert caller.ended_by_host is not None
    assert callee.ended_by_host is not None
    sent = byes(world)
    assert len(sent) == 2
    for at in sent:
        assert 0 <= at - (answered_at + 114) <= 0.05
    cdr = world.cdr()
    assert (cdr["ended_by"], cdr["billed_ms"]) == ("money", 114_000)
    assert cdr["cost"] <= 1_000_000


def test_billed_is_the_smaller_of_measured_and_granted(world: World) -> None:
    _caller, _ = long_call(world, usd_cents=1)
    deadline = world.host.control.next_deadline
    assert deadline is not None
    # The loop is late by two seconds at the deadline.
    world.run(113)
    world.host.control._deadlines.arm(next(iter(world.host.control.calls)), world.now + 3)
    world.finish()
    cdr = world.cdr()
    assert cdr["talk_ms"] > 114_000
    assert cdr["billed_ms"] == 114_000


def test_the_longest_call_is_ended_by_its_limit(worlds: Callable[..., World]) -> None:
    world = worlds(charging=ChargingSettings(max_call_s=90))
    long_call(world)
    world.finish()
    assert (world.cdr()["ended_by"], world.cdr()["billed_ms"]) == ("limit", 90_000)


def test_a_store_that_fails_at_first_refuses_with_503(world: World) -> None:
    alice, north = cast(world)
    world.host.store.failing = {"authorize"}
    caller = alice.call()
    world.run(5)
    world.host.store.failing = set()
    assert caller.outcome == 503
    assert "cause=41" in (caller.responses[-1].headers.get("Reason") or "")
    assert not north.sides
    world.finish()


def test_a_store_that_fails_at_the_answer_ends_the_call_unpaid(world: World) -> None:
    alice, north = cast(world)
    world.host.store.failing = {"answered"}
    caller = alice.call()
    world.finish()
    assert caller.outcome == 503
    assert north.sides[0].over
    assert world.cdr()["cost"] == 0


def test_a_store_that_fails_to_settle_is_asked_until_it_has(world: World) -> None:
    caller, _ = long_call(world)
    world.at(10, caller.bye)
    world.host.store.failing = {"settle"}
    world.run(100)
    assert world.host.control.calls, "the call waits for its settlement"
    assert not world.cdrs()
    world.host.store.failing = set()
    world.finish()
    assert world.host.store.done.count("settle") == 1
    assert 10_000 < world.cdr()["billed_ms"] < 13_000


def test_a_store_away_at_renewal_does_not_end_the_call_before_its_quota(world: World) -> None:
    caller, _ = long_call(world)
    world.host.store.failing = {"renew"}
    world.run(53)  # past the first renewal, at 50 s
    assert not caller.over
    world.host.store.failing = set()
    world.run(60)
    assert not caller.over, "it was asked again and gave more"
    world.host.store.failing = {"renew"}
    world.finish()
    assert caller.ended_by_host is not None
    assert world.cdr()["billed_ms"] % 60_000 == 0, "it lived as long as what it had"


@pytest.mark.parametrize("delay_s", [0.0, 0.4, 3.0])
def test_a_slow_store_loses_nothing(world: World, delay_s: float) -> None:
    alice, _ = cast(world)
    world.host.store.delay_s = delay_s
    caller = alice.call()
    caller.on_answer = hangs_up(5)
    world.finish()
    assert caller.outcome == 200
    assert world.cdr()["disposition"] == "answered"


def test_thirty_calls_share_money_for_three(world: World) -> None:
    alice, north = cast(world, usd_cents=0, channels=40)
    ledger.pay(world.conn, world.host._now(), 1, Money(3 * VALUE_PER_MINUTE), "test", "three")
    north.plan = rings()
    sides = [alice.call(f"15145550{number:03}") for number in range(30)]
    world.run(5)
    assert sum(side.outcome == 402 for side in sides) == 27
    for side in sides:
        if side.outcome is None:
            side.cancel()
    world.finish()
