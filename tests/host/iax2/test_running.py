"""A running host on loopback sockets: a talk with sound, a restart, a storm of bad datagrams."""

from __future__ import annotations

import random
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware.wire import rtp
from firmware.wire.iax2 import Call, Credentials, Encryption
from host.numbering.iax2_access import allow_iax2
from tests.bench.iax2load import Iax2End, SipEnd
from tests.host.sip.server_process import ADDRESS, REALM, HostProcess
from tests.wire.iax2.fuzz import corpus, mutate

CALLED = "15145550100"
DID = "+12125550100"
SEED = 4_569
SPOILED = 30_000
GROWTH_KB = 6_000


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostProcess]:
    process = HostProcess(tmp_path, "udp", "iax2", sip="lockout_failures = 1000000")
    process.setup()
    for name in ("alice", "bob"):
        process.account(name, route="value")
        allow_iax2(process.conn, name, REALM, "secret")
    process.did(DID, "bob")
    process.start()
    yield process
    process.close()


def end(host: HostProcess, address: str) -> Iax2End:
    return Iax2End((address, 0), (ADDRESS, host.ports["iax2"]))


def run(
    ends: list[Iax2End | SipEnd],
    seconds: float,
    until: Callable[[], bool] = lambda: False,
    speak: bool = False,
) -> bool:
    """Let time pass; True as soon as `until` is."""
    stop = time.monotonic() + seconds
    slot = 0
    while time.monotonic() < stop:
        for one in ends:
            one.read()
            if speak:
                one.speak(slot % 10)
            one.flush()
        if until():
            return True
        slot += 1
        select.select([one.sock for one in ends], [], [], 0.002)
    return False


def credentials(name: str, encryption: Encryption = "no") -> Credentials:
    return Credentials(name, "secret", encryption)


def test_a_talk_with_a_sip_carrier_and_its_cdr(host: HostProcess) -> None:
    gateway = SipEnd(("127.0.1.5", 0))
    host.carrier("north", *gateway.where)
    alice = end(host, "127.0.1.2")
    ends: list[Iax2End | SipEnd] = [alice, gateway]
    call = alice.call(CALLED, credentials("alice"))
    assert run(ends, 5, lambda: alice.answered == 1)
    run(ends, 3, speak=True)
    assert gateway.heard > 100
    assert alice.heard > 100
    alice.hang_up(call)
    assert run(ends, 3, lambda: gateway.ended == 1)
    (cdr,) = host.wait_cdrs(1)
    assert (cdr["account"], cdr["disposition"], cdr["ended_by"]) == ("alice", "answered", "caller")
    assert 2_500 < cdr["talk_ms"] < 4_500
    for one in ends:
        one.close()
    assert host.stop() == 0
    host.clean_log()


def test_after_kill_9_a_did_rings_the_device_that_was_registered(host: HostProcess) -> None:
    bob, alice = end(host, "127.0.1.3"), end(host, "127.0.1.2")
    bob.register("bob", "secret")
    assert run([bob], 5, lambda: bob.registered)
    until = time.monotonic() + 3
    while host.conn.execute("SELECT count(*) FROM binding").fetchone() != (1,):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert host.process is not None
    host.process.kill()
    host.process.wait(5)
    host.start()
    host.carrier("north", "127.0.1.5", 5060)
    alice.call(DID, credentials("alice"))
    assert run([alice, bob], 5, lambda: alice.answered == 1)
    assert host.stop() == 0, "it hangs up what is left"
    run([alice, bob], 1)
    assert alice.ended == bob.ended == 1
    assert {row["ended_by"] for row in host.cdrs()} == {"host"}
    alice.close()
    bob.close()
    host.clean_log()


def test_an_encrypted_call_to_a_sip_carrier(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from firmware.aes import AesCbc

    host = HostProcess(tmp_path, "udp", "iax2")
    host.config.write_text(host.config.read_text() + "[iax2]\nencryption = true\n")
    host.setup()
    host.account("alice", route="value", encryption="require")
    allow_iax2(host.conn, "alice", REALM, "secret")
    gateway = SipEnd(("127.0.1.5", 0))
    host.carrier("north", *gateway.where)
    host.start()
    alice = end(host, "127.0.1.2")
    alice.endpoint.crypto = AesCbc()
    ends: list[Iax2End | SipEnd] = [alice, gateway]
    clear = alice.call(CALLED, credentials("alice"))
    assert run(ends, 3, lambda: clear.ended), "what has to be encrypted is refused in clear"
    call = alice.call(CALLED, credentials("alice", "require"))
    assert run(ends, 5, lambda: alice.answered == 1)
    assert call.encrypted
    run(ends, 1, speak=True)
    assert gateway.heard > 20
    assert alice.heard > 20
    alice.hang_up(call)
    assert run(ends, 3, lambda: gateway.ended == 1)
    assert [row["disposition"] for row in host.wait_cdrs(1)] == ["answered"]
    for one in ends:
        one.close()
    host.close()
    host.clean_log()


class Storm:
    """Sends what makes no sense from many addresses, and weighs what comes back."""

    def __init__(self, host: HostProcess) -> None:
        self.target = (ADDRESS, host.ports["iax2"])
        self.sockets = []
        for number in range(8):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((f"127.0.7.{number + 1}", 0))
            sock.setblocking(False)
            self.sockets.append(sock)
        self.sent: Counter[int] = Counter()
        self.got: Counter[int] = Counter()
        self.dice = random.Random(SEED)
        self.seeds = corpus()

    def blow(self, count: int) -> None:
        for _ in range(count):
            number = self.dice.randrange(len(self.sockets))
            data = mutate(self.dice, self.seeds, [])
            self.sockets[number].sendto(data, self.target)
            self.sent[number] += len(data)

    def weigh(self) -> None:
        for number, sock in enumerate(self.sockets):
            while True:
                try:
                    self.got[number] += len(sock.recv(65_535))
                except BlockingIOError:
                    break

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


@pytest.mark.slow
def test_a_storm_of_bad_datagrams_beside_a_live_call(host: HostProcess) -> None:
    print(f"seed {SEED}")
    gateway = SipEnd(("127.0.1.5", 0))
    host.carrier("north", *gateway.where)
    alice = end(host, "127.0.1.2")
    ends: list[Iax2End | SipEnd] = [alice, gateway]
    call: Call = alice.call(CALLED, credentials("alice"))
    assert run(ends, 5, lambda: alice.answered == 1)
    begun = time.monotonic()
    (media,) = gateway.live
    bridge: tuple[str, int] = media.target
    storm = Storm(host)
    warm_kb = 0
    for share in range(SPOILED // 300):
        storm.blow(280)
        for _ in range(20):  # into the bridge's port, from whoever
            data = rtp.RtpPacket(storm.dice.randrange(128), 1, 1, 1, b"x" * 20).to_bytes()
            sock = storm.dice.choice(storm.sockets)
            sock.sendto(data[: storm.dice.randrange(33)], bridge)
        run(ends, 0.02, speak=True)
        storm.weigh()
        if share == SPOILED // 300 // 3:
            warm_kb = host.rss_kb
    grown_kb = host.rss_kb - warm_kb
    heard = alice.heard
    run(ends, 1, speak=True)
    storm.weigh()
    print("octets:", sum(storm.sent.values()), "back:", sum(storm.got.values()), grown_kb, "KB")
    assert host.alive
    assert alice.heard > heard + 20, "the call has lived through it"
    assert sum(storm.got.values()) > 1_000, "what makes some sense is answered"
    assert all(storm.got[n] <= storm.sent[n] for n in storm.sent)
    assert grown_kb < GROWTH_KB
    alice.hang_up(call)
    assert run(ends, 3, lambda: gateway.ended == 1)
    talked_ms = (time.monotonic() - begun) * 1000
    (cdr,) = host.wait_cdrs(1)
    assert (cdr["account"], cdr["disposition"]) == ("alice", "answered")
    assert abs(cdr["talk_ms"] - talked_ms) < 3_000
    storm.close()
    for one in ends:
        one.close()
    assert host.stop() == 0
    host.clean_log()
