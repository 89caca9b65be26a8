"""Where a DID's calls go: devices, numbers, SIP URIs, groups, the host's own answers; and where
they go instead. Asserted is who rang, what the caller was told, the CDRs and the money."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from host.charging import ledger
from host.charging.values import Reason
from host.numbering import destinations, dids, filters, provisioning
from host.numbering.destinations import Member
from tests.host.sip.agents import (
    Agent,
    Plan,
    Side,
    answers,
    hangs_up,
    is_silent,
    refuses,
    rings,
    with_did,
)
from tests.host.sip.world import CALLED, DID, VALUE_PER_MINUTE, World

NEW_YORK = DID.lstrip("+")
CELL = "+" + CALLED
OTHER_CELL = "+15145550111"
DID_PER_MINUTE = 900_000
"""New York, per minute: $0.009."""


def forward(world: World, number: str = CELL, **columns: Any) -> str:
    return f"fwd:{destinations.set_forwarding(world.conn, 'alice', number, **columns)}"


def route(world: World, routing: str = "", **columns: Any) -> None:
    dids.route_did(world.conn, DID, routing=routing or None, **columns)


def bob_registers(world: World) -> Agent:
    """A sub-account of Alice's, registered."""
    world.account("bob", 0, parent="alice")
    bob = Agent(world, ("10.0.1.2", 5062), "bob")
    bob.register()
    world.run(1)
    return bob


def talk(world: World, side: Side, seconds: float) -> None:
    """Let a call be answered (a second), talk so long, and everything come to rest."""
    side.on_answer = hangs_up(seconds)
    world.finish()


def test_a_did_is_routed_to_a_sub_account(world: World) -> None:
    alice, north = with_did(world)
    bob = bob_registers(world)
    route(world, "account:bob")
    caller = north.call(NEW_YORK)
    talk(world, caller, 10)
    assert (caller.outcome, len(bob.sides), len(alice.sides)) == (200, 1, 0)
    assert world.cdr()["cost"] == 2 * DID_PER_MINUTE // 10


def test_a_did_is_routed_to_a_sip_uri_whatever_its_pop(world: World) -> None:
    _, north = with_did(world)
    pbx = Agent(world, ("10.0.7.7", 5080))
    uri = destinations.set_sip_uri(world.conn, "alice", "sip:desk@10.0.7.7:5080")
    route(world, f"sip:{uri}")
    provisioning.set_did(world.conn, DID, pop="montreal")
    caller = north.call(NEW_YORK)
    talk(world, caller, 10)
    assert caller.outcome == 200
    assert pbx.sides[0].number == "desk"


def to_name(world: World) -> str:
    uri = destinations.set_sip_uri(world.conn, "alice", "sip:desk@pbx.example:5080")
    return f"sip:{uri}"


def test_a_sip_uri_with_a_name_is_looked_up(world: World) -> None:
    _, north = with_did(world)
    world.names["pbx.example"] = "10.0.7.7"
    pbx = Agent(world, ("10.0.7.7", 5080))
    route(world, to_name(world))
    caller = north.call(NEW_YORK)
    talk(world, caller, 10)
    assert caller.outcome == 200
    assert str(pbx.sides[0].request.request_uri) == "sip:desk@pbx.example:5080"
    assert world.looked_up == ["pbx.example"]


def test_a_name_that_has_no_address_is_said_and_failed_over(world: World) -> None:
    alice, north = with_did(world)
    route(world, to_name(world))
    caller = north.call(NEW_YORK)
    world.finish()
    assert caller.outcome == 503
    assert world.cdr()["detail"] == "no address for pbx.example"
    route(world, failover_unreachable="account:alice")
    second = north.call(NEW_YORK)
    talk(world, second, 5)
    assert (second.outcome, len(alice.sides)) == (200, 1)


def test_who_gives_up_while_a_name_is_looked_up_calls_nobody(world: World) -> None:
    _, north = with_did(world)
    world.names["pbx.example"] = "10.0.7.7"
    world.name_s = 5.0
    pbx = Agent(world, ("10.0.7.7", 5080))
    route(world, to_name(world))
    caller = north.call(NEW_YORK)
    world.run(1)
    caller.cancel()
    world.finish()
    assert (caller.outcome, len(pbx.sides)) == (487, 0)


def test_nobody_waits_for_ever_for_a_name(world: World) -> None:
    _, north = with_did(world)
    world.name_s = 10_000.0
    route(world, to_name(world), ring_s=20)
    caller = north.call(NEW_YORK)
    world.run(25)
    assert caller.outcome == 408
    world.finish()


def test_names_that_strangers_write_are_not_looked_up(world: World) -> None:
    alice, _ = with_did(world)
    alice.register(contact="<sip:alice@evil.example>")
    world.run(2)
    north = world.agents[("10.0.0.9", 5060)]
    caller = north.call(NEW_YORK)
    talk(world, caller, 5)
    assert caller.outcome == 200
    assert world.looked_up == []


def test_a_forwarded_call_is_charged_as_an_outgoing_call_beside_the_incoming_one(
    world: World,
) -> None:
    _, north = with_did(world)
    route(world, forward(world))
    caller = north.call(NEW_YORK, caller="+13125550177")
    talk(world, caller, 59)
    assert caller.outcome == 200
    incoming, outgoing = world.cdrs()
    assert (incoming["direction"], incoming["callee"], incoming["cost"]) == (
        "in", DID, DID_PER_MINUTE,
    )  # fmt: skip
    assert (outgoing["direction"], outgoing["callee"], outgoing["cost"]) == (
        "out", CELL, VALUE_PER_MINUTE,
    )  # fmt: skip
    spent = 100 * 100_000_000 - ledger.balance(world.conn, 1).funds
    assert spent == DID_PER_MINUTE + VALUE_PER_MINUTE


@pytest.mark.parametrize("shown", ["", "+12125550100"])
def test_a_forward_shows_the_caller_or_a_number_of_ones_own(world: World, shown: str) -> None:
    _, north = with_did(world)
    route(world, forward(world, caller_id=shown))
    north.plan = answers()
    caller = north.call(NEW_YORK, caller="+13125550177")
    talk(world, caller, 1)
    (leg,) = [side for side in north.sides if side.number == CELL]
    assert leg.request.from_.uri.user == (shown or "+13125550177")


def test_two_calls_are_forwarded_to_one_number_at_the_same_time(world: World) -> None:
    """Page: if you have a call forward to your cell phone, no matter if your DID is under the Per
    minute plan you are allowed to forward only 2 calls to that number at the same time."""
    _, north = with_did(world)
    route(world, forward(world))
    callers = [north.call(NEW_YORK, caller=f"+1312555017{n}") for n in range(3)]
    world.run(5)
    assert [caller.outcome for caller in callers] == [200, 200, 403]
    assert world.cdr()["reason"] == Reason.ONE_NUMBER.value
    route(world, forward(world, OTHER_CELL))
    fourth = north.call(NEW_YORK, caller="+13125550174")
    world.run(5)
    assert fourth.outcome == 200
    for caller in [*callers[:2], fourth]:
        caller.bye()
    world.finish()


def test_forwarded_calls_count_among_the_accounts_channels(world: World) -> None:
    _, north = with_did(world, channels=1)
    route(world, forward(world))
    first, second = north.call(NEW_YORK), north.call(NEW_YORK)
    world.run(5)
    assert (first.outcome, second.outcome) == (200, 403)
    assert world.cdr()["reason"] == Reason.ACCOUNT_CHANNELS.value
    first.bye()
    world.finish()


@pytest.mark.parametrize(("plan", "status"), [("per-minute", 402), ("flat", 200)])
def test_zero_balance_blocks_per_minute_dids_not_flat_ones(
    world: World, plan: str, status: int
) -> None:
    _, north = with_did(world, usd_cents=0)
    provisioning.set_did(world.conn, DID, plan=plan)  # type: ignore[arg-type]
    caller = north.call(NEW_YORK)
    talk(world, caller, 5)
    assert caller.outcome == status
    assert world.cdr()["reason"] == ("" if plan == "flat" else Reason.NO_MONEY.value)


def test_zero_balance_blocks_forwards_of_flat_dids_too(world: World) -> None:
    _, north = with_did(world, usd_cents=0)
    provisioning.set_did(world.conn, DID, plan="flat")
    route(world, forward(world))
    caller = north.call(NEW_YORK)
    world.finish()
    assert caller.outcome == 402
    assert not [side for side in north.sides if side.number == CELL]


@pytest.mark.parametrize(
    ("routing", "status", "cause", "reason"),
    [
        ("sys:busy", 486, 17, Reason.SYSTEM_BUSY),
        ("sys:hangup", 603, 21, Reason.SYSTEM_HANGUP),
        ("sys:noservice", 480, 31, Reason.SYSTEM_NO_SERVICE),
        ("sys:disconnected", 404, 1, Reason.SYSTEM_DISCONNECTED),
        ("none:", 404, 1, Reason.NO_DESTINATION),
    ],
)
def test_the_host_answers_by_itself(
    world: World, routing: str, status: int, cause: int, reason: Reason
) -> None:
    alice, north = with_did(world)
    route(world, routing)
    caller = north.call(NEW_YORK)
    world.finish()
    assert caller.outcome == status
    assert (caller.responses[-1].headers.get("Reason") or "").startswith(f"Q.850;cause={cause}")
    assert (world.cdr()["reason"], world.cdr()["cost"]) == (reason.value, 0)
    assert not alice.sides


# --- fail-over ---


def fails(world: World, alice: Agent, how: str) -> None:
    """Let Alice's phone be busy, be away, or ring in vain."""
    if how == "busy":
        alice.plan = refuses(486)
    elif how == "noanswer":
        alice.plan = rings()
        dids.route_did(world.conn, DID, ring_s=20)
    elif how == "away":
        alice.register(0)
        world.run(1)
    elif how == "gone":  # registered, but unplugged
        alice.plan = is_silent


@pytest.mark.parametrize("how", ["busy", "noanswer", "away", "gone"])
def test_a_call_fails_over_to_a_number_and_that_is_charged(world: World, how: str) -> None:
    alice, north = with_did(world)
    failover = {"busy": "failover_busy", "noanswer": "failover_noanswer"}.get(
        how, "failover_unreachable"
    )
    route(world, **{failover: forward(world)})
    fails(world, alice, how)
    caller = north.call(NEW_YORK)
    talk(world, caller, 59)
    assert caller.outcome == 200
    (cell,) = [side for side in north.sides if side.number == CELL]
    if how == "noanswer":
        assert 20 <= cell.answered_at - alice.sides[0].over_at + 20 < 22
    incoming, outgoing = world.cdrs()
    assert (incoming["cost"], outgoing["cost"]) == (DID_PER_MINUTE, VALUE_PER_MINUTE)
    assert outgoing["callee"] == CELL


def test_each_failure_has_its_own_failover(world: World) -> None:
    alice, north = with_did(world)
    bob = bob_registers(world)
    route(world, failover_unreachable="account:bob", failover_noanswer="account:bob")
    alice.plan = refuses(486)
    caller = north.call(NEW_YORK)
    world.finish()
    assert caller.outcome == 486
    assert not bob.sides


def test_a_forward_that_is_busy_fails_over_and_costs_nothing(world: World) -> None:
    _, north = with_did(world)
    bob = bob_registers(world)
    north.plan = refuses(486)
    route(world, forward(world), failover_busy="account:bob")
    caller = north.call(NEW_YORK)
    talk(world, caller, 59)
    assert (caller.outcome, len(bob.sides)) == (200, 1)
    incoming, dropped = world.cdrs()
    assert incoming["cost"] == DID_PER_MINUTE
    assert (dropped["callee"], dropped["billed_ms"], dropped["cost"]) == (CELL, 0, 0)


def test_a_forward_that_fails_over_frees_its_channel_at_once(world: World) -> None:
    _, north = with_did(world, channels=1)
    bob = bob_registers(world)
    north.plan = refuses(486)
    route(world, forward(world), failover_busy="account:bob")
    first = north.call(NEW_YORK)
    world.run(5)
    second = north.call(NEW_YORK)
    world.run(5)
    assert (first.outcome, second.outcome, len(bob.sides)) == (200, 200, 2)
    first.bye()
    second.bye()
    world.finish()


def test_a_failover_that_cannot_be_paid_ends_the_call(world: World) -> None:
    alice, north = with_did(world, usd_cents=0)
    provisioning.set_did(world.conn, DID, plan="flat")
    alice.plan = refuses(486)
    route(world, failover_busy=forward(world))
    caller = north.call(NEW_YORK)
    world.finish()
    assert caller.outcome == 486
    assert Reason.NO_MONEY.value in world.cdr()["detail"]
    assert not [side for side in north.sides if side.number == CELL]


@pytest.mark.parametrize("losing", [False, True])
def test_a_store_that_is_away_while_a_call_fails_over(world: World, losing: bool) -> None:
    alice, north = with_did(world)
    alice.plan = refuses(486)
    route(world, failover_busy=forward(world))
    (world.host.store.losing if losing else world.host.store.failing).add("amend")
    caller = north.call(NEW_YORK)
    world.finish()
    assert caller.outcome == 503
    assert sum(cdr["cost"] for cdr in world.cdrs()) == 0


def test_a_caller_who_leaves_while_the_call_fails_over(world: World) -> None:
    alice, north = with_did(world)
    alice.plan = refuses(486, after_s=1)
    route(world, failover_busy=forward(world))
    world.host.store.delay_s = 0.2
    caller = north.call(NEW_YORK)
    world.run(1.25)
    caller.cancel()
    world.finish()
    assert caller.outcome == 487
    assert sum(cdr["cost"] for cdr in world.cdrs()) == 0


# --- ring groups ---


def group(world: World, *members: Member) -> None:
    made = destinations.set_ring_group(world.conn, "alice", "desk", members)
    route(world, f"grp:{made}")


def test_all_of_a_ring_group_ring_and_the_first_to_answer_has_the_call(world: World) -> None:
    alice, north = with_did(world)
    bob = bob_registers(world)
    alice.plan = rings()
    group(world, Member("account:alice"), Member("account:bob"), Member(forward(world)))
    north.plan = rings()
    bob.plan = answers(answer_s=3)
    caller = north.call(NEW_YORK)
    talk(world, caller, 59)
    assert caller.outcome == 200
    assert alice.sides[0].outcome == 487
    (cell,) = [side for side in north.sides if side.number == CELL]
    assert cell.outcome == 487
    incoming, forwarded = world.cdrs()
    assert (incoming["cost"], forwarded["cost"]) == (DID_PER_MINUTE, 0)


def test_a_forward_in_a_ring_group_is_charged_if_it_answers(world: World) -> None:
    alice, north = with_did(world)
    alice.plan = rings()
    group(
        world, Member("account:alice"), Member(forward(world)), Member(forward(world, OTHER_CELL))
    )
    north.plan = lambda side: (answers() if side.number == CELL else rings())(side)
    caller = north.call(NEW_YORK)
    talk(world, caller, 59)
    assert caller.outcome == 200
    assert [cdr["cost"] for cdr in world.cdrs()] == [DID_PER_MINUTE, VALUE_PER_MINUTE, 0]


@pytest.mark.parametrize("plan", [refuses(503), refuses(408), is_silent])
def test_a_forward_in_a_ring_group_goes_by_the_next_carrier_where_the_first_one_fails(
    world: World, plan: Plan
) -> None:
    alice, north = with_did(world)
    alice.plan = rings()
    for priority, name in ((20, "east"), (30, "south")):
        world.carrier(name, ("10.0.0.7", 5000 + priority), priority=priority)
    east, south = (Agent(world, ("10.0.0.7", port)) for port in (5020, 5030))
    north.plan = east.plan = plan
    south.plan = answers(answer_s=2)
    group(world, Member("account:alice"), Member(forward(world)))
    caller = north.call(NEW_YORK)
    talk(world, caller, 59)
    assert caller.outcome == 200
    assert [len(one.sides) for one in (east, south)] == [1, 1]
    assert (alice.sides[0].outcome, len(alice.sides)) == (487, 1)
    incoming, forwarded = world.cdrs()
    assert (forwarded["carrier"], forwarded["cost"]) == ("south", VALUE_PER_MINUTE)
    assert incoming["cost"] == DID_PER_MINUTE


def test_who_is_busy_by_one_carrier_is_not_called_by_the_next(world: World) -> None:
    alice, north = with_did(world)
    world.carrier("south", ("10.0.0.7", 5060), priority=20)
    south = Agent(world, ("10.0.0.7", 5060))
    north.plan = refuses(486)
    alice.plan = answers(answer_s=9)
    group(world, Member("account:alice"), Member(forward(world)))
    caller = north.call(NEW_YORK)
    talk(world, caller, 5)
    assert (caller.outcome, len(south.sides)) == (200, 0)
    assert [cdr["cost"] > 0 for cdr in world.cdrs()] == [True, False]


def test_a_carrier_that_rings_is_left_to_ring(world: World) -> None:
    alice, north = with_did(world)
    world.carrier("south", ("10.0.0.7", 5060), priority=20)
    south = Agent(world, ("10.0.0.7", 5060))
    north.plan = alice.plan = rings()
    group(world, Member("account:alice"), Member(forward(world)))
    caller = north.call(NEW_YORK)
    world.run(20)
    assert len(south.sides) == 0
    caller.cancel()
    world.finish()
    assert [side.outcome for side in north.sides] == [487, 487]


def test_a_member_with_a_delay_rings_later(world: World) -> None:
    alice, north = with_did(world)
    bob = bob_registers(world)
    alice.plan = rings()
    group(world, Member("account:alice"), Member("account:bob", 10))
    caller = north.call(NEW_YORK)
    world.run(9.9)
    assert (len(alice.sides), len(bob.sides)) == (1, 0)
    world.run(2)
    assert (caller.outcome, len(bob.sides)) == (200, 1)
    caller.bye()
    world.finish()


def test_nobody_waits_for_members_that_are_away(world: World) -> None:
    _alice, north = with_did(world)
    bob = bob_registers(world)
    world.account("carol", 0, parent="alice")
    group(world, Member("account:carol"), Member("account:bob", 10))
    caller = north.call(NEW_YORK)
    world.run(3)
    assert (caller.outcome, len(bob.sides)) == (200, 1)
    caller.bye()
    world.finish()


def test_the_next_member_rings_at_once_when_those_before_it_decline(world: World) -> None:
    alice, north = with_did(world)
    bob = bob_registers(world)
    alice.plan = refuses(486)
    group(world, Member("account:alice"), Member("account:bob", 30))
    caller = north.call(NEW_YORK)
    world.run(3)
    assert (caller.outcome, len(bob.sides)) == (200, 1)
    caller.bye()
    world.finish()


# --- forwards among our own DIDs ---


def test_a_forward_to_another_did_of_ours_rings_there_and_both_legs_are_paid(
    world: World,
) -> None:
    _alice, north = with_did(world)
    bob = bob_registers(world)
    world.did("bob", "+12125550199")
    route(world, forward(world, "+12125550199"))
    caller = north.call(NEW_YORK)
    talk(world, caller, 59)
    assert (caller.outcome, len(bob.sides)) == (200, 1)
    assert [cdr["direction"] for cdr in world.cdrs()] == ["in", "out", "in"]
    assert [cdr["cost"] for cdr in world.cdrs()] == [900_000, 1_000_000, 900_000]


@pytest.mark.parametrize("through", [[], ["+12125550199"], ["+12125550199", "+12125550198"]])
def test_a_loop_of_forwards_ends(world: World, through: list[str]) -> None:
    _, north = with_did(world)
    for number in through:
        world.did("alice", number)
    ring = [DID, *through, DID]
    for here, there in itertools.pairwise(ring):
        dids.route_did(world.conn, here, routing=forward(world, there))
    caller = north.call(NEW_YORK)
    world.finish()
    assert caller.outcome == 482
    assert world.cdr()["reason"] == Reason.LOOP.value


def test_a_loop_through_the_network_ends_with_the_second_call(world: World) -> None:
    """The carrier brings a forwarded call back to the DID, each time as a new call."""
    _, north = with_did(world)
    route(world, forward(world))
    back: list[Side] = []

    def comes_back(side: Side) -> None:
        side.respond(180)
        back.append(north.call(NEW_YORK, caller="+13125550177"))

    north.plan = comes_back
    caller = north.call(NEW_YORK)
    world.run(30)
    assert len(back) == 2
    assert back[-1].outcome == 403
    caller.cancel()
    world.run(1)
    for side in [*back, *north.sides]:
        if side.outcome is None and hasattr(side, "uri"):
            side.cancel()
    world.finish()


# --- callers ---


@pytest.mark.parametrize(
    ("caller", "status"),
    [
        ("+13125550177", 486),  # this very number
        ("+13125550178", 603),  # how it begins
        ("anonymous", 480),
        ("+14165550177", 200),
    ],
)
def test_the_calls_of_some_callers_go_elsewhere(world: World, caller: str, status: int) -> None:
    _, north = with_did(world)
    add = filters.set_caller_filter
    add(world.conn, "alice", "+1312*", "sys:hangup")
    add(world.conn, "alice", "+13125550177", "sys:busy")
    add(world.conn, "alice", "anonymous", "sys:noservice", did=DID)
    side = north.call(NEW_YORK, caller=caller)
    talk(world, side, 1)
    assert side.outcome == status


def test_the_filter_of_one_did_comes_before_that_of_all(world: World) -> None:
    _, north = with_did(world)
    world.did("alice", "+12125550199")
    filters.set_caller_filter(world.conn, "alice", "+13125550177", "sys:busy")
    filters.set_caller_filter(world.conn, "alice", "*", "sys:hangup", did=DID)
    first = north.call(NEW_YORK, caller="+13125550177")
    second = north.call("12125550199", caller="+13125550177")
    world.finish()
    assert (first.outcome, second.outcome) == (603, 486)
