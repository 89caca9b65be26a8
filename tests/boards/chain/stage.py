"""What the steps play with: a host and a caller outside, and a board in QEMU."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from boards.flash import session
from boards.state import BootState
from tests.boards.broken import Parts, made_anew
from tests.boards.chain.wire import Wire
from tests.boards.machine import Machine, MachineError, blank
from tests.boards.network import BOARD, SERVER
from tests.boards.test_flash_real import TAP, flash_table, run_command, run_tool, state_on
from tests.peers.endpoint import Login, Where
from tests.scenarios.report import Report
from tests.scenarios.rig import Device, HostProcess, Net

MAC = "52:54:00:12:34:56"
"""QEMU's first network card has it, unless it is told otherwise."""
PLAIN_MAC = MAC.replace(":", "")
USER = ("-nic", "user,model=virtio-net-pci")
"""QEMU's own network: the board finds the loopback of the namespace at 10.0.2.2."""
GATEWAY = "10.0.2.2"
HTTPS, WIRE, IAX2 = 8_482, 8_483, 4_569
DID = "+12125550101"
LIFE_S = 7_200
HOST = """
[[listeners]]
pop = "montreal"
transport = "iax2"
address = "127.0.0.1"
port = {iax2}
[api]
enabled = true
[provisioning]
address = "127.0.0.1"
port = {https}
certificate = "{folder}/cert.pem"
key = "{folder}/key.pem"
firmware_dir = "{folder}/firmware"
interval_s = 60
"""
CONFIG = """board = "qemu-arm64"
[iax2]
username = "100001"
password = "secret"
servers = ["{gateway}:{iax2}"]
[line]
country = "CA"
[provisioning]
url = "https://{gateway}:{wire}"
secret = "{secret}"
register_within_s = 60
ca = '''
{certificate}'''
"""


@dataclass
class Stage:
    """One board with its host.

    Args:
        image: version 1.
        key: it is signed with this one, as all others will be.
    """

    folder: Path
    image: Path
    key: Path
    report: Report
    rescue: Path | None = None
    """A rescue system that knows the key."""

    def __post_init__(self) -> None:
        self.net = Net()
        self.disk = blank(self.folder / "disk", flash_table().octets)
        text = HOST.format(iax2=IAX2, https=HTTPS, folder=self.folder)
        self.host = HostProcess(self.folder, self.net, ("montreal",), extra=text)
        self.wire = Wire(WIRE, HTTPS)
        self.caller: Device | None = None
        self.machine: Machine | None = None
        self.said_at = 0
        """So much of the console has been read."""
        self.config = ""

    async def start(self) -> None:
        """A host with two accounts and one device, and somebody who may call it."""
        certificate(self.folder)
        run = self.host.run
        await run("rates", "import")
        await run("pop", "add", "montreal")
        # No call is sent to it, but without any a call is refused before its DID is looked for.
        await run("carrier", "add", "northern", self.net[10], "--port", "5070")
        for name in ("100001", "200001"):
            await run("account", "add", name, "--password", "secret", "--iax2", "--route", "value")
            await run("pay", name, "15")
        await run("did", "add", DID, "--account", "100001", "--plan", "flat", "--pop", "montreal")
        made = await run("device", "add", MAC, "--board", "qemu-arm64", "--account", "100001")
        self.config = CONFIG.format(
            gateway=GATEWAY, iax2=IAX2, wire=WIRE, secret=made["secret"],
            certificate=(self.folder / "cert.pem").read_text(),
        )  # fmt: skip
        await self.host.start()
        await self.wire.open()
        login, server = Login("200001", "secret"), Where("127.0.0.1", IAX2)
        self.caller = Device(self.folder, login, self.net[30], server, over_iax2=True)

    async def stop(self) -> None:
        """Take everything down."""
        self.power_off()
        if self.caller is not None:
            self.caller.stop()
        self.wire.close()
        await asyncio.to_thread(self.host.stop)

    # --- the board ---

    def power_on(self, network: tuple[str, ...] = USER, drive: tuple[str, ...] = ()) -> Machine:
        """Plug it in: its processor waits until somebody listens to the console."""
        self.power_off()
        self.machine = Machine(self.folder, self.disk, network=network, drive=drive, life_s=LIFE_S)
        self.machine.start()
        self.said_at = len(self.machine.console())
        return self.machine

    def power_off(self) -> None:
        """Pull the plug."""
        if self.machine is not None:
            self.machine.kill()
            self.machine = None

    async def said(self, pattern: str, seconds: float) -> re.Match[str]:
        """Wait until the console says it; what follows is kept for the next time.

        Raises:
            TimeoutError: it does not; the text has the end of what it said.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            assert self.machine is not None
            text = self.machine.console()[self.said_at :]
            found = re.search(pattern, text)
            if found is not None:
                self.said_at += found.end()
                return found
            if loop.time() > end or not self.machine.runs:
                raise TimeoutError(f"the console does not say {pattern}: {text[-1500:]}")
            await asyncio.sleep(0.2)

    async def flash(self) -> str:
        """Version 1 onto the disk, by TFTP; how long that took, as the tool says it."""
        machine = self.power_on(TAP)
        words = ("--via", "tftp", "--address", BOARD, "--server", SERVER)
        tool = await asyncio.to_thread(run_tool, machine, self.image, self.key, *words)
        if tool.status != session.UNREGISTERED:
            raise MachineError(f"it is not flashed: {tool.said[-500:]}")
        return str(tool.result["failure"])

    async def provision(self) -> int:
        """Its configuration over the cable; the exit status of the tool."""
        path = self.folder / "ata.toml"
        path.write_text(self.config)
        machine = self.power_on()
        tool = await asyncio.to_thread(run_command, "provision", machine, "--config", str(path))
        return tool.status

    @property
    def state(self) -> BootState:
        """What boots, as it stands on the disk."""
        found = state_on(self.disk)
        if found is None:
            raise MachineError("the disk has no boot state")
        return found

    # --- the host ---

    def device(self) -> dict[str, Any]:
        """The host's row of the device."""
        return self.host.rows("SELECT * FROM device WHERE mac = ?", PLAIN_MAC)[0]

    async def until(self, true: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until something is so.

        Raises:
            TimeoutError: it is not, in time; the text has what the board said last.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not true():
            if loop.time() > end or (self.machine is not None and not self.machine.runs):
                last = self.machine.console()[-1000:] if self.machine is not None else ""
                raise TimeoutError(f"{what}: not within {seconds:.0f} s; {self.device()}; {last}")
            await asyncio.sleep(0.5)

    async def want(self, version: int, alter: Callable[[Parts], Parts]) -> int:
        """Let the device run a version made of the first one; how long it is."""
        octets = made_anew(self.image.read_bytes(), self.key, version, alter)
        path = self.folder / f"v{version}.img"
        path.write_bytes(octets)
        await self.host.run("device", "firmware", "add", str(path))
        await self.host.run("device", "firmware", "set", str(version), MAC)
        path.unlink()
        return len(octets)


def certificate(folder: Path) -> None:
    """For the host, as the board finds it; its own authority. It is good since a month: a board
    whose clock nobody has set begins with the time at which its image was built."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopstart test")])
    now, days = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=30)
    address = x509.IPAddress(ipaddress.ip_address(GATEWAY))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - days)
        .not_valid_after(now + days)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
