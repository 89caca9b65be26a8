"""Refusals, their causes and CDRs: a call over IAX2 is judged as the same call over SIP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from firmware.wire.iax2 import Ended, Format
from host.charging.values import Reason
from host.iax2.causes import REFUSALS
from host.numbering import provisioning
from host.numbering.emergencies import set_emergency
from host.sip.status import REFUSALS as SIP_REFUSALS
from tests.host.iax2.world import MONTREAL, NUMBER, Iax2Phone, Iax2World
from tests.host.sip.agents import Agent, refuses, rings
from tests.host.sip.world import DID, Where

GATEWAY = ("10.0.0.9", 5060)
PHONE = ("10.0.1.1", 4570)
COMPARED = (
    "account", "direction", "caller", "callee", "disposition", "cause", "ended_by", "reason",
    "carrier", "cost", "tariff_ref", "route",
)  # fmt: skip


def cast(world: Iax2World, **account: Any) -> tuple[Iax2Phone, Agent]:
    world.iax2_account("alice", **account)
    world.carrier("north", GATEWAY)
    return Iax2Phone(world, PHONE, "alice"), Agent(world, GATEWAY)


def block(world: Iax2World) -> None:
    provisioning.set_account(world.conn, "alice", status="blocked")


def no_carrier(world: Iax2World) -> None:
    provisioning.remove_carrier(world.conn, "north")


def other_pop(world: Iax2World) -> None:
    world.iax2_account("bob")
    world.did("bob", pop="montreal")
    bob = Iax2Phone(world, ("10.0.1.2", 4570), "bob")
    assert bob.register().refresh_s


def unregistered(world: Iax2World) -> None:
    world.account("bob")
    world.did("bob")


def nothing(world: Iax2World) -> None:
    pass


REFUSED: list[tuple[Reason, Callable[[Iax2World], None], str, dict[str, Any]]] = [
    (Reason.BLOCKED, block, NUMBER, {}),
    (Reason.NO_DESTINATION, nothing, "15195550100", {}),
    (Reason.NO_CARRIER, no_carrier, NUMBER, {}),
    (Reason.NO_MONEY, nothing, NUMBER, {"usd_cents": 0}),
    (Reason.ACCOUNT_CHANNELS, nothing, NUMBER, {"channels": 0}),
    (Reason.ONE_NUMBER, nothing, NUMBER, {"calls_to_one_number": 0}),
    (Reason.POP_MISMATCH, other_pop, DID, {}),
    (Reason.NOT_REGISTERED, unregistered, DID, {}),
    (Reason.RESTRICTED, nothing, NUMBER, {"networks": "10.9.9.9"}),
    (Reason.RESTRICTED, nothing, NUMBER, {"pops": "montreal"}),
    (Reason.RESTRICTED, nothing, NUMBER, {"networks": "10.0.1.0/24", "pops": "montreal"}),
]


@pytest.mark.parametrize(
    ("reason", "prepare", "number", "account"),
    REFUSED,
    ids=[" ".join((r[0].name, *r[3])) for r in REFUSED],
)
def test_each_refusal_has_its_cause_and_the_cdr_of_the_same_call_over_sip(
    worlds: Callable[..., Iax2World],
    reason: Reason,
    prepare: Callable[[Iax2World], None],
    number: str,
    account: dict[str, Any],
) -> None:
    world = worlds()
    alice, north = cast(world, **account)
    prepare(world)
    call = alice.call(number)
    world.run(2)
    ended = next(e for e in alice.told(call) if isinstance(e, Ended))
    assert (ended.cause, ended.text, ended.by_peer) == (*REFUSALS[reason], True)
    assert not north.sides, "no carrier hears of it"
    over_sip = Agent(world, ("10.0.1.9", 5062), "alice")
    side = over_sip.call(number)
    world.finish()
    assert side.outcome == SIP_REFUSALS[reason][0]
    ours, theirs = world.cdrs()
    assert ours["reason"] == reason.value
    assert [ours[k] for k in COMPARED] == [theirs[k] for k in COMPARED]


def test_the_causes_are_those_that_sip_callers_get() -> None:
    assert {r: c[0] for r, c in REFUSALS.items()} == {r: c[2] for r, c in SIP_REFUSALS.items()}
    assert set(REFUSALS) == set(Reason)


def test_the_cdr_of_a_talk_is_that_of_the_same_talk_over_sip(world: Iax2World) -> None:
    alice, _north = cast(world)
    call = alice.call()
    world.run(2)
    world.at(30, lambda: alice.hang_up(call))
    world.run(60)
    side = Agent(world, ("10.0.1.9", 5062), "alice").call()
    side.on_answer = lambda s: world.at(31, s.bye)
    world.finish()
    ours, theirs = world.cdrs()
    assert [ours[k] for k in COMPARED] == [theirs[k] for k in COMPARED]
    assert ours["billed_ms"] > 30_000
    assert abs(ours["talk_ms"] - theirs["talk_ms"]) < 1_100


@pytest.mark.parametrize(
    ("status", "cause", "disposition"),
    [(486, 17, "busy"), (404, 1, "failed"), (480, 18, "no answer"), (503, 41, "failed")],
)
def test_what_the_carrier_says_reaches_the_caller(
    world: Iax2World, status: int, cause: int, disposition: str
) -> None:
    alice, north = cast(world)
    north.plan = refuses(status)
    call = alice.call()
    world.finish()
    (ended,) = [e for e in alice.told(call) if isinstance(e, Ended)]
    assert ended.cause == cause
    cdr = world.cdr()
    assert (cdr["disposition"], cdr["cause"], cdr["cost"]) == (disposition, cause, 0)


def test_a_caller_who_gives_up_cancels_the_carrier_leg(world: Iax2World) -> None:
    alice, north = cast(world)
    north.plan = rings()
    call = alice.call()
    world.at(3, lambda: alice.hang_up(call))
    world.finish()
    assert north.sides[0].outcome == 487
    cdr = world.cdr()
    assert (cdr["disposition"], cdr["cost"]) == ("cancelled", 0)


def test_the_call_ends_when_the_money_does(world: Iax2World) -> None:
    alice, north = cast(world, usd_cents=1)
    call = alice.call()
    world.finish()
    (ended,) = [e for e in alice.told(call) if isinstance(e, Ended)]
    assert ended.by_peer
    assert north.sides[0].over
    cdr = world.cdr()
    assert cdr["ended_by"] == "money"
    assert cdr["cost"] <= 1_000_000
    assert cdr["billed_ms"] <= 114_000


def test_channels_are_counted_over_both_protocols(world: Iax2World) -> None:
    alice, _ = cast(world, channels=2, calls_to_one_number=9)
    first = alice.call()
    side = Agent(world, ("10.0.1.9", 5062), "alice").call("15145550101")
    world.run(3)
    third = alice.call("15145550102")
    world.run(3)
    (ended,) = [e for e in alice.told(third) if isinstance(e, Ended)]
    assert ended.text == REFUSALS[Reason.ACCOUNT_CHANNELS][1]
    alice.hang_up(first)
    side.bye()
    world.finish()


def test_a_caller_that_speaks_nothing_of_sip_is_refused_before_ringing(world: Iax2World) -> None:
    world.iax2_account("alice")
    world.carrier("north", GATEWAY)
    north = Agent(world, GATEWAY)
    alice = Iax2Phone(world, PHONE, "alice", formats=(Format.GSM,))
    call = alice.call()
    world.finish()
    assert alice.story(call) == ["ended 65 Unable to negotiate codec"]
    assert not north.sides
    assert world.cdr()["reason"] == Reason.CODEC.value


def test_wrong_passwords_and_unknown_names_look_alike_and_lock_the_source_out(
    worlds: Callable[..., Iax2World],
) -> None:
    world = worlds(lockout_failures=5)
    alice, _ = cast(world)
    told: dict[str, list[Any]] = {}
    sizes: dict[str, list[int]] = {}
    for where, name in (("10.0.2.1", "alice"), ("10.0.2.2", "nobody")):
        thief = Iax2Phone(world, (where, 4569), name, "guess")
        before = len(world.wire)
        told[name] = [thief.register().cause]
        call = thief.call()
        world.run(2)
        told[name] += thief.story(call)
        sizes[name] = [len(d) - d.count(name.encode()) * len(name)
                       for _, s, t, d in world.wire[before:] if t == (where, 4569)]  # fmt: skip
    assert told["alice"] == told["nobody"]
    assert sizes["alice"] == sizes["nobody"]
    thief = Iax2Phone(world, ("10.0.2.3", 4569), "alice", "guess")
    for _ in range(6):
        thief.register()
    thief.password = "secret"
    assert thief.register().cause, "the right one comes too late"
    assert alice.register().refresh_s, "others are spared"
    world.finish()
    assert not world.cdrs()


def test_a_stopping_host_takes_no_more_calls(world: Iax2World) -> None:
    alice, _ = cast(world)
    world.host.sip.closing = True
    call = alice.call()
    world.run(2)
    assert alice.story(call) == ["ended 42 Overload"]
    world.finish()


def test_a_host_that_stops_ends_and_settles_its_calls(world: Iax2World) -> None:
    alice, _ = cast(world)
    call = alice.call()
    world.run(10)
    world.host._end_all()
    world.run(1)
    assert alice.story(call)[-1].startswith("ended 16")
    world.finish()
    assert world.cdr()["ended_by"] == "host"


def test_without_a_port_for_media_the_call_is_refused(world: Iax2World) -> None:
    alice, north = cast(world)
    world.ports.full = True
    call = alice.call()
    world.finish()
    assert alice.story(call) == ["ended 42 Overload"]
    assert not north.sides


def test_a_carrier_that_is_down_is_passed_over(world: Iax2World) -> None:
    alice, north = cast(world)
    north.mute = True
    second: Where = ("10.0.0.8", 4569)
    world.conn.execute("UPDATE carrier SET priority = 1 WHERE name = 'north'")
    world.iax2_carrier("west", second)
    west = Iax2Phone(world, second)
    call = alice.call()
    world.run(12)
    assert alice.story(call) == ["accepted ULAW", "ringing", "answered"]
    assert west.calls[0].new.called == "+" + NUMBER
    alice.hang_up(call)
    world.finish()
    assert world.cdr()["carrier"] == "west"


def test_media_that_falls_silent_both_ways_ends_the_call(
    worlds: Callable[..., Iax2World],
) -> None:
    world = worlds(media={"silence_s": 10})
    alice, _ = cast(world)
    call = alice.call()
    world.run(2)
    alice.speak(call, [b"\xff" * 160] * 500)
    world.finish()
    assert "ended 16" in alice.story(call)[-1]
    cdr = world.cdr()
    assert cdr["ended_by"] == "media"
    assert 18_000 < cdr["talk_ms"] < 23_000


def test_a_lost_peer_is_noticed_and_the_call_settled(world: Iax2World) -> None:
    alice, _ = cast(world)
    call = alice.call()
    world.run(5)
    alice.mute = True
    world.run(120)
    assert not world.host.control.calls
    assert world.cdr()["disposition"] == "answered"
    alice.mute = False
    alice.hang_up(call)
    world.run(60)


def test_early_media_of_the_carrier_is_heard(world: Iax2World) -> None:
    from tests.host.iax2.world import ULAW, RtpPeer
    from tests.host.sip.agents import sdp

    alice, north = cast(world)
    media = RtpPeer(world, (GATEWAY[0], 4000))
    north.plan = lambda side: side.world.at(0.1, lambda: side.respond(183, sdp(GATEWAY)))
    call = alice.call()
    world.run(1)
    assert alice.story(call) == ["accepted ULAW", "progress"]
    port = int(north.sides[0].sdp.split(b"m=audio ")[1].split()[0])
    media.speak(("10.0.0.1", port), ULAW[:5])
    world.run(1)
    assert alice.audio(call) == b"".join(ULAW[:5])
    north.sides[0].answer()
    world.run(1)
    alice.hang_up(call)
    world.finish()


@pytest.mark.parametrize("bounds", [{"networks": "10.9.9.9"}, {"pops": "montreal"}])
def test_who_may_not_use_this_place_cannot_register_there(
    world: Iax2World, bounds: dict[str, Any]
) -> None:
    alice, _ = cast(world)
    provisioning.set_account(world.conn, "alice", **bounds)
    assert alice.register().cause, "refused"
    over_sip = Agent(world, ("10.0.1.9", 5062), "alice")
    over_sip.register()
    world.run(2)
    assert [answer.status for answer in over_sip.registered] == [403]
    provisioning.set_account(world.conn, "alice", networks=PHONE[0], pops="default")
    assert alice.register().refresh_s
    world.finish()


def test_a_phone_rings_over_iax2_where_it_is_registered_at_the_pop_of_the_did(
    world: Iax2World,
) -> None:
    """Page: the registration server and the POP of the DID must match."""
    alice, north = cast(world)
    world.did("alice", pop="montreal")
    assert alice.register().refresh_s
    refused = north.call(DID)
    world.run(2)
    assert refused.outcome == SIP_REFUSALS[Reason.POP_MISMATCH][0]
    assert not alice.calls
    assert world.cdr()["reason"] == Reason.POP_MISMATCH.value
    there = Iax2Phone(world, ("10.0.1.3", 4570), "alice")
    there.home = MONTREAL
    assert there.register().refresh_s
    side = north.call(DID)
    side.on_answer = lambda s: world.at(5, s.bye)
    world.finish()
    assert side.outcome == 200
    assert (len(there.calls), len(alice.calls)) == (1, 0)


def test_an_emergency_call_passes_where_the_host_is_overloaded(world: Iax2World) -> None:
    alice, _ = cast(world, dial_rules="9=")
    set_emergency(world.conn, "911", "north")
    world.host.sip.overloaded = True
    ordinary, urgent = alice.call(), alice.call("9911")
    world.run(2)
    assert alice.story(ordinary) == ["ended 42 Overload"]
    assert alice.story(urgent)[-1] == "answered"
    alice.hang_up(urgent)
    world.finish()
    assert world.cdr()["callee"] == "911"


def test_the_codecs_of_an_account_hold_over_iax2_too(world: Iax2World) -> None:
    alice, north = cast(world, codecs="PCMA")
    call = alice.call()
    world.run(2)
    assert alice.story(call)[0] == "accepted ALAW"
    alice.hang_up(call)
    provisioning.set_account(world.conn, "alice", codecs="G722")
    refused = alice.call()
    world.finish()
    assert alice.story(refused) == ["ended 65 Unable to negotiate codec"]
    assert len(north.sides) == 1
    assert world.cdrs()[-1]["reason"] == Reason.CODEC.value


def test_a_phone_is_called_over_iax2_with_the_codecs_of_its_account(world: Iax2World) -> None:
    alice, north = cast(world, codecs="PCMA")
    world.did("alice")
    assert alice.register().refresh_s
    side = north.call(DID)
    side.on_answer = lambda s: world.at(3, s.bye)
    world.finish()
    assert side.outcome == 200
    assert alice.calls[0].new.capability == Format.ALAW
