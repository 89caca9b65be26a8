"""Transfers by REFER, seen from all three ends: who talks to whom, who hears of it, who pays."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from firmware.wire.sip.message import Request
from tests.host.sip.agents import (
    Agent,
    Side,
    answers,
    cast,
    refuses,
    rings,
    sdp,
    with_did,
)
from tests.host.sip.world import CALLED, RELAY, VALUE_PER_MINUTE, World

OTHER = "15145550199"
ON_HOLD = "sendonly"


def refer(side: Side, to: str, *headers: tuple[str, str]) -> list[Any]:
    """Ask for a transfer; what it is answered with, in the list."""
    answered: list[Any] = []

    def user(transaction: Any, response: Any) -> None:
        answered.append(response.status if response is not None else 408)

    side.send("REFER", ("Refer-To", to), *headers, user=user)
    return answered


def replacing(side: Side) -> str:
    """A Refer-To that names the dialog of a side, as a transferor writes it (RFC 5589, 7.1)."""
    dialog = side.dialog
    assert dialog is not None
    value = f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}"
    return f"<sip:{side.number}@10.0.0.1?Replaces={quote(value, safe='')}>"


def told(side: Side) -> list[str]:
    """What a transferor heard of his transfer: each NOTIFY's status, and its end."""
    found = []
    for request in side.requests:
        if request.method != "NOTIFY":
            continue
        assert request.headers.get("Event", "").startswith("refer")  # type: ignore[union-attr]
        assert request.headers.get("Content-Type") == "message/sipfrag;version=2.0"
        state = (request.headers.get("Subscription-State") or "").partition(";")[0]
        found.append(f"{request.body.split()[1].decode()} {state}")
    return found


def offers(side: Side) -> list[Request]:
    """The descriptions that a side was offered within its dialog."""
    inside = [r for r in side.requests if r.method in ("INVITE", "UPDATE") and r.to.tag]
    return [r for r in inside if r.body]


def port_of(body: bytes) -> int:
    found = re.search(rb"m=audio (\d+)", body)
    assert found is not None
    return int(found[1])


def origin(body: bytes) -> list[bytes]:
    found = re.search(rb"o=(.*)\r\n", body)
    assert found is not None
    return found[1].split()


def consulted(world: World, **account: Any) -> tuple[Side, Side, Side, Side]:
    """Alice has one call on hold and talks to somebody else: her two sides, then the far ones."""
    alice, north = cast(world, **account)
    first = alice.call(CALLED)
    world.run(2)
    first.modify(sdp(alice.where, direction=ON_HOLD, version=2))
    world.run(1)
    second = alice.call(OTHER)
    world.run(2)
    assert (first.outcome, second.outcome) == (200, 200)
    return first, second, north.sides[0], north.sides[1]


# --- attended ------------------------------------------------------------------------------------


def test_an_attended_transfer_joins_the_far_ends_and_lets_the_transferor_go(world: World) -> None:
    first, second, one, two = consulted(world)
    answered = refer(first, replacing(second))
    world.run(3)
    assert answered == [202]
    assert told(first) == ["100 active", "200 terminated"]
    assert first.over, "the host hangs up whoever has left"
    assert second.over
    assert not one.over
    assert not two.over
    offered = offers(two)[-1].body, offers(one)[-1].body
    for body in offered:
        assert f"c=IN IP4 {RELAY}".encode() in body
        assert ON_HOLD.encode() not in body, "nobody is on hold any more"
        assert b"recvonly" not in body
    # One session of the relay, with those two in it and nobody else.
    (session,) = world.host.sim_relay.open_calls.values()
    assert {peer[0] for peer in session.values()} == {"10.0.0.9"}
    world.at(20, one.bye)
    world.finish()
    assert two.over
    one_cdr, two_cdr = world.cdrs()
    assert [c["disposition"] for c in (one_cdr, two_cdr)] == ["answered", "answered"]
    assert one_cdr["talk_ms"] > two_cdr["talk_ms"] > 20_000, "both are paid to their end"
    assert (one_cdr["ended_by"], two_cdr["ended_by"]) == ("callee", "caller")


def test_each_end_sees_one_session_that_goes_on(world: World) -> None:
    """RFC 3264, 8: the same o=, one version later, whoever wrote the description."""
    first, second, one, two = consulted(world)
    before = [[m.body for m in side.requests if m.body] for side in (one, two)]
    refer(first, replacing(second))
    world.run(3)
    for side, bodies in ((one, before[0]), (two, before[1])):
        then, now = origin(bodies[-1]), origin(offers(side)[-1].body)
        assert now[:2] == then[:2]
        assert int(now[2]) == int(then[2]) + 1
    second.agent.sides.clear()
    one.bye()
    world.finish()


def test_hold_digits_and_resume_go_between_those_who_were_joined(world: World) -> None:
    first, second, one, two = consulted(world)
    refer(first, replacing(second))
    world.run(3)
    one.modify(sdp(one.agent.where, direction=ON_HOLD, version=7))
    world.run(1)
    assert one.modified[-1].status == 200  # type: ignore[union-attr]
    assert ON_HOLD.encode() in offers(two)[-1].body
    two.modify(sdp(two.agent.where, port=4444, version=9), "UPDATE")
    world.run(1)
    assert two.modified[-1].status == 200  # type: ignore[union-attr]
    two.send("INFO", ("Content-Type", "application/dtmf-relay"), body=b"Signal=5\r\n")
    world.run(1)
    assert [r.body for r in one.requests if r.method == "INFO"] == [b"Signal=5\r\n"]
    two.bye()
    world.finish()
    assert one.over


def test_a_transfer_while_the_second_still_rings_waits_for_its_answer(world: World) -> None:
    alice, north = cast(world)
    first = alice.call(CALLED)
    world.run(2)
    north.plan = answers(answer_s=10)
    second = alice.call(OTHER)
    world.run(2)
    refused = replacing_early(second)
    answered = refer(first, refused)
    world.run(3)
    assert answered == [202]
    assert told(first) == ["100 active"]
    assert not first.over
    world.run(8)
    assert told(first)[-1] == "200 terminated"
    assert first.over
    north.sides[0].bye()
    world.finish()
    assert north.sides[1].over


def replacing_early(side: Side) -> str:
    """The same of a dialog that is early still."""
    early = side.responses[-1]
    value = f"call-{side.tag};to-tag={early.to.tag};from-tag={side.tag}"
    return f"<sip:{side.number}@10.0.0.1?Replaces={quote(value, safe='')}>"


def test_who_hangs_up_both_calls_at_once_has_still_transferred_them(world: World) -> None:
    """Many telephones do not wait for the NOTIFY."""
    first, second, one, two = consulted(world)
    refer(first, replacing(second))
    first.bye()
    second.bye()
    world.run(3)
    assert not one.over
    assert not two.over
    two.bye()
    world.finish()
    assert one.over
    assert all(c["disposition"] == "answered" for c in world.cdrs())


def test_an_end_that_is_busy_with_a_change_is_asked_again(world: World) -> None:
    first, second, one, two = consulted(world)
    times = iter((491, 491, 200, 200, 200))
    two.on_modify = lambda side, request: next(times)
    refer(first, replacing(second))
    world.run(1)
    assert told(first) == ["100 active"]
    world.run(4)
    assert told(first)[-1] == "200 terminated"
    one.bye()
    world.finish()
    assert two.over


@pytest.mark.parametrize("which", ["one", "two"])
def test_an_end_that_refuses_leaves_all_as_it_was(world: World, which: str) -> None:
    first, second, one, two = consulted(world)
    ends = {"one": one, "two": two}
    ends[which].on_modify = lambda side, request: 488
    refer(first, replacing(second))
    world.run(3)
    assert told(first)[-1] == "488 terminated"
    assert not any(side.over for side in (first, second, one, two))
    (one_peers, two_peers) = world.host.sim_relay.open_calls.values()
    for peers in (one_peers, two_peers):
        assert sorted(peer[0] for peer in peers.values()) == ["10.0.0.9", "10.0.1.1"]
    # Whoever was told of the other is told of the transferor again.
    if which == "one":
        assert port_of(offers(two)[-1].body) != port_of(offers(two)[-2].body)
    first.bye()
    world.run(1)
    assert one.over
    assert not two.over
    second.bye()
    world.finish()


def test_an_end_that_hangs_up_meanwhile_ends_its_own_call_alone(world: World) -> None:
    first, second, one, two = consulted(world)
    two.on_modify = lambda side, request: None  # it never answers
    refer(first, replacing(second))
    world.run(1)
    one.bye()
    world.run(2)
    assert told(first)[-1] == "487 terminated" or first.over
    assert not second.over
    second.bye()
    world.finish()


def test_money_that_runs_out_ends_all_who_were_joined(worlds: Callable[..., World]) -> None:
    world = worlds()
    first, second, one, two = consulted(world, usd_cents=2)
    refer(first, replacing(second))
    world.finish()
    assert one.over
    assert two.over
    assert "money" in {c["ended_by"] for c in world.cdrs()}
    (paid,) = world.conn.execute("SELECT sum(cost) FROM cdr").fetchone()
    assert 0 < paid <= 20_000_000 // 10


# --- blind ---------------------------------------------------------------------------------------


def test_a_blind_transfer_calls_at_the_expense_of_whoever_asked(world: World) -> None:
    alice, north = with_did(world)
    outside = north.call("12125550100")
    world.run(2)
    inside = alice.sides[0]
    answered = refer(inside, f"<sip:{OTHER}@10.0.0.1>")
    world.run(4)
    called = north.sides[1]
    assert answered == [202]
    assert told(inside) == ["100 active", "180 active", "200 terminated"]
    assert inside.over
    assert not outside.over
    assert called.number.lstrip("+") == OTHER
    (session,) = world.host.sim_relay.open_calls.values()
    assert len(session) == 2
    # What the callee was offered is the far end's, through the relay; what that one is offered is
    # the answer, through the same session.
    assert f"c=IN IP4 {RELAY}".encode() in called.requests[0].body
    assert f"c=IN IP4 {RELAY}".encode() in offers(outside)[-1].body
    world.at(30, outside.bye)
    world.finish()
    assert called.over
    came, went = world.cdrs()
    assert (came["direction"], went["direction"]) == ("in", "out")
    assert came["account"] == went["account"] == "alice"
    assert went["callee"].lstrip("+") == OTHER
    seconds = -(-went["talk_ms"] // 6_000) * 6
    assert went["cost"] == VALUE_PER_MINUTE * seconds // 60


@pytest.mark.parametrize(("status", "heard"), [(486, "486"), (404, "404"), (603, "603")])
def test_a_blind_transfer_that_fails_leaves_him_with_the_transferor(
    world: World, status: int, heard: str
) -> None:
    alice, north = cast(world)
    first = alice.call(CALLED)
    world.run(2)
    north.plan = refuses(status)
    refer(first, f"<sip:{OTHER}@10.0.0.1>")
    world.run(3)
    assert told(first)[-1] == f"{heard} terminated"
    assert not first.over
    first.modify(sdp(alice.where, version=5))
    world.run(1)
    assert first.modified[-1].status == 200  # type: ignore[union-attr]
    answered = refer(first, f"<sip:{OTHER}@10.0.0.1>")
    world.run(3)
    assert answered == [202], "and he may try again"
    first.bye()
    world.finish()
    assert north.sides[0].over


def test_a_blind_transfer_without_money_is_refused_as_a_call_is(world: World) -> None:
    alice, north = with_did(world, usd_cents=0)
    world.conn.execute("UPDATE did SET per_minute = 0, plan = 'flat'")
    outside = north.call("12125550100")
    world.run(2)
    assert outside.outcome == 200
    refer(alice.sides[0], f"<sip:{OTHER}@10.0.0.1>")
    world.run(2)
    assert told(alice.sides[0]) == ["100 active", "402 terminated"]
    assert len(north.sides) == 1, "nobody was called"
    outside.bye()
    world.finish()


@pytest.mark.parametrize("answered", [True, False])
def test_who_hangs_up_after_asking_has_transferred_or_ended_it(
    world: World, answered: bool
) -> None:
    alice, north = cast(world)
    first = alice.call(CALLED)
    world.run(2)
    north.plan = answers(answer_s=3) if answered else refuses(486, after_s=3)
    refer(first, f"<sip:{OTHER}@10.0.0.1>")
    world.run(0.5)
    first.bye()
    world.run(1)
    assert not north.sides[0].over, "he waits for the other one"
    world.run(4)
    assert north.sides[0].over is not answered
    if answered:
        north.sides[0].bye()
    world.finish()
    assert all(side.over for side in north.sides)


def test_he_who_is_transferred_hangs_up_while_it_rings(world: World) -> None:
    alice, north = cast(world)
    first = alice.call(CALLED)
    world.run(2)
    north.plan = rings()
    refer(first, f"<sip:{OTHER}@10.0.0.1>")
    world.run(2)
    north.sides[0].bye()
    world.finish()
    assert first.over
    assert north.sides[1].outcome == 487
    assert [c["disposition"] for c in world.cdrs()] == ["answered", "cancelled"]
    assert world.cdrs()[1]["cost"] == 0


def test_a_change_that_comes_while_nobody_is_there_to_take_it_is_asked_for_again(
    world: World,
) -> None:
    """He who waits puts whoever has left on hold: 491, and the transfer goes on."""
    alice, north = cast(world)
    first = alice.call(CALLED)
    world.run(2)
    north.plan = answers(answer_s=5)
    refer(first, f"<sip:{OTHER}@10.0.0.1>")
    world.run(0.5)
    first.bye()
    world.run(1)
    waiting = north.sides[0]
    waiting.modify(sdp(north.where, direction=ON_HOLD, version=4))
    world.run(1)
    assert [r.status for r in waiting.modified if r is not None] == [491]
    world.run(4)
    called = north.sides[1]
    assert not called.over
    waiting.modify(sdp(north.where, direction=ON_HOLD, version=5))
    world.run(1)
    assert ON_HOLD.encode() in offers(called)[-1].body
    called.bye()
    world.finish()
    assert waiting.over


def test_he_who_was_transferred_may_transfer_in_his_turn(world: World) -> None:
    """Alice calls Bob, who is inside as well; he is sent to one, and sends that one to another."""
    alice, north = cast(world)
    world.account("bob", route="value")
    world.did("bob")
    bob = Agent(world, ("10.0.1.2", 5062), "bob")
    bob.register()
    world.run(1)
    first = alice.call("12125550100")
    world.run(2)
    refer(first, f"<sip:{CALLED}@10.0.0.1>")
    world.run(4)
    assert first.over
    with_bob = bob.sides[0]
    refer(with_bob, f"<sip:{OTHER}@10.0.0.1>")
    world.run(4)
    assert told(with_bob)[-1] == "200 terminated"
    assert with_bob.over
    one, two = north.sides
    assert not one.over
    assert not two.over
    two.bye()
    world.finish()
    assert one.over
    costs = {(c["account"], c["callee"].lstrip("+")) for c in world.cdrs() if c["cost"]}
    assert ("alice", CALLED) in costs, "each goes on paying for whom he called"
    assert ("bob", OTHER) in costs


def test_who_asks_for_no_notice_gets_none(world: World) -> None:
    """RFC 4488."""
    alice, north = cast(world)
    first = alice.call(CALLED)
    world.run(2)
    refer(first, f"<sip:{OTHER}@10.0.0.1>", ("Refer-Sub", "false"))
    world.run(4)
    assert told(first) == []
    assert first.over
    north.sides[0].bye()
    world.finish()


# --- who may -------------------------------------------------------------------------------------


def test_a_carrier_may_not_have_the_customer_call_somebody(world: World) -> None:
    alice, north = cast(world)
    first = alice.call(CALLED)
    world.run(2)
    answered = refer(north.sides[0], f"<sip:{OTHER}@10.0.0.1>")
    world.run(2)
    assert answered == [403]
    assert len(north.sides) == 1
    first.bye()
    world.finish()


def test_nobody_reaches_into_the_call_of_another_customer(world: World) -> None:
    alice, _ = cast(world)
    world.account("bob", route="value")
    bob = Agent(world, ("10.0.1.2", 5062), "bob")
    hers = alice.call(CALLED)
    his = bob.call(OTHER)
    world.run(2)
    assert refer(his, replacing(hers)) == []
    world.run(2)
    assert told(his) == ["100 active", "481 terminated"]
    assert not hers.over
    hers.bye()
    his.bye()
    world.finish()


@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("<sip:a@b>, <sip:c@d>", 400),
        ("<mailto:somebody@example.com>", 416),
        ("<sip:15145550199@10.0.0.1;method=BYE>", 501),
        ("<sip:x@y?Replaces=nothing>", 400),
    ],
)
def test_what_cannot_be_done_is_refused_and_the_call_goes_on(
    world: World, to: str, status: int
) -> None:
    alice, _ = cast(world)
    first = alice.call(CALLED)
    world.run(2)
    answered = refer(first, to)
    world.run(2)
    assert answered == [status]
    assert not first.over
    first.bye()
    world.finish()


def test_a_second_one_waits_for_the_first(world: World) -> None:
    alice, north = cast(world)
    first = alice.call(CALLED)
    world.run(2)
    north.plan = rings()
    refer(first, f"<sip:{OTHER}@10.0.0.1>")
    world.run(1)
    answered = refer(first, f"<sip:{OTHER}@10.0.0.1>")
    world.run(1)
    assert answered == [491]
    north.sides[0].bye()
    world.finish()


# --- whatever the link does ----------------------------------------------------------------------


@pytest.mark.parametrize("link", ["lossy", "doubled", "reordered", "dreadful"])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("blind", [True, False])
def test_nothing_is_left_on_a_bad_link(
    worlds: Callable[..., World], link: str, seed: int, blind: bool
) -> None:
    world = worlds(link=link, seed=seed)
    alice, north = cast(world)
    first = alice.call(CALLED)
    world.run(15)
    second = alice.call(OTHER) if not blind else None
    world.run(15)
    if first.dialog is not None and not first.over:
        if second is None:
            refer(first, f"<sip:{OTHER}@10.0.0.1>")
        elif second.dialog is not None:
            refer(first, replacing(second))
    world.run(world.random.uniform(0, 40))
    for side in (*alice.sides, *north.sides):
        world.at(world.random.uniform(0, 20), side.bye)
    world.finish()
