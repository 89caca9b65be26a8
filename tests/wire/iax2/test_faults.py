"""Bad links: whatever fails is told once, and nothing is left behind."""

from __future__ import annotations

from collections import Counter

import pytest

from firmware.wire.iax2 import (
    Access,
    CallOffered,
    Credentials,
    Ended,
    Event,
    NewCall,
    Registering,
    RegisterRefused,
    State,
)
from firmware.wire.iax2.events import RegisterAccepted
from firmware.wire.iax2.frames import FullFrame
from firmware.wire.iax2.kinds import Iax
from tests.wire.iax2.link import BAD, CLIENT, SERVER, Link, Network, Users

LINKS = {
    "bad": BAD,
    "doubled": Link(twice=1.0),
    "reordered": Link(delay_s=(0.0, 0.3)),
    "slow": Link(delay_s=(0.6, 0.9)),
    "half gone": Link(loss=0.5),
}


def one_call(link: Link, seed: int) -> str:
    """Set up, talk, hang up; all that must hold is checked. What became of it, by its name."""
    network = Network(link, seed)
    users = Users({"alice": Access("md5", secret="s3cret")})
    client = network.add(CLIENT)
    server = network.add(SERVER, authority=users)

    def take(event: Event) -> None:
        if isinstance(event, CallOffered):
            event.call.proceeding(network.now)
            event.call.ringing(network.now)
            event.call.answer(network.now)

    server.on_event = take
    new = NewCall(called="15145550100")
    call = client.endpoint.place(SERVER, new, network.now, Credentials("alice", "s3cret"))
    for _ in range(200):
        network.run(0.25)
        if call.ended or call.state is State.UP:
            break
    up = call.state is State.UP
    if up:
        # Each state once and in order, whatever came twice or late.
        assert client.kinds() == ["Accepted", "Proceeding", "Ringing", "Answered"]
        for _ in range(50):
            call.send_voice(bytes(160), network.now)
            network.run(0.02)
        call.digit(network.now, "7")
    call.hang_up(network.now)
    network.run(120)
    assert len(client.all_of(Ended)) == 1, "its end is told once"
    assert len(server.all_of(Ended)) == len(server.all_of(CallOffered))
    for party in (client, server):
        assert not len(party.endpoint), "nothing is left"
        assert party.endpoint.next_deadline is None
    return "up" if up else f"ended {client.all_of(Ended)[0].cause}"


def test_two_hundred_calls_over_a_bad_link() -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(1, 201):
        try:
            outcomes[one_call(BAD, seed)] += 1
        except AssertionError as problem:
            raise AssertionError(f"seed {seed}") from problem
    print(dict(outcomes))
    assert outcomes["up"] >= 160


@pytest.mark.parametrize("name", LINKS)
def test_calls_over_each_link(name: str) -> None:
    outcomes = Counter(one_call(LINKS[name], seed) for seed in range(300, 330))
    print(name, dict(outcomes))
    assert outcomes["up"] >= (10 if name == "half gone" else 24)


@pytest.mark.parametrize("name", LINKS)
def test_registrations_over_each_link(name: str) -> None:
    accepted = 0
    for seed in range(1, 41):
        network = Network(LINKS[name], seed)
        users = Users({"alice": Access("md5", secret="s3cret")})
        client = network.add(CLIENT)
        server = network.add(SERVER, authority=users)
        client.endpoint.register(SERVER, "alice", "s3cret", 120, network.now)
        network.run(150)
        took, refused = client.all_of(RegisterAccepted), client.all_of(RegisterRefused)
        assert len(took) + len(refused) == 1, f"seed {seed}"
        assert len(server.all_of(Registering)) <= 1
        assert len(server.all_of(Registering)) >= len(took)
        accepted += len(took)
        assert not len(client.endpoint)
        assert not len(server.endpoint), f"seed {seed}"
    print(name, accepted)
    assert accepted >= (12 if name == "half gone" else 32)


def test_a_flood_of_vnak_fetches_little() -> None:
    network = Network()
    users = Users({"alice": Access("md5", secret="s3cret")})
    client = network.add(CLIENT)
    server = network.add(SERVER, authority=users)
    call = client.endpoint.place(SERVER, NewCall(called="1"), network.now,
                                 Credentials("alice", "s3cret"))  # fmt: skip
    network.run(1)
    taken = server.all_of(CallOffered)[0].call
    taken.accept(network.now)
    network.run(1)
    network.link = Link(loss=1.0)
    for _ in range(20):
        taken.text(network.now, "a text that nobody acknowledges")
    network.settle(server)
    before = len(server.sent)
    for _ in range(100):
        vnak = FullFrame(call.number, taken.number, 9, call.oseqno, call.iseqno, 6, Iax.VNAK)
        server.endpoint.receive_datagram(vnak.to_bytes(), CLIENT, network.now)
        network.settle(server)
    assert len(server.sent) - before == 20


def test_lost_frames_are_asked_for_again() -> None:
    """A frame that is missing is fetched by VNAK long before its sender's timer runs out."""
    network = Network()
    users = Users({"alice": Access("md5", secret="s3cret")})
    client = network.add(CLIENT)
    server = network.add(SERVER, authority=users)
    call = client.endpoint.place(SERVER, NewCall(called="1"), network.now,
                                 Credentials("alice", "s3cret"))  # fmt: skip
    network.run(1)
    taken = server.all_of(CallOffered)[0].call
    taken.accept(network.now)
    network.run(1)
    network.link = Link(loss=1.0)
    taken.ringing(network.now)
    network.settle(server)
    network.link = Link()
    taken.answer(network.now)
    network.run(0.05)
    assert call.state is State.UP
    assert client.kinds() == ["Accepted", "Ringing", "Answered"]
