"""Any order of calls, payments and crashes: the promises about money hold."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from host.charging import ledger
from host.charging.rating import charge
from host.charging.service import in_use
from host.charging.values import BilledLeg, Ending, Grant, Money, Refusal, Rule, Tariff
from host.settings import ChargingSettings
from tests.host.charging.world import World, channels, leg

TARIFFS = (
    Tariff(Money(0)),
    Tariff(Money(600_000), 30, 6),
    Tariff(Money(1_000_001), 6, 6),
    Tariff(Money(777), 1, 1, Money(50_000)),
)
CHANNELS = 4


class Calls(RuleBasedStateMachine):
    """Two accounts, few cents, many calls, on a real file that is closed and opened again."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="loopstart-"))
        self.world = self.open(0)
        self.accounts = [self.world.account(2_000_000), self.world.account()]
        self.paid = {self.accounts[0]: 2_000_000, self.accounts[1]: 0}
        self.live: dict[str, tuple[tuple[BilledLeg, ...], int]] = {}
        self.over: dict[str, list[int]] = {}
        self.legs_of: dict[str, int] = {}
        self.count = 0

    def open(self, ms: int) -> World:
        world = World(
            self.folder / "host.sqlite", settings=ChargingSettings(quota_s=30, renew_before_s=5)
        )
        world.ms = ms
        return world

    def teardown(self) -> None:
        self.world.conn.close()
        shutil.rmtree(self.folder)

    def pick(self, index: int) -> str:
        return sorted(self.live)[index % len(self.live)]

    @rule(
        payers=st.lists(
            st.tuples(st.integers(0, 1), st.sampled_from(TARIFFS)), min_size=1, max_size=2
        )
    )
    def authorize(self, payers: list[tuple[int, Tariff]]) -> None:
        self.count += 1
        call_id = f"c{self.count}"
        legs = tuple(
            leg(
                self.accounts[index],
                tariff,
                channels(self.accounts[index], CHANNELS),
                number=number,
            )
            for number, (index, tariff) in enumerate(payers)
        )
        before = {account: self.world.funds(account) for account in self.accounts}
        answer = self.world.authorize(call_id, *legs, max_talk_ms=600_000)
        assert self.world.authorize(call_id, *legs, max_talk_ms=600_000) == answer
        if isinstance(answer, Refusal):
            assert {a: self.world.funds(a) for a in self.accounts} == before
            assert [cdr["cost"] for cdr in self.world.cdrs(call_id)] == [0]
            return
        assert isinstance(answer, Grant)
        assert 0 < answer.quota_ms <= 600_000
        self.live[call_id] = (legs, answer.quota_ms)
        self.legs_of[call_id] = len(legs)

    @precondition(lambda self: self.live)
    @rule(index=st.integers(0, 99))
    def answered(self, index: int) -> None:
        self.world.answered(self.pick(index))

    @precondition(lambda self: self.live)
    @rule(index=st.integers(0, 99))
    def renew(self, index: int) -> None:
        call_id = self.pick(index)
        legs, quota_ms = self.live[call_id]
        grant = self.world.renew(call_id)
        assert isinstance(grant, Grant)
        assert quota_ms <= grant.quota_ms <= 600_000
        self.live[call_id] = (legs, grant.quota_ms)

    @precondition(lambda self: self.live)
    @rule(index=st.integers(0, 99), talk_ms=st.integers(0, 700_000))
    def settle(self, index: int, talk_ms: int) -> None:
        call_id = self.pick(index)
        legs, quota_ms = self.live.pop(call_id)
        costs = self.world.settle(call_id, talk_ms, Ending("answered", 16, "callee"))
        assert costs == [charge(one.tariff, min(talk_ms, quota_ms)) for one in legs]
        self.over[call_id] = costs

    @precondition(lambda self: self.over)
    @rule(index=st.integers(0, 99))
    def settle_again(self, index: int) -> None:
        call_id = sorted(self.over)[index % len(self.over)]
        assert self.world.settle(call_id, 1) == self.over[call_id]

    @rule(index=st.integers(0, 1), amount=st.integers(1, 3_000_000))
    def pay(self, index: int, amount: int) -> None:
        account = self.accounts[index]
        payment_id = f"p{amount % 50}"
        try:
            fresh = self.world.pay(account, amount, payment_id)
        except ValueError:
            return
        if fresh:
            self.paid[account] += amount

    @rule(ms=st.integers(1, 60_000), beat=st.booleans())
    def time_passes(self, ms: int, beat: bool) -> None:
        self.world.ms += ms
        if beat:
            self.world.charging.heartbeat(self.world.conn, self.world.now)

    @rule(half_done=st.booleans())
    def crash(self, half_done: bool) -> None:
        if half_done:
            self.world.conn.execute("BEGIN IMMEDIATE")
            self.world.authorize("half", leg(self.accounts[0], TARIFFS[1]))
            for call_id in self.live:
                self.world.settle(call_id, 9_000)
        self.world.conn.close()
        self.world = self.open(self.world.ms)
        assert self.world.cdrs("half") == []
        assert self.world.charging.recover(self.world.conn, self.world.now) == len(self.live)
        for call_id, (legs, quota_ms) in self.live.items():
            cdrs = self.world.cdrs(call_id)
            billed = cdrs[0]["billed_ms"]
            assert isinstance(billed, int)
            assert 0 <= billed <= quota_ms
            self.over[call_id] = [charge(one.tariff, billed) for one in legs]
            assert [cdr["cost"] for cdr in cdrs] == self.over[call_id]
        self.live.clear()

    @rule()
    def supervise(self) -> None:
        # Only what is settled by it leaves the books of this test.
        self.world.charging.supervise(self.world.conn, self.world.now)
        for call_id in list(self.live):
            cdrs = self.world.cdrs(call_id)
            if cdrs:
                self.over[call_id] = [int(str(cdr["cost"])) for cdr in cdrs]
                del self.live[call_id]

    @invariant()
    def money_is_safe(self) -> None:
        assert ledger.check(self.world.conn) == []
        for account in self.accounts:
            funds = self.world.funds(account)
            spent = self.paid[account] - funds.funds
            assert spent >= 0
            assert funds.held <= funds.funds
            granted = sum(
                charge(one.tariff, quota_ms)
                for legs, quota_ms in self.live.values()
                for one in legs
                if one.account_id == account
            )
            assert spent + granted <= self.paid[account]
            taken = [
                one for legs, _ in self.live.values() for one in legs if one.account_id == account
            ]
            assert in_use(self.world.conn, f"account:{account}:out") == len(taken) <= CHANNELS

    @invariant()
    def one_record_a_billed_leg(self) -> None:
        for call_id in self.over:
            assert len(self.world.cdrs(call_id)) == self.legs_of[call_id]
        for call_id in self.live:
            assert self.world.cdrs(call_id) == []


Calls.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestCalls = Calls.TestCase


def test_the_machine_catches_a_host_that_holds_nothing() -> None:
    """The negative control: with the rule off, the same steps end in overspending."""
    calls = Calls()
    try:
        calls.world.charging.rules_off = frozenset({Rule.HOLDS})
        for _ in range(CHANNELS):
            calls.authorize([(0, TARIFFS[2])])
        with pytest.raises(AssertionError):
            calls.money_is_safe()
    finally:
        calls.teardown()
