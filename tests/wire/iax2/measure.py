"""What a frame of audio costs: `python -m tests.wire.iax2.measure` prints microseconds a frame."""

from __future__ import annotations

import time
from collections.abc import Callable

from firmware.wire.iax2 import Call, Endpoint
from tests.wire.iax2.link import CLIENT, SERVER
from tests.wire.iax2.test_voice import Talk

COUNT = 20_000


def _best(work: Callable[[], None]) -> float:
    """Microseconds a frame, the best of five runs."""
    best = 1e9
    for _ in range(5):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best / COUNT * 1e6


def _ready(trunk: bool = False) -> tuple[Call, Call, Endpoint, Talk]:
    talk = Talk(trunk=trunk)
    talk.say(0.1)
    talk.network.run(0.2)
    taken = talk.taken()
    taken.voice_sink = lambda at, payload, form: None
    return talk.call, taken, talk.server.endpoint, talk


def measure() -> dict[str, float]:
    """Microseconds a frame by name."""
    figures = {}
    call, taken, endpoint, talk = _ready()
    number = call.number.to_bytes(2, "big")
    payload = bytes(160)
    minis = [number + (20 * step & 0xFFFF).to_bytes(2, "big") + payload for step in range(COUNT)]
    clock = [talk.network.now + 0.02 * step for step in range(COUNT)]

    def mini_in() -> None:
        receive = endpoint.receive_datagram
        for data, now in zip(minis, clock, strict=True):
            receive(data, CLIENT, now)

    def mini_out() -> None:
        send, outgoing = call.send_voice, talk.client.endpoint.outgoing
        for step, now in enumerate(clock):
            send(payload, now, 20 * (step % 3000))
        outgoing.clear()
        call.drop_unacked()

    figures["mini in"] = _best(mini_in)
    figures["mini out"] = _best(mini_out)
    call, taken, endpoint, talk = _ready(trunk=True)

    def trunk_out() -> None:
        send, client = call.send_voice, talk.client.endpoint
        for step, now in enumerate(clock):
            send(payload, now, 20 * (step % 3000))
            if step % 7 == 6:
                client.trunks.flush(now, client.outgoing)
        client.outgoing.clear()
        call.drop_unacked()

    figures["trunk out, seven calls a frame"] = _best(trunk_out)
    head = b"\0\0\1\1\0\0\0\0"
    entry = (160).to_bytes(2, "big") + call.number.to_bytes(2, "big")
    frames = [
        head
        + b"".join(
            entry + (20 * (7 * step + part) & 0xFFFF).to_bytes(2, "big") + payload
            for part in range(7)
        )
        for step in range(COUNT // 7)
    ]

    def trunk_in() -> None:
        receive = endpoint.receive_datagram
        for data, now in zip(frames, clock, strict=False):
            receive(data, CLIENT, now)

    figures["trunk in, seven calls a frame"] = _best(trunk_in)
    assert taken.statistics.received > COUNT
    assert SERVER in talk.network.parties
    return figures


if __name__ == "__main__":
    for name, figure in measure().items():
        print(f"{name}: {figure:.2f} us")
