"""A whole call as tshark reads it off the wire: nothing malformed, and what was to be said said."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from firmware.wire.rtp import RtpPacket
from firmware.wire.sip import sdp
from tests.host.sip.phone import Phone
from tests.host.sip.server_process import HostProcess
from tests.interop.programs import Program, needs

pytestmark = [pytest.mark.interop, needs("tshark", "tshark")]

PACKETS = 30


def speak(phone: Phone, sock: object, description: bytes) -> None:
    """Send audio to where the host said."""
    import socket

    assert isinstance(sock, socket.socket)
    session = sdp.parse(description)
    audio = session.audio
    assert audio is not None
    where = (session.address_of(audio), audio.port)
    for number in range(PACKETS):
        packet = RtpPacket(0, number, number * 160, 0x1000 + phone.own[1], b"\x55" * 160)
        sock.sendto(packet.to_bytes(), where)
        time.sleep(0.01)


def test_a_whole_call_on_the_wire(tmp_path: Path) -> None:
    import socket

    host = HostProcess(tmp_path, "udp")
    host.setup()
    host.account("alice", route="value")
    host.start()
    gateway = Phone.udp("127.0.1.75", ("127.0.1.1", host.port))
    alice = Phone.udp("127.0.1.72", ("127.0.1.1", host.port), "alice")
    media = []
    for phone in (alice, gateway):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((phone.own[0], 0))
        phone.media_port = sock.getsockname()[1]
        media.append(sock)
    host.carrier("north", "127.0.1.75", gateway.own[1])
    capture = tmp_path / "call.pcap"
    shark = Program(
        tmp_path, "tshark", "tshark", "-i", "lo",
        "-f", "udp and host 127.0.1.1 and (host 127.0.1.72 or host 127.0.1.75)",
        "-a", "duration:60", "-w", str(capture), "-F", "pcap",
    )  # fmt: skip
    try:
        shark.wait_for("Capturing on", 20)
        time.sleep(0.5)
        offers: list[bytes] = []

        def answer() -> None:
            invite = gateway.request()
            offers.append(invite.body)
            gateway.respond(invite, 180)
            gateway.respond(invite, 200, gateway.sdp())
            gateway.request()

        callee = threading.Thread(target=answer, daemon=True)
        callee.start()
        answered = alice.call("15145550100")
        assert answered.status == 200
        callee.join(5)
        talkers = [
            threading.Thread(target=speak, args=(phone, sock, body), daemon=True)
            for phone, sock, body in (
                (alice, media[0], answered.body),
                (gateway, media[1], offers[0]),
            )
        ]
        for talker in talkers:
            talker.start()
        for talker in talkers:
            talker.join(10)
        assert alice.bye().status == 200
        bye = gateway.request()
        gateway.respond(bye, 200)
        time.sleep(1.0)
        shark.stop()
        rows = read(capture, host.port)
    finally:
        shark.stop()
        host.close()
        for phone in (alice, gateway):
            phone.close()
        for sock in media:
            sock.close()

    assert not [row for row in rows if row["_ws.malformed"]]
    signalling = [row for row in rows if row["sip.Method"] or row["sip.Status-Code"]]
    methods = Counter(row["sip.Method"] for row in signalling if row["sip.Method"])
    # At least: on a busy machine one or the other is repeated.
    assert set(methods) == {"INVITE", "ACK", "BYE"}
    assert methods >= Counter(INVITE=3, ACK=3, BYE=2)
    statuses = Counter(row["sip.Status-Code"] for row in signalling if row["sip.Status-Code"])
    # 100 is for callers who would wait longer than 200 ms, as on a busy machine.
    assert set(statuses) - {"100"} == {"401", "180", "200"}
    assert statuses >= Counter({"401": 1, "180": 2, "200": 4})
    to_carrier = [row for row in signalling if row["ip.dst"] == "127.0.1.75"]
    out = next(row for row in to_carrier if row["sip.Method"] == "INVITE")
    assert out["sip.Session-Expires"].startswith("1800")
    hung_up = next(row for row in to_carrier if row["sip.Method"] == "BYE")
    assert 'Q.850;cause=16;text="Normal call clearing"' in hung_up["sip.Reason"]
    to_alice = [
        r for r in signalling if r["sip.Status-Code"] == "200" and r["ip.dst"] == alice.own[0]
    ]
    assert to_alice[0]["sip.Session-Expires"] == "1800;refresher=uac"
    audio = [row for row in rows if row["rtp.ssrc"] and row["rtp.p_type"] == "0"]
    heard = Counter((row["ip.src"], row["ip.dst"]) for row in audio)
    for phone in ("127.0.1.72", "127.0.1.75"):
        assert heard[(phone, "127.0.1.1")] == PACKETS
        assert heard[("127.0.1.1", phone)] >= PACKETS * 0.8, "the relay passes it on, both ways"


FIELDS = (
    "ip.src", "ip.dst", "sip.Method", "sip.Status-Code", "sip.Reason", "sip.Session-Expires",
    "rtp.ssrc", "rtp.p_type", "_ws.malformed",
)  # fmt: skip


def read(capture: Path, port: int) -> list[dict[str, str]]:
    """What tshark makes of each packet."""
    words = ["tshark", "-r", str(capture), "-d", f"udp.port=={port},sip", "-T", "fields"]
    words += ["-E", "separator=|"]
    for field in FIELDS:
        words += ["-e", field]
    done = subprocess.run(words, capture_output=True, timeout=60, check=True)
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return [dict(zip(FIELDS, line.split("|"), strict=True)) for line in lines]
