"""The device over TCP and TLS: its calls, charged, and what becomes of it when connections go."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from decimal import Decimal
from pathlib import Path

import pytest

from tests.firmware.tlsfront import make_certificate
from tests.peers.carrier import Carrier, Plan
from tests.peers.endpoint import Login, until
from tests.peers.tones import Spectrum, loudest, read_wav
from tests.scenarios.rig import Device, HostProcess, Net
from tests.scenarios.world import ALICE_DID, ALICE_HZ, CARRIER_HZ, NUMBER, hears

CALLER = "+15145550111"
KEEP_ALIVE_S = 15
"""As it is unless the configuration says more."""
ESTABLISHED, KEEP_ALIVE_TIMER, TICKS = "01", "02", 100
"""In /proc/net/tcp (Linux, Documentation/networking/proc_net_tcp.rst)."""
PORTS = {"tcp": 5060, "tls": 5061}


class Doorway:
    """Between device and host: connections pass, and can be cut as a NAT that forgets them does."""

    def __init__(self, address: str, to: tuple[str, int]) -> None:
        self._address, self._to = address, to
        self._open: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._server: asyncio.Server | None = None
        self.opened = 0

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._pass, self._address, 0)
        return f"{self._address}:{self._server.sockets[0].getsockname()[1]}"

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        onward, back = await asyncio.open_connection(*self._to)
        self._open.append((writer, back))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while octets := await source.read(65_536):
                    sink.write(octets)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, back), pump(onward, writer))

    def cut(self) -> None:
        """Both ends are told that the connection is gone (RST)."""
        for pair in self._open:
            for end in pair:
                end.transport.abort()
        self._open.clear()

    def close(self) -> None:
        self.cut()
        if self._server is not None:
            self._server.close()


@pytest.fixture(params=list(PORTS))
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "tls" and shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is missing")
    return name


def keep_alive_s(address: str) -> list[float]:
    """Of each connection from an address: when the kernel will ask whether it still stands."""
    local = socket.inet_aton(address)[::-1].hex().upper()
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    timers = [
        row[5].split(":") for row in rows if row[1].startswith(local) and row[3] == ESTABLISHED
    ]
    return [int(when, 16) / TICKS for kind, when in timers if kind == KEEP_ALIVE_TIMER]


class Stage:
    """A host with one listener for streams, a carrier, and a device behind a doorway."""

    def __init__(self, folder: Path, transport: str) -> None:
        self.folder, self.net, self.transport = folder, Net(), transport
        extra = (
            f'[[listeners]]\npop = "montreal"\ntransport = "{transport}"\n'
            f'address = "{self.net[2]}"\nport = {PORTS[transport]}\n'
        )
        self.sip = ""
        if transport == "tls":
            certificate, key = make_certificate(folder, "host", self.net[40])
            extra += f'certificate = "{certificate}"\nkey = "{key}"\n'
            self.sip = f'tls_ca_file = "{certificate}"\n'
        self.host = HostProcess(folder, self.net, ("montreal",), extra)
        self.carrier = Carrier(self.net[11], 5070)
        self._device: Device | None = None
        self.doorway = Doorway(self.net[40], (self.net[2], PORTS[transport]))

    async def __aenter__(self) -> Stage:
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _start(self) -> None:
        run = self.host.run
        await run("rates", "import")
        await run("pop", "add", "montreal")
        await run("carrier", "add", "north", self.carrier.address, "--port", "5070")
        await run("account", "add", "alice", "--password", "alice-secret", "--route", "value")
        await run("pay", "alice", "15")
        of_alice = ("--account", "alice", "--pop", "montreal", "--plan", "per-minute")
        await run("did", "add", ALICE_DID, *of_alice)
        await self.host.start()
        await self.carrier.start()
        self.carrier.default = Plan(hz=CARRIER_HZ)
        server = f"{await self.doorway.start()};transport={self.transport}"
        login = Login("alice", "alice-secret")
        self._device = Device(self.folder, login, self.net[30], server, account=self.sip)
        await self.device.wait("registered", True, 20)

    async def __aexit__(self, *_: object) -> None:
        if self._device is not None:
            await asyncio.to_thread(self._device.stop)
        self.doorway.close()
        await self.carrier.close()
        await asyncio.to_thread(self.host.stop)

    @property
    def device(self) -> Device:
        assert self._device is not None, "it was started"
        return self._device

    async def ear(self) -> Spectrum:
        path = self.folder / "ear.wav"
        await asyncio.sleep(0.3)
        await self.device.do("record", str(path))
        await asyncio.sleep(0.8)
        await self.device.do("stop_record")
        return Spectrum(loudest(read_wav(path), 0.4))

    async def call_in(self) -> None:
        """A call to alice's number rings, is answered and heard, and ends."""
        caller = await self.carrier.call(
            ALICE_DID, self.host.listeners["montreal"], caller=CALLER, hz=CARRIER_HZ
        )
        await self.device.wait("ringing")
        await self.device.do("off_hook")
        await self.device.wait("call", "talking")
        await self.device.do("tone", [ALICE_HZ], 3_000, -10)
        await hears(caller, ALICE_HZ)
        assert (await self.ear()).has(CARRIER_HZ, -10)
        caller.hang_up()
        await caller.wait("ended")
        await self.device.hang_up()


def test_calls_over_a_stream_are_heard_and_charged(tmp_path: Path, transport: str) -> None:
    async def scenario() -> None:
        async with Stage(tmp_path, transport) as stage:
            device = stage.device
            await device.dial(NUMBER)
            await device.wait("call", "talking")
            far = stage.carrier.calls_to(f"+{NUMBER}")[0]
            await device.do("tone", [ALICE_HZ], 3_000, -10)
            await hears(far, ALICE_HZ)
            assert (await stage.ear()).has(CARRIER_HZ, -10)
            await device.do("dtmf", "5#", 100, 100)
            await until(lambda: far.media.digits == "5#", what="digits at the carrier")
            await device.hang_up()
            await far.wait("ended")
            await stage.call_in()
            rows = await stage.host.cdrs("alice", 2)
            assert [row["direction"] for row in rows] == ["out", "in"]
            assert all(row["disposition"] == "answered" for row in rows)
            assert all(Decimal(row["cost"]) > 0 for row in rows)
            (at,) = await stage.host.run("registrations", "alice")
            assert transport in str(at), at
            assert stage.doorway.opened == 1, "one connection for all of it"

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_connection_that_goes_is_opened_again_and_calls_come_in(
    tmp_path: Path, transport: str
) -> None:
    async def scenario() -> None:
        async with Stage(tmp_path, transport) as stage:
            keeps = keep_alive_s(stage.net[30])
            assert len(keeps) == 1
            assert 0 < keeps[0] <= KEEP_ALIVE_S
            await stage.call_in()
            stage.doorway.cut()
            await until(lambda: stage.doorway.opened == 2, 10, what="a new connection")
            await stage.device.wait("registered", True, 10)
            await asyncio.sleep(0.5)
            await stage.call_in()

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize("who", ["device", "far end"])
def test_a_call_stands_when_its_connection_goes_and_either_end_ends_it(
    tmp_path: Path, transport: str, who: str
) -> None:
    async def scenario() -> None:
        async with Stage(tmp_path, transport) as stage:
            device = stage.device
            await device.dial(NUMBER)
            await device.wait("call", "talking")
            far = stage.carrier.calls_to(f"+{NUMBER}")[0]
            stage.doorway.cut()
            await until(lambda: stage.doorway.opened == 2, 10, what="a new connection")
            await asyncio.sleep(0.5)
            await device.do("tone", [ALICE_HZ], 2_000, -10)
            await hears(far, ALICE_HZ)
            assert (await stage.ear()).has(CARRIER_HZ, -10)
            if who == "device":
                await device.hang_up()
            else:
                far.hang_up()
                await device.wait("call", "seized")
                await device.hang_up()
            await far.wait("ended")
            (row,) = await stage.host.cdrs("alice", 1)
            assert row["disposition"] == "answered"
            assert float(row["talk_ms"]) < 15_000

    asyncio.run(asyncio.wait_for(scenario(), 60))
