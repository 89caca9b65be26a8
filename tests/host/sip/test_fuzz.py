"""Ten thousand spoiled messages over UDP, TCP and TLS to a running host with one live call."""

from __future__ import annotations

import contextlib
import random
import select
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import Request, Response, parse
from tests.host.sip.mutations import spoil, spoil_body
from tests.host.sip.phone import Phone
from tests.host.sip.server_process import HostProcess

SEED = 20_260
UDP, TCP, TLS, DIALOG, TRUNK = 4_000, 2_500, 1_000, 1_500, 1_000
WARM_UP = 0.4
"""After so much of it the host's memory is measured."""
GROWTH_KB = 6_000
CALLED = "15145550100"
KNOWN = frozenset((
    100, 180, 183, 200, 400, 401, 402, 403, 404, 405, 413, 415, 416, 420, 422, 423, 480, 481,
    482, 483, 486, 487, 488, 491, 500, 501, 502, 503, 505,
))  # fmt: skip
"""What the host may say to any of it: answers of the standard."""

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl, which makes the certificate, is missing"
)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostProcess]:
    process = HostProcess(tmp_path, "udp", "tcp", "tls", sip="lockout_failures = 1000000")
    process.setup()
    process.account("alice", route="value")
    process.account("trunk", password="", address="127.0.1.9", route="value")
    process.start()
    yield process
    process.close()


class Background:
    """Answers what the host sends to one socket, until it is stopped."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self.statuses: Counter[int] = Counter()
        self.unread: list[bytes] = []
        self.live: str | None = None
        """Call-ID of the call that it is in; others are refused as busy."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        phone = self.phone
        while not self._stop.is_set():
            ready, _, _ = select.select([phone.sock], [], [], 0.05)
            if not ready:
                continue
            data = phone.sock.recv(65_535)
            try:
                message = parse(data)
            except SipPeerError:
                self.unread.append(data)  # the host repeats what it was given in 400s
                continue
            if isinstance(message, Response):
                self.statuses[message.status] += 1
                if message.cseq[1] == "INVITE" and 200 <= message.status < 300 and phone.dialog:
                    ack = phone.dialog.ack(message.cseq[0], via=phone.via)
                    phone.send_octets(ack.to_bytes())
            elif message.method == "INVITE" and message.to.tag is None:
                if self.live is None:
                    self.live = message.call_id
                    phone.respond(message, 200, phone.sdp())
                elif message.call_id != self.live:
                    dialog = phone.dialog
                    phone.respond(message, 486)
                    phone.dialog = dialog
            elif message.method in ("INVITE", "UPDATE"):
                dialog = phone.dialog
                phone.respond(message, 200, phone.sdp() if message.body else b"")
                phone.dialog = dialog
            elif message.method != "ACK":
                phone.respond(message, 200)


def alive(host: HostProcess) -> None:
    """The host answers a stranger's OPTIONS."""
    probe = Phone.udp("127.0.1.3", ("127.0.1.1", host.port))
    uri = f"sip:127.0.1.1:{host.port}"
    try:
        assert probe.ask("OPTIONS", uri, f"<{uri}>").status == 200
    finally:
        probe.close()


def strangers(phone: Phone, serial: int) -> list[bytes]:
    """Messages of every kind as somebody without an account may write them."""
    uri = f"sip:{CALLED}@127.0.1.1"
    login = (
        'Digest username="alice", realm="loopstart", nonce="0-1-aa", uri="sip:x", '
        'response="00", algorithm=SHA-256, qop=auth, nc=00000001, cnonce="x"'
    )
    out = [
        phone.build("INVITE", uri, f"<{uri}>", body=phone.sdp()),
        phone.build("INVITE", uri, f"<{uri}>", ("Authorization", login), body=phone.sdp()),
        phone.build("REGISTER", uri, "<sip:alice@127.0.1.1>", ("Authorization", login)),
        phone.build("REGISTER", uri, "<sip:alice@127.0.1.1>", ("Expires", "60")),
        phone.build("OPTIONS", uri, f"<{uri}>", ("Accept", "application/sdp")),
        phone.build("BYE", uri, f"<{uri}>;tag=none"),
        phone.build("CANCEL", uri, f"<{uri}>"),
        phone.build("ACK", uri, f"<{uri}>;tag=none"),
        phone.build("SUBSCRIBE", uri, f"<{uri}>", ("Event", "presence")),
        phone.build("INVITE", uri, f"<{uri}>", ("Require", "timer"), ("Session-Expires", "90")),
    ]
    response = Response(200, "OK", out[serial % len(out)].headers.copy(), phone.sdp())
    return [message.to_bytes() for message in (*out, response)]


def flood_udp(host: HostProcess, rng: random.Random, count: int) -> Counter[int]:
    phone = Phone.udp("127.0.1.4", ("127.0.1.1", host.port), "mallory")
    heard = Background(phone)
    for number in range(count):
        phone.send_octets(spoil(rng, rng.choice(strangers(phone, number))))
        if number % 100 == 99:
            alive(host)
    heard.stop()
    phone.close()
    return heard.statuses


def flood_stream(host: HostProcess, rng: random.Random, transport: str, count: int) -> int:
    """Answers how many connections it took: framing that is lost closes one."""
    connections = sent = 0
    while sent < count:
        connections += 1
        sock = host.connect(transport)
        phone = Phone(sock, transport, ("127.0.1.1", host.ports[transport]), "mallory")
        try:
            for _ in range(rng.randint(1, 40)):
                data = spoil(rng, rng.choice(strangers(phone, sent)))
                cut = rng.randrange(len(data) + 1)
                sock.sendall(data[:cut])
                sock.sendall(data[cut:])
                sent += 1
                if sent >= count:
                    break
            sock.settimeout(0.005)
            with contextlib.suppress(TimeoutError, socket.timeout):
                while sock.recv(65_535):
                    pass
        except OSError:
            pass
        sock.close()
    alive(host)
    return connections


def flood_dialog(alice: Phone, rng: random.Random, count: int) -> None:
    """The live call's own caller spoils its requests; only what would end or move the call by
    right (BYE, Contact, CSeq) is left whole, or is sent with a tag that does not fit."""
    for number in range(count):
        kind = number % 5
        if kind < 3:
            method = ("UPDATE", "INVITE", "INFO")[kind]
            request = alice.in_dialog(method, body=alice.sdp())
            data = spoil_body(rng, request.to_bytes())
            alice.send_octets(data)
        else:
            method = rng.choice(("BYE", "INVITE", "UPDATE", "OPTIONS", "ACK"))
            assert alice.dialog is not None
            before = alice.dialog.local_cseq
            if method == "ACK":
                request = alice.dialog.ack(before, via=alice.via)
            else:
                request = alice.in_dialog(method, body=alice.sdp())
            alice.dialog.local_cseq = before
            to = request.headers.get("To") or ""
            request.headers.set("To", to[:-1] + ("0" if to[-1] != "0" else "1"))
            data = spoil(rng, request.to_bytes())
            if to.encode() not in data:
                alice.send_octets(data)
        time.sleep(0.002)  # one change after the other, or most are told to wait


def flood_trunk(host: HostProcess, rng: random.Random, count: int) -> Counter[int]:
    """Who needs no digest sends INVITEs whose descriptions, or headers, are spoiled."""
    trunk = Phone.udp("127.0.1.9", ("127.0.1.1", host.port))
    heard = Background(trunk)
    uri = f"sip:{CALLED}@127.0.1.1"
    for number in range(count):
        trunk.mark = f"{number}t{rng.getrandbits(32):x}"
        invite = trunk.build("INVITE", uri, f"<{uri}>", body=trunk.sdp()).to_bytes()
        trunk.send_octets((spoil_body if number % 2 else spoil)(rng, invite))
        if number % 50 == 49:
            alive(host)
    heard.stop()
    trunk.close()
    return heard.statuses


@needs_openssl
@pytest.mark.slow
def test_ten_thousand_spoiled_messages(host: HostProcess) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    gateway = Phone.udp("127.0.1.5", ("127.0.1.1", host.port))
    host.carrier("north", "127.0.1.5", gateway.own[1])
    carrier = Background(gateway)
    alice = Phone.udp("127.0.1.2", ("127.0.1.1", host.port), "alice")
    assert alice.call(CALLED).status == 200
    started = time.monotonic()
    caller = Background(alice)
    caller.live = "only one"

    told: Counter[int] = Counter()
    for share, measured in ((WARM_UP, False), (1 - WARM_UP, True)):
        told += flood_udp(host, rng, round(UDP * share))
        flood_stream(host, rng, "tcp", round(TCP * share))
        flood_stream(host, rng, "tls", round(TLS * share))
        flood_dialog(alice, rng, round(DIALOG * share))
        told += flood_trunk(host, rng, round(TRUNK * share))
        if not measured:
            warm_kb = host.rss_kb
    grown_kb = host.rss_kb - warm_kb
    print("answers to strangers and trunk:", dict(told))
    print("answers in the dialog:", dict(caller.statuses), f"memory grew by {grown_kb} KB")
    assert host.alive
    assert set(told) | set(caller.statuses) <= KNOWN
    assert told[400] > 100, "bad requests are told so"
    assert caller.statuses[488] + caller.statuses[400] > 10
    assert grown_kb < GROWTH_KB

    caller.stop()
    while True:  # what is left in the socket
        try:
            alice.receive(0.2)
        except TimeoutError:
            break
        except SipPeerError:
            continue
    talked_ms = (time.monotonic() - started) * 1000
    assert alice.bye().status == 200, "the call has lived through it"
    before = len(host.cdrs())
    host.wait_cdrs(before + 1, 2)
    cdr = next(c for c in host.cdrs() if c["account"] == "alice")
    assert cdr["disposition"] == "answered"
    assert abs(cdr["talk_ms"] - talked_ms) < 2_000
    carrier.stop()
    for phone in (alice, gateway):
        phone.close()
    assert host.stop() == 0
    host.clean_log()


OPTIONS = (
    b"OPTIONS sip:127.0.1.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.1.6:5060;branch=z9hG4bKo;rport\r\n"
    b"From: <sip:a@b>;tag=1\r\nTo: <sip:127.0.1.1>\r\nCall-ID: one\r\nCSeq: 1 OPTIONS\r\n"
    b"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)
BAD: list[tuple[str, bytes, int | None]] = [
    ("as it should be", OPTIONS, 200),
    ("no Call-ID", OPTIONS.replace(b"Call-ID: one\r\n", b""), 400),
    ("no From", OPTIONS.replace(b"From: <sip:a@b>;tag=1\r\n", b""), 400),
    ("no Via", OPTIONS.replace(b"Via: ", b"Vi: "), None),
    ("another CSeq method", OPTIONS.replace(b"1 OPTIONS", b"1 INVITE"), 400),
    ("a CSeq that is no number", OPTIONS.replace(b"1 OPTIONS", b"one OPTIONS"), 400),
    ("a body that is short", OPTIONS.replace(b"Length: 0", b"Length: 9"), 400),
    ("a length below zero", OPTIONS.replace(b"Length: 0", b"Length: -1"), 400),
    ("two To fields", OPTIONS.replace(b"To: ", b"To: <sip:x@y>\r\nTo: "), 400),
    ("another version", OPTIONS.replace(b" SIP/2.0\r\nVia", b" SIP/3.0\r\nVia"), 505),
    ("a scheme that is not SIP's", OPTIONS.replace(b"S sip:", b"S http:"), 416),
    ("hops that are no number", OPTIONS.replace(b": 70", b": many"), 400),
    ("cut short", OPTIONS[:150], 400),
    ("an ACK that is broken", OPTIONS.replace(b"OPTIONS", b"ACK").replace(b"Call", b"Cal"), None),
    ("a response", OPTIONS.replace(b"OPTIONS sip:127.0.1.1 SIP/2.0", b"SIP/2.0 200 OK"), None),
    ("noise", bytes(range(256)), None),
    ("nothing", b"", None),
    ("a keep-alive", b"\r\n\r\n", None),
    ("an unknown method", OPTIONS.replace(b"OPTIONS", b"DANCE"), 501),
]


def test_what_each_bad_request_gets(tmp_path: Path) -> None:
    host = HostProcess(tmp_path, "udp")
    host.setup()
    host.start()
    wrong: list[str] = []
    try:
        for name, data, expected in BAD:
            phone = Phone.udp("127.0.1.6", ("127.0.1.1", host.port))
            phone.send_octets(data)
            try:
                phone.sock.settimeout(0.3 if expected is None else 3)
                status = int(phone.sock.recv(65_535)[8:11])
            except TimeoutError:
                status = None
            if status != expected:
                wrong.append(f"{name}: {status} in place of {expected}")
            phone.close()
        alive(host)
        assert not wrong
        host.clean_log()
    finally:
        host.close()


def test_the_spoiled_are_the_same_for_the_same_seed() -> None:
    first, second = random.Random(1), random.Random(1)
    for _ in range(100):
        assert spoil(first, OPTIONS) == spoil(second, OPTIONS)
    assert isinstance(parse(OPTIONS), Request)
