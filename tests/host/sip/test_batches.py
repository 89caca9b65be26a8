"""Datagrams in batches: singly while few come, together under load, sooner when very many do."""

from __future__ import annotations

import asyncio
import socket

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import Request, Response
from host.settings import Listener
from host.sip.transport import Flow, Transports
from host.watch import Watch

TICK_S = 0.04


class Counting:
    """A receiver that counts datagrams and batches."""

    def __init__(self) -> None:
        self.datagrams = 0
        self.batches = 0
        self.largest = 0
        self._size = 0

    def datagram(self, data: bytes, flow: Flow) -> None:
        self.datagrams += 1
        self._size += 1

    def drained(self) -> None:
        self.batches += bool(self._size)
        self.largest = max(self.largest, self._size)
        self._size = 0

    def message(self, message: Request | Response, flow: Flow) -> None: ...
    def bad_message(self, error: SipPeerError, flow: Flow) -> None: ...
    def closed(self, flow: Flow) -> None: ...


async def _load(per_s: float, seconds: float) -> tuple[Counting, Watch]:
    """Send so many datagrams a second, one to five at a time; until all have come."""
    receiver = Counting()
    watch = Watch(TICK_S, begin=lambda: None, over=receiver.drained)
    transports = Transports(receiver, watch)
    bound = await transports.open(Listener(port=0))
    loop = asyncio.get_running_loop()
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    began = loop.time()
    sent = 0
    try:
        while (now := loop.time()) - began < seconds:
            while sent < (now - began) * per_s:
                client.sendto(b"x", (bound.address, bound.port))
                sent += 1
            await asyncio.sleep(0.001)
        until = loop.time() + 5
        while receiver.datagrams < sent and loop.time() < until:
            await asyncio.sleep(0.001)
        assert receiver.datagrams == sent
        return receiver, watch
    finally:
        client.close()


def test_few_datagrams_wait_for_nothing() -> None:
    async def run() -> None:
        receiver, watch = await _load(per_s=50, seconds=0.5)
        assert not watch.ticking
        assert receiver.batches >= receiver.datagrams * 0.8
        watch.close()

    asyncio.run(run())


def test_many_datagrams_come_in_batches_a_tick_apart_and_the_batches_end_with_the_load() -> None:
    async def run() -> None:
        receiver, watch = await _load(per_s=600, seconds=1.2)
        # 30 ticks, and what came singly before the first of them (0.2 s at most).
        assert watch.ticking
        assert receiver.batches < receiver.datagrams / 3
        until = asyncio.get_running_loop().time() + 5
        while watch.ticking and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.01)
        assert not watch.ticking
        watch.close()

    asyncio.run(run())


def test_under_heavy_load_batches_come_closer_together_and_stay_small() -> None:
    async def run() -> None:
        receiver, watch = await _load(per_s=8_000, seconds=1.0)
        # 8,000 a second are 320 in 40 ms; a full batch is 64.
        assert receiver.batches > 1.5 * 1.0 / TICK_S
        watch.close()

    asyncio.run(run())


def test_while_there_is_sound_batches_are_near_and_nobody_rests_between_them() -> None:
    async def run() -> None:
        sound = [True]
        batches = 0

        def over() -> None:
            nonlocal batches
            batches += 1

        watch = Watch(0.08, begin=lambda: None, over=over, lively_s=0.01, lively=lambda: sound[0])
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)

        def drain() -> int:
            count = 0
            while True:
                try:
                    sock.recv(100)
                except BlockingIOError:
                    return count
                count += 1

        watch.add(sock, drain)
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        async def send(seconds: float) -> int:
            """Datagrams, 400 a second; how many batches that made."""
            before, until = batches, asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < until:
                client.sendto(b"x", sock.getsockname())
                client.sendto(b"x", sock.getsockname())
                await asyncio.sleep(0.005)
            return batches - before

        try:
            await send(0.5)
            assert watch.ticking
            assert not watch.calm
            assert not watch.resting
            assert await send(0.5) > 25  # 50, on a machine with nothing else to do
            sound[0] = False
            await send(0.5)
            assert watch.calm
            assert watch.resting
            assert await send(0.5) < 15  # six or seven
        finally:
            watch.close()
            sock.close()
            client.close()

    asyncio.run(run())
