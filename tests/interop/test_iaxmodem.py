"""iaxmodem as a customer's telephone over IAX2: a fax modem that we did not write.

It knows no call tokens (its account is exempt), listens at any port, and expects its server at
4569. Its modem is driven by AT commands over a pseudo-terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import pwd
import shutil
import tempfile
import time
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.host.sip.server_process import free_port
from tests.interop.programs import Program, needs
from tests.peers.carrier import Carrier, Plan
from tests.peers.endpoint import until
from tests.peers.tones import Samples, Spectrum, bursts_ms, loudest
from tests.scenarios.rig import HostProcess, Net

pytestmark = [pytest.mark.interop, needs("iaxmodem", "iaxmodem")]

CALLED, DID = "15145550100", "+12125550100"
CNG_HZ, CED_HZ = 1_100, 2_100
"""What a calling and what a called fax machine sends (ITU-T T.30, 4)."""
IAX2_PORT = 4_569


class Modem:
    """One iaxmodem and its terminal."""

    def __init__(self, folder: Path, server: str) -> None:
        # Paths of more than some thirty octets are too long for it.
        self._place = Path(tempfile.mkdtemp(prefix="fax"))
        self.device = self._place / "tty"
        name = f"fax{os.getpid()}.cfg"
        settings = {
            "device": self.device,
            "owner": f"{pwd.getpwuid(os.getuid()).pw_name}:{grp.getgrgid(os.getgid()).gr_name}",
            "mode": 600,
            "port": free_port(address="127.0.0.1"),
            "refresh": 60,
            "server": server,
            "peername": "fax",
            "secret": "fax-secret",
            "cidname": "Fax",
            "cidnumber": "5145550111",
            "codec": "ulaw",
        }
        lines = [f"{key}\t{value}\n" for key, value in settings.items()]
        (folder / name).write_text("".join(lines) + "nodaemon\n")
        # It looks for its file in /etc/iaxmodem and nowhere else.
        there = os.path.relpath(folder / name, "/etc/iaxmodem")
        self.program = Program(folder, "iaxmodem", "iaxmodem", there)
        self._said = b""
        self._terminal = -1

    async def open(self) -> None:
        """Its terminal is there.

        Raises:
            TimeoutError: it is not.
        """
        await until(self.device.exists, 10, "the modem's terminal")
        self._terminal = os.open(self.device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._terminal)

    async def command(self, text: str, answer: str, timeout_s: float = 10.0) -> None:
        """Send an AT command; what is to come back."""
        self._said = b""
        os.write(self._terminal, text.encode() + b"\r")
        if answer:
            await self.says(answer, timeout_s)

    async def says(self, text: str, timeout_s: float = 10.0) -> None:
        """Wait until the modem has said something.

        Raises:
            TimeoutError: it has not.
        """

        def said() -> bool:
            with contextlib.suppress(BlockingIOError):
                self._said += os.read(self._terminal, 1_000)
            return text.encode() in self._said

        await until(said, timeout_s, f"{text} from the modem, which said {self._said!r}")

    def stop(self) -> None:
        if self._terminal >= 0:
            os.close(self._terminal)
        self.program.stop()
        shutil.rmtree(self._place, ignore_errors=True)


class Bench:
    """A host with an IAX2 listener, a carrier, and the modem."""

    def __init__(self, folder: Path) -> None:
        self.net = Net()
        server = self.net[2]
        extra = (
            f'[[listeners]]\npop = "montreal"\naddress = "{server}"\nport = {IAX2_PORT}\n'
            'transport = "iax2"\n'
        )
        self.host = HostProcess(folder, self.net, pops=("montreal",), extra=extra)
        self.carrier = Carrier(self.net[10], 5070)
        self.modem: Modem | None = None
        self._folder = folder

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Modem]:
        run = self.host.run
        await run("rates", "import")
        await run("pop", "add", "montreal")
        await run("carrier", "add", "north", self.carrier.address, "--port", "5070")
        words = ("--route", "value", "--iax2", "--call-token", "no")
        await run("account", "add", "fax", "--password", "fax-secret", *words)
        await run("pay", "fax", "15")
        await run("did", "add", DID, "--account", "fax", "--pop", "montreal")
        await self.carrier.start()
        self.carrier.default = Plan(hz=CED_HZ)
        await self.host.start()
        modem = Modem(self._folder, self.net[2])
        try:
            await modem.open()
            await until(lambda: bool(self.host.logged("registered")), 15, "its registration")
            await modem.command("AT+FCLASS=1", "OK")
            yield modem
        finally:
            modem.stop()
            await self.carrier.close()
            status = self.host.stop()
        assert status == 0
        log = self.host.log.read_text("utf-8", "replace")
        assert "Traceback" not in log, log[-3_000:]


def play(tmp_path: Path, scenario: Callable[[Bench, Modem], Awaitable[None]]) -> None:
    async def run() -> None:
        bench = Bench(tmp_path)
        async with bench.running() as modem:
            await scenario(bench, modem)

    asyncio.run(asyncio.wait_for(run(), 75))


def on_lengths_ms(samples: Samples, hz: float) -> list[int]:
    """How long the bursts last in which a tone is loudest."""
    assert abs(Spectrum(loudest(samples, 0.3)).strongest()[0] - hz) <= 10
    return [ms for loud, ms in bursts_ms(samples) if loud and ms > 100]


def test_the_modem_registers_and_calls_out_and_its_calling_tone_arrives(tmp_path: Path) -> None:
    async def scenario(bench: Bench, modem: Modem) -> None:
        await modem.command(f"ATDT{CALLED}", "")
        await until(lambda: bool(bench.carrier.calls_to("+" + CALLED)), 10, "the call")
        call = bench.carrier.calls_to("+" + CALLED)[0]
        await call.wait("answered")
        await call.wait_heard(5.0)
        # T.30, 4.3.2: 1100 Hz, half a second on and three off.
        bursts = on_lengths_ms(call.media.samples(), CNG_HZ)
        assert any(400 <= ms <= 600 for ms in bursts), bursts
        at = time.monotonic()
        # While it listens for a fax it takes no commands; any character ends that.
        await modem.command("", "OK")
        await modem.command("ATH", "OK")
        await call.wait("ended")
        assert time.monotonic() - at < 10
        (cdr,) = await bench.host.cdrs("fax")
        assert (cdr["direction"], cdr["disposition"]) == ("out", "answered")
        assert cdr["billed_ms"] > 4_000
        assert cdr["ended_by"] == "caller"

    play(tmp_path, scenario)


def test_a_did_rings_the_modem_and_its_answering_tone_comes_back(tmp_path: Path) -> None:
    async def scenario(bench: Bench, modem: Modem) -> None:
        listener = bench.host.listeners["montreal"]
        call = await bench.carrier.call(DID, listener, caller="+15145550199", hz=CNG_HZ)
        await modem.says("RING")
        assert call.ringing
        await modem.command("ATA", "")
        await call.wait("answered")
        await call.wait_heard(4.0)
        # T.30, 4.3.1: 2100 Hz for 2.6 to 4.0 s.
        bursts = on_lengths_ms(call.media.samples(), CED_HZ)
        assert any(ms >= 1_500 for ms in bursts), bursts
        call.hang_up()
        (cdr,) = await bench.host.cdrs("fax")
        assert (cdr["direction"], cdr["disposition"]) == ("in", "answered")
        assert cdr["ended_by"] == "caller"

    play(tmp_path, scenario)
