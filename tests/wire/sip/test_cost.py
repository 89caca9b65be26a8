"""What a call costs in processor time and memory. The figures are printed (`pytest -s`)."""

from __future__ import annotations

import gc
import itertools
import timeit
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterable
from time import process_time

from firmware.wire.sip import digest, sdp
from firmware.wire.sip.message import Request, parse, response_to
from firmware.wire.sip.transaction import RequestReceived, ResponseReceived, TransactionLayer

from .messages import INVITE
from .network import Path

UDP = Path("udp")
SLACK = 5.0
"""The machine may be busy: figures are compared with so many times what is wanted."""


def fresh(count: int) -> list[bytes]:
    """INVITEs of different calls, so that no cache has seen their tags and branches."""
    return [INVITE.replace(b"4711", b"%d" % (10_000 + number)) for number in range(count)]


def cost_us(name: str, wanted_us: float, work: Callable[[], object], number: int) -> None:
    """`work` does `number` things; the best of five runs counts, in time of this process."""
    us = min(timeit.repeat(work, number=1, repeat=5, timer=process_time)) / number * 1e6
    print(f"{name}: {us:.2f} us (wanted: {wanted_us})")
    assert us < wanted_us * SLACK


def each(things: Iterable[object]) -> None:
    """Make each and let it go."""
    deque(things, maxlen=0)


def layer() -> TransactionLayer:
    numbers = itertools.count()
    return TransactionLayer(branch=lambda: f"z9hG4bK{next(numbers):016x}")


def read(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    message.call_id, message.cseq, message.top_via.branch  # noqa: B018
    message.from_.tag, message.to.tag, message.contacts, message.request_uri  # noqa: B018
    return message


def test_reading_and_writing_an_invite() -> None:
    invites = fresh(5000)
    count = len(invites)
    cost_us("read, never seen", 15, lambda: each(read(data) for data in invites), count)
    cost_us("read again", 15, lambda: each(read(INVITE) for _ in invites), count)
    message = read(INVITE)
    cost_us("write", 8, lambda: each(message.to_bytes() for _ in invites), count)
    body = message.body
    cost_us(
        "SDP readdressed", 15, lambda: each(sdp.rewrite(body, "::1", [9]) for _ in invites), count
    )


def test_receiving_and_answering() -> None:
    requests = [read(data) for data in fresh(2000)]
    answers = [response_to(request, 200, to_tag="t") for request in requests]
    for answer in answers:
        answer.to.tag, answer.cseq  # noqa: B018

    def work() -> None:
        side = layer()
        for request, answer in zip(requests, answers, strict=True):
            event = side.receive(request, UDP, 1.0)
            assert isinstance(event, RequestReceived)
            event.transaction.respond(answer, 1.0)

    cost_us("transaction received and answered", 10, work, len(requests))


def test_checking_digest() -> None:
    [value, _] = digest.challenge("loopstart", "0123456789abcdef" * 3, ["SHA-256", "MD5"])
    answer = digest.respond(
        [value], username="u", password="p", method="REGISTER", uri="sip:h", cnonce="c", nc=1
    )
    assert answer is not None
    secrets = {"SHA-256": digest.ha1("u", "loopstart", "p", "SHA-256")}

    def work() -> None:
        for _ in range(2000):
            assert digest.verify(digest.parse_authorization(answer), "REGISTER", secrets)

    cost_us("digest read and checked", 25, work, 2000)


def exchange(side: TransactionLayer, incoming: Request, outgoing: Request, now: float) -> None:
    """One request comes in and is answered, one leaves and is answered."""
    event = side.receive(incoming, UDP, now)
    assert isinstance(event, RequestReceived)
    client = side.request(outgoing, UDP, now)
    ok = response_to(outgoing, 200, to_tag=f"b{outgoing.call_id}")
    told = side.receive(parse(ok.to_bytes()), UDP, now)
    assert isinstance(told, ResponseReceived)
    answer = response_to(incoming, 200, to_tag=f"h{incoming.call_id}")
    answer.body = outgoing.body
    event.transaction.respond(answer, now)
    if incoming.method == "INVITE":
        ack = client.request.copy()
        ack.method, ack.body = "ACK", b""
        ack.headers.set("CSeq", "1 ACK")
        ack.headers.set("To", str(ok.to))
        ack.headers.set("Via", f"SIP/2.0/UDP h.example;branch={side.branch()}")
        ack.headers.remove("Content-Type")
        side.send(ack, UDP)
        client.acknowledge(ack)
        theirs = incoming.copy()
        theirs.method, theirs.body = "ACK", b""
        theirs.headers.set("CSeq", "1 ACK")
        theirs.headers.set("To", str(answer.to))
        theirs.headers.set("Via", f"SIP/2.0/UDP c.example;branch={side.branch()}")
        side.receive(parse(theirs.to_bytes()), UDP, now)  # type: ignore[arg-type]


def one_call(side: TransactionLayer, data: bytes, now: float) -> None:
    for method, tag in ((b"INVITE", b""), (b"BYE", b";tag=x")):
        text = data.replace(b"CSeq: 1 INVITE", b"CSeq: 1 " + method)
        text = text.replace(b"INVITE sip:", method + b" sip:")
        text = text.replace(b"0123@127.0.0.1>\r\n", b"0123@127.0.0.1>" + tag + b"\r\n")
        incoming = read(text.replace(b"-1-0", b"-1-" + method))
        outgoing = incoming.copy()
        outgoing.headers.set("Via", f"SIP/2.0/UDP h.example;branch={side.branch()}")
        outgoing.headers.set("Call-ID", "out" + incoming.call_id)
        exchange(side, incoming, outgoing, now)
    side.out = []


def test_what_lingers_of_a_call_is_small_and_goes() -> None:
    side = layer()
    tracemalloc.start()
    for data in fresh(2500):  # fill the caches, which are bounded
        one_call(side, data, 0.0)
    side.handle_timers(100.0)
    assert len(side) == 0
    calls = [INVITE.replace(b"4711", b"%d" % (20_000 + number)) for number in range(1000)]
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for data in calls:
        one_call(side, data, 200.0)
    gc.collect()
    octets = (tracemalloc.get_traced_memory()[0] - before) / len(calls)
    print(f"lingering: {octets:.0f} octets a call (wanted: 2500), {len(side) / 1000} transactions")
    side.handle_timers(300.0)
    gc.collect()
    left = (tracemalloc.get_traced_memory()[0] - before) / len(calls)
    tracemalloc.stop()
    print(f"afterwards: {left:.0f} octets a call")
    assert len(side) == 0
    assert side.next_deadline is None
    assert octets < 3500
    assert left < 700
