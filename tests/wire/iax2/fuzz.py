"""Mutated and random datagrams against an endpoint with live calls.

    python -m tests.wire.iax2.fuzz --count 1000000 --seed 1

prints the seed, the rate, what was counted, and how much memory grew.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from firmware.wire.iax2 import (
    Access,
    Address,
    Call,
    CallOffered,
    Credentials,
    EndpointSettings,
    Event,
    NewCall,
    State,
)
from firmware.wire.iax2.elements import TABLE, Elements, Ie
from firmware.wire.iax2.kinds import FrameType, Iax
from tests.wire.iax2.aes import Aes
from tests.wire.iax2.link import CLIENT, SERVER, Network, Party, Users

BYSTANDER: Address = ("192.0.2.77", 4569)
STRANGERS: list[Address] = [("203.0.113.9", port) for port in range(5000, 5064)]


def _server(network: Network) -> Party:
    users = Users(
        {
            "alice": Access("md5", secret="s3cret", encryption="offer"),
            "trunk": Access("md5", secret="s3cret", token="auto", trunk=True),
            "open": Access("md5", secret="s3cret", token="no"),
            "near": Access("address", token="auto"),
        }
    )
    settings = EndpointSettings(max_calls=600, transfers=True)
    server = network.add(SERVER, settings, users, Aes())

    def take(event: Event) -> None:
        if isinstance(event, CallOffered):
            event.call.voice_sink = lambda at, payload, form: None
            event.call.ringing(network.now)
            event.call.answer(network.now)

    server.on_event = take
    return server


def corpus() -> list[bytes]:
    """Datagrams of whole conversations, of each kind that an endpoint sends."""
    network = Network(seed=99)
    _server(network)
    client = network.add(CLIENT, crypto=Aes())
    for name, encryption, trunk in (
        ("alice", "offer", False), ("trunk", "no", True), ("open", "no", False),
        ("near", "no", False), ("nobody", "no", False),
    ):  # fmt: skip
        assert encryption in ("no", "offer")
        credentials = Credentials(name, "s3cret", "offer" if encryption == "offer" else "no")
        call = client.endpoint.place(
            SERVER, NewCall(called="15145550100", username=name), network.now, credentials,
            trunk=trunk,
        )  # fmt: skip
        network.run(0.5)
        for _ in range(5):
            call.send_voice(bytes(20), network.now)
            network.run(0.02)
        call.hold(network.now)
        call.unhold(network.now)
        call.quelch(network.now)
        call.digit_begin(network.now, "5")
        call.digit_end(network.now, "5")
        call.text(network.now, "text")
        for subclass in Iax:
            if subclass not in (Iax.HANGUP, Iax.REJECT):
                call.send_iax(network.now, subclass)
        network.run(25)
        call.hang_up(network.now, 16, "done")
        network.run(1)
    registration = client.endpoint.register(SERVER, "alice", "s3cret", 60, network.now)
    client.endpoint.poke(SERVER, network.now)
    network.run(1)
    client.endpoint.release(registration, network.now)
    network.run(20)
    found = {data for _, _, _, data in network.taps}
    # Openings of clients that know no call tokens.
    for data in list(found):
        opening = len(data) > 12 and data[10] == FrameType.IAX and data[11] in (1, 13, 17)
        if opening and data[0] & 0x80:
            pairs = Elements.from_bytes(data[12:]).pairs
            bare = [pair for pair in pairs if pair[0] != Ie.CALLTOKEN]
            found.add(data[:12] + Elements.of(bare).to_bytes())
    return sorted(found)


Numbers = tuple[int, int, int, int]
"""Source, destination, and the sequence numbers that a frame of the call would bear next."""


def mutate(dice: random.Random, seeds: list[bytes], numbers: list[Numbers]) -> bytes:
    """One datagram: of a conversation with something wrong, or of chance alone."""
    if dice.random() < 0.1:
        return dice.randbytes(dice.choice([0, 1, 3, 4, 11, 12, 13, dice.randrange(200)]))
    data = bytearray(dice.choice(seeds))
    if numbers and len(data) >= 12 and dice.random() < 0.6:
        # A call that there is, and a sequence that fits, or nearly.
        source, destination, oseqno, iseqno = dice.choice(numbers)
        data[:2] = (source | (data[0] & 0x80) << 8).to_bytes(2, "big")
        if data[0] & 0x80:
            data[2:4] = destination.to_bytes(2, "big")
            data[8] = oseqno + dice.choice([0, 0, 0, 1, 2, -1]) & 0xFF
            data[9] = iseqno
    for _ in range(dice.choice([0, 1, 1, 2, 4])):
        kind = dice.randrange(8)
        if not data:
            break
        at = dice.randrange(len(data))
        if kind == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            data[at] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            data += dice.randbytes(dice.randrange(20))
        elif kind == 4:
            data[at:at] = dice.choice(seeds)[dice.randrange(12) :]
        elif kind == 5 and len(data) >= 12:
            data[10] = dice.choice([FrameType.IAX, dice.randrange(14)])
            data[11] = dice.randrange(42)
        elif kind == 6 and len(data) >= 12:
            code = dice.choice(list(TABLE))
            content = dice.randbytes(dice.choice([0, 1, 2, 4, 9, 16]))
            data += bytes([code, len(content)]) + content
        elif kind == 7 and len(data) >= 12:
            data[8], data[9] = dice.randrange(8), dice.randrange(8)
    return bytes(data[:1400])


@dataclass
class Outcome:
    """What a run came to."""

    sent: int
    seconds: float
    peer_calls: int
    """Calls that the fuzzed peer had to place, since its frames may well end them."""
    growth_kb: int
    counters: dict[str, int]


def _rss_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def _numbers(party: Party, address: Address | None) -> list[Numbers]:
    return [
        (call.peer_number, call.number, call.iseqno, call.oseqno)
        for call in party.endpoint.calls.values()
        if address is None or call.address == address
    ]


def _spread(count: int) -> Iterator[tuple[int, bool]]:
    for step in range(count):
        yield step, step % 200 == 0


def run(count: int, seed: int) -> Outcome:
    """Feed so many; asserts that nothing raised, nothing of others ended, and nothing is left."""
    dice = random.Random(seed)
    network = Network(seed=seed)
    server = _server(network)
    peer, bystander = network.add(CLIENT, crypto=Aes()), network.add(BYSTANDER, crypto=Aes())
    seeds = corpus()

    def place(party: Party, kind: int) -> Call:
        name, encryption = (("alice", True), ("trunk", False), ("open", False))[kind]
        return party.endpoint.place(
            SERVER, NewCall(called="1"), network.now,
            Credentials(name, "s3cret", "offer" if encryption else "no"), trunk=name == "trunk",
        )  # fmt: skip

    kept = [bystander.endpoint.place(SERVER, NewCall(called="2"), network.now,
                                     Credentials("alice", "s3cret", "offer")),
            bystander.endpoint.place(SERVER, NewCall(called="3"), network.now,
                                     Credentials("open", "s3cret"))]  # fmt: skip
    peer_live, peer_calls = [place(peer, kind) for kind in range(3)], 3
    network.run(2)
    assert all(call.state is State.UP for call in kept)
    started, base_kb = time.perf_counter(), 0
    for step, often in _spread(count):
        if often:
            network.taps.clear()
            for party in network.parties.values():
                party.told.clear()
                party.sent.clear()
            network.run(0.25)
            for kind, call in enumerate(peer_live):
                if call.ended:
                    peer_live[kind] = place(peer, kind)
                    peer_calls += 1
                else:
                    call.send_voice(bytes(20), network.now)
            for call in kept:
                assert call.state is State.UP, "a call of others ended"
                call.send_voice(bytes(20), network.now)
            assert len(server.endpoint) <= 600
        if step == count // 5:
            base_kb = _rss_kb()
        if dice.random() < 0.3:
            # The peer itself, gone mad, at both ends.
            for party, source in ((server, CLIENT), (peer, SERVER)):
                data = mutate(dice, seeds, _numbers(party, source))
                party.endpoint.receive_datagram(data, source, network.now)
                network.settle(party)
        else:
            # Strangers, who guess the numbers of calls that are not theirs.
            for party in (server, bystander):
                data = mutate(dice, seeds, _numbers(party, None))
                party.endpoint.receive_datagram(data, dice.choice(STRANGERS), network.now)
                network.settle(party)
    seconds = time.perf_counter() - started
    growth_kb = _rss_kb() - base_kb
    for party in network.parties.values():
        party.endpoint.close(network.now)
    network.run(200)
    for party in network.parties.values():
        assert not party.endpoint.calls
        assert not len(party.endpoint), "nothing is left behind"
        assert party.endpoint.next_deadline is None
    return Outcome(count, seconds, peer_calls, growth_kb, server.endpoint.counters.as_dict())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    print(f"seed {words.seed}, {words.count} datagrams", flush=True)
    outcome = run(words.count, words.seed)
    rate = outcome.sent / outcome.seconds
    print(f"{rate:.0f} a second, memory grew by {outcome.growth_kb} kB after the first fifth")
    print(f"{outcome.peer_calls} calls of the fuzzed peer; counted: {outcome.counters}")


if __name__ == "__main__":
    main()
