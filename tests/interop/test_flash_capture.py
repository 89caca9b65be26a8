"""A flash in a call as tshark reads it off the wire: kept here, an RFC 4733 event, or an INFO."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.interop.programs import Program, needs
from tests.peers.endpoint import Login
from tests.peers.switch import Switch
from tests.scenarios.rig import Device, Net

pytestmark = [pytest.mark.interop, needs("tshark", "tshark")]

NUMBER = "15145550123"
FLASH_EVENT = "16"
FIELDS = (
    "ip.src", "sip.Method", "sip.Content-Type", "udp.payload", "sdp.media_attr",
    "rtpevent.event_id", "rtpevent.end_of_event", "_ws.malformed",
)  # fmt: skip


@pytest.mark.parametrize("way", ["local", "event", "info"])
def test_a_flash_on_the_wire(tmp_path: Path, way: str) -> None:
    net = Net()
    capture = tmp_path / "flash.pcap"
    shark = Program(
        tmp_path, "tshark", "tshark", "-i", "lo", "-f", f"udp and host {net[2]} and host {net[3]}",
        "-a", "duration:60", "-w", str(capture), "-F", "pcap",
    )  # fmt: skip
    try:
        shark.wait_for("Capturing on", 20)
        asyncio.run(asyncio.wait_for(_flash(net, tmp_path, way), 50))
    finally:
        shark.stop()
    rows = _read(capture)
    assert not [row for row in rows if row["_ws.malformed"]]
    own = [row for row in rows if row["ip.src"] == net[3]]
    events = {row["rtpevent.event_id"] for row in own if row["rtpevent.event_id"]}
    ends = [row for row in own if row["rtpevent.end_of_event"] in ("1", "True")]
    infos = [row for row in own if row["sip.Method"] == "INFO"]
    held = [
        row for row in own if row["sip.Method"] == "INVITE" and "sendonly" in row["sdp.media_attr"]
    ]
    assert events == ({FLASH_EVENT} if way == "event" else set())
    assert bool(ends) is (way == "event"), "an event has an end, repeated"
    assert [row["sip.Content-Type"] for row in infos] == (
        ["application/hook-flash"] if way == "info" else []
    )
    if infos:
        body = bytes.fromhex(infos[0]["udp.payload"]).partition(b"\r\n\r\n")[2]
        assert body.strip() == b"signal=hf"
    assert bool(held) is (way == "local"), "only a flash that is ours puts on hold"


async def _flash(net: Net, folder: Path, way: str) -> None:
    async with AsyncExitStack() as stack:
        switch = Switch(net[2], 5060)
        await switch.start()
        stack.push_async_callback(switch.close)
        login, server = Login("100001", "secret"), f"{net[2]}:5060"
        device = Device(folder, login, net[3], server, line=f'flash_as = "{way}"')
        stack.push_async_callback(asyncio.to_thread, device.stop)
        await device.wait("registered", True, 20)
        await device.dial(NUMBER)
        await device.wait("call", "talking")
        await device.do("flash")
        await asyncio.sleep(1.5)
        if way == "local":
            await device.do("flash")
            await device.wait("call", "talking")
        await device.hang_up()


def _read(capture: Path) -> list[dict[str, str]]:
    words = ["tshark", "-r", str(capture), "-T", "fields", "-E", "separator=|"]
    for field in FIELDS:
        words += ["-e", field]
    done = subprocess.run(words, capture_output=True, timeout=60, check=True)
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return [dict(zip(FIELDS, line.split("|"), strict=True)) for line in lines]
