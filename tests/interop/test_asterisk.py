"""A current Asterisk over IAX2: as a PBX and as a carrier of the host, and as a device's server.

Call tokens are required everywhere; calls in clear and encrypted, in mini frames and in trunks.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.firmware.device_process import DeviceProcess
from tests.interop.asterisk import Asterisk, Peer, needs_asterisk
from tests.peers.carrier import Carrier, Plan
from tests.peers.endpoint import Endpoint, Login, until
from tests.peers.tones import Samples, Spectrum, loudest, read_wav
from tests.scenarios.rig import HostProcess, Net

pytestmark = [pytest.mark.interop, pytest.mark.slow, needs_asterisk]

DID = "+12125550100"
MILLIWATT_HZ, ALICE_HZ, NORTH_HZ = 1_004, 700, 1_500
AT_ONCE = 5
SETTINGS = """
[[listeners]]
pop = "montreal"
address = "{address}"
port = 4569
transport = "iax2"
[iax2]
encryption = {encryption}
"""


def strongest_hz(samples: Samples) -> float:
    return Spectrum(loudest(samples, 0.4)).strongest()[0]


class Meeting:
    """A host, a carrier on SIP, and Asterisk, all on addresses of their own."""

    def __init__(self, folder: Path, encryption: str, trunk: bool) -> None:
        self.net = net = Net()
        self.encryption, self.trunk = encryption, trunk
        self.folder = folder
        words = "true" if encryption != "no" else "false"
        extra = SETTINGS.format(address=net[2], encryption=words)
        self.host = HostProcess(folder, net, pops=("montreal",), extra=extra)
        self.north = Carrier(net[10], 5070)
        common = (
            "auth=md5",
            "requirecalltoken=yes",
            f"trunk={'yes' if trunk else 'no'}",
            f"encryption={'no' if encryption == 'no' else 'aes128'}",
            f"forceencryption={'yes' if encryption == 'require' else 'no'}",
        )
        host = f"host={net[2]}"
        self._peers = (
            Peer("out", ("type=peer", host, "username=pbx", "secret=pbx-secret", *common)),
            Peer("pbx", ("type=user", "secret=pbx-secret", "context=host", *common)),
            Peer("us", ("type=user", "secret=us-secret", "context=carrier", *common)),
            # A call without a name comes from the host's address, as from a registrar.
            Peer("host", ("type=user", f"permit={net[2]}/255.255.255.255", "context=host",
                          *common[1:])),
        )  # fmt: skip

    async def start(self) -> Asterisk:
        run, trunk = self.host.run, ["--trunk"] if self.trunk else []
        encryption = ["--encryption", self.encryption]
        await run("rates", "import")
        await run("pop", "add", "montreal")
        await run("carrier", "add", "north", self.north.address, "--port", "5070",
                  "--priority", "20")  # fmt: skip
        await run("account", "add", "pbx", "--password", "pbx-secret", "--route", "value",
                  "--iax2", "--channels", "40", *encryption, *trunk)  # fmt: skip
        await run("account", "add", "alice", "--password", "alice-secret", "--route", "value")
        for name in ("pbx", "alice"):
            await run("pay", name, "15")
        await run("did", "add", DID, "--account", "pbx", "--pop", "montreal")
        await run("carrier", "add", "asterisk", self.net[9], "--transport", "iax2", "--prefix",
                  "99", "--username", "us", "--secret", "us-secret", "--priority", "30",
                  *encryption, *trunk)  # fmt: skip
        await self.north.start()
        self.north.default = Plan(hz=NORTH_HZ)
        await self.host.start()
        general = (f"register => pbx:pbx-secret@{self.net[2]}",)
        asterisk = Asterisk(self.folder, self.net[9], self._peers, general)
        await asyncio.to_thread(asterisk.wait_ready)
        await until(lambda: bool(self.host.logged("registered")), 20, "its registration")
        return asterisk


@pytest.mark.parametrize(
    ("encryption", "trunk"), [("no", False), ("no", True), ("offer", True), ("require", False)]
)
def test_the_host_and_asterisk_call_each_other(
    tmp_path: Path, encryption: str, trunk: bool
) -> None:
    async def run() -> None:
        meeting = Meeting(tmp_path, encryption, trunk)
        asterisk = await meeting.start()
        try:
            await _rung(meeting)
            await _calls_out(meeting, asterisk)
            await _as_carrier(meeting)
        finally:
            asterisk.stop()
            await meeting.north.close()
            status = meeting.host.stop()
        assert status == 0
        assert "Traceback" not in meeting.host.log.read_text("utf-8", "replace")
        rows = await meeting.host.run("cdr", "list")
        assert len(rows) == 2 + AT_ONCE
        assert {row["disposition"] for row in rows} == {"answered"}
        assert all(float(row["cost"]) > 0 for row in rows)

    asyncio.run(asyncio.wait_for(run(), 90))


async def _rung(meeting: Meeting) -> None:
    """A DID's call goes to Asterisk, which echoes it."""
    listener = meeting.host.listeners["montreal"]
    call = await meeting.north.call(DID, listener, caller="+15145550199", hz=ALICE_HZ)
    await call.wait("answered")
    call.media.forget()
    await call.wait_heard(1.0)
    assert abs(strongest_hz(call.media.samples()) - ALICE_HZ) <= 5
    call.hang_up()
    await call.wait("ended")


async def _calls_out(meeting: Meeting, asterisk: Asterisk) -> None:
    """Some calls of Asterisk at once, to a SIP carrier."""
    numbers = [f"1514555020{n}" for n in range(AT_ONCE)]
    for number in numbers:
        words = f"channel originate IAX2/out/{number} application Milliwatt"
        await asyncio.to_thread(asterisk.do, words)
    north = meeting.north
    for number in numbers:
        await until(lambda n=number: north.calls_to(f"+{n}"), 10, number)  # type: ignore[misc]
    calls = [north.calls_to(f"+{number}")[0] for number in numbers]
    for call in calls:
        await call.wait("answered")
        call.media.forget()
    for call in calls:
        await call.wait_heard(1.0)
        assert abs(strongest_hz(call.media.samples()) - MILLIWATT_HZ) <= 5
    await asyncio.to_thread(asterisk.do, "channel request hangup all")
    for call in calls:
        await call.wait("ended")


async def _as_carrier(meeting: Meeting) -> None:
    """The host logs in to Asterisk and calls out by it, when the other carrier is away."""
    await meeting.host.run("carrier", "remove", "north")
    async with Endpoint(meeting.net[20], 0, Login("alice", "alice-secret")) as alice:
        call = await alice.call("15145550177", meeting.host.listeners["montreal"], hz=ALICE_HZ)
        await call.wait("answered")
        await call.wait_heard(1.0)
        assert abs(strongest_hz(call.media.samples()) - MILLIWATT_HZ) <= 5
        call.hang_up()
        await call.wait("ended")
    await meeting.host.cdrs("alice")


@pytest.mark.parametrize(
    ("encryption", "codec", "name"),
    [("no", "PCMU", "ulaw"), ("offer", "G722", "g722"), ("require", "GSM", "gsm")],
)
def test_a_device_registers_at_asterisk_and_calls(
    tmp_path: Path, encryption: str, codec: str, name: str
) -> None:
    address = Net()[9]
    lines = ["type=friend", "host=dynamic", "secret=secret", "auth=md5", "context=host"]
    lines += ["requirecalltoken=yes"]
    if encryption != "no":
        lines += ["encryption=aes128"]
    asterisk = Asterisk(tmp_path, address, (Peer("100001", tuple(lines)),), codec=name)
    try:
        asterisk.wait_ready()
        account = f'servers = ["{address}"]\nencryption = "{encryption}"\ncodecs = ["{codec}"]'
        device = DeviceProcess(tmp_path, account, "", "iax2")
        try:
            _telephone(device, asterisk, tmp_path)
        finally:
            device.stop()
    finally:
        asterisk.stop()


def test_two_calls_at_asterisk_go_on_without_the_device_that_joined_them(tmp_path: Path) -> None:
    """chan_iax2 takes TXREQ in two of its own calls, finds itself at the other end, and connects
    the two; the device leaves by TXREL."""
    address = Net()[9]
    lines = ("type=friend", "host=dynamic", "secret=secret", "auth=md5", "context=host",
             "transfer=yes", "requirecalltoken=yes")  # fmt: skip
    asterisk = Asterisk(tmp_path, address, (Peer("100001", lines),))
    try:
        asterisk.wait_ready()
        device = DeviceProcess(tmp_path, f'servers = ["{address}"]', "", "iax2")
        try:
            handset = device.handset
            handset.wait("registered", True, 15)
            handset.off_hook()
            handset.wait("tone", "dial")
            handset.dtmf("5145550123", 60, 60)
            handset.wait("call", "talking")
            handset.flash()
            handset.wait("tone", "recall")
            handset.dtmf("5145550124", 60, 60)
            handset.wait("call", "talking")
            handset.on_hook()
            handset.wait("line", "on_hook")
            time.sleep(3)
        finally:
            device.stop()
        time.sleep(2)
        said = asterisk.do("core show channels count")
        assert "2 active channels" in said, said + asterisk.log[-2_000:]
    finally:
        asterisk.stop()


def _telephone(device: DeviceProcess, asterisk: Asterisk, folder: Path) -> None:
    handset = device.handset
    handset.wait("registered", True, 15)
    handset.off_hook()
    handset.wait("tone", "dial")
    handset.dtmf("5145550123", 60, 60)
    handset.wait("call", "talking")
    handset.tone([ALICE_HZ], 2_500)
    time.sleep(0.7)
    assert abs(_ear(device, folder / "echo.wav") - ALICE_HZ) <= 5
    handset.dtmf("7", 100, 100)
    until_s = time.monotonic() + 5
    while "DTMF end '7' received" not in asterisk.log.replace("\x1b[0m", ""):
        assert time.monotonic() < until_s, asterisk.log[-1_500:]
        time.sleep(0.1)
    handset.on_hook()
    handset.wait("line", "on_hook")
    asterisk.do("channel originate IAX2/100001/12125550100 application Milliwatt")
    handset.wait("ringing", True, 10)
    handset.off_hook()
    handset.wait("call", "talking")
    time.sleep(0.5)
    assert abs(_ear(device, folder / "in.wav") - MILLIWATT_HZ) <= 5
    asterisk.do("channel request hangup all")
    handset.wait("tone", "reorder", 10)
    handset.on_hook()


def _ear(device: DeviceProcess, path: Path) -> float:
    """The strongest tone in the ear, hertz."""
    device.handset.record(str(path))
    time.sleep(1.0)
    device.handset.stop_record()
    return strongest_hz(read_wav(path))
