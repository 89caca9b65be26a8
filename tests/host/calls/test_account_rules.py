"""What an account may do: where to, at what price, how long, how often, from where. Each rule on
real calls, as the caller and the CDR see it."""

from __future__ import annotations

from typing import Any

import pytest

from host.charging import ledger
from host.charging.values import Reason
from host.numbering import filters, provisioning
from host.numbering.emergencies import set_emergency
from tests.host.sip.agents import Agent, Plan, Side, cast, hangs_up, is_silent, refuses, rings
from tests.host.sip.world import CALLED, MONTREAL_POP, VALUE_PER_MINUTE, World

LONDON = "442071234567"
PARIS = "33123456789"
ABROAD = 2_000_000
"""A minute to either."""
DAY_S = 86_400


def abroad(world: World) -> None:
    """Rates for calls to London and Paris."""
    world.conn.executemany(
        "INSERT INTO rate (deck, route, prefix, per_minute) VALUES (1, ?, ?, ?)",
        [
            ("value", "44", ABROAD), ("premium", "44", 2 * ABROAD),
            ("value", "33", ABROAD), ("premium", "33", 2 * ABROAD),
            ("value", "1212", 700_000),
        ],
    )  # fmt: skip


def tried(world: World, agent: Agent, number: str) -> tuple[int | None, str]:
    """The outcome of a call of one second, and why it was refused."""
    side = agent.call(number)
    side.on_answer = hangs_up(1)
    world.run(5)
    return side.outcome, str(world.cdrs()[-1]["reason"])


def change(world: World, name: str = "alice", **columns: Any) -> None:
    provisioning.set_account(world.conn, name, **columns)


def test_international_calls_are_locked_at_first(world: World) -> None:
    alice, _ = cast(world)
    abroad(world)
    assert tried(world, alice, "011" + LONDON) == (403, Reason.BLOCKED.value)
    change(world, international=True)
    assert tried(world, alice, "011" + LONDON) == (200, "")
    world.finish()


def test_only_the_countries_that_are_allowed(world: World) -> None:
    alice, _ = cast(world, international=True)
    abroad(world)
    change(world, countries="ca, fr")
    assert tried(world, alice, "011" + PARIS) == (200, "")
    assert tried(world, alice, CALLED) == (200, "")
    assert tried(world, alice, "011" + LONDON) == (403, Reason.BLOCKED.value)
    assert tried(world, alice, "12125550111") == (403, Reason.BLOCKED.value)
    assert "may not call US" in world.cdrs()[-1]["detail"]
    world.finish()


@pytest.mark.parametrize("whose", ["alice", "everybody", "her sub-account"])
def test_blocked_numbers_are_not_called(world: World, whose: str) -> None:
    alice, _ = cast(world)
    world.account("desk", 0, parent="alice", route="value")
    desk = Agent(world, ("10.0.1.3", 5062), "desk")
    owner = {"alice": "alice", "everybody": "", "her sub-account": "desk"}[whose]
    filters.block_number(world.conn, "+1514555", account=owner)
    expected = (403, Reason.BLOCKED.value)
    assert tried(world, desk, CALLED) == expected
    assert tried(world, alice, CALLED) == ((200, "") if owner == "desk" else expected)
    filters.unblock_number(world.conn, "1514555", account=owner)
    assert tried(world, desk, CALLED) == (200, "")
    world.finish()


def test_a_rate_above_the_limit_is_refused(world: World) -> None:
    alice, _ = cast(world, international=True)
    abroad(world)
    change(world, max_per_minute=ABROAD - 1)
    assert tried(world, alice, "011" + LONDON) == (403, Reason.RATE.value)
    change(world, max_per_minute=ABROAD)
    assert tried(world, alice, "011" + LONDON) == (200, "")
    world.finish()


@pytest.mark.parametrize(
    ("columns", "number", "route"),
    [
        ({"route_us": "value"}, "12125550111", "value"),
        ({"route_us": "value"}, CALLED, "premium"),
        ({"route_canada": "value"}, CALLED, "value"),
        ({"route_canada": "value"}, "12125550111", "premium"),
        ({"route_international": "value"}, "011" + LONDON, "value"),
        ({"route_international": "value"}, CALLED, "premium"),
    ],
)
def test_a_route_for_each_class_of_destination(
    world: World, columns: dict[str, str], number: str, route: str
) -> None:
    alice, _ = cast(world, international=True)
    abroad(world)
    change(world, route="premium", **columns)
    assert tried(world, alice, number) == (200, "")
    assert world.cdrs()[-1]["route"] == route
    world.finish()


def test_a_call_is_no_longer_than_the_account_allows(world: World) -> None:
    alice, _ = cast(world, max_call_s=90)
    side = alice.call()
    world.finish()
    assert side.ended_by_host is not None
    cdr = world.cdr()
    assert (cdr["ended_by"], cdr["billed_ms"]) == ("limit", 90_000)


def test_the_main_accounts_limits_hold_for_its_sub_accounts(world: World) -> None:
    cast(world, max_call_s=90)
    world.account("desk", 0, parent="alice", route="value", max_call_s=300)
    side = Agent(world, ("10.0.1.3", 5062), "desk").call()
    world.finish()
    assert side.outcome == 200
    assert world.cdr()["billed_ms"] == 90_000


def test_a_sub_account_has_channels_of_its_own_besides_the_main_accounts(world: World) -> None:
    alice, north = cast(world, channels=3, calls_to_one_number=9)
    north.plan = rings()
    world.account("desk", 0, parent="alice", route="value", own_channels=1)
    desk = Agent(world, ("10.0.1.3", 5062), "desk")
    sides = [desk.call()]
    world.run(1)
    assert tried(world, desk, CALLED) == (403, Reason.ACCOUNT_CHANNELS.value)
    sides += [alice.call(), alice.call()]
    world.run(1)
    assert tried(world, alice, CALLED) == (403, Reason.ACCOUNT_CHANNELS.value)
    for side in sides:
        side.cancel()
    world.finish()


# --- a day's limits ---


def test_the_spend_of_a_day_ends_the_call_and_refuses_the_next(world: World) -> None:
    alice, _ = cast(world, daily_spend=VALUE_PER_MINUTE)
    side = alice.call()
    world.run(100)
    assert side.ended_by_host is not None
    cdr = world.cdr()
    assert (cdr["ended_by"], cdr["cost"], cdr["billed_ms"]) == ("money", VALUE_PER_MINUTE, 60_000)
    assert tried(world, alice, CALLED) == (402, Reason.DAY_SPEND.value)
    world.run(DAY_S)
    assert tried(world, alice, CALLED) == (200, "")
    world.finish()


def test_calls_at_once_share_the_spend_of_a_day(world: World) -> None:
    alice, _ = cast(world, daily_spend=2 * VALUE_PER_MINUTE, calls_to_one_number=5)
    for _ in range(5):
        alice.call()
    world.finish()
    assert sum(cdr["cost"] for cdr in world.cdrs()) <= 2 * VALUE_PER_MINUTE
    assert ledger.balance(world.conn, 1).funds >= 10_000_000_000 - 2 * VALUE_PER_MINUTE


def test_what_a_call_did_not_use_of_the_day_is_free_again(world: World) -> None:
    alice, _ = cast(world, daily_spend=VALUE_PER_MINUTE)
    for _ in range(5):  # each holds the whole, and costs a tenth
        assert tried(world, alice, CALLED) == (200, "")
    assert sum(cdr["cost"] for cdr in world.cdrs()) == VALUE_PER_MINUTE // 2
    world.finish()


def test_a_sub_accounts_day_is_its_own_and_the_main_accounts_everybodys(world: World) -> None:
    alice, _ = cast(world, daily_spend=3 * VALUE_PER_MINUTE)
    world.account("desk", 0, parent="alice", route="value", daily_spend=VALUE_PER_MINUTE)
    desk = Agent(world, ("10.0.1.3", 5062), "desk")
    desk.call()
    world.run(100)
    assert tried(world, desk, CALLED) == (402, Reason.DAY_SPEND.value)
    alice.call()
    world.finish()
    assert sum(cdr["cost"] for cdr in world.cdrs()) == 3 * VALUE_PER_MINUTE


def test_so_many_calls_a_day_to_one_number(world: World) -> None:
    alice, _ = cast(world, daily_to_one_number=2)
    for _ in range(2):
        assert tried(world, alice, CALLED) == (200, "")
    assert tried(world, alice, CALLED) == (403, Reason.DAY_CALLS.value)
    assert tried(world, alice, "15145550177") == (200, "")
    world.run(DAY_S)
    assert tried(world, alice, CALLED) == (200, "")
    world.finish()


def test_a_limit_is_taken_away(world: World) -> None:
    alice, _ = cast(world, daily_to_one_number=0)
    assert tried(world, alice, CALLED) == (403, Reason.DAY_CALLS.value)
    change(world, daily_to_one_number=provisioning.NO_LIMIT)
    assert tried(world, alice, CALLED) == (200, "")
    world.finish()


# --- from where ---


def registers(world: World, agent: Agent) -> int:
    agent.registered.clear()
    agent.register()
    world.run(1)
    return agent.registered[0].status


def test_an_account_is_believed_from_its_networks_alone(world: World) -> None:
    alice, _ = cast(world)
    change(world, networks="10.0.9.0/24 203.0.113.5")
    assert tried(world, alice, CALLED) == (403, Reason.RESTRICTED.value)
    assert registers(world, alice) == 403
    change(world, networks="10.0.9.0/24,10.0.1.1")
    assert tried(world, alice, CALLED) == (200, "")
    assert registers(world, alice) == 200
    world.finish()


def test_a_restriction_comes_after_the_password_which_it_does_not_tell(world: World) -> None:
    alice, _ = cast(world, networks="10.0.9.0/24")
    alice.password = "wrong"
    side = alice.call()
    world.run(1)
    assert side.responses[-1].reason == "Forbidden"
    alice.password = "secret"
    side = alice.call()
    world.finish()
    assert side.responses[-1].reason == "Not From There"


def test_an_account_uses_its_pops_alone(world: World) -> None:
    alice, _ = cast(world, pops="montreal")
    assert tried(world, alice, CALLED) == (403, Reason.RESTRICTED.value)
    assert registers(world, alice) == 403
    alice.home = MONTREAL_POP
    assert tried(world, alice, CALLED) == (200, "")
    assert registers(world, alice) == 200
    world.finish()


def test_an_account_of_iax2_is_refused_over_sip(world: World) -> None:
    alice, _ = cast(world, protocol="iax2")
    assert tried(world, alice, CALLED) == (403, Reason.RESTRICTED.value)
    assert registers(world, alice) == 403
    world.finish()


# --- the order ---


def test_each_new_rule_has_its_place_in_the_order_of_refusal(world: World) -> None:
    """Credentials, from where, blocked, where to, route, rate, channels, one number, calls of the
    day, spend of the day, money: each mended in turn."""
    alice, _ = cast(
        world, usd_cents=0, networks="10.0.9.9", status="blocked", channels=0,
        calls_to_one_number=0, daily_to_one_number=0, daily_spend=0, max_per_minute=0,
    )  # fmt: skip
    filters.block_number(world.conn, "+1514555", account="alice")
    steps: list[tuple[Reason, dict[str, Any]]] = [
        (Reason.RESTRICTED, {"networks": ""}),
        (Reason.BLOCKED, {"status": "active"}),
        (Reason.BLOCKED, {}),
        (Reason.RATE, {"max_per_minute": provisioning.NO_LIMIT}),
        (Reason.ACCOUNT_CHANNELS, {"channels": 5}),
        (Reason.ONE_NUMBER, {"calls_to_one_number": 2}),
        (Reason.DAY_CALLS, {"daily_to_one_number": 9}),
        (Reason.NO_MONEY, {}),
    ]
    for reason, mend in steps:
        assert tried(world, alice, CALLED)[1] == reason.value
        change(world, **mend)
        if reason is Reason.BLOCKED and not mend:
            filters.unblock_number(world.conn, "+1514555", account="alice")
    world.finish()


# --- emergency numbers ---


def emergency(world: World) -> tuple[Agent, Agent]:
    alice, _ = cast(world)
    world.carrier("rescue", ("10.0.0.8", 5060))
    world.conn.execute("UPDATE carrier SET enabled = 0 WHERE name = 'rescue'")
    set_emergency(world.conn, "911", "rescue")
    return alice, Agent(world, ("10.0.0.8", 5060))


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "blocked"}, {"status": "locked"}, {"channels": 0}, {"networks": "10.9.9.9"},
        {"pops": "montreal"}, {"protocol": "iax2"}, {"countries": "FR"}, {"daily_spend": 0},
        {"daily_to_one_number": 0}, {"max_per_minute": 0}, {"calls_to_one_number": 0},
        {"max_call_s": 1},
    ],
    ids=lambda columns: next(iter(columns)) + "-" + str(next(iter(columns.values()))),
)  # fmt: skip
def test_an_emergency_call_passes_whatever_the_account_may_not(
    world: World, columns: dict[str, Any]
) -> None:
    """`facts`: emergency calls are never refused for balance or channels."""
    alice, rescue = emergency(world)
    change(world, **columns)
    side = alice.call("911")
    side.on_answer = hangs_up(30)
    world.finish()
    assert side.outcome == 200
    assert rescue.sides[0].number == "911"
    cdr = world.cdr()
    assert (cdr["route"], cdr["tariff_ref"], cdr["cost"], cdr["carrier"]) == (
        "emergency", "emergency", 0, "rescue",
    )  # fmt: skip
    assert 30_000 <= cdr["talk_ms"] < 31_000


def test_an_emergency_call_passes_without_money_beside_calls_that_fill_the_channels(
    world: World,
) -> None:
    alice, _rescue = emergency(world)
    change(world, channels=1)
    world.agents[("10.0.0.9", 5060)].plan = rings()
    first = alice.call()
    world.run(1)
    world.conn.execute("UPDATE account SET channels = 1")
    filters.block_number(world.conn, "+1")
    sides = [alice.call("911") for _ in range(3)]
    world.run(3)
    assert [side.outcome for side in sides] == [200, 200, 200]
    for side in sides:
        side.bye()
    first.cancel()
    world.finish()


def test_an_emergency_call_is_sent_as_the_carrier_wants_it(world: World) -> None:
    alice, rescue = emergency(world)
    set_emergency(world.conn, "911", "rescue", send="9331")
    side = alice.call("911")
    side.on_answer = hangs_up(3)
    world.finish()
    assert rescue.sides[0].number == "9331"
    assert world.cdr()["callee"] == "911"


def test_a_number_that_is_no_emergency_number_is_treated_as_any_other(world: World) -> None:
    alice, _ = cast(world)
    assert tried(world, alice, "911") == (404, Reason.NO_DESTINATION.value)
    world.finish()


@pytest.mark.parametrize(
    "plan", [refuses(503), refuses(500), refuses(408), refuses(404), refuses(403), is_silent]
)
def test_an_emergency_call_goes_by_another_carrier_where_its_own_fails(
    world: World, plan: Plan
) -> None:
    alice, rescue = emergency(world)
    set_emergency(world.conn, "911", "rescue", send="9331")
    rescue.plan = plan
    world.carrier("south", ("10.0.0.7", 5060), priority=20)
    south = Agent(world, ("10.0.0.7", 5060))
    north = world.agents[("10.0.0.9", 5060)]
    north.plan = refuses(503)
    side = alice.call("911")
    side.on_answer = hangs_up(3)
    world.finish()
    assert side.outcome == 200
    assert [one.sides[0].number for one in (rescue, north, south)] == ["9331", "911", "911"]
    cdr = world.cdr()
    assert (cdr["carrier"], cdr["callee"], cdr["cost"]) == ("south", "911", 0)


def test_who_hears_busy_from_the_rescue_is_told_so(world: World) -> None:
    alice, rescue = emergency(world)
    rescue.plan = refuses(486)
    side = alice.call("911")
    world.finish()
    assert side.outcome == 486
    assert world.cdr()["disposition"] == "busy"


@pytest.mark.parametrize(
    ("dialled", "rules"), [("9-1-1", ""), ("9911", "9="), ("911", "9="), ("0-911", "0=")]
)
def test_an_emergency_number_is_dialled_as_other_numbers_are(
    world: World, dialled: str, rules: str
) -> None:
    alice, rescue = emergency(world)
    change(world, dial_rules=rules)
    side = alice.call(dialled)
    side.on_answer = hangs_up(3)
    world.finish()
    assert side.outcome == 200
    assert rescue.sides[0].number == "911"
    assert world.cdr()["callee"] == "911"


def test_an_emergency_call_passes_where_the_host_is_overloaded(world: World) -> None:
    alice, _rescue = emergency(world)
    world.host.sip.overloaded = True
    ordinary, like = alice.call(), alice.call("0911")
    urgent = alice.call("911")
    urgent.on_answer = hangs_up(3)
    world.finish()
    assert (ordinary.outcome, like.outcome, urgent.outcome) == (503, 503, 200)
    assert world.cdr()["callee"] == "911"


@pytest.mark.parametrize("back_s", [10, 90])
def test_an_emergency_call_passes_while_the_store_is_away(world: World, back_s: float) -> None:
    """Whether the store comes back within the call or after it, there is a CDR."""
    alice, _rescue = emergency(world)
    store = world.host.store
    store.failing = {"", "authorize", "answered", "settle", "heartbeat", "refuse"}
    world.host._beat_at = world.now
    began = world.host._now().utc_ms
    side = alice.call("911")
    side.on_answer = hangs_up(40)

    def beat() -> None:
        world.host._give_back()
        world.at(1.0, beat) if world.now < 1200 else None

    beat()
    world.at(back_s, store.failing.clear)
    world.finish()
    assert side.outcome == 200
    cdr = world.cdr()
    assert (cdr["disposition"], cdr["cost"], cdr["carrier"]) == ("answered", 0, "rescue")
    assert 40_000 <= cdr["talk_ms"] < 41_000
    assert cdr["started_utc_ms"] - began < 1_000
    assert abs(cdr["answered_utc_ms"] - began) < 3_000
    assert not world.host.owed


def test_credentials_are_asked_for_an_emergency_call_too(world: World) -> None:
    alice, rescue = emergency(world)
    alice.password = "wrong"
    side: Side = alice.call("911")
    world.finish()
    assert side.outcome == 403
    assert not rescue.sides
