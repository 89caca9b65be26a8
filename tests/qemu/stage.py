"""The stage: guest, kernel driver, device and telephone within; host and carrier outside."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tests.peers.carrier import Carrier, Plan
from tests.peers.tones import Samples, bursts_ms, write_wav
from tests.qemu.build import build, sound_library
from tests.qemu.machine import GuestError, Machine
from tests.scenarios.report import Report
from tests.scenarios.rig import HostProcess, Net

NETWORK = "192.0.2"
"""Addresses of host and carrier (RFC 5737), in a network of their own that the guest reaches
through QEMU."""
POP = "montreal"
DID, DID_PER_MINUTE = "+12125550100", "0.009"
CALLER = "+15145550111"
MONTREAL = "5145550123"
CARRIER_HZ, MOUTH_HZ = 1_500, 700
TONE_DBM0 = -10.0
RING_S = 6.0
"""The carrier lets it ring so long: long enough to hear two seconds of ringback."""
OUR_CHANNEL, TELEPHONE_CHANNEL = 1, 2
MODULES = ("dahdi auto_assign_spans=1", "dahdi_dynamic", "dahdi_dynamic_loc", "dahdi_echocan_mg2")
_ZONE = "loadzone=us\ndefaultzone=us\n"
_LINE, _TELEPHONE = "dynamic=loc,1:0,1,0\n", "dynamic=loc,1:1,1,0\n"
OURS = f"fxoks=1\nechocanceller=mg2,1\n{_ZONE}"
"""system.conf that sets our channel up, and leaves the spans as they are."""
THEIRS = f"{_TELEPHONE}fxsks=2\n{_ZONE}"
"""The telephone's span alone is made, beside ours."""
SPANS = f"{_LINE}{THEIRS}{OURS}"
"""Both: a line and a telephone."""
OUR_SPAN = "/sys/bus/dahdi_devices/devices/dynamic:loc:0"
DEVICE_LOG = "/tmp/ata.log"
CONFIGURATION = "/tmp/system.conf"


class OwnNet(Net):
    """The addresses of `NETWORK`, which the network namespace has on its loopback."""

    def __init__(self) -> None:
        self._base = NETWORK


class Stage:
    """What the steps play with.

    Args:
        report: told what goes on.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.folder = Path(tempfile.mkdtemp(prefix="loopstart-dahdi-"))
        self.net = OwnNet()
        extra = (
            "[sip]\nshutdown_grace_s = 1\n[[listeners]]\n"
            f'pop = "{POP}"\ntransport = "iax2"\naddress = "{self.net[2]}"\nport = 4569\n'
        )
        self.host = HostProcess(self.folder, self.net, (POP,), extra)
        self.carrier = Carrier(self.net[10], 5070)
        self.password = secrets.token_urlsafe(9)
        self.machine: Machine | None = None
        self.lost = 0
        """Steps of 10 ms without sound in tones that were to last."""
        self.heard = 0

    @property
    def guest(self) -> Machine:
        """The guest, once it is up."""
        assert self.machine is not None, "it was started"
        return self.machine

    async def start(self) -> None:
        """Bring all of it up but the device."""
        built = build()
        self.machine = Machine(built, self.folder, Path(sys.executable))
        self.report.setting_up(f"Debian's kernel {built.release} boots in QEMU")
        await self.machine.start()
        self.report.setting_up(f"the guest runs under {self.machine.accelerator}; host and carrier")
        await self._provision()
        await self.carrier.start()
        self.carrier.default = Plan(hz=CARRIER_HZ, ring_s=RING_S)
        await self.host.start()
        self.report.setting_up("")

    async def _provision(self) -> None:
        run = self.host.run
        await run("rates", "import")
        await run("pop", "add", POP)
        await run("carrier", "add", "northern", self.carrier.address, "--port", "5070")
        options = ("--password", self.password, "--iax2", "--route", "value")
        await run("account", "add", "alice", *options)
        await run("pay", "alice", "15")
        of_alice = ("--account", "alice", "--pop", POP, "--per-minute", DID_PER_MINUTE)
        await run("did", "add", DID, *of_alice)

    async def stop(self, keep: bool) -> None:
        """End all of it; with `keep`, leave logs and recordings behind."""
        if self.machine is not None:
            if keep and self.machine.runs:
                await self._keep_logs()
            await self.machine.stop()
        await self.carrier.close()
        await asyncio.to_thread(self.host.stop)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _keep_logs(self) -> None:
        for name, words in (("device.log", ["cat", DEVICE_LOG]), ("kernel.log", ["dmesg"])):
            try:
                _, said = await self.guest.do("run", 20, words=words)
            except (GuestError, TimeoutError) as error:
                said = str(error)
            (self.folder / name).write_text(said)

    # The kernel's driver

    async def load_modules(self) -> None:
        """Load DAHDI's modules."""
        for module in MODULES:
            await self.guest.run(str(self.guest.root / "bin/busybox"), "modprobe", *module.split())

    async def configure(self, text: str) -> None:
        """Have dahdi_cfg carry out a system.conf."""
        await self.guest.do("write", path=CONFIGURATION, text=text)
        await self.guest.run(self._dahdi_cfg, "-c", CONFIGURATION)

    async def end_spans(self) -> None:
        """Have dahdi_cfg end the spans; one whose channel is open stays, and it says so."""
        await self.guest.do("write", path=CONFIGURATION, text=SPANS)
        await self.guest.do("run", words=[self._dahdi_cfg, "-s", "-c", CONFIGURATION])

    async def tell_span(self, what: str) -> None:
        """Have the kernel take our span away (`unassign_span`) or bring it back (`auto_assign`)."""
        await self.guest.run("sh", "-c", f"echo 1 > {OUR_SPAN}/{what}")

    @property
    def _dahdi_cfg(self) -> str:
        return str(self.guest.root / "usr/sbin/dahdi_cfg")

    async def soundcard(self) -> dict[str, Any]:
        """Have the GPIO driver carry audio over snd-aloop; what was heard at both ends."""
        python = Path(sys.executable)
        environment = await asyncio.to_thread(sound_library, self.guest.built, python)
        await self.guest.run(str(self.guest.root / "bin/busybox"), "modprobe", "snd-aloop")
        words = [f"{name}={value}" for name, value in environment.items()]
        said = await self.guest.run(
            "env", *words, str(python), "-m", "tests.qemu.soundcard", timeout_s=90
        )
        answer = json.loads(said.splitlines()[-1])
        for way in ("ear", "mouth"):
            answer[way] = np.frombuffer(base64.b64decode(answer[way]), "<i2").astype(np.int16)
            write_wav(self.folder / f"soundcard-{way}.wav", answer[way])
        return dict(answer)

    # The device

    async def start_device(self, protocol: str) -> None:
        """Start `loopstart-ata` in the guest."""
        port = 4569 if protocol == "iax2" else 5060
        text = (
            f'board = "pc-dahdi"\n[{protocol}]\nusername = "alice"\n'
            f'password = "{self.password}"\nservers = ["{self.net[2]}:{port}"]\n'
            'retry_least_s = 1.0\n[line]\ncountry = "US"\n'
        )
        await self.guest.do("write", path="/tmp/ata.toml", text=text)
        words = [sys.executable, "-m", "firmware.app", "--config", "/tmp/ata.toml"]
        await self.guest.do("start", name="device", words=words, log=DEVICE_LOG)

    async def mark(self) -> int:
        """How long the device's log is: what comes later is news."""
        return len((await self.guest.do("read", path=DEVICE_LOG)).encode())

    async def logged(self, pattern: str, since: int, timeout_s: float = 20.0) -> str:
        """The first line of the device's log since a mark that a pattern is found in.

        Raises:
            TimeoutError: there is none.
        """
        end = time.monotonic() + timeout_s
        while True:
            text = await self.guest.do("read", path=DEVICE_LOG, start=since)
            for line in text.splitlines():
                if re.search(pattern, line):
                    return str(line)
            if time.monotonic() > end:
                if not await self.guest.do("alive", name="device"):
                    raise TimeoutError(f"the device has ended: {text[-600:]}")
                raise TimeoutError(f"the device's log shows no `{pattern}`; it ends: {text[-300:]}")
            await asyncio.sleep(0.2)

    # The telephone

    async def ear(self, seconds: float, name: str) -> Samples:
        """What the telephone hears from now on."""
        text = await self.guest.do("listen", 60 + 4 * seconds, seconds=seconds)
        samples = np.frombuffer(base64.b64decode(text), "<i2").astype(np.int16)
        write_wav(self.folder / f"{name}.wav", samples)
        return samples

    def count_gaps(self, *heard: Samples) -> None:
        """Note how much is missing in tones that were to last."""
        self.lost += sum(map(gaps, heard))
        self.heard += sum(len(samples) // 80 for samples in heard)

    async def telephone(self, name: str, count: int, timeout_s: float = 30.0) -> list[float]:
        """When something has happened on the telephone's wires, once it has so many times.

        Raises:
            TimeoutError: it has not.
        """
        end = time.monotonic() + timeout_s
        while True:
            state = await self.guest.do("state")
            times = [at for at, what in state["events"] if what == name]
            if len(times) >= count:
                return times
            if time.monotonic() > end:
                seen = [what for _, what in state["events"]][-5:]
                raise TimeoutError(f"the telephone saw no `{name}`; last it saw {seen}")
            await asyncio.sleep(0.2)

    async def count(self, name: str) -> int:
        """How often something has happened on the telephone's wires."""
        state: dict[str, Any] = await self.guest.do("state")
        return sum(what == name for _, what in state["events"])


def gaps(samples: Samples) -> int:
    """Steps of 10 ms without sound between the first sound and the last."""
    return sum(ms for loud, ms in bursts_ms(samples)[1:-1] if not loud) // 10


def stamp_of(line: str) -> float:
    """When a line of the device's log was written, in seconds by the guest's calendar."""
    return datetime.fromisoformat(line.split()[0]).astimezone(UTC).timestamp()


def words_of(line: str) -> str:
    """What a line of the device's log says, without its time and level."""
    return line.split(maxsplit=2)[2]
