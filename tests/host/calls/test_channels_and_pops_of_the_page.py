"""Each sentence of the service's page about channels, plans and POPs, kept on real calls.

The tests name their sentence as the page has it; `host/README.md` lists them.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from host.charging import ledger
from host.charging.values import USD, Money, Now, Reason
from host.funds.alerts import queue
from host.numbering import orders, provisioning
from tests.host.sip.agents import Agent, cast, hangs_up, rings, with_did
from tests.host.sip.world import CALLED, DID, MONTREAL_POP, World

NEW_YORK = DID.lstrip("+")


def at_once(world: World, calls: int, plan: str) -> list[int | None]:
    """The outcomes of so many calls to one DID at the same time; those that are put through ring
    on."""
    alice, north = with_did(world)
    provisioning.set_did(world.conn, DID, plan=plan)  # type: ignore[arg-type]
    alice.plan = rings()
    sides = [north.call(NEW_YORK, caller=f"+131255501{n:02}") for n in range(calls)]
    world.run(2)
    found = [side.outcome for side in sides]
    for side in sides:
        if side.outcome is None:
            side.cancel()
    world.finish()
    return found


def test_per_minute_plan_25_channels(world: World) -> None:
    """Per Minute Plan (25 channels) / Per Minute Plan: 25 simultaneous calls"""
    assert at_once(world, 26, "per-minute") == [None] * 25 + [486]


def test_monthly_flat_rate_plan_2_channels(world: World) -> None:
    """Monthly Flat Rate Plan (2 channels) / Flat Rate Plan: 2 simultaneous calls"""
    assert at_once(world, 3, "flat") == [None, None, 486]


def test_international_did_2_channels(world: World) -> None:
    """International DID: 2 simultaneous calls"""
    assert at_once(world, 3, "international") == [None, None, 486]


def test_channels_5_simultaneous_calls(world: World) -> None:
    """by default on new accounts we offer the following amount of channels: Channels: 5
    simultaneous calls / The channels will let you place or receive simultaneous inbound or outbound
    calls"""
    alice, north = cast(world)
    north.plan = rings()
    sides = [alice.call(f"1514555010{n}") for n in range(6)]
    world.run(2)
    assert [side.outcome for side in sides] == [None] * 5 + [403]
    assert world.cdr()["reason"] == Reason.ACCOUNT_CHANNELS.value
    for side in sides[:5]:
        side.cancel()
    world.finish()


def test_two_channels_to_a_same_number(world: World) -> None:
    """For simultaneous calls to a same number all accounts have 2 channels"""
    alice, north = cast(world)
    north.plan = rings()
    sides = [alice.call(CALLED) for _ in range(3)]
    world.run(2)
    assert [side.outcome for side in sides] == [None, None, 403]
    assert world.cdr()["reason"] == Reason.ONE_NUMBER.value
    for side in sides[:2]:
        side.cancel()
    world.finish()


def test_the_registration_server_and_the_pop_of_the_did_must_match(world: World) -> None:
    """In order to receive calls properly the registration server and the Point of Presence (POP) of
    the DID must match, for example: if you have an IP phone registered to ... you must select
    Toronto, ON as the POP for your DID number as well"""
    alice, north = with_did(world)
    provisioning.set_did(world.conn, DID, pop="montreal")
    refused = north.call(NEW_YORK)
    world.run(2)
    assert refused.outcome == 480
    assert world.cdr()["reason"] == Reason.POP_MISMATCH.value
    alice.home = MONTREAL_POP
    alice.register()
    world.run(1)
    matched = north.call(NEW_YORK)
    matched.on_answer = hangs_up(1)
    world.finish()
    assert matched.outcome == 200


def test_a_did_is_meant_for_receiving_calls_only(world: World) -> None:
    """a DID is meant for receiving calls only and by registering correctly your device you can
    start making calls"""
    alice, north = cast(world)
    alice.register()
    side = alice.call()
    side.on_answer = hangs_up(1)
    world.finish()
    assert side.outcome == 200
    (leg,) = north.sides
    assert leg.outcome == 200


@pytest.mark.parametrize(
    ("carrier", "caller", "cents_per_minute"),
    [
        ("United States", "+12125550177", "0.019"),
        ("United States", "+14165550177", "0.080"),
        ("United States", "anonymous", "0.080"),
        ("United States", "+442071234567", "0.080"),
        ("Canada", "+12125550177", "0.032"),
        ("Canada", "+14165550177", "0.032"),
        ("Canada", "anonymous", "0.032"),
    ],
)
def test_a_toll_free_call_is_charged_by_the_carrier_and_the_callers_country(
    world: World, carrier: str, caller: str, cents_per_minute: str
) -> None:
    """The Toll Free numbers will be charged depending on the carrier"""
    alice, north = cast(world)
    world.did("alice", "+18005550100", plan="toll-free", carrier_country=carrier)
    alice.register()
    world.run(1)
    side = north.call("18005550100", caller=caller)
    side.on_answer = hangs_up(59)
    world.finish()
    assert side.outcome == 200
    cdr = world.cdr()
    assert f"{cdr['cost'] / USD:.3f}" == cents_per_minute
    assert cdr["route"] == "toll-free"


def test_a_flat_did_is_delivered_while_its_month_is_paid_whatever_the_balance(
    world: World,
) -> None:
    """Monthly Flat Rate Plan: $4.25 per Month / $0.00 per minute; other charges will be debited
    from that balance"""
    alice, north = cast(world, usd_cents=425)
    world.did("", plan="flat")
    alice.register()
    world.run(1)
    start = world.host._now()
    world.conn.execute("BEGIN")
    orders.order_did(world.conn, start, DID, "alice")
    world.conn.execute("COMMIT")
    assert ledger.balance(world.conn, 1).funds == 0
    outcome, reason = _called(world, north)
    assert (outcome, reason) == (200, "")
    assert world.cdrs()[-1]["cost"] == 0
    terms = orders.FeeTerms(grace_days=7, suspended_days=14)
    day_ms = 86_400_000

    def fees(days: int) -> list[str]:
        now = Now(start.utc_ms + days * day_ms, 0)
        return [step.what for step in orders.run_fees(world.conn, now, terms, queue)]

    assert fees(32) == ["grace"]
    assert _called(world, north) == (200, "")
    assert fees(40) == ["suspended"]
    assert _called(world, north) == (480, Reason.SUSPENDED.value)
    assert "not paid" in world.cdrs()[-1]["detail"]
    ledger.pay(world.conn, start, 1, Money(10 * USD), "test", "later")
    assert fees(41) == ["paid"]
    assert _called(world, north) == (200, "")
    ledger.pay(world.conn, start, 1, Money(USD), "test", "spare")
    world.finish()


def _called(world: World, north: Agent) -> tuple[int | None, str]:
    side = north.call(NEW_YORK)
    side.on_answer = hangs_up(1)
    world.run(5)
    return side.outcome, str(world.cdrs()[-1]["reason"])


@pytest.mark.parametrize(("day", "days"), [(31, (28, 31, 30)), (12, (12, 12, 12))])
def test_the_monthly_fee_is_debited_on_the_same_day_each_month(
    world: World, day: int, days: tuple[int, ...]
) -> None:
    """New York DID $0.85 per Month; your calls and other charges will be debited from that
    balance"""
    cast(world)
    world.did("")
    ordered = datetime(2026, 1, day, 9, 0, tzinfo=UTC)
    now = Now(round(ordered.timestamp()) * 1000, 0)
    orders.order_did(world.conn, now, DID, "alice")
    for month, due_day in enumerate(days, 1):
        due = ordered.replace(month=1 + month, day=due_day)
        before = Now(round(due.timestamp()) * 1000 - 1, 0)
        terms = orders.FeeTerms()
        assert not list(orders.run_fees(world.conn, before, terms, queue))
        assert list(orders.run_fees(world.conn, Now(before.utc_ms + 1, 0), terms, queue))
        spent = 100 * USD - ledger.balance(world.conn, 1).funds
        assert spent == (1 + month) * 85 * USD // 100
