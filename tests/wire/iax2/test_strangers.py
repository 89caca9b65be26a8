"""Who has not shown its address: never an octet more than it brought, and nothing kept."""

from __future__ import annotations

import itertools
import random

import pytest

from firmware.wire.iax2 import (
    Access,
    Address,
    Credentials,
    EndpointSettings,
    NewCall,
    Reachable,
    RegisterAccepted,
    Registering,
    RegisterRefused,
    RegisterReleased,
    Releasing,
    State,
    Unreachable,
)
from firmware.wire.iax2.elements import Elements, Ie, Value
from firmware.wire.iax2.formats import Format
from firmware.wire.iax2.frames import FullFrame, MiniFrame, TrunkEntry, TrunkFrame
from firmware.wire.iax2.kinds import FrameType, Iax
from firmware.wire.iax2.token import TokenFactory
from tests.wire.iax2.link import CLIENT, SERVER, Network, Party, Users

NEW = NewCall(called="15145550100", username="alice", formats_preferred=(Format.ULAW,),
              capability=4, format=Format.ULAW).elements()  # fmt: skip
REG: list[tuple[int, Value]] = [(Ie.USERNAME, "alice"), (Ie.REFRESH, 60)]
TOKEN: list[tuple[int, Value]] = [(Ie.CALLTOKEN, b"")]
MD5: list[tuple[int, Value]] = [(Ie.MD5_RESULT, "0" * 32)]
OPENINGS: list[tuple[Iax, list[tuple[int, Value]]]] = [
    (Iax.POKE, []), (Iax.NEW, []), (Iax.NEW, NEW), (Iax.NEW, NEW + TOKEN), (Iax.NEW, TOKEN),
    (Iax.NEW, [*NEW, (Ie.CALLTOKEN, b"1234567")]), (Iax.NEW, [*NEW, (Ie.ENCRYPTION, 1)]),
    (Iax.REGREQ, []), (Iax.REGREQ, REG), (Iax.REGREQ, REG + TOKEN), (Iax.REGREQ, REG + MD5),
    (Iax.REGREL, REG), (Iax.REGREL, [(Ie.USERNAME, "x"), (Ie.CALLTOKEN, b"")]),
    (Iax.PING, []), (Iax.LAGRQ, []), (Iax.HANGUP, []), (Iax.AUTHREP, MD5), (Iax.VNAK, []),
    (Iax.INVAL, []), (Iax.ACK, []), (Iax.TXREQ, []), (Iax.FWDOWNL, []), (Iax.DPREQ, []),
    (Iax.PAGE, []), (Iax.CALLTOKEN, [(Ie.CALLTOKEN, b"abc")]), (Iax.ACCEPT, []),
]  # fmt: skip
ACCESSES = [
    Access("md5", secret="s3cret"),
    Access("md5", secret="s3cret", token="no"),
    Access("md5", secret="s3cret", token="auto", encryption="offer"),
    Access("address", token="no"),
    Access("refuse", token="no"),
]


def server(access: Access, settings: EndpointSettings | None = None) -> tuple[Network, Party]:
    network = Network(seed=5)
    users = Users({"alice": access, "": access, "x": access})
    party = network.add(SERVER, settings, users)
    return network, party


@pytest.mark.parametrize("access", ACCESSES, ids=lambda one: f"{one.method}-{one.token}")
def test_forged_addresses_get_no_more_than_they_brought(access: Access) -> None:
    network, party = server(access)
    endpoint = party.endpoint
    seed = 20261122
    print("seed", seed)
    dice = random.Random(seed)
    victims: list[Address] = [("203.0.113.5", 4000 + port) for port in range(40)]
    brought = dict.fromkeys(victims, 0)
    for _ in range(4000):
        victim = dice.choice(victims)
        kind = dice.random()
        if kind < 0.8:
            subclass, pairs = dice.choice(OPENINGS)
            frame = FullFrame(
                dice.randrange(1, 40), dice.choice([0, 0, 0, 1, dice.randrange(1, 32768)]),
                dice.randrange(4), dice.randrange(3), dice.randrange(3), FrameType.IAX,
                subclass, Elements.of(pairs).to_bytes(), dice.random() < 0.3,
            )  # fmt: skip
            data = frame.to_bytes()
        elif kind < 0.9:
            data = MiniFrame(dice.randrange(1, 40), 20, bytes(20)).to_bytes()
        else:
            entry = TrunkEntry(dice.randrange(1, 40), 20, bytes(20))
            data = TrunkFrame(5, True, (entry,)).to_bytes()
        brought[victim] += len(data)
        endpoint.receive_datagram(data, victim, network.now)
        network.run(dice.choice([0.0, 0.0, 0.01, 0.3]))
        got: dict[Address, int] = dict.fromkeys(victims, 0)
    network.run(60)
    for _, _, to, data in network.taps:
        got[to] += len(data)
    for victim in victims:
        assert got[victim] <= brought[victim]
    assert sum(got.values()) > 0.2 * sum(brought.values()) or access.method == "refuse"
    assert not len(endpoint), "and nothing is kept"
    assert endpoint.next_deadline is None


@pytest.mark.parametrize("access", ACCESSES, ids=lambda one: f"{one.method}-{one.token}")
@pytest.mark.parametrize(("subclass", "pairs"), OPENINGS)
def test_one_forged_frame_leaves_nothing_after_ten_seconds(
    access: Access, subclass: Iax, pairs: list[tuple[int, Value]]
) -> None:
    network, party = server(access)
    data = FullFrame(
        9, 0, 3, 0, 0, FrameType.IAX, subclass, Elements.of(pairs).to_bytes()
    ).to_bytes()
    party.endpoint.receive_datagram(data, CLIENT, network.now)
    network.run(0.1)
    assert sum(len(tap[3]) for tap in network.taps) <= len(data)
    network.run(10.1 if access.method != "address" else 20.5)
    assert sum(len(tap[3]) for tap in network.taps) <= len(data)
    assert not len(party.endpoint)


def test_inval_answers_only_what_asks_for_it() -> None:
    network, party = server(ACCESSES[0])
    for subclass in Iax:
        frame = FullFrame(9, 77, 3, 1, 1, FrameType.IAX, subclass).to_bytes()
        party.endpoint.receive_datagram(frame, CLIENT, network.now)
        answers = [FullFrame.from_bytes(one[0]) for one in party.endpoint.outgoing]
        party.endpoint.outgoing.clear()
        quiet = subclass in (
            Iax.ACK, Iax.INVAL, Iax.HANGUP, Iax.REJECT, Iax.VNAK, Iax.TXCNT, Iax.TXACC, Iax.TXREJ,
            Iax.UNSUPPORT, Iax.PONG, Iax.LAGRP, Iax.CALLTOKEN, Iax.REGACK, Iax.REGREJ,
        )  # fmt: skip
        assert [one.subclass for one in answers] == ([] if quiet else [Iax.INVAL]), subclass
        for answer in answers:
            assert (answer.source, answer.destination) == (77, 9)


def test_tokens_are_for_an_address_and_for_ten_seconds() -> None:
    tokens = TokenFactory(bytes(range(32)), 10.0)
    for start in (0.0, 1.2, 4999.99):
        token = tokens.make(CLIENT, start)
        assert tokens.check(token, CLIENT, start)
        assert tokens.check(token, CLIENT, start + 7.4)
        assert not tokens.check(token, CLIENT, start + 10.1)
        assert not tokens.check(token, (CLIENT[0], 4570), start)
        assert not tokens.check(token, SERVER, start)
        assert not TokenFactory(bytes(32), 10.0).check(token, CLIENT, start)
        assert not tokens.check(b"", CLIENT, start)
        assert not tokens.check("é".encode(), CLIENT, start)


def test_an_old_token_is_refused() -> None:
    for subclass, refusal, pairs in ((Iax.NEW, Iax.REJECT, NEW), (Iax.REGREQ, Iax.REGREJ, REG)):
        network, party = server(ACCESSES[1])
        frame = FullFrame(
            9, 0, 3, 0, 0, FrameType.IAX, subclass,
            Elements.of([*pairs, (Ie.CALLTOKEN, b"AAAAAAA")]).to_bytes(),
        )  # fmt: skip
        party.endpoint.receive_datagram(frame.to_bytes(), CLIENT, network.now)
        network.run(1)
        assert [FullFrame.from_bytes(one).subclass for one in party.sent] == [refusal]
        assert not len(party.endpoint)


def test_auto_needs_a_token_once_one_was_shown() -> None:
    network = Network()
    users = Users({"alice": Access("md5", secret="s3cret", token="auto")})
    client, party = network.add(CLIENT), network.add(SERVER, authority=users)
    bare = FullFrame(9, 0, 3, 0, 0, FrameType.IAX, Iax.NEW, Elements.of(NEW).to_bytes()).to_bytes()
    party.endpoint.receive_datagram(bare, CLIENT, network.now)
    assert len(party.endpoint) == 1
    network.run(15)
    call = client.endpoint.place(SERVER, NewCall(called="1"), network.now,
                                 Credentials("alice", "s3cret"))  # fmt: skip
    network.run(1)
    assert call.state is State.OFFERED or not call.ended
    before = len(party.endpoint)
    party.endpoint.receive_datagram(bare, CLIENT, network.now)
    assert len(party.endpoint) == before
    assert party.endpoint.counters.token_missing == 1


def test_the_number_of_a_calltoken_reply_is_not_bound_to() -> None:
    network = Network()
    users = Users({"alice": Access("md5", secret="s3cret")})
    client, party = network.add(CLIENT), network.add(SERVER, authority=users)
    call = client.endpoint.place(SERVER, NewCall(called="1"), network.now,
                                 Credentials("alice", "s3cret"))  # fmt: skip
    network.run(1)
    replies = [FullFrame.from_bytes(one) for one in party.sent]
    assert replies[0].subclass == Iax.CALLTOKEN
    assert replies[0].source == 1
    assert call.peer_number == replies[1].source != 1
    again = FullFrame.from_bytes(client.sent[1])
    assert (again.destination, again.oseqno, again.iseqno, again.retransmission) == (0, 0, 0, False)
    assert list(again.elements.values)[-1] == Ie.CALLTOKEN
    assert list(FullFrame.from_bytes(client.sent[0]).elements.values)[-1] == Ie.CALLTOKEN


def test_a_client_without_call_tokens_registers() -> None:
    """As iaxmodem does it: its first repetition has brought enough for REGAUTH."""
    network, party = server(Access("md5", secret="s3cret", token="auto"))
    register = Elements.of([(Ie.USERNAME, "alice"), (Ie.REFRESH, 300)]).to_bytes()
    first = FullFrame(3, 0, 4, 0, 0, FrameType.IAX, Iax.REGREQ, register).to_bytes()
    for _ in range(2):
        party.endpoint.receive_datagram(first, CLIENT, network.now)
        network.run(1.0)
    challenge = FullFrame.from_bytes(party.sent[0])
    assert challenge.subclass == Iax.REGAUTH
    assert sum(map(len, party.sent)) <= 2 * len(first)
    assert challenge.elements.number(Ie.AUTHMETHODS) == 2
    from firmware.wire.iax2.auth import response

    answer: list[tuple[int, Value]] = [
        (Ie.USERNAME, "alice"), (Ie.REFRESH, 300),
        (Ie.MD5_RESULT, response(challenge.elements.text(Ie.CHALLENGE), "s3cret")),
    ]  # fmt: skip
    second = FullFrame(
        3, challenge.source, 50, 1, 1, FrameType.IAX, Iax.REGREQ, Elements.of(answer).to_bytes()
    )
    party.endpoint.receive_datagram(second.to_bytes(), CLIENT, network.now)
    network.run(0.1)
    assert party.told == [Registering("alice", CLIENT, 300)]
    accepted = FullFrame.from_bytes(party.sent[1])
    assert accepted.subclass == Iax.REGACK
    assert accepted.elements.address(Ie.APPARENT_ADDR) == CLIENT


def test_registration_refresh_release_and_messages() -> None:
    network = Network()
    users = Users({"alice": Access("md5", secret="s3cret")}, mailbox=(3, 300))
    client, party = network.add(CLIENT), network.add(SERVER, authority=users)
    registration = client.endpoint.register(SERVER, "alice", "s3cret", 10, network.now, "tag")
    network.run(1)
    assert client.told == [RegisterAccepted(registration, 60, CLIENT, (3, 255))]
    assert party.told == [Registering("alice", CLIENT, 60)]
    release = client.endpoint.release(registration, network.now)
    network.run(1)
    assert client.told[1:] == [RegisterReleased(release)]
    assert release.tag == "tag"
    assert party.told[1:] == [Releasing("alice", CLIENT)]
    network.run(60)
    assert not len(client.endpoint)
    assert not len(party.endpoint)


def test_the_shortest_user_names_register_and_release() -> None:
    for name in ("x", "bob"):
        network = Network()
        users = Users({name: Access("md5", secret="s3cret")})
        client, party = network.add(CLIENT), network.add(SERVER, authority=users)
        registration = client.endpoint.register(SERVER, name, "s3cret", 60, network.now)
        network.run(1)
        client.endpoint.release(registration, network.now)
        network.run(1)
        assert party.told == [Registering(name, CLIENT, 60), Releasing(name, CLIENT)]


def test_registrations_with_a_wrong_password_or_nobody_there() -> None:
    network = Network()
    users = Users({"alice": Access("md5", secret="s3cret")})
    client = network.add(CLIENT)
    network.add(SERVER, authority=users)
    wrong = client.endpoint.register(SERVER, "alice", "wrong", 60, network.now)
    network.run(1)
    nobody = client.endpoint.register(("192.0.2.9", 4569), "alice", "s3cret", 60, network.now)
    network.run(60)
    refused = client.all_of(RegisterRefused)
    assert [(one.registration, one.cause) for one in refused] == [(wrong, 29), (nobody, 0)]
    assert users.failures == [("alice", CLIENT)]


def test_poke() -> None:
    network = Network()
    client = network.add(CLIENT)
    network.add(SERVER)
    client.endpoint.poke(SERVER, network.now)
    client.endpoint.poke(("192.0.2.9", 4569), network.now)
    network.run(60)
    assert client.told == [Reachable(SERVER, 19), Unreachable(("192.0.2.9", 4569))]
    assert not len(client.endpoint)


def test_a_peer_that_started_again_counts_from_the_beginning() -> None:
    """The same call number and time as of a call that has ended is another call."""
    network, party = server(Access("md5", secret="s3cret", token="no"))
    frame = FullFrame(1, 0, 3, 0, 0, FrameType.IAX, Iax.NEW, Elements.of(NEW).to_bytes()).to_bytes()
    party.endpoint.receive_datagram(frame, CLIENT, network.now)
    number = FullFrame.from_bytes(party.endpoint.outgoing[0][0]).source
    hang_up = FullFrame(1, number, 9, 1, 1, FrameType.IAX, Iax.HANGUP).to_bytes()
    party.endpoint.receive_datagram(hang_up, CLIENT, network.now)
    network.run(5)
    assert not party.endpoint.calls
    party.endpoint.receive_datagram(frame, CLIENT, network.now)
    assert len(party.endpoint.calls) == 1


def test_call_numbers_are_random_and_never_two_the_same() -> None:
    network = Network()
    client = network.add(CLIENT)
    calls = [client.endpoint.place(SERVER, NewCall(called="1"), network.now) for _ in range(2000)]
    numbers = [call.number for call in calls]
    assert len(set(numbers)) == 2000
    assert min(numbers) > 1
    steps = {b - a for a, b in itertools.pairwise(numbers)}
    assert len(steps) > 1500
