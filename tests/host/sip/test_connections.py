"""A customer over TCP and over TLS: registers, calls, and is called on its own connection."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.sip.phone import Phone
from tests.host.sip.server_process import HostProcess

CALLED = "15145550100"
DID = "12125550100"

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl, which makes the certificate, is missing"
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    folder: Path = tmp_path_factory.mktemp("host")
    process = HostProcess(folder, "udp", "tcp", "tls")
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


def answered(host: HostProcess) -> list[str]:
    """Directions of the calls that were answered and settled."""
    return [c["direction"] for c in host.cdrs() if c["disposition"] == "answered"]


def answer(phone: Phone) -> None:
    """Take one call."""
    invite = phone.request()
    assert invite.method == "INVITE"
    phone.respond(invite, 180)
    phone.respond(invite, 200, phone.sdp())
    assert phone.request().method == "ACK"


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_registered_customer_calls_and_is_called_on_its_connection(
    host: HostProcess, gateway: Phone, transport: str
) -> None:
    settled = len(answered(host))
    sock = host.connect(transport)
    alice = Phone(sock, transport, ("127.0.1.1", host.ports[transport]), "alice")
    registered = alice.register()
    assert registered.status == 200
    assert f"transport={transport}" in (registered.headers.get("Contact") or "")

    callee = threading.Thread(target=answer, args=(gateway,), daemon=True)
    callee.start()
    assert alice.call(CALLED).status == 200
    callee.join(5)
    assert alice.dialog is not None
    assert alice.dialog.remote_target.param("transport") == transport
    update = alice.in_dialog("UPDATE")
    alice.send_octets(update.to_bytes()[:40])
    time.sleep(0.02)  # a stream may be cut anywhere
    alice.send_octets(update.to_bytes()[40:])
    assert alice.final().status == 200
    assert alice.bye().status == 200
    bye = gateway.request()
    assert bye.method == "BYE"
    gateway.respond(bye, 200)

    callee = threading.Thread(target=answer, args=(alice,), daemon=True)
    callee.start()
    gateway.mark += "b"
    assert gateway.call(DID).status == 200
    callee.join(5)
    assert alice.bye().status == 200
    bye = gateway.request()
    assert bye.method == "BYE"
    gateway.respond(bye, 200)
    until = time.monotonic() + 5
    while len(answered(host)) < settled + 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert answered(host)[settled:] == ["out", "in"]

    alice.close()  # and nobody is there any more
    time.sleep(0.2)
    gateway.mark += "c"
    assert gateway.call(DID).status == 480


def test_a_keep_alive_is_answered(host: HostProcess) -> None:
    """RFC 5626, 3.5.1."""
    sock = host.connect("tcp")
    sock.sendall(b"\r\n\r\n")
    assert sock.recv(10) == b"\r\n"
    sock.close()


def test_a_stream_that_is_no_sip_is_closed(host: HostProcess) -> None:
    sock = host.connect("tcp")
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    received = b""
    while data := sock.recv(1000):
        received += data
    assert b"SIP/2.0 4" in received or received == b""
    sock.close()
