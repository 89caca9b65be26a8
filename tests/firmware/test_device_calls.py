"""The whole device with two calls and three, against a server that hears each of them apart."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from firmware.wire.sip import sdp
from tests.fax.t38 import t38_offer
from tests.peers.call import Call
from tests.peers.carrier import Plan
from tests.peers.endpoint import Login, until
from tests.peers.switch import Switch
from tests.peers.tones import Spectrum, loudest, read_wav
from tests.scenarios.rig import Device, Net

FIRST, SECOND, THIRD = "15145550123", "15145550188", "15145550177"
FIRST_HZ, SECOND_HZ, MOUTH_HZ = 1_500, 2_300, 1_004


class Desk:
    """A device, its server, and what its ear hears."""

    def __init__(self, folder: Path, switch: Switch, device: Device) -> None:
        self.folder, self.switch, self.device = folder, switch, device
        self.do, self.wait, self.dial = device.do, device.wait, device.dial

    async def call_to(self, number: str, count: int = 1) -> Call:
        """The call that the device has made to a number."""
        calls = self.switch.calls_to
        await until(lambda: len(calls(number)) >= count, what=f"a call to {number}")
        return calls(number)[-1]

    async def talk(self, number: str = FIRST) -> Call:
        """Call somebody who answers."""
        await self.dial(number)
        await self.wait("call", "talking")
        return await self.call_to(number)

    async def second(self, number: str = SECOND) -> Call:
        """Flash, and call somebody else."""
        await self.do("flash")
        await self.wait("tone", "recall")
        await self.do("dtmf", number, 60, 60)
        await self.wait("call", "talking")
        return await self.call_to(number)

    async def ear(self, seconds: float = 0.8) -> Spectrum:
        """What the ear hears from now on."""
        await asyncio.sleep(0.3)  # what was on its way when something changed has come by then
        path = str(self.folder / "ear.wav")
        await self.do("record", path)
        await asyncio.sleep(seconds)
        await self.do("stop_record")
        return Spectrum(loudest(read_wav(Path(path)), 0.4))


async def heard(call: Call, seconds: float = 0.8) -> Spectrum:
    """What one far end hears from now on."""
    await asyncio.sleep(0.3)
    call.media.forget()
    await call.wait_heard(seconds)
    return Spectrum(loudest(call.media.samples(), 0.4))


def events(call: Call) -> list[int]:
    """RFC 4733 events that one far end has got, one for each packet."""
    media = call.media
    mine = [one.packet for one in media.heard if one.packet.payload_type == media.event_type]
    return [packet.payload[0] for packet in mine]


Story = Callable[[Desk], Awaitable[None]]


def run(folder: Path, story: Story, line: str = "", registers: bool = True) -> None:
    """One story, bounded in time."""

    async def scenario() -> None:
        net = Net()
        async with AsyncExitStack() as stack:
            switch = Switch(net[2], 5060)
            await switch.start()
            stack.push_async_callback(switch.close)
            switch.registers = registers
            switch.plans[FIRST] = Plan(hz=FIRST_HZ)
            switch.plans[SECOND] = Plan(hz=SECOND_HZ)
            login = Login("100001", "secret")
            device = Device(folder, login, net[3], f"{net[2]}:5060", line=line)
            stack.push_async_callback(asyncio.to_thread, device.stop)
            await device.wait("registered", registers, 20)
            await story(Desk(folder, switch, device))

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_call_waiting_is_heard_answered_by_flash_and_swapped(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        first = await desk.talk()
        waiting = await desk.switch.ring_device(hz=SECOND_HZ)
        await desk.wait("tone", "waiting")
        await until(lambda: waiting.ringing, what="180")
        third = await desk.switch.ring_device()
        await third.wait("ended")
        assert third.status == 486
        await desk.do("flash")
        await waiting.wait("answered")
        await desk.wait("call", "talking")
        await until(lambda: first.sdp_direction() in ("sendonly", "inactive"), what="hold")
        assert (await desk.ear()).has(SECOND_HZ, -10)
        await desk.do("flash")
        await until(lambda: waiting.sdp_direction() in ("sendonly", "inactive"), what="hold")
        await until(lambda: first.sdp_direction() == "sendrecv", what="the end of hold")
        ear = await desk.ear()
        assert ear.has(FIRST_HZ, -10)
        assert ear.dbm0(SECOND_HZ) < -40
        await desk.do("on_hook")
        await first.wait("ended")
        await desk.wait("ringing")
        await desk.do("off_hook")
        await desk.wait("call", "talking")
        assert (await desk.ear()).has(SECOND_HZ, -10)
        waiting.hang_up()
        await desk.wait("tone", "reorder")

    run(tmp_path, story)


def test_in_a_three_way_call_each_hears_the_other_two(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        first = await desk.talk()
        second = await desk.second()
        await desk.do("flash")
        await desk.wait("call", "three_way")
        await until(lambda: first.sdp_direction() == "sendrecv", what="the end of hold")
        await desk.do("tone", [MOUTH_HZ], 8_000)
        await asyncio.sleep(0.3)
        ear, one, other = await asyncio.gather(desk.ear(), heard(first), heard(second))
        for hz, spectrum, there in (
            (FIRST_HZ, ear, True), (SECOND_HZ, ear, True),
            (MOUTH_HZ, one, True), (SECOND_HZ, one, True), (FIRST_HZ, one, False),
            (MOUTH_HZ, other, True), (FIRST_HZ, other, True), (SECOND_HZ, other, False),
        ):  # fmt: skip
            assert (spectrum.dbm0(hz) > -13) is there, (hz, spectrum.strongest(3))
            assert there or spectrum.dbm0(hz) < -40, "nobody hears himself"
        await desk.do("flash")
        await second.wait("ended")
        ear = await desk.ear()
        assert ear.has(FIRST_HZ, -10)
        assert first.state == "answered"

    run(tmp_path, story)


def test_an_attended_transfer_names_the_dialog_that_it_replaces(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        first = await desk.talk()
        second = await desk.second()
        await desk.do("on_hook")
        await until(lambda: bool(desk.switch.transfers), what="REFER")
        transfer = desk.switch.transfers[0]
        assert transfer.call is first
        assert f"sip:{SECOND}@" in transfer.refer_to or desk.switch.address in transfer.refer_to
        replaces = re.search(r"Replaces=([^>;&?]+)", transfer.refer_to)
        assert replaces is not None, transfer.refer_to
        call_id, *tags = re.split(r"%3[Bb]|;", replaces[1])
        assert call_id.replace("%40", "@") == second.call_id
        assert second.dialog is not None
        assert any("to-tag" in one for one in tags)
        await asyncio.gather(first.wait("ended"), second.wait("ended"))
        assert (first.ended_by, second.ended_by) == ("peer", "peer")

    run(tmp_path, story)


@pytest.mark.parametrize("status", [405, 501, 603])
def test_a_server_that_does_no_transfers_leaves_the_two_joined(tmp_path: Path, status: int) -> None:
    async def story(desk: Desk) -> None:
        desk.switch.refer_status = status
        first = await desk.talk()
        second = await desk.second()
        await desk.do("on_hook")
        await desk.wait("line", "on_hook")
        await until(lambda: bool(desk.switch.transfers), what="REFER")
        await until(lambda: first.sdp_direction() == "sendrecv", what="the end of hold")
        one, other = await asyncio.gather(heard(first), heard(second))
        assert one.has(SECOND_HZ, -10)
        assert other.has(FIRST_HZ, -10)
        waiting = await desk.switch.ring_device()
        await desk.wait("ringing")
        waiting.hang_up()
        first.hang_up()
        await second.wait("ended")

    run(tmp_path, story)


@pytest.mark.parametrize(("news", "back"), [((100, 180, 200), False), ((100, 486), True)])
def test_a_blind_transfer_goes_or_comes_back(
    tmp_path: Path, news: tuple[int, ...], back: bool
) -> None:
    async def story(desk: Desk) -> None:
        desk.switch.news = news
        first = await desk.talk()
        await desk.do("flash")
        await desk.wait("tone", "recall")
        await desk.do("dtmf", "*98", 60, 60)
        await asyncio.sleep(0.5)
        await desk.do("dtmf", THIRD, 60, 60)
        await until(lambda: bool(desk.switch.transfers), what="REFER")
        assert f"sip:{THIRD}@" in desk.switch.transfers[0].refer_to
        assert "Replaces" not in desk.switch.transfers[0].refer_to
        if back:
            await desk.wait("call", "talking")
            await until(lambda: first.sdp_direction() == "sendrecv", what="the end of hold")
            assert (await desk.ear()).has(FIRST_HZ, -10)
        else:
            await first.wait("ended")
            assert desk.switch.calls_to(THIRD) == [], "the server calls, not the device"

    run(tmp_path, story)


def test_a_blind_transfer_that_the_server_refuses_is_made_by_the_device(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.switch.refer_status = 501
        desk.switch.plans[THIRD] = Plan(hz=SECOND_HZ, ring_s=1.0)
        first = await desk.talk()
        await desk.do("flash")
        await desk.wait("tone", "recall")
        await desk.do("dtmf", "*98", 60, 60)
        await asyncio.sleep(0.5)
        await desk.do("dtmf", THIRD, 60, 60)
        third = await desk.call_to(THIRD)
        await desk.do("on_hook")
        await third.wait("answered")
        one, other = await asyncio.gather(heard(first), heard(third))
        assert one.has(SECOND_HZ, -10)
        assert other.has(FIRST_HZ, -10)
        third.hang_up()
        await first.wait("ended")

    run(tmp_path, story)


@pytest.mark.parametrize("way", ["event", "info"])
def test_a_flash_is_told_to_the_server(tmp_path: Path, way: str) -> None:
    async def story(desk: Desk) -> None:
        first = await desk.talk()
        await desk.do("flash")
        if way == "info":
            await until(lambda: bool(desk.switch.infos), what="INFO")
            kind, body = desk.switch.infos[0]
            assert kind == "application/hook-flash"
            assert body.strip().lower() == b"signal=hf"
        else:
            await until(lambda: 16 in events(first), what="event 16")
        assert (await desk.ear()).has(FIRST_HZ, -10)

    run(tmp_path, story, line=f'flash_as = "{way}"')


def test_caller_id_is_withheld_for_one_call(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.dial("*67")
        await desk.wait("tone", "recall")
        await desk.do("dtmf", FIRST, 60, 60)
        await desk.call_to(FIRST)
        hidden = desk.switch.invites[0]
        assert "anonymous@anonymous.invalid" in (hidden.headers.get("From") or "")
        assert hidden.headers.get("Privacy") == "id"
        assert "100001" in (hidden.headers.get("P-Preferred-Identity") or "")
        await desk.device.hang_up()
        await desk.talk(SECOND)
        assert "sip:100001@" in (desk.switch.invites[1].headers.get("From") or "")
        assert desk.switch.invites[1].headers.get("Privacy") is None

    run(tmp_path, story)


@pytest.mark.parametrize("way", ["device", "redirect"])
def test_a_call_is_forwarded(tmp_path: Path, way: str) -> None:
    async def story(desk: Desk) -> None:
        await desk.dial("*72")
        await desk.wait("tone", "recall")
        await desk.do("dtmf", SECOND, 60, 60)
        await desk.wait("tone", "confirm")
        await desk.device.hang_up()
        caller = await desk.switch.ring_device(hz=FIRST_HZ)
        if way == "redirect":
            await caller.wait("ended")
            assert caller.status == 302
            contact = desk.switch.answers[-1].headers.get("Contact")
            assert contact is not None
            assert f"sip:{SECOND}@" in contact
            return
        second = await desk.call_to(SECOND)
        await caller.wait("answered")
        one, other = await asyncio.gather(heard(caller), heard(second))
        assert one.has(SECOND_HZ, -10)
        assert other.has(FIRST_HZ, -10)
        state: dict[str, Any] = await desk.do("state")
        assert (state["line"], state["rings"]) == ("on_hook", 0)
        caller.hang_up()
        await second.wait("ended")
        await desk.do("off_hook")
        await desk.wait("tone", "stutter")

    run(tmp_path, story, line=f'forward_by = "{way}"')


def test_anonymous_callers_are_refused_and_others_ring_distinctively(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.dial("*77")
        await desk.wait("tone", "confirm")
        await desk.device.hang_up()
        hidden = await desk.switch.ring_device(caller="anonymous")
        await hidden.wait("ended")
        assert hidden.status == 433
        await desk.switch.ring_device()
        await desk.wait("ringing")

    run(tmp_path, story)


def test_an_emergency_call_is_tried_where_the_server_refuses_us(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.do("off_hook")
        await asyncio.sleep(0.5)
        assert (await desk.do("state"))["tone"] == "", "no dial tone without service"
        await desk.do("dtmf", SECOND, 60, 60)
        await desk.wait("tone", "reorder")
        await desk.device.hang_up()
        await desk.do("off_hook")
        await asyncio.sleep(0.5)
        await desk.do("dtmf", "911", 60, 60)
        await desk.call_to("911")
        await desk.wait("call", "talking")
        assert desk.switch.calls_to(SECOND) == []

    run(tmp_path, story, registers=False)


def test_an_emergency_call_is_made_when_two_forwarded_calls_take_all_legs(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.dial("*72")
        await desk.wait("tone", "recall")
        await desk.do("dtmf", FIRST, 60, 60)
        await desk.wait("tone", "confirm")
        await desk.device.hang_up()
        callers = []
        for count in (1, 2):
            callers.append(await desk.switch.ring_device())
            await callers[-1].wait("answered")
            await desk.call_to(FIRST, count)
        await desk.do("off_hook")
        await desk.wait("tone", "stutter")
        await desk.do("dtmf", "911", 60, 60)
        await desk.call_to("911")
        await desk.wait("call", "talking")
        await callers[1].wait("ended")
        assert callers[0].state == "answered"
        assert (await heard(callers[0])).has(FIRST_HZ, -10)

    run(tmp_path, story)


@pytest.mark.parametrize("how", ["silent", "refuses"])
def test_an_emergency_call_is_tried_at_every_server(tmp_path: Path, how: str) -> None:
    """Given a device that is registered at its first server, when that dies or fails, then an
    emergency call goes by the second within seconds, and another call does not."""

    async def scenario() -> None:
        net = Net()
        async with AsyncExitStack() as stack:
            first, second = Switch(net[2], 5060), Switch(net[4], 5060)
            for switch in (first, second):
                await switch.start()
                stack.push_async_callback(switch.close)
            servers = f'{net[2]}:5060", "{net[4]}:5060'
            device = Device(tmp_path, Login("100001", "secret"), net[3], servers)
            stack.push_async_callback(asyncio.to_thread, device.stop)
            await device.wait("registered", True, 20)
            if how == "silent":
                await first.close()
            else:
                first.default = Plan(provisional=0, status=503)
            await device.dial("911")
            await device.wait("call", "talking", 8)
            assert second.calls_to("911")[0].state == "answered"
            assert len(first.calls_to("911")) == (how == "refuses")
            await device.hang_up()
            if how == "refuses":
                await device.dial(FIRST)
                await device.wait("tone", "reorder")
                assert not second.calls_to(FIRST)
                await device.hang_up()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_what_a_code_has_set_outlives_the_device(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.dial("*78")
        await desk.wait("tone", "confirm")
        await desk.device.hang_up()

    async def later(desk: Desk) -> None:
        await desk.do("off_hook")
        await desk.wait("tone", "stutter")
        await desk.device.hang_up()
        refused = await desk.switch.ring_device()
        await refused.wait("ended")
        assert refused.status == 486

    run(tmp_path, story)
    run(tmp_path, later)


def test_a_call_rings_as_its_server_asks(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.switch.invite_headers = (("Alert-Info", "<urn:alert:source:internal>"),)
        await desk.switch.ring_device()
        await desk.wait("rings", 3)
        cadence = (await desk.do("state"))["cadence_ms"]
        assert cadence[:3] == pytest.approx([800, 400, 800], abs=60)

    run(tmp_path, story)


ANS_HZ = 2_100
"""A modem's answering tone (ITU-T V.25)."""


def codecs(offer: sdp.Session) -> list[str]:
    assert offer.audio is not None
    return [one.name for one in offer.audio.codecs if one.name != "telephone-event"]


def test_a_modems_call_is_g711_alone_and_nothing_disturbs_it(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.switch.plans[FIRST] = Plan(hz=ANS_HZ)
        modem = await desk.talk()
        assert codecs(modem.offers[0]) == ["PCMU", "PCMA", "G722"]
        await until(lambda: len(modem.offers) > 1, 8, "a re-INVITE")
        assert codecs(modem.offers[1]) == ["PCMU", "PCMA"]
        await until(lambda: modem.media.remote is not None, what="an answer")
        assert (await desk.ear()).has(ANS_HZ, -10), "audio goes on"
        second = await desk.switch.ring_device()
        await second.wait("ended")
        assert second.status == 486, "call waiting is off"
        modem.media.forget()
        await desk.do("dtmf", "1", 400, 60)
        await asyncio.sleep(0.8)
        assert events(modem) == [], "what sounds like a digit is no digit here"
        spectrum = Spectrum(loudest(modem.media.samples(), 0.3))
        assert sorted(spectrum.strongest(2)) == pytest.approx([697, 1_209], abs=5)
        assert len(modem.offers) == 2, "once is enough"

    run(tmp_path, story)


def test_a_far_end_that_takes_no_new_offer_hears_the_modem_still(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.switch.plans[FIRST] = Plan(hz=ANS_HZ)
        modem = await desk.talk()
        modem.refuses_offers = 488
        await until(lambda: modem.reoffers >= 3, 12, "three re-INVITEs")
        await asyncio.sleep(2.5)
        assert modem.reoffers == 3, "then it has understood"
        assert (await desk.ear()).has(ANS_HZ, -10)
        await desk.do("tone", [MOUTH_HZ], 1_500)
        assert (await heard(modem)).has(MOUTH_HZ, -10)
        assert modem.state == "answered"

    run(tmp_path, story)


def test_a_device_told_so_leaves_modems_alone(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.switch.plans[FIRST] = Plan(hz=ANS_HZ)
        modem = await desk.talk()
        await asyncio.sleep(4)
        assert len(modem.offers) == 1
        waiting = await desk.switch.ring_device(hz=SECOND_HZ)
        await until(lambda: waiting.ringing, what="180")

    run(tmp_path, story, 'fax = "off"')


def test_an_offer_of_t38_gets_488_and_the_call_goes_on_in_g711(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        first = await desk.talk()
        for _ in range(2):
            first.modify("sendrecv", offer=t38_offer(first.media.address))
            await until(lambda: first.modify_status, what="an answer")
            assert first.modify_status == 488
            assert (await desk.ear()).has(FIRST_HZ, -10)
            await desk.do("tone", [MOUTH_HZ], 1_500)
            assert (await heard(first)).has(MOUTH_HZ, -10)
        assert first.state == "answered"

    run(tmp_path, story)
