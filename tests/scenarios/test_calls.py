"""Whole calls over real loopback sockets: a host in its own process, peers with media here."""

from __future__ import annotations

import asyncio

import pytest

from tests.peers.call import Call
from tests.peers.carrier import Plan
from tests.peers.endpoint import until
from tests.peers.media import Media
from tests.scenarios.world import (
    ALICE_DID,
    ALICE_HZ,
    BOB_DID,
    BOB_HZ,
    CARRIER_HZ,
    FLAT_DID,
    FORKED_DID,
    NUMBER,
    SILENCE_S,
    Play,
    World,
    answer_with,
    hears,
    talking,
)


def test_audio_crosses_the_relay_both_ways(play: Play) -> None:
    async def scenario(world: World) -> None:
        call, far = await talking(world)
        await asyncio.gather(hears(call, CARRIER_HZ), hears(far, ALICE_HZ))
        assert call.media.heard[-1].source[0] == world.net[2], "the audio comes from the relay"
        call.media.press("15#")
        await until(lambda: far.media.digits == "15#", what="digits at the carrier")
        call.hang_up()
        await far.wait("ended")
        assert (far.ended_by, far.cause) == ("peer", 16)

    play(scenario)


def test_the_relay_learns_where_audio_really_comes_from(play: Play) -> None:
    """Given a caller whose SDP names a port that it does not send from, as behind NAT."""

    async def scenario(world: World) -> None:
        carrier, alice = await world.carrier(), await world.phone("alice", register=False)
        call = await alice.call(NUMBER, world.listener, hz=ALICE_HZ)
        await call.media.send_from_elsewhere()
        assert call.media.out_port != call.media.port
        heard_at: set[int] = set()
        out = call.media._out
        assert out is not None
        await call.wait("answered")
        far = carrier.calls[0]
        await asyncio.gather(hears(far, ALICE_HZ), hears(call, CARRIER_HZ))
        # Only the socket that it sends from is left open, and still it hears.
        assert call.media._transport is not None
        call.media._transport.close()
        await hears(call, CARRIER_HZ)
        heard_at.add(call.media.out_port)
        assert heard_at

    play(scenario)


def test_a_stranger_who_finds_the_relays_port_gets_no_audio_and_is_not_heard(play: Play) -> None:
    async def scenario(world: World) -> None:
        call, far = await talking(world)
        await asyncio.gather(hears(call, CARRIER_HZ), hears(far, ALICE_HZ))
        stranger = Media(world.net[66])
        await stranger.open()
        stranger.remote = call.media.remote
        stranger.say(2_500, 0)
        loop = asyncio.get_running_loop()
        end = loop.time() + 1.0
        while loop.time() < end:
            stranger.tick()
            await asyncio.sleep(0.02)
        await asyncio.gather(hears(call, CARRIER_HZ), hears(far, ALICE_HZ))
        stranger.close()
        assert not stranger.heard

    play(scenario)


def test_a_carriers_audio_comes_from_its_own_address_whoever_sends_first(play: Play) -> None:
    """Given a carrier that is still silent, when a stranger sends to the relay first."""

    async def scenario(world: World) -> None:
        carrier, alice = await world.carrier(), await world.phone("alice", register=False)
        carrier.default = Plan(mute=True)
        call = await alice.call(NUMBER, world.listener, hz=ALICE_HZ)
        await call.wait("answered")
        far = carrier.calls[0]
        stranger = Media(world.net[66])
        await stranger.open()
        stranger.remote = far.media.remote
        stranger.say(2_500, 0)
        loop = asyncio.get_running_loop()
        end = loop.time() + 1.0
        while loop.time() < end:
            stranger.tick()
            await asyncio.sleep(0.02)
        far.media.say(CARRIER_HZ)
        await asyncio.gather(hears(call, CARRIER_HZ), hears(far, ALICE_HZ))
        stranger.close()
        assert not stranger.heard

    play(scenario)


def test_a_call_whose_media_is_silent_both_ways_is_ended(play: Play) -> None:
    async def scenario(world: World) -> None:
        before = world.mark()
        call, far = await talking(world)
        await hears(call, CARRIER_HZ)
        loop = asyncio.get_running_loop()
        call.media.source = far.media.source = None
        silent_at = loop.time()
        await asyncio.gather(call.wait("ended", 12), far.wait("ended", 12))
        took_s = loop.time() - silent_at
        assert SILENCE_S - 1 <= took_s <= SILENCE_S + 3
        assert call.ended_by == far.ended_by == "peer"
        row = (await world.cdrs_since(before))[-1]
        assert (row["disposition"], row["ended_by"]) == ("answered", "media")

    play(scenario)


def test_one_way_audio_keeps_a_call_up(play: Play) -> None:
    async def scenario(world: World) -> None:
        call, far = await talking(world)
        await hears(call, CARRIER_HZ)
        call.media.source = None
        await asyncio.sleep(SILENCE_S + 1.5)
        assert call.state == far.state == "answered"
        await hears(call, CARRIER_HZ)

    play(scenario)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_hold_and_resume_go_through_the_host(play: Play, method: str) -> None:
    async def scenario(world: World) -> None:
        call, far = await talking(world)
        await asyncio.gather(hears(call, CARRIER_HZ), hears(far, ALICE_HZ))
        call.modify("sendonly", method)
        await until(lambda: call.modify_status == 200, what="200 to hold")
        assert any(s.data.startswith(method.encode()) for s in far.endpoint.seen[-4:])
        assert far.sdp_direction() == "sendonly"
        assert call.sdp_direction() == "recvonly"
        assert far.offers[-1].address_of(far.offers[-1].audio) == world.net[2]  # type: ignore[arg-type]
        await hears(far, ALICE_HZ)
        call.modify("sendrecv", method)
        await until(lambda: call.modify_status == 200, what="200 to resume")
        assert far.sdp_direction() == "sendrecv"
        await asyncio.gather(hears(call, CARRIER_HZ), hears(far, ALICE_HZ))
        far.modify("sendonly", method)  # and from the other side
        await until(lambda: far.modify_status == 200, what="200 to the carrier's hold")
        assert call.sdp_direction() == "sendonly"

    play(scenario)


def test_early_media_is_heard_before_the_answer(play: Play) -> None:
    async def scenario(world: World) -> None:
        carrier, alice = await world.carrier(), await world.phone("alice", register=False)
        carrier.default = Plan(provisional=183, ring_s=1.2, hz=CARRIER_HZ)
        call = await alice.call(NUMBER, world.listener, hz=ALICE_HZ)
        await until(lambda: 183 in call.statuses, what="183")
        await hears(call, CARRIER_HZ)
        assert call.state == "calling"
        await call.wait("answered")
        await asyncio.gather(hears(call, CARRIER_HZ), hears(carrier.calls[0], ALICE_HZ))

    play(scenario)


def test_early_media_of_a_carrier_that_fails_gives_way_to_the_next(play: Play) -> None:
    async def scenario(world: World) -> None:
        first, second = await world.carrier(1), await world.carrier(2)
        first.default = Plan(provisional=183, ring_s=0.8, hz=900, status=503)
        alice = await world.phone("alice", register=False)
        call = await alice.call(NUMBER, world.listener, hz=ALICE_HZ)
        await until(lambda: 183 in call.statuses, what="183")
        await hears(call, 900)
        await call.wait("answered")
        await asyncio.gather(hears(call, CARRIER_HZ), hears(second.calls[0], ALICE_HZ))

    play(scenario)


def test_a_late_offer_is_answered_in_the_ack(play: Play) -> None:
    async def scenario(world: World) -> None:
        call, far = await talking(world, sdp=False)
        assert far.late_offer
        await asyncio.gather(hears(call, CARRIER_HZ), hears(far, ALICE_HZ))

    play(scenario)


def test_two_contacts_ring_and_the_one_that_does_not_answer_is_cancelled(play: Play) -> None:
    async def scenario(world: World) -> None:
        carrier = await world.carrier()
        quick, slow = await world.phone("bob"), await world.phone("bob")
        quick.on_call = answer_with(BOB_HZ, 0.5)
        slow.on_call = answer_with(900, 25)
        call = await carrier.call(FORKED_DID, world.listener, caller="+15145550111")
        call.media.say(CARRIER_HZ)
        await until(lambda: quick.calls and slow.calls and slow.calls[0].ringing, what="ringing")
        await call.wait("answered")
        await slow.calls[0].wait("ended")
        assert slow.calls[0].cancelled
        await asyncio.gather(hears(call, BOB_HZ), hears(quick.calls[0], CARRIER_HZ))
        call.hang_up()
        await quick.calls[0].wait("ended")

    play(scenario)


@pytest.mark.parametrize("plan", [Plan(status=503), Plan(status=408), Plan(status=0)])
def test_the_next_carrier_is_tried(play: Play, plan: Plan) -> None:
    """Given two carriers that fail by 503, 408 or silence, then the third one gets the call."""

    async def scenario(world: World) -> None:
        carriers = [await world.carrier(number) for number in (1, 2, 3)]
        carriers[0].default = carriers[1].default = plan
        before = world.mark()
        alice = await world.phone("alice", register=False)
        call = await alice.call(NUMBER, world.listener, hz=ALICE_HZ)
        await call.wait("answered")
        assert [len(carrier.calls) for carrier in carriers] == [1, 1, 1]
        await asyncio.gather(hears(call, CARRIER_HZ), hears(carriers[2].calls[0], ALICE_HZ))
        call.hang_up()
        row = (await world.cdrs_since(before))[-1]
        assert row["carrier"] == "carrier3"

    play(scenario)


@pytest.mark.parametrize(
    ("status", "cause", "disposition"),
    [(486, 17, "busy"), (404, 1, "failed"), (603, 21, "failed")],
)
def test_what_the_callee_said_is_passed_on_and_no_other_carrier_asked(
    play: Play, status: int, cause: int, disposition: str
) -> None:
    async def scenario(world: World) -> None:
        first, second = await world.carrier(1), await world.carrier(2)
        first.default = Plan(status=status)
        before = world.mark()
        alice = await world.phone("alice", register=False)
        call = await alice.call(NUMBER, world.listener)
        await call.wait("ended")
        assert (call.status, call.cause) == (status, cause)
        assert not second.calls
        row = (await world.cdrs_since(before))[-1]
        assert (row["disposition"], row["cost"], row["talk_ms"]) == (disposition, "0.00", 0)

    play(scenario)


def test_all_carriers_dead_gets_a_reorder_status_and_costs_nothing(play: Play) -> None:
    async def scenario(world: World) -> None:
        for number in (1, 2, 3):
            (await world.carrier(number)).default = Plan(status=0)
        alice = await world.phone("alice", register=False)
        call = await alice.call(NUMBER, world.listener)
        await call.wait("ended", 15)
        assert call.status in (408, 480, 503, 504)
        live = await world.host.run("ledger", "balance", "alice")
        assert live["held"] == "0.00"

    play(scenario)


def test_a_flat_did_is_busy_on_its_third_call(play: Play) -> None:
    async def scenario(world: World) -> None:
        carrier = await world.carrier()
        await world.phone("bob")
        calls = [await carrier.call(FLAT_DID, world.listener) for _ in range(2)]
        for call in calls:
            await call.wait("answered")
        third = await carrier.call(FLAT_DID, world.listener)
        await third.wait("ended")
        assert (third.status, third.cause) == (486, 17)
        calls[0].hang_up()
        again = await carrier.call(FLAT_DID, world.listener)
        await again.wait("answered")

    play(scenario)


def test_a_busy_telephone_is_busy_to_the_caller(play: Play) -> None:
    async def scenario(world: World) -> None:
        carrier, bob = await world.carrier(), await world.phone("bob")

        async def busy(call: Call) -> None:
            call.reject(486, 17)

        bob.on_call = busy
        call = await carrier.call(BOB_DID, world.listener)
        await call.wait("ended")
        assert (call.status, call.cause) == (486, 17)

    play(scenario)


def test_an_account_that_is_not_registered_gets_no_calls(play: Play) -> None:
    async def scenario(world: World) -> None:
        carrier = await world.carrier()
        call = await carrier.call(BOB_DID, world.listener)
        await call.wait("ended")
        assert (call.status, call.cause) == (480, 20)

    play(scenario)


def test_a_call_to_oneself_rings_and_talks(play: Play) -> None:
    async def scenario(world: World) -> None:
        alice = await world.phone("alice")
        alice.on_call = answer_with(BOB_HZ)
        call = await alice.call(ALICE_DID, world.listener, hz=ALICE_HZ)
        await call.wait("answered")
        (own,) = [one for one in alice.calls if one is not call]
        await asyncio.gather(hears(call, BOB_HZ), hears(own, ALICE_HZ))
        call.hang_up()
        await own.wait("ended")

    play(scenario)


def test_a_call_to_another_customers_did_is_charged_on_both_sides(play: Play) -> None:
    async def scenario(world: World) -> None:
        carrier = await world.carrier()
        alice, bob = await world.phone("alice"), await world.phone("bob")
        before = world.mark()
        call = await alice.call(BOB_DID.lstrip("+"), world.listener, hz=ALICE_HZ)
        await call.wait("answered")
        await asyncio.gather(hears(call, BOB_HZ), hears(bob.calls[0], ALICE_HZ))
        bob.calls[0].hang_up()
        await call.wait("ended")
        assert call.ended_by == "peer"
        assert not carrier.calls, "it stays on the net"
        rows = await world.cdrs_since(before)
        assert {row["direction"] for row in rows} == {"out", "in"}
        assert {row["direction"]: row["cost"] for row in rows} == {"out": "0.001", "in": "0.0009"}

    play(scenario)
