"""Hold and transfer of a handset as tshark reads them off the wire: RFC 3264, 3515, 3891."""

from __future__ import annotations

import asyncio
import re
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.interop.programs import Program, needs
from tests.peers.endpoint import Login, until
from tests.peers.switch import Switch
from tests.scenarios.rig import Device, Net

pytestmark = [pytest.mark.interop, needs("tshark", "tshark")]

FIRST, SECOND = "15145550123", "15145550188"
FIELDS = (
    "ip.src", "sip.Method", "sip.Call-ID", "sip.Refer-To", "sip.to.tag", "sip.from.tag",
    "sdp.media_attr", "_ws.malformed",
)  # fmt: skip


def test_an_attended_transfer_on_the_wire(tmp_path: Path) -> None:
    net = Net()
    capture = tmp_path / "transfer.pcap"
    shark = Program(
        tmp_path, "tshark", "tshark", "-i", "lo", "-f", f"udp port 5060 and host {net[2]}",
        "-a", "duration:60", "-w", str(capture), "-F", "pcap",
    )  # fmt: skip
    try:
        shark.wait_for("Capturing on", 20)
        calls = asyncio.run(asyncio.wait_for(_transfer(net, tmp_path), 50))
    finally:
        shark.stop()
    rows = _read(capture)
    assert not [row for row in rows if row["_ws.malformed"]]
    own = [row for row in rows if row["ip.src"] == net[3]]
    first = [row for row in own if row["sip.Call-ID"] == calls[FIRST]]
    held = [row for row in first if row["sip.Method"] == "INVITE"]
    directions = [
        next((one for one in row["sdp.media_attr"].split(",") if one in _DIRECTIONS), "")
        for row in held
    ]
    assert directions == ["sendrecv", "sendonly", "sendrecv"]
    (refer,) = [row for row in own if row["sip.Method"] == "REFER"]
    assert refer["sip.Call-ID"] == calls[FIRST]
    found = re.search(r"[?&]Replaces=([^>&]+)", refer["sip.Refer-To"])
    assert found is not None, refer["sip.Refer-To"]
    call_id, *tags = unquote(found[1]).split(";")
    assert call_id == calls[SECOND]
    talked = next(
        row for row in rows
        if row["sip.Call-ID"] == call_id and row["sip.Method"] == "ACK" and row["sip.to.tag"]
    )  # fmt: skip
    # As whom it will be sent to sees them: its own tag is the `to` of the one who refers.
    assert dict(one.split("=") for one in tags) == {
        "to-tag": talked["sip.to.tag"],
        "from-tag": talked["sip.from.tag"],
    }
    byes = {row["sip.Call-ID"] for row in own if row["sip.Method"] == "BYE"}
    assert byes == set(calls.values())


_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


async def _transfer(net: Net, folder: Path) -> dict[str, str]:
    """Call one, hold him, call another, hang up; the Call-ID of each call."""
    async with AsyncExitStack() as stack:
        switch = Switch(net[2], 5060)
        await switch.start()
        stack.push_async_callback(switch.close)
        device = Device(folder, Login("100001", "secret"), net[3], f"{net[2]}:5060")
        stack.push_async_callback(asyncio.to_thread, device.stop)
        await device.wait("registered", True, 20)
        await device.dial(FIRST)
        await device.wait("call", "talking")
        await device.do("flash")
        await device.wait("tone", "recall")
        await device.do("dtmf", SECOND, 60, 60)
        await device.wait("call", "talking")
        await device.hang_up()
        calls = [switch.calls_to(number)[0] for number in (FIRST, SECOND)]
        for call in calls:
            await call.wait("ended")
        await until(lambda: bool(switch.transfers), what="REFER")
        await asyncio.sleep(0.5)
        return {call.number: call.call_id for call in calls}


def _read(capture: Path) -> list[dict[str, str]]:
    """What tshark makes of each packet."""
    words = ["tshark", "-r", str(capture), "-Y", "sip", "-T", "fields", "-E", "separator=|"]
    for field in FIELDS:
        words += ["-e", field]
    done = subprocess.run(words, capture_output=True, timeout=30, check=True, text=True)
    return [dict(zip(FIELDS, line.split("|"), strict=True)) for line in done.stdout.splitlines()]
