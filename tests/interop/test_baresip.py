"""baresip as another customer's phone: registers, calls out, and takes a call to a DID.

baresip 1.0 knows MD5 alone and gives up at a challenge of another algorithm that comes before it:
the host knows it by its User-Agent and offers it nothing else, on a listener like any other.
"""

from __future__ import annotations

import math
import struct
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.sip.phone import Phone
from tests.host.sip.server_process import HostProcess, free_port
from tests.interop.programs import Program, needs

pytestmark = [pytest.mark.interop, needs("baresip", "baresip-core")]

DID = "12125550100"
CALLED = "15145550100"
ADDRESS = "127.0.1.30"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostProcess]:
    process = HostProcess(tmp_path, "udp")
    process.setup()
    process.account("alice", route="value")
    process.start()
    process.did("+" + DID, "alice")
    yield process
    process.close()
    process.clean_log()


@pytest.fixture
def gateway(host: HostProcess) -> Iterator[Phone]:
    phone = Phone.udp("127.0.1.5", ("127.0.1.1", host.port))
    host.carrier("north", "127.0.1.5", phone.own[1])
    yield phone
    phone.close()


def tone(path: Path) -> None:
    """Some seconds of 440 Hz to speak with."""
    samples = [round(8_000 * math.sin(2 * math.pi * 440 * n / 8_000)) for n in range(8_000 * 4)]
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def baresip(folder: Path, host: HostProcess, *commands: str) -> Program:
    home = folder / f"baresip{len(commands)}"
    home.mkdir()
    tone(home / "tone.wav")
    modules = ("account", "menu", "g711", "aufile", "uuid")
    (home / "config").write_text(
        "poll_method epoll\nsip_transports udp\n"
        f"sip_listen {ADDRESS}:{free_port(address=ADDRESS)}\n"
        f"net_interface {ADDRESS}\n"
        "rtp_ports 30000-30400\n"
        f"audio_source aufile,{home}/tone.wav\n"
        f"audio_player aufile,{home}/heard.wav\n"
        f"audio_alert aufile,{home}/alert.wav\n"
        "module_path /usr/lib/baresip/modules\n"
        + "".join(f"module{'_app' if m in ('account', 'menu') else ''} {m}.so\n" for m in modules)
    )
    (home / "accounts").write_text(
        f"<sip:alice@127.0.1.1:{host.port}>;auth_user=alice;auth_pass=secret;regint=120;"
        "answermode=auto;audio_codecs=pcmu\n"
    )
    (home / "contacts").write_text("")
    words = [word for command in commands for word in ("-e", command)]
    return Program(folder, "baresip", "baresip", "-v", "-f", str(home), "-t", "40", *words)


def wait_registered(program: Program, host: HostProcess) -> None:
    until = time.monotonic() + 15
    while '"registered"' not in host.log:
        assert time.monotonic() < until, f"not registered\n{program.log[-3000:]}"
        time.sleep(0.05)


def test_baresip_registers_and_takes_a_call_to_a_did(
    tmp_path: Path, host: HostProcess, gateway: Phone
) -> None:
    phone = baresip(tmp_path, host)
    try:
        wait_registered(phone, host)
        answered = gateway.call(DID)
        assert answered.status == 200, phone.log[-3000:]
        time.sleep(1.5)
        assert gateway.bye().status == 200
        (cdr,) = host.wait_cdrs(1)
        assert (cdr["direction"], cdr["disposition"]) == ("in", "answered")
        assert cdr["cost"] > 0
    finally:
        phone.stop()


def test_baresip_calls_out(tmp_path: Path, host: HostProcess, gateway: Phone) -> None:
    offers: list[bytes] = []

    def answer() -> None:
        invite = gateway.request(20)
        offers.append(invite.body)
        gateway.respond(invite, 180)
        gateway.respond(invite, 200, gateway.sdp())
        gateway.request()

    callee = threading.Thread(target=answer, daemon=True)
    callee.start()
    phone = baresip(tmp_path, host, f"/dial sip:{CALLED}@127.0.1.1:{host.port}")
    try:
        callee.join(20)
        assert offers, phone.log[-3000:]
        assert b"127.0.1.1" in offers[0], "it is to speak to the relay"
        time.sleep(1.5)
        assert gateway.bye().status == 200
        (cdr,) = host.wait_cdrs(1)
        assert (cdr["direction"], cdr["disposition"]) == ("out", "answered")
        assert cdr["ended_by"] == "callee"
        assert 1_000 < cdr["billed_ms"] < 4_000
    finally:
        phone.stop()
