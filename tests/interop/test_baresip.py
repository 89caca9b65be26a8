"""baresip as another customer's phone: registers, calls out, and takes a call to a DID.

baresip 1.0 knows MD5 alone and gives up at a challenge of another algorithm that comes before it:
the host knows it by its User-Agent and offers it nothing else, on a listener like any other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.sip.phone import Phone
from tests.host.sip.server_process import HostProcess
from tests.interop.baresip import start_baresip
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


def baresip(folder: Path, host: HostProcess, *commands: str) -> Program:
    return start_baresip(folder, f"127.0.1.1:{host.port}", ADDRESS, ("alice", "secret"), *commands)


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
