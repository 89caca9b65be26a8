"""A handset's several calls through the host: three-way, transfer, forwards, each leg charged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fax.t38 import t38_offer
from tests.peers.carrier import Plan
from tests.peers.endpoint import until
from tests.peers.tones import Spectrum, loudest, read_wav
from tests.scenarios.world import (
    ALICE_DID,
    BOB_HZ,
    CARRIER_HZ,
    NUMBER,
    SILENCE_S,
    Play,
    World,
    hears,
    held,
    telephone,
)

OTHER = "15145550199"


@pytest.mark.parametrize("end", ["three_way", "transfer"])
def test_two_calls_are_joined_and_both_are_charged(play: Play, tmp_path: Path, end: str) -> None:
    async def scenario(world: World) -> None:
        carrier, before = await world.carrier(), world.mark()
        carrier.plans[f"+{OTHER}"] = Plan(hz=BOB_HZ)
        device = await telephone(world, tmp_path)
        await held(device)
        await asyncio.sleep(SILENCE_S + 1)  # a call on hold does not pass for one that is dead
        await device.do("dtmf", OTHER, 60, 60)
        await device.wait("call", "talking")
        first, second = carrier.calls_to(f"+{NUMBER}")[0], carrier.calls_to(f"+{OTHER}")[0]
        if end == "three_way":
            await device.do("flash")
            await device.wait("call", "three_way")
        else:
            await device.hang_up()
        await asyncio.sleep(0.5)
        await asyncio.gather(hears(first, BOB_HZ), hears(second, CARRIER_HZ))
        if end == "three_way":
            await device.do("flash")
            await second.wait("ended")
            assert first.state == "answered"
            await device.hang_up()
        else:
            first.hang_up()
        await asyncio.gather(first.wait("ended"), second.wait("ended"))
        rows = await world.cdrs_since(before, 2)
        assert [row["disposition"] for row in rows] == ["answered", "answered"]
        assert all(float(row["cost"]) > 0 for row in rows)

    play(scenario)


def test_a_forwarded_call_is_charged_as_a_call_of_its_owners(play: Play, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        carrier, before = await world.carrier(), world.mark()
        device = await telephone(world, tmp_path)
        await device.dial("*72")
        await device.wait("tone", "recall")
        await device.do("dtmf", NUMBER, 60, 60)
        await device.wait("tone", "confirm")
        await device.hang_up()
        caller = await carrier.call(ALICE_DID, world.listener, caller="+15145550111", hz=BOB_HZ)
        await caller.wait("answered")
        await until(lambda: bool(carrier.calls_to(f"+{NUMBER}")), what="the forwarded leg")
        onward = carrier.calls_to(f"+{NUMBER}")[0]
        await asyncio.gather(hears(caller, CARRIER_HZ), hears(onward, BOB_HZ))
        caller.hang_up()
        await onward.wait("ended")
        rows = await world.cdrs_since(before, 2)
        assert {row["account"] for row in rows} == {"alice"}

    play(scenario)


def test_a_carriers_offer_of_t38_gets_488_and_both_hear_each_other_still(
    play: Play, tmp_path: Path
) -> None:
    async def scenario(world: World) -> None:
        carrier = await world.carrier()
        device = await telephone(world, tmp_path)
        await device.dial(NUMBER)
        await device.wait("call", "talking")
        far = carrier.calls_to(f"+{NUMBER}")[0]
        far.modify("sendrecv", offer=t38_offer(far.media.address))
        await until(lambda: far.modify_status, what="an answer")
        assert far.modify_status == 488
        await device.do("tone", [BOB_HZ], 3_000)
        await hears(far, BOB_HZ)
        ear = tmp_path / "ear.wav"
        await device.do("record", str(ear))
        await asyncio.sleep(0.8)
        await device.do("stop_record")
        assert Spectrum(loudest(read_wav(ear), 0.4)).has(CARRIER_HZ, -10)
        assert far.state == "answered"
        far.hang_up()

    play(scenario)
