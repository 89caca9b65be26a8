"""Messages that cross, get lost or come twice on the way of a call."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.peers.carrier import Plan
from tests.peers.endpoint import Endpoint, Login, Seen, until
from tests.scenarios.rig import HostProcess, Net
from tests.scenarios.world import ALICE_HZ, CARRIER_HZ, NUMBER, Play, World, hears, talking


def test_a_caller_who_gives_up_cancels_the_carrier_and_pays_nothing(play: Play) -> None:
    async def scenario(world: World) -> None:
        carrier, alice = await world.carrier(), await world.phone("alice", register=False)
        carrier.default = Plan(ring_s=-1)
        before = world.mark()
        call = await alice.call(NUMBER, world.listener)
        await until(lambda: call.ringing, what="ringing")
        call.hang_up()
        await asyncio.gather(call.wait("ended"), carrier.calls[0].wait("ended"))
        assert call.status == 487
        assert carrier.calls[0].cancelled
        row = (await world.cdrs_since(before))[-1]
        assert (row["disposition"], row["cost"], row["talk_ms"]) == ("cancelled", "0.00", 0)

    play(scenario)


def test_a_cancel_that_crosses_the_answer_leaves_no_call_standing(play: Play) -> None:
    """Given a carrier whose answer is on its way, when the caller cancels, all ends in one CDR."""

    async def scenario(world: World) -> None:
        carrier, alice = await world.carrier(), await world.phone("alice", register=False)
        carrier.default = Plan(ring_s=-1)
        before = world.mark()
        for _ in range(5):
            call = await alice.call(NUMBER, world.listener)
            await until(lambda call=call: call.ringing, what="ringing")  # type: ignore[misc]
            far = carrier.calls[-1]
            far.answer()
            call.hang_up()
            await call.wait("ended")
            # Either the answer won, and a BYE follows it, or the CANCEL did: never neither.
            assert call.status in (200, 487)
            await far.wait("ended")
        rows = await world.cdrs_since(before, 5)
        assert len(rows) == 5
        assert await world.host.run("calls") == []

    play(scenario)


def test_both_ends_hang_up_at_once(play: Play) -> None:
    async def scenario(world: World) -> None:
        before = world.mark()
        call, far = await talking(world)
        await hears(call, CARRIER_HZ)
        call.hang_up()
        far.hang_up()
        await until(lambda: call.bye_status and far.bye_status, what="answers to both BYEs")
        assert (call.bye_status, far.bye_status) == (200, 200)
        rows = await world.cdrs_since(before)
        assert len(rows) == 1

    play(scenario)


def test_a_lost_ack_is_sent_again_for_the_repeated_answer(play: Play) -> None:
    async def scenario(world: World) -> None:
        carrier, alice = await world.carrier(), await world.phone("alice", register=False)
        lost: list[Seen] = []

        def lose(seen: Seen) -> bool:
            if seen.outgoing and seen.data.startswith(b"ACK") and len(lost) < 2:
                lost.append(seen)
                return True
            return False

        call = await alice.call(NUMBER, world.listener, hz=ALICE_HZ)
        await until(lambda: call.ringing, what="ringing")
        alice.lose = lose
        await call.wait("answered")
        await hears(call, CARRIER_HZ)
        await until(
            lambda: sum(s.outgoing and s.data.startswith(b"ACK") for s in alice.seen) > 3,
            what="the ACK that gets through",
        )
        assert len(lost) == 2
        assert call.state == carrier.calls[0].state == "answered"

    play(scenario)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_link_that_loses_a_quarter_still_carries_a_call(play: Play, seed: int) -> None:
    async def scenario(world: World) -> None:
        print("seed", seed)
        dice = random.Random(seed)
        before = world.mark()
        carrier, alice = await world.carrier(), await world.phone("alice", register=False)
        alice.lose = lambda seen: dice.random() < 0.25
        call = await alice.call(NUMBER, world.listener, hz=ALICE_HZ)
        await call.wait("answered", 20)
        far = next(one for one in carrier.calls if one.state == "answered")
        carrier.lose = alice.lose  # not before: a carrier that is slow is passed over
        await asyncio.gather(hears(call, CARRIER_HZ), hears(far, ALICE_HZ))
        far.hang_up()
        await call.wait("ended", 20)
        rows = await world.cdrs_since(before)
        assert [row["disposition"] for row in rows] == ["answered"]
        assert len(carrier.calls) == 1, "repetitions are no new calls"

    play(scenario)


def test_requests_of_a_dialog_that_is_over_get_481(play: Play) -> None:
    async def scenario(world: World) -> None:
        call, far = await talking(world)
        far.hang_up()
        await call.wait("ended")
        await until(lambda: far.bye_status, what="the answer to BYE")
        call.state = "answered"  # a telephone that has not noticed
        call.modify("sendonly")
        await until(lambda: call.modify_status, what="an answer")
        assert call.modify_status == 481

    play(scenario)


def test_bad_credentials_get_the_same_answer_as_an_unknown_user(play: Play) -> None:
    async def scenario(world: World) -> None:
        said = []
        for login in (Login("alice", "wrong"), Login("nobody", "wrong")):
            async with Endpoint(world.net[40], 0, login) as phone:
                response = await phone.register(world.listener)
                call = await phone.call(NUMBER, world.listener)
                await call.wait("ended")
                said.append((response.status, response.reason, call.status, call.phrase))
        assert said[0] == said[1]
        assert said[0][0] == said[0][2] == 403

    play(scenario)


def test_a_host_that_stops_lets_calls_end_then_ends_and_settles_them(tmp_path: Path) -> None:
    """Given two calls, when the host is told to stop, then one may finish, the other is ended."""
    net = Net()
    host = HostProcess(tmp_path, net, ("montreal",), extra="[sip]\nshutdown_grace_s = 2")

    async def scenario() -> None:
        await host.run("rates", "import")
        await host.run("account", "add", "alice", "--password", "alice-secret")
        await host.run("pay", "alice", "15")
        await host.run("carrier", "add", "only", net[11], "--port", "5070")
        await host.start()
        async with AsyncExitStack() as stack:
            world = World(host, net, stack)
            await world.carrier()
            alice = await world.phone("alice", register=False)
            first, second = [
                await alice.call(f"1514555010{digit}", world.listener, hz=ALICE_HZ)
                for digit in range(2)
            ]
            await asyncio.gather(first.wait("answered"), second.wait("answered"))
            await hears(first, CARRIER_HZ)
            status = asyncio.create_task(asyncio.to_thread(host.stop))
            late = None
            while late is None or late.status != 503:  # until the signal has arrived
                late = await alice.call("15145550109", world.listener)
                await until(lambda late=late: late.status >= 200, what="an answer")  # type: ignore[misc]
                late.hang_up()
            first.hang_up()
            await second.wait("ended")
            assert second.ended_by == "peer"
            assert await status == 0
        rows = {row["callee"]: row for row in await host.run("cdr", "list")}
        assert rows["+15145550100"]["ended_by"] == "caller"
        assert rows["+15145550101"]["ended_by"] == "host"
        assert rows["+15145550101"]["cost"] != "0.00"
        assert (await host.run("ledger", "check"))["sound"]

    asyncio.run(asyncio.wait_for(scenario(), 40))
