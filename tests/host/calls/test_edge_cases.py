"""Calls in which messages cross, come late, or mean something special, seen from both ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from firmware.wire.sip.message import Request, parse, response_to
from tests.host.sip.agents import (
    NO_UPDATE,
    Agent,
    Side,
    answers,
    cast,
    hangs_up,
    is_silent,
    mirrored,
    refuses,
    rings,
    sdp,
    with_did,
)
from tests.host.sip.world import DID, RELAY, World

NEW_YORK = DID.lstrip("+")


def talking(world: World, **account: object) -> tuple[Side, Side]:
    """Alice has called out and the carrier has answered."""
    alice, north = cast(world, **account)
    caller = alice.call()
    world.run(2)
    assert caller.outcome == 200
    return caller, north.sides[0]


def test_a_call_is_answered_talked_billed_and_settled(world: World) -> None:
    caller, callee = talking(world)
    world.at(26.9 - 2, caller.bye)
    world.finish()
    assert caller.statuses == [401, 180, 200]
    assert callee.over
    assert f"c=IN IP4 {RELAY}".encode() in caller.sdp
    cdr = world.cdr()
    assert (cdr["disposition"], cdr["ended_by"], cdr["cause"]) == ("answered", "caller", 16)
    assert 25_000 < cdr["billed_ms"] < 27_000
    assert cdr["cost"] == 520_000 * 30 // 60, "6/6 seconds: 27 s cost as much as 30 s"


# --- CANCEL --------------------------------------------------------------------------------------


def test_cancel_while_it_rings_reaches_the_carrier_and_costs_nothing(world: World) -> None:
    alice, north = cast(world)
    north.plan = rings()
    caller = alice.call()
    world.at(3, caller.cancel)
    world.finish()
    assert caller.outcome == 487
    assert north.sides[0].outcome == 487
    assert (world.cdr()["disposition"], world.cdr()["cost"]) == ("cancelled", 0)


def test_cancel_before_the_carrier_said_anything_waits_for_its_100(world: World) -> None:
    alice, north = cast(world)
    north.plan = lambda side: world.at(2, lambda: side.respond(180))
    caller = alice.call()
    world.at(0.3, caller.cancel)
    world.finish()
    assert caller.outcome == 487
    assert north.sides[0].outcome == 487
    cancels = [d for _, a, b, d in world.wire if d.startswith(b"CANCEL") and b == north.where]
    provisional = [t for t, a, _, d in world.wire if a == north.where and b"180 Ringing" in d]
    sent = [t for t, _, b, d in world.wire if d in cancels and b == north.where]
    assert min(sent) > provisional[0], "CANCEL may not go before a provisional answer (9.1)"


def test_cancel_before_charging_has_answered(world: World) -> None:
    alice, north = cast(world)
    world.host.store.delay_s = 1.0
    caller = alice.call()
    world.at(0.2, caller.cancel)
    world.finish()
    assert caller.outcome == 487
    assert not north.sides, "a carrier was called for a caller who had left"
    assert world.cdr()["disposition"] == "cancelled"


@pytest.mark.parametrize("after_s", [1.0255, 1.031, 1.0365, 1.042, 1.047, 1.052])
def test_cancel_that_crosses_the_200_leaves_nobody_in_a_call(world: World, after_s: float) -> None:
    alice, north = cast(world)
    caller = alice.call()
    # When the caller gets a 200 after all, it acknowledges and hangs up (RFC 3261, 9.1).
    caller.on_answer = lambda side: side.bye()
    world.at(after_s, caller.cancel)
    world.finish()
    callee = north.sides[0]
    assert caller.outcome in (200, 487)
    assert callee.over
    if caller.outcome == 487:
        assert world.cdr()["cost"] == 0, "who was told 487 pays nothing"


# --- fork, early media, late answers -------------------------------------------------------------


def test_early_media_passes_as_183_with_the_relays_address(world: World) -> None:
    alice, north = cast(world)

    def plan(side: Side) -> None:
        side.respond(183, sdp(north.where, 7000))
        world.at(2, side.answer)

    north.plan = plan
    caller = alice.call()
    caller.on_answer = hangs_up(5)
    world.finish()
    assert caller.statuses == [401, 183, 200]
    early = caller.responses[1]
    assert f"c=IN IP4 {RELAY}".encode() in early.body
    assert b"m=audio 7000" not in early.body


def test_an_answer_without_description_stands_by_that_of_its_183(world: World) -> None:
    alice, north = cast(world)

    def plan(side: Side) -> None:
        side.respond(183, sdp(north.where, 7000))
        world.at(1, lambda: side.answer(b""))

    north.plan = plan
    caller = alice.call()
    caller.on_answer = hangs_up(5)
    world.finish()
    assert caller.responses[-1].body, "the 200 must bear the answer"


def test_two_forks_ring_and_both_answer(world: World) -> None:
    alice, north = cast(world)

    def plan(side: Side) -> None:
        side.respond(180, tag="fork-a")
        side.respond(183, sdp(north.where, 7002), tag="fork-b")
        world.at(1, lambda: side.respond(200, sdp(north.where), tag=side.tag))
        world.at(1.2, lambda: second(side))

    def second(side: Side) -> None:
        response = response_to(side.request, 200, to_tag="fork-b")
        response.headers.set("Contact", north.contact)
        north.layer.send(response, side.invite.flow)
        north.flush()

    north.plan = plan
    caller = alice.call()
    caller.on_answer = hangs_up(5)
    world.finish()
    to_north = [parse(d) for _, _, b, d in world.wire if b == north.where]
    tags = {(m.method, m.to.tag) for m in to_north if isinstance(m, Request)}
    assert ("ACK", "fork-b") in tags
    assert ("BYE", "fork-b") in tags, "the second winner is acknowledged and hung up"
    assert caller.outcome == 200
    assert len(world.cdrs()) == 1


def test_both_contacts_ring_and_the_loser_is_cancelled(world: World) -> None:
    alice, north = with_did(world)
    other = Agent(world, ("10.0.1.2", 5062), "alice")
    other.register(call_id="other")
    world.run(1)
    alice.plan, other.plan = answers(answer_s=2), answers(answer_s=5)
    caller = north.call(NEW_YORK)
    caller.on_answer = hangs_up(10)
    world.finish()
    assert caller.outcome == 200
    assert (alice.sides[0].outcome, other.sides[0].outcome) == (200, 487)


def test_both_contacts_answer_at_once(world: World) -> None:
    alice, north = with_did(world)
    other = Agent(world, ("10.0.1.2", 5062), "alice")
    other.register(call_id="other")
    world.run(1)
    caller = north.call(NEW_YORK)
    caller.on_answer = hangs_up(10)
    world.finish()
    assert caller.outcome == 200
    ended_early = [s for s in (alice.sides[0], other.sides[0]) if s.over_at < caller.over_at]
    assert len(ended_early) == 1, "one of the two was hung up at once"
    assert len(world.cdrs()) == 1


def test_a_call_to_oneself(world: World) -> None:
    alice, _ = with_did(world)
    caller = alice.call(NEW_YORK)
    caller.on_answer = hangs_up(7)
    world.finish()
    callee = alice.sides[1]
    assert (caller.outcome, callee.outcome) == (200, 200)
    legs = {cdr["direction"]: cdr["cost"] for cdr in world.cdrs()}
    assert set(legs) == {"out", "in"}
    assert all(legs.values()), "both legs of it are charged"


# --- ACK -----------------------------------------------------------------------------------------


def test_a_late_ack_is_taken(world: World) -> None:
    alice, _north = cast(world)
    caller = alice.call()
    caller.acknowledges = False
    world.at(10, caller.ack)
    world.at(20, caller.bye)
    world.finish()
    assert 18_000 < world.cdr()["billed_ms"] < 20_000


def test_a_lost_ack_ends_the_call_after_32_seconds(world: World) -> None:
    alice, north = cast(world)
    caller = alice.call()
    caller.acknowledges = False
    world.finish()
    assert caller.ended_by_host is not None
    assert north.sides[0].ended_by_host is not None
    cdr = world.cdr()
    assert (cdr["cause"], cdr["detail"]) == (102, "no ACK")
    assert 31_000 < cdr["billed_ms"] < 33_000


def test_a_bye_to_the_caller_waits_for_its_ack(world: World) -> None:
    """RFC 3261, 15: the callee's side sends no BYE before the ACK."""
    alice, north = cast(world)
    caller = alice.call()
    caller.acknowledges = False
    world.run(1.1)
    north.sides[0].bye()
    world.run(3)
    assert caller.ended_by_host is None
    caller.ack()
    world.finish()
    assert caller.ended_by_host is not None
    assert world.cdr()["ended_by"] == "callee"


def test_a_caller_may_hang_up_before_its_ack(world: World) -> None:
    alice, north = cast(world)
    caller = alice.call()
    caller.acknowledges = False
    caller.on_answer = lambda side: side.bye()
    world.finish()
    assert caller.byes == [200]
    assert north.sides[0].over


# --- BYE -----------------------------------------------------------------------------------------


def test_both_ends_hang_up_at_once(world: World) -> None:
    caller, callee = talking(world)
    world.at(5, caller.bye)
    world.at(5, callee.bye)
    world.finish()
    assert caller.byes == [200]
    assert callee.byes == [200], "a BYE that crosses ours is no request of an unknown dialog"
    assert len(world.cdrs()) == 1


def test_a_callee_that_hangs_up_before_the_caller_hears_of_it_costs_nothing(world: World) -> None:
    alice, north = cast(world)
    world.host.store.delay_s = 0.5

    def plan(side: Side) -> None:
        side.answer()
        world.at(0.1, side.bye)

    north.plan = plan
    caller = alice.call()
    world.finish()
    assert caller.outcome == 480
    assert world.cdr()["cost"] == 0


def test_requests_of_unknown_dialogs_get_481(world: World) -> None:
    caller, callee = talking(world)
    caller.bye()
    world.run(60)  # longer than a BYE that crossed could take
    for side in (caller, callee):
        side.over = False
        side.bye()
    world.finish()
    assert caller.byes == [200, 481]
    assert callee.byes == [481]


# --- re-INVITE and UPDATE ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("by", ["caller", "callee"])
def test_hold_resume_and_codec_change_go_through(world: World, method: str, by: str) -> None:
    sides = talking(world)
    mine, other = sides if by == "caller" else sides[::-1]
    for step, body in enumerate(
        (
            sdp(mine.agent.where, direction="sendonly", version=2),
            sdp(mine.agent.where, version=3),
            sdp(mine.agent.where, formats="8", version=4),
        )
    ):
        mine.modify(body, method)
        world.run(1)
        asked, answer = other.requests[-1], mine.modified[-1]
        assert asked.method == method
        assert f"c=IN IP4 {RELAY}".encode() in asked.body
        assert answer is not None
        assert answer.status == 200
        wanted = [(b"a=sendonly", b"a=recvonly"), (b"a=sendrecv", b"a=sendrecv")]
        if step < 2:
            assert wanted[step][0] in asked.body
            assert wanted[step][1] in answer.body
        else:
            assert b"RTP/AVP 8\r\n" in asked.body
            assert b"RTP/AVP 8\r\n" in answer.body
    mine.bye()
    world.finish()


def test_update_becomes_a_re_invite_for_a_peer_without_it(world: World) -> None:
    alice, north = cast(world)
    north.allow = NO_UPDATE
    caller = alice.call()
    world.run(2)
    caller.modify(sdp(alice.where, direction="sendonly", version=2), "UPDATE")
    world.run(1)
    assert north.sides[0].requests[-1].method == "INVITE"
    assert caller.modified[-1] is not None
    assert caller.modified[-1].status == 200
    caller.bye()
    world.finish()


def test_a_refused_change_leaves_the_session_as_it_was(world: World) -> None:
    caller, callee = talking(world)
    callee.on_modify = lambda side, request: 488
    before = caller.sdp
    caller.modify(sdp(caller.agent.where, formats="9", version=2))
    world.run(1)
    assert caller.modified[-1] is not None
    assert caller.modified[-1].status == 488
    callee.on_modify = lambda side, request: 200
    caller.modify(b"")  # what stands, says the host?
    world.run(1)
    assert caller.modified[-1].status == 200
    assert caller.modified[-1].body == before
    caller.bye()
    world.finish()


def test_both_ends_change_at_once_and_are_told_491(world: World) -> None:
    caller, callee = talking(world)
    caller.modify(sdp(caller.agent.where, direction="sendonly", version=2))
    callee.modify(sdp(callee.agent.where, direction="sendonly", version=2))
    world.run(5)
    statuses = [side.modified[-1].status for side in (caller, callee) if side.modified[-1]]
    assert 491 in statuses
    for side in (caller, callee):  # after the wait that RFC 3261, 14.1 asks for
        side.modify(sdp(side.agent.where, direction="inactive", version=3))
        world.run(2)
        assert side.modified[-1] is not None
        assert side.modified[-1].status == 200
    caller.bye()
    world.finish()


def test_a_second_change_before_the_first_is_answered_gets_500(world: World) -> None:
    caller, callee = talking(world)
    callee.on_modify = lambda side, request: None
    caller.modify(sdp(caller.agent.where, version=2))
    world.run(0.5)
    caller.modify(sdp(caller.agent.where, version=3), "UPDATE")
    world.run(0.5)
    refused = caller.modified[-1]
    assert refused is not None
    assert refused.status == 500
    assert 0 <= int(refused.headers.get("Retry-After") or "-1") <= 10
    caller.bye()
    world.run(60)
    assert [m.status for m in caller.modified if m] == [500, 487]
    callee.over = True  # it left a request of ours without answer
    world.finish()


def test_update_before_the_answer_gets_500(world: World) -> None:
    """RFC 3311, 5.2: an offer while ours is not answered yet."""
    alice, north = cast(world)
    north.plan = answers(answer_s=5)
    caller = alice.call()
    world.run(1)
    from firmware.wire.sip.dialog import Dialog

    caller.dialog = Dialog.uac(caller.request, caller.responses[-1])
    caller.modify(sdp(alice.where, version=2), "UPDATE")
    world.run(0.5)
    assert caller.modified[-1] is not None
    assert caller.modified[-1].status == 500
    caller.dialog = None
    caller.on_answer = hangs_up(3)
    world.finish()


def test_an_offerless_invite_is_answered_in_the_ack(world: World) -> None:
    alice, north = cast(world)
    caller = alice.call(body=b"")
    caller.answer_in_ack = sdp(alice.where)
    caller.on_answer = hangs_up(5)
    world.finish()
    callee = north.sides[0]
    assert callee.requests[0].body == b""
    assert f"c=IN IP4 {RELAY}".encode() in caller.responses[-1].body
    assert f"c=IN IP4 {RELAY}".encode() in callee.acks[0].body
    assert world.cdr()["disposition"] == "answered"


def test_an_offerless_invite_without_answer_in_the_ack_ends(world: World) -> None:
    alice, north = cast(world)
    caller = alice.call(body=b"")
    world.finish()
    assert caller.ended_by_host is not None
    assert north.sides[0].ended_by_host is not None
    assert world.cdr()["cost"] == 0


def test_an_offerless_re_invite_gets_our_offer_and_its_answer_goes_through(world: World) -> None:
    caller, callee = talking(world)
    caller.modify(sdp(caller.agent.where, direction="sendonly", version=2))
    world.run(1)
    offer_before = caller.sdp
    caller.answer_in_ack = sdp(caller.agent.where, version=3)
    caller.modify(b"")
    world.run(2)
    assert caller.modified[-1] is not None
    assert caller.modified[-1].body == offer_before
    assert b"a=sendrecv" in callee.requests[-1].body, "the other side hears of the resumption"
    caller.bye()
    world.finish()


def test_a_refresh_of_the_same_session_is_answered_by_the_host_itself(world: World) -> None:
    caller, callee = talking(world)
    seen = len(callee.requests)
    caller.modify(sdp(caller.agent.where))
    world.run(1)
    assert caller.modified[-1] is not None
    assert caller.modified[-1].status == 200
    assert len(callee.requests) == seen
    caller.bye()
    world.finish()


def test_a_re_invite_that_the_peer_no_longer_knows_ends_the_call(world: World) -> None:
    caller, callee = talking(world)
    callee.on_modify = lambda side, request: 481
    caller.modify(sdp(caller.agent.where, version=2))
    world.finish()
    assert caller.modified[-1] is not None
    assert caller.ended_by_host is not None


def test_a_re_invite_whose_200_gets_no_ack_ends_the_call(world: World) -> None:
    caller, callee = talking(world)

    def forget(*_: object) -> None:
        caller.agent.mute = True

    caller.modify(sdp(caller.agent.where, version=2))
    world.run(0.02)
    forget()
    world.run(60)
    assert callee.ended_by_host is not None
    world.finish()
    assert world.cdr()["cause"] == 102


def test_info_passes_through(world: World) -> None:
    caller, callee = talking(world)
    caller.send("INFO", ("Content-Type", "application/dtmf-relay"), body=b"Signal=5\r\n")
    world.run(1)
    assert callee.requests[-1].method == "INFO"
    assert callee.requests[-1].body == b"Signal=5\r\n"
    caller.bye()
    world.finish()


# --- carriers ------------------------------------------------------------------------------------


def two_carriers(world: World) -> tuple[Agent, Agent, Agent]:
    alice, north = cast(world)
    world.carrier("south", ("10.0.0.8", 5060), priority=20)
    return alice, north, Agent(world, ("10.0.0.8", 5060))


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_another_carrier_is_tried_after(world: World, status: int) -> None:
    alice, north, _south = two_carriers(world)
    north.plan = refuses(status)
    caller = alice.call()
    caller.on_answer = hangs_up(5)
    world.finish()
    assert caller.outcome == 200
    assert world.cdr()["carrier"] == "south"


@pytest.mark.parametrize(
    ("status", "cause"), [(486, 17), (404, 1), (603, 21), (403, 21), (484, 28), (480, 18)]
)
def test_what_the_callee_says_goes_to_the_caller(world: World, status: int, cause: int) -> None:
    alice, north, south = two_carriers(world)
    north.plan = refuses(status)
    caller = alice.call()
    world.finish()
    assert caller.outcome == status
    assert (caller.responses[-1].headers.get("Reason") or "").startswith(f"Q.850;cause={cause}")
    assert not south.sides
    assert world.cdr()["cost"] == 0


def test_a_silent_carrier_is_passed_over_in_six_seconds(world: World) -> None:
    alice, north, _south = two_carriers(world)
    north.mute = True
    caller = alice.call()
    caller.on_answer = hangs_up(5)
    world.finish()
    assert caller.outcome == 200
    assert 7 < caller.answered_at - 1000 < 8
    assert world.cdr()["carrier"] == "south"


def test_a_carrier_that_wakes_up_after_it_was_passed_over_is_hung_up(world: World) -> None:
    alice, north, _south = two_carriers(world)
    north.plan = answers(ring_s=7, answer_s=7.5)

    def late(side: Side) -> None:
        world.at(7.5, side.answer)

    north.plan = late
    caller = alice.call()
    caller.on_answer = hangs_up(20)
    world.finish()
    assert world.cdr()["carrier"] == "south"
    assert north.sides[0].over


def test_all_carriers_silent(world: World) -> None:
    alice, north, south = two_carriers(world)
    north.plan = south.plan = is_silent
    caller = alice.call()
    world.finish()
    assert caller.outcome == 408
    assert "cause=102" in (caller.responses[-1].headers.get("Reason") or "")


def test_nobody_picks_up(worlds: Callable[..., World]) -> None:
    world = worlds(ring_s=30)
    alice, north = cast(world)
    north.plan = rings()
    caller = alice.call()
    world.finish()
    assert caller.outcome == 480
    assert "cause=19" in (caller.responses[-1].headers.get("Reason") or "")
    assert 29 < caller.over_at - 1000 < 32
    assert world.cdr()["disposition"] == "no answer"


@pytest.mark.parametrize("header", ["Contact", "Record-Route", "Session-Expires"])
def test_an_answer_that_cannot_be_used_ends_cleanly(world: World, header: str) -> None:
    alice, north = cast(world)
    north.plan = lambda side: side.respond(200, sdp(north.where), (header, "<mailto:x@y>"))
    caller = alice.call()
    caller.on_answer = hangs_up(5)
    world.finish()
    callee = north.sides[0]
    assert callee.acks
    assert callee.over
    assert caller.outcome == (200 if header == "Session-Expires" else 502)


@pytest.mark.parametrize("body", [b"v=0\r\nnonsense", b"v=0\r\nm=audio x RTP/AVP 0\r\n", b"hello"])
def test_descriptions_that_say_nothing(world: World, body: bytes) -> None:
    alice, north = cast(world)
    bad = alice.call(body=body)
    world.run(5)
    assert bad.outcome == 488
    assert not north.sides
    north.plan = lambda side: side.answer(body)
    caller = alice.call()
    world.finish()
    assert caller.outcome == 502
    assert north.sides[0].over
    assert [cdr["cost"] for cdr in world.cdrs()] == [0, 0]


def test_no_relay_port_is_our_own_failure(world: World) -> None:
    alice, north = cast(world)
    world.host.sim_relay.full = True
    caller = alice.call()
    world.finish()
    assert caller.outcome == 500
    assert not north.sides


# --- who is shown, who may send ------------------------------------------------------------------


def test_what_a_caller_calls_itself_is_not_believed_and_cannot_break_a_message(
    world: World,
) -> None:
    alice, north = cast(world)
    caller = alice.call(caller="%0d%0aEvil:%20yes")
    caller.on_answer = hangs_up(2)
    world.run(20)
    invite = north.sides[0].requests[0]
    assert "Evil" not in invite.headers
    assert invite.from_.uri.user == "anonymous"
    alice.call(caller="+19005550000").on_answer = hangs_up(2)
    world.run(20)
    assert "9005550000" not in str(north.sides[1].requests[0].from_.uri), "not its number"
    world.finish()


def test_a_carriers_caller_is_shown_and_escaped(world: World) -> None:
    alice, north = with_did(world)
    north.call(NEW_YORK, caller="+13125550177").on_answer = hangs_up(2)
    world.run(20)
    assert alice.sides[0].requests[0].from_.uri.user == "+13125550177"
    north.call(NEW_YORK, caller="a%0d%0aEvil:%20yes").on_answer = hangs_up(2)
    world.run(20)
    assert "Evil" not in alice.sides[1].requests[0].headers
    world.finish()


def test_a_carrier_is_reached_where_its_contact_says(world: World) -> None:
    """RFC 3261, 12.2.1.1: requests in the dialog go to the remote target."""
    alice, north = with_did(world)
    node = Agent(world, ("10.0.0.7", 5080))
    caller = north.call(NEW_YORK, ("Contact", "<sip:gw@10.0.0.7:5080>"), without=["Contact"])
    world.run(3)
    assert caller.outcome == 200
    node.sides.append(caller)
    caller.agent = node
    alice.sides[0].bye()
    world.finish()
    assert caller.ended_by_host is not None


# --- the end of the host -------------------------------------------------------------------------


def test_shutdown_lets_calls_finish_and_takes_no_new_ones(world: World) -> None:
    caller, _ = talking(world)
    world.host.stop()
    late = caller.agent.call()
    world.run(5)
    assert late.outcome == 503
    assert late.responses[-1].headers.get("Retry-After")
    assert not caller.over
    caller.bye()
    world.finish()
    assert world.cdrs()[0]["ended_by"] == "caller"


def test_shutdown_twice_ends_and_settles(world: World) -> None:
    caller, callee = talking(world)
    ringing = caller.agent.call("15145550101")
    north = callee.agent
    north.plan = rings()
    world.run(1)
    world.host.stop()
    world.host.stop()
    world.finish()
    assert caller.ended_by_host is not None
    assert callee.ended_by_host is not None
    assert ringing.outcome == 503 or ringing.over
    assert world.cdrs()[0]["ended_by"] == "host"
    assert world.cdrs()[0]["billed_ms"] > 0


def test_media_that_falls_silent_ends_the_call(world: World) -> None:
    caller, callee = talking(world)
    (call_id,) = world.host.control.calls
    world.host._silent(call_id)
    world.finish()
    assert caller.ended_by_host is not None
    assert callee.ended_by_host is not None
    assert world.cdr()["ended_by"] == "media"


def test_the_answer_names_mirror_what_was_offered() -> None:
    """The agents of these tests are honest."""
    offer = sdp(("10.0.0.1", 1), direction="sendonly", formats="8")
    assert b"a=recvonly" in mirrored(("10.0.0.2", 1), offer)
