"""A host and its peers for whole calls: what the tests of this folder bring up and listen to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.call import Call
from tests.peers.carrier import Carrier, Plan
from tests.peers.endpoint import Endpoint, Login, Where, until
from tests.peers.tones import Spectrum, loudest
from tests.scenarios.rig import Device, HostProcess, Net

ALICE_HZ, CARRIER_HZ, BOB_HZ = 700, 1_500, 1_100
ALICE_DID, BOB_DID, FLAT_DID, FORKED_DID = (
    "+12125550101",
    "+12125550102",
    "+12125550103",
    "+12125550104",
)
NUMBER = "15145550100"
IAX2_PORT = 4_569
SILENCE_S = 2
SETTINGS = f"""
[media]
address = "{{relay}}"
silence_s = {SILENCE_S}
[sip]
carrier_timeout_s = 1
shutdown_grace_s = 1
"""


@dataclass
class World:
    """A host with three carriers and some accounts, and what a test brings up beside it."""

    host: HostProcess
    net: Net
    stack: AsyncExitStack

    @property
    def listener(self) -> Where:
        return self.host.listeners["montreal"]

    @property
    def iax2(self) -> Where:
        """The listener for IAX2, at the same POP."""
        return Where(self.net[2], IAX2_PORT)

    def mark(self) -> int:
        """What `cdrs_since` counts from: the last call that there is."""
        return int(self.host.rows("SELECT coalesce(max(id), 0) AS id FROM call")[0]["id"])

    async def cdrs_since(self, mark: int, calls: int = 1) -> list[dict[str, Any]]:
        """The records of all calls since, oldest first, once so many are over.

        Raises:
            TimeoutError: fewer are.
        """
        query = "SELECT count(*) AS n FROM call WHERE id > ? AND state <> 'open'"
        await until(lambda: self.host.rows(query, mark)[0]["n"] >= calls, 10, f"{calls} CDRs")
        rows = await self.host.run("cdr", "list", "--limit", "1000")
        return [row for row in reversed(rows) if row["id"] > mark]

    async def carrier(self, number: int = 1) -> Carrier:
        """Carrier `number` comes up; 1 is asked first."""
        carrier = Carrier(self.net[10 + number], 5070)
        await carrier.start()
        self.stack.push_async_callback(carrier.close)
        carrier.default = Plan(hz=CARRIER_HZ)
        return carrier

    async def phone(self, name: str, *, register: bool = True) -> Endpoint:
        """A telephone of an account; its calls are answered at once unless a test says more."""
        phone = Endpoint(self.net[20], 0, Login(name, f"{name}-secret"))
        await phone.start()
        self.stack.push_async_callback(phone.close)
        phone.on_call = answer_with(BOB_HZ)
        if register:
            response = await phone.register(self.listener)
            assert response.status == 200
            self.stack.push_async_callback(phone.register, self.listener, 0)
        return phone


def answer_with(hz: float, ring_s: float = 0.05) -> Callable[[Call], Awaitable[None]]:
    async def take(call: Call) -> None:
        call.trying()
        call.media.say(hz)
        call.ring()
        await asyncio.sleep(ring_s)
        call.answer()

    return take


Play = Callable[[Callable[[World], Awaitable[None]]], None]
"""Runs one scenario."""


async def telephone(world: World, folder: Path, protocol: str = "sip") -> Device:
    """On a device of ours: Alice's over SIP, or Gina's over IAX2."""
    name, server = ("gina", world.iax2) if protocol == "iax2" else ("alice", world.listener)
    login = Login(name, f"{name}-secret")
    device = Device(folder, login, world.net[30], server, over_iax2=protocol == "iax2")
    world.stack.push_async_callback(asyncio.to_thread, device.stop)
    await device.wait("registered", True, 20)
    return device


async def held(device: Device) -> None:
    """It calls `NUMBER`, which answers, and is put on hold by a flash."""
    await device.dial(NUMBER)
    await device.wait("call", "talking")
    await device.do("flash")
    await device.wait("tone", "recall")


async def hears(call: Call, hz: float, dbm0: float = -10.0) -> None:
    """What comes next over the wire is that tone."""
    call.media.forget()
    await call.wait_heard(0.6)
    spectrum = Spectrum(loudest(call.media.samples(), 0.3))
    assert spectrum.has(hz, dbm0), (spectrum.strongest(3), spectrum.dbm0(hz))


async def hears_nothing(call: Call, seconds: float = 0.4) -> None:
    """No audio comes for a while, once what was on its way has come."""
    await asyncio.sleep(0.1)
    call.media.forget()
    await asyncio.sleep(seconds)
    assert call.media.heard_s == 0


async def talking(world: World, number: str = NUMBER, **named: object) -> tuple[Call, Call]:
    """Alice talks to the first carrier: her leg and the carrier's."""
    carrier, alice = await world.carrier(), await world.phone("alice", register=False)
    call = await alice.call(number, world.listener, hz=ALICE_HZ, **named)  # type: ignore[arg-type]
    await call.wait("answered")
    return call, carrier.calls[0]
