"""Registrations over UDP outlive the host's process, however it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.sip.phone import Phone
from tests.host.sip.server_process import HostProcess

DID = "12125550100"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostProcess]:
    process = HostProcess(tmp_path, "udp")
    process.setup()
    process.account("alice", route="value")
    process.did("+" + DID, "alice")
    process.start()
    yield process
    process.close()
    process.clean_log()


def saved(host: HostProcess, count: int) -> bool:
    """Whether so many bindings stand in the store, within three heartbeats."""
    until = time.monotonic() + 3
    while time.monotonic() < until:
        (found,) = host.conn.execute("SELECT count(*) FROM binding").fetchone()
        if found == count:
            return True
        time.sleep(0.05)
    return False


def test_after_kill_9_a_did_rings_the_device_that_was_registered(host: HostProcess) -> None:
    alice = Phone.udp("127.0.1.9", ("127.0.1.1", host.port), "alice")
    gateway = Phone.udp("127.0.1.5", ("127.0.1.1", host.port))
    host.carrier("north", "127.0.1.5", gateway.own[1])
    assert alice.register().status == 200
    assert saved(host, 1)
    assert host.process is not None
    host.process.kill()
    host.process.wait(5)
    host.start()
    uri = f"sip:{DID}@127.0.1.1"
    invite = gateway.build("INVITE", uri, f"<{uri}>", body=gateway.sdp())
    gateway.send_octets(invite.to_bytes())
    ringing = alice.request()
    assert ringing.method == "INVITE"
    alice.respond(ringing, 486)
    assert gateway.final().status == 486
    alice.close()
    gateway.close()


def test_what_was_unregistered_stays_so(host: HostProcess) -> None:
    alice = Phone.udp("127.0.1.9", ("127.0.1.1", host.port), "alice")
    assert alice.register().status == 200
    assert saved(host, 1)
    assert alice.register(expires=0).status == 200
    assert saved(host, 0)
    host.stop()
    host.start()
    assert '"registered"' not in host.log
    alice.close()


def test_an_expired_registration_is_not_found_again(host: HostProcess) -> None:
    alice = Phone.udp("127.0.1.9", ("127.0.1.1", host.port), "alice")
    assert alice.register().status == 200
    assert saved(host, 1)
    host.stop()
    host.conn.execute("UPDATE binding SET expires_utc_ms = 1")
    host.start()
    assert saved(host, 0)
    assert '"registered"' not in host.log
    alice.close()
