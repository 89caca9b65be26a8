"""A handset's transfers are carried out by the host: the device may be switched off, and those whom
it joined talk on, each call charged to its end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.host.sip.server_process import free_port
from tests.interop.baresip import start_baresip, tell
from tests.interop.programs import needs
from tests.peers.carrier import Plan
from tests.peers.endpoint import until
from tests.peers.tones import Spectrum, loudest
from tests.scenarios.rig import Device
from tests.scenarios.world import (
    BOB_HZ,
    CARRIER_HZ,
    NUMBER,
    Play,
    World,
    hears,
    held,
    telephone,
)

OTHER = "15145550199"


async def gone(device: Device) -> None:
    """The device has noted its transfer, and is switched off."""
    await until(lambda: "transferred" in device.log.read_text(), 10, "the transfer")
    await asyncio.to_thread(device.stop)


@pytest.mark.parametrize("protocol", ["sip", "iax2"])
def test_an_attended_transfer_outlives_the_device(
    play: Play, tmp_path: Path, protocol: str
) -> None:
    async def scenario(world: World) -> None:
        carrier, before = await world.carrier(), world.mark()
        carrier.plans[f"+{OTHER}"] = Plan(hz=BOB_HZ)
        device = await telephone(world, tmp_path, protocol)
        await held(device)
        await device.do("dtmf", OTHER, 60, 60)
        await device.wait("call", "talking")
        first, second = carrier.calls_to(f"+{NUMBER}")[0], carrier.calls_to(f"+{OTHER}")[0]
        await device.hang_up()
        await gone(device)
        await asyncio.sleep(0.3)
        await asyncio.gather(hears(first, BOB_HZ), hears(second, CARRIER_HZ))
        first.hang_up()
        await asyncio.gather(first.wait("ended"), second.wait("ended"))
        rows = await world.cdrs_since(before, 2)
        assert [row["disposition"] for row in rows] == ["answered", "answered"]
        assert {row["account"] for row in rows} == {device.name}
        assert all(float(row["cost"]) > 0 for row in rows)

    play(scenario)


@pytest.mark.parametrize("protocol", ["sip", "iax2"])
def test_a_blind_transfer_outlives_the_device(play: Play, tmp_path: Path, protocol: str) -> None:
    async def scenario(world: World) -> None:
        carrier, before = await world.carrier(), world.mark()
        carrier.plans[f"+{OTHER}"] = Plan(hz=BOB_HZ)
        device = await telephone(world, tmp_path, protocol)
        await held(device)
        await device.do("dtmf", "*98", 60, 60)
        await device.wait("tone", "recall")
        await device.do("dtmf", OTHER, 60, 60)
        await device.hang_up()
        await until(lambda: bool(carrier.calls_to(f"+{OTHER}")), 10, "the call to the other")
        first, second = carrier.calls_to(f"+{NUMBER}")[0], carrier.calls_to(f"+{OTHER}")[0]
        await second.wait("answered")
        await asyncio.sleep(0.5)
        await asyncio.to_thread(device.stop)
        await asyncio.gather(hears(first, BOB_HZ), hears(second, CARRIER_HZ))
        second.hang_up()
        await asyncio.gather(first.wait("ended"), second.wait("ended"))
        rows = await world.cdrs_since(before, 2)
        assert {row["callee"].lstrip("+") for row in rows} == {NUMBER, OTHER}
        assert {row["account"] for row in rows} == {device.name}
        assert all(float(row["cost"]) > 0 for row in rows)

    play(scenario)


@pytest.mark.parametrize("protocol", ["sip", "iax2"])
def test_one_that_fails_comes_back_to_the_handset(
    play: Play, tmp_path: Path, protocol: str
) -> None:
    async def scenario(world: World) -> None:
        carrier = await world.carrier()
        carrier.plans[f"+{OTHER}"] = Plan(status=486, ring_s=6.0)
        device = await telephone(world, tmp_path, protocol)
        await held(device)
        await device.do("dtmf", "*98", 60, 60)
        await device.wait("tone", "recall")
        await device.do("dtmf", OTHER, 60, 60)
        await device.wait("tone", "confirm")
        await device.hang_up()
        first = carrier.calls_to(f"+{NUMBER}")[0]
        await until(lambda: bool(carrier.calls_to(f"+{OTHER}")), 10, "the call to the other")
        first.media.forget()
        await first.wait_heard(1.0)
        heard = Spectrum(loudest(first.media.samples(), 0.3))
        assert heard.has(440, -19), "he hears ringback meanwhile"
        assert heard.has(480, -19)
        await device.wait("ringing")
        assert first.state == "answered"
        await device.do("off_hook")
        await device.wait("call", "talking")
        await device.do("tone", [BOB_HZ], 3_000)
        await hears(first, BOB_HZ)
        await device.hang_up()
        await first.wait("ended")

    play(scenario)


@pytest.mark.interop
@needs("baresip", "baresip-core")
def test_another_makers_telephone_transfers_as_well(play: Play, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        carrier, before = await world.carrier(), world.mark()
        carrier.plans[f"+{OTHER}"] = Plan(hz=BOB_HZ)
        address, port = world.net[32], free_port(address=world.net[32])
        server = f"{world.listener.host}:{world.listener.port}"
        dial = f"/dial sip:{NUMBER}@{server}"
        login = ("alice", "alice-secret")
        phone = start_baresip(tmp_path, server, address, login, dial, control_port=port)
        world.stack.callback(phone.stop)
        await until(lambda: bool(carrier.calls_to(f"+{NUMBER}")), 10, "its call")
        first = carrier.calls_to(f"+{NUMBER}")[0]
        await first.wait("answered")
        await asyncio.sleep(0.5)
        await asyncio.to_thread(tell, address, port, "transfer", f"sip:{OTHER}@{server}")
        await until(lambda: bool(carrier.calls_to(f"+{OTHER}")), 10, "the call to the other")
        second = carrier.calls_to(f"+{OTHER}")[0]
        await second.wait("answered")
        await asyncio.sleep(0.5)
        await asyncio.to_thread(phone.stop)
        await asyncio.gather(hears(first, BOB_HZ), hears(second, CARRIER_HZ))
        second.hang_up()
        await first.wait("ended")
        rows = await world.cdrs_since(before, 2)
        assert {row["account"] for row in rows} == {"alice"}

    play(scenario)
