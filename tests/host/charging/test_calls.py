"""Stories of calls that cost money."""

from __future__ import annotations

from pathlib import Path

import pytest

from host.charging.quotas import PayingLeg, extend
from host.charging.rating import FREE, charge
from host.charging.service import in_use
from host.charging.values import (
    USD,
    CallFacts,
    Ending,
    Grant,
    Money,
    Reason,
    Refusal,
    Rule,
    Tariff,
)
from host.settings import ChargingSettings
from tests.host.charging.world import CENT, PER_MINUTE, World, channels, leg, one_number


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "host.sqlite")


def reason(answer: object) -> Reason | None:
    return answer.reason if isinstance(answer, Refusal) else None


def test_an_answered_call_pays_for_its_talk_and_the_rest_comes_back(world: World) -> None:
    alice = world.account(USD)
    assert world.authorize("c1", leg(alice)) == Grant(60_000, 50_000, False)
    assert world.funds(alice) == (USD, CENT, USD - CENT, 0)
    world.answered("c1")
    world.ms += 27_000
    assert world.settle("c1", 27_000) == [CENT // 2]
    assert world.funds(alice) == (USD - CENT // 2, 0, USD - CENT // 2, 0)
    (cdr,) = world.cdrs("c1")
    assert (cdr["billed_ms"], cdr["cost"], cdr["carrier"]) == (27_000, CENT // 2, "north")
    assert (cdr["disposition"], cdr["cause"], cdr["ended_by"]) == ("answered", 16, "caller")
    world.sound()


def test_an_unanswered_call_costs_nothing(world: World) -> None:
    alice = world.account(USD)
    world.authorize("c1", leg(alice, Tariff(CENT, connect_fee=CENT)))
    assert world.settle("c1", 0, Ending("no answer", 19, "caller")) == [0]
    assert world.funds(alice) == (USD, 0, USD, 0)
    assert [cdr["disposition"] for cdr in world.cdrs("c1")] == ["no answer"]
    world.sound()


def test_talk_is_billed_whatever_the_disposition_says(world: World) -> None:
    alice = world.account(USD)
    world.authorize("c1", leg(alice))
    assert world.settle("c1", 6_000, Ending("failed", 127, "callee")) == [CENT // 10]
    world.sound()


def test_thirty_calls_at_once_on_money_for_three(world: World) -> None:
    alice = world.account(3 * CENT)
    answers = [world.authorize(f"c{n}", leg(alice)) for n in range(30)]
    assert [isinstance(answer, Grant) for answer in answers] == [True] * 3 + [False] * 27
    assert {reason(answer) for answer in answers[3:]} == {Reason.NO_MONEY}
    assert world.funds(alice).available == 0
    refused = world.cdrs("c29")[0]
    assert (refused["reason"], refused["billed_ms"], refused["cost"]) == ("no money", 0, 0)
    world.sound()


def test_with_less_than_a_quota_the_call_gets_the_increments_that_the_money_buys(
    world: World,
) -> None:
    alice = world.account(CENT // 10 * 3 + 7)
    answer = world.authorize("c1", leg(alice))
    assert answer == Grant(18_000, 9_000, True)
    assert world.funds(alice).available == 7


@pytest.mark.parametrize(("short_by", "granted"), [(0, True), (1, False)])
def test_the_first_increment_with_its_connect_fee_has_to_be_there(
    world: World, short_by: int, granted: bool
) -> None:
    tariff = Tariff(CENT, first_s=30, connect_fee=CENT)
    alice = world.account(CENT + CENT // 2 - short_by)
    assert (reason(world.authorize("c1", leg(alice, tariff))) is None) is granted
    world.sound()


def test_a_call_that_costs_nothing_needs_no_money(world: World) -> None:
    alice = world.account()
    answer = world.authorize("c1", leg(alice, FREE, direction="in"), max_talk_ms=900_000)
    assert answer == Grant(900_000, 900_000, True)
    assert world.settle("c1", 800_000) == [0]
    world.sound()


def test_two_legs_of_one_account_have_to_fit_together(world: World) -> None:
    alice = world.account(CENT)
    legs = (leg(alice, direction="in"), leg(alice, number=1))
    assert world.authorize("c1", *legs) == Grant(30_000, 20_000, True)
    assert world.funds(alice).available == 0
    world.answered("c1")
    assert world.settle("c1", 20_000) == [CENT * 4 // 10] * 2
    assert [cdr["direction"] for cdr in world.cdrs("c1")] == ["in", "out"]
    world.sound()


def test_of_two_legs_that_two_accounts_pay_the_poorer_decides(world: World) -> None:
    rich, poor = world.account(USD), world.account(CENT // 10)
    assert world.authorize("c1", leg(rich), leg(poor, number=1)) == Grant(6_000, 3_000, True)
    assert world.funds(rich).held == world.funds(poor).held == CENT // 10
    none = world.authorize("c2", leg(rich), leg(poor, number=1))
    assert reason(none) is Reason.NO_MONEY
    assert world.funds(rich).held == CENT // 10
    world.sound()


def test_channels_then_one_number_then_money(world: World) -> None:
    alice = world.account()
    full = (channels(alice, 0), one_number(alice, 0))
    assert reason(world.authorize("c1", leg(alice, PER_MINUTE, *full))) is Reason.ACCOUNT_CHANNELS
    full = (channels(alice, 1), one_number(alice, 0))
    assert reason(world.authorize("c2", leg(alice, PER_MINUTE, *full))) is Reason.ONE_NUMBER
    free = (channels(alice, 1), one_number(alice, 1))
    assert reason(world.authorize("c3", leg(alice, PER_MINUTE, *free))) is Reason.NO_MONEY
    assert in_use(world.conn, f"account:{alice}:out") == 0


def test_the_sixth_channel_and_the_third_call_to_one_number(world: World) -> None:
    alice = world.account(USD)

    def call(call_id: str, number: str) -> Reason | None:
        limits = (channels(alice, 5), one_number(alice, 2, number))
        return reason(world.authorize(call_id, leg(alice, PER_MINUTE, *limits)))

    assert [call(f"a{n}", "+15145550100") for n in range(3)] == [None, None, Reason.ONE_NUMBER]
    assert [call(f"b{n}", f"+1514555020{n}") for n in range(4)] == [
        None,
        None,
        None,
        Reason.ACCOUNT_CHANNELS,
    ]
    world.settle("a0", 0)
    assert in_use(world.conn, f"account:{alice}:out") == 4
    assert call("a9", "+15145550100") is None
    world.sound()


def test_two_legs_of_one_call_take_two_channels(world: World) -> None:
    alice = world.account(USD)
    legs = [leg(alice, PER_MINUTE, channels(alice, 1), number=number) for number in range(2)]
    assert reason(world.authorize("c1", *legs)) is Reason.ACCOUNT_CHANNELS
    legs = [leg(alice, PER_MINUTE, channels(alice, 2), number=number) for number in range(2)]
    assert reason(world.authorize("c2", *legs)) is None
    assert in_use(world.conn, f"account:{alice}:out") == 2


def test_everything_may_be_repeated(world: World) -> None:
    alice = world.account(USD)
    first = world.authorize("c1", leg(alice, PER_MINUTE, channels(alice, 5)))
    assert world.authorize("c1", leg(alice, PER_MINUTE, channels(alice, 5))) == first
    assert world.funds(alice).held == CENT
    world.answered("c1")
    world.ms += 40_000
    world.answered("c1")
    assert world.settle("c1", 40_000) == world.settle("c1", 99_000) == [CENT * 7 // 10]
    assert world.authorize("c1", leg(alice)) == first
    refused = world.authorize("c2", leg(world.account()))
    assert world.authorize("c2", leg(alice)) == refused
    assert len(world.cdrs("c2")) == len(world.cdrs("c1")) == 1
    assert world.cdrs("c1")[0]["answered_utc_ms"] == world.now.utc_ms - 40_000
    assert world.settle("c2", 5_000) == world.settle("unknown", 5_000) == []
    world.sound()


def test_renewals_until_the_money_is_out(world: World) -> None:
    alice = world.account(2 * CENT + CENT // 10)
    world.authorize("c1", leg(alice))
    world.answered("c1")
    world.ms += 50_000
    assert world.renew("c1") == Grant(120_000, 110_000, False)
    assert world.renew("c1") == Grant(120_000, 110_000, False), "asked twice"
    world.ms += 60_000
    assert world.renew("c1") == Grant(126_000, 123_000, True)
    world.ms += 13_000
    assert world.renew("c1") == Grant(126_000, 126_000, True)
    assert world.funds(alice).available == 0
    assert world.settle("c1", 126_040) == [2 * CENT + CENT // 10]
    assert world.cdrs("c1")[0]["billed_ms"] == 126_000
    assert world.funds(alice) == (0, 0, 0, 0)
    world.sound()


def test_a_payment_in_mid_call_lets_it_go_on(world: World) -> None:
    alice = world.account(CENT // 2)
    assert world.authorize("c1", leg(alice)) == Grant(30_000, 20_000, True)
    world.answered("c1")
    world.ms += 20_000
    world.pay(alice, USD)
    assert world.renew("c1") == Grant(90_000, 80_000, False)


def test_no_call_is_longer_than_the_longest(world: World) -> None:
    alice = world.account(USD)
    assert world.authorize("c1", leg(alice), max_talk_ms=70_000) == Grant(60_000, 50_000, False)
    world.answered("c1")
    world.ms += 50_000
    assert world.renew("c1") == Grant(70_000, 70_000, True)
    assert world.renew("c1") == Grant(70_000, 70_000, True)
    assert world.renew("unknown") == Grant(0, 0, True)


def test_resolved_holds_say_which_were_used(world: World) -> None:
    alice = world.account(USD)
    world.authorize("c1", leg(alice))
    world.answered("c1")
    world.ms += 50_000
    world.renew("c1")
    world.settle("c1", 55_000)
    states = world.conn.execute("SELECT sequence, state FROM hold ORDER BY sequence").fetchall()
    assert states == [(0, "posted"), (1, "void")]


def test_a_short_quota_renews_at_half() -> None:
    short = ChargingSettings(quota_s=6, renew_before_s=5)
    extension = extend(
        [PayingLeg(0, 1, PER_MINUTE)],
        {1: Money(USD)},
        granted_ms=0,
        step_ms=short.quota_s * 1000,
        most_ms=60_000,
        renew_before_ms=short.renew_before_s * 1000,
    )
    assert extension.grant == Grant(6_000, 3_000, False)


def test_a_lost_note_of_the_answer_does_not_make_the_call_free(world: World) -> None:
    alice = world.account(USD)
    world.authorize("c1", leg(alice))
    world.ms += 30_000
    assert world.settle("c1", 12_000) == [CENT // 5]
    assert world.cdrs("c1")[0]["answered_utc_ms"] == world.now.utc_ms - 12_000


def test_a_refusal_before_authorisation_has_its_record(world: World) -> None:
    call = CallFacts("c1", "alice", 0, "out", "x" * 9_999, "+\ud8001")
    world.charging.refuse(world.conn, world.now, call, Refusal(Reason.BLOCKED, "by the operator"))
    world.charging.refuse(world.conn, world.now, call, Refusal(Reason.OVERLOAD))
    (cdr,) = world.cdrs("c1")
    assert (cdr["reason"], cdr["detail"]) == ("account blocked", "by the operator")
    assert (cdr["disposition"], cdr["cost"], cdr["talk_ms"]) == ("refused", 0, 0)
    assert len(str(cdr["caller"])) < 300


def test_records_outlive_the_account(world: World) -> None:
    alice = world.account(USD, name="alice")
    world.authorize("c1", leg(alice))
    world.conn.execute("DELETE FROM account WHERE id = ?", (alice,))
    assert world.settle("c1", 60_000) == [CENT]
    assert world.cdrs("c1")[0]["account"] == "alice"
    assert world.account() != alice
    world.sound()


@pytest.mark.parametrize("rule", list(Rule))
def test_a_rule_that_is_off_breaks_nothing(tmp_path: Path, rule: Rule) -> None:
    world = World(tmp_path / "host.sqlite", rule)
    alice = world.account(3 * CENT)
    limits = (channels(alice, 3), one_number(alice, 2))
    granted = []
    for n in range(6):
        if isinstance(world.authorize(f"c{n}", leg(alice, PER_MINUTE, *limits)), Grant):
            granted.append(f"c{n}")
            world.answered(f"c{n}")
    world.ms += 50_000
    for call_id in granted:
        world.renew(call_id)
    for call_id in granted:
        world.settle(call_id, 100_000)
    expected = {Rule.ONE_NUMBER: 3, Rule.ACCOUNT_CHANNELS: 2}
    assert len(granted) == expected.get(rule, 2)
    assert world.funds(alice).held == 0
    world.sound()


def test_rules_off_are_seen_to_be_off(tmp_path: Path) -> None:
    no_balance = World(tmp_path / "a.sqlite", Rule.BALANCE)
    assert world_grant(no_balance, funds=0) == Grant(60_000, 50_000, False)
    assert no_balance.settle("c1", 60_000) == [0]
    no_charge = World(tmp_path / "b.sqlite", Rule.CHARGE_OUT)
    assert world_grant(no_charge, funds=0) == Grant(3_600_000, 3_600_000, True)
    no_holds = World(tmp_path / "c.sqlite", Rule.HOLDS)
    alice = no_holds.account(CENT)
    answers = [no_holds.authorize(f"c{n}", leg(alice)) for n in range(9)]
    assert all(isinstance(answer, Grant) for answer in answers)
    assert [no_holds.settle(f"c{n}", 60_000)[0] for n in range(9)] == [CENT] + [0] * 8


def world_grant(world: World, funds: int) -> object:
    return world.authorize("c1", leg(world.account(funds)))


def test_the_grant_never_exceeds_the_money(world: World) -> None:
    for units in range(0, 3 * CENT, 77_777):
        alice = world.account(units) if units else world.account()
        answer = world.authorize(f"c{units}", leg(alice, Tariff(Money(1_234_567), 30, 7)))
        if isinstance(answer, Grant):
            assert charge(Tariff(Money(1_234_567), 30, 7), answer.quota_ms) <= units
    world.sound()
