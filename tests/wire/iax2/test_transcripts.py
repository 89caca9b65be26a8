"""Whole conversations, frame by frame, on a clean link: `>` the client's, `<` the server's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from firmware.wire.iax2 import (
    Access,
    Call,
    CallOffered,
    Credentials,
    Event,
    NewCall,
)
from firmware.wire.iax2.frames import FullFrame
from firmware.wire.iax2.kinds import Control, FrameType, Iax
from tests.wire.iax2.aes import Aes
from tests.wire.iax2.link import CLIENT, SERVER, Network, Users

ALICE = Credentials("alice", "s3cret")


def said(network: Network) -> str:
    """Direction, kind, and oseqno/iseqno of each frame."""
    lines = []
    for _, source, _, data in network.taps:
        way = ">" if source == CLIENT else "<"
        if not data[0] & 0x80:
            lines.append(f"{way} {'trunk' if data[:2] == bytes(2) else 'mini'}")
            continue
        frame = FullFrame.from_bytes(data)
        kind = FrameType(frame.type).name
        if frame.type == FrameType.IAX:
            kind = Iax(frame.subclass).name
        elif frame.type == FrameType.CONTROL:
            kind = Control(frame.subclass).name.lower()
        lines.append(f"{way} {kind} {frame.oseqno}/{frame.iseqno}")
    return "\n".join(lines)


def conversation(
    access: Access,
    act: Callable[[Network, Call], None] | None,
    credentials: Credentials | None = ALICE,
    answer: bool = True,
) -> str:
    network = Network()
    users = Users({"alice": access, "": access})
    client = network.add(CLIENT, crypto=Aes())
    server = network.add(SERVER, authority=users, crypto=Aes())

    def take(event: Event) -> None:
        if isinstance(event, CallOffered):
            if answer:
                event.call.answer(network.now)
            else:
                event.call.reject(network.now, 1, "no such number")

    server.on_event = take
    call = client.endpoint.place(SERVER, NewCall(called="1"), network.now, credentials)
    network.run(0.5)
    if act is not None:
        act(network, call)
    network.run(1)
    return said(network)


def hang_up(network: Network, call: Call) -> None:
    call.hang_up(network.now)


SET_UP = """\
> NEW 0/0
< CALLTOKEN 0/1
> NEW 0/0
< AUTHREQ 0/1
> AUTHREP 1/1
< ACK 1/2
< ACCEPT 1/2
< answer 2/2
> ACK 2/2
> ACK 2/3"""


def test_an_authenticated_call() -> None:
    assert conversation(Access("md5", secret="s3cret"), hang_up) == (
        SET_UP + "\n> HANGUP 2/3\n< ACK 3/3"
    )


def test_audio_text_and_digits() -> None:
    def act(network: Network, call: Call) -> None:
        for _ in range(3):
            call.send_voice(bytes(160), network.now)
            network.run(0.02)
        network.run(0.1)
        call.digit(network.now, "1")
        network.run(0.1)
        call.text(network.now, "x")

    assert conversation(Access("md5", secret="s3cret"), act) == (
        SET_UP + "\n> VOICE 2/3\n< ACK 3/3\n> mini\n> mini\n> DTMF 3/3\n< ACK 3/4\n> TEXT 4/3"
        "\n< ACK 3/5"
    )


def test_a_refused_call() -> None:
    assert conversation(Access("md5", secret="s3cret"), None, answer=False) == (
        SET_UP[: SET_UP.index("< ACK")] + "< ACK 1/2\n< REJECT 1/2\n> ACK 2/2"
    )


def test_a_wrong_password() -> None:
    wrong = Credentials("alice", "wrong")
    assert conversation(Access("md5", secret="s3cret"), None, wrong) == (
        SET_UP[: SET_UP.index("< ACK")] + "< REJECT 1/2\n> ACK 2/2"
    )


@pytest.mark.parametrize("release", [False, True])
def test_registration(release: bool) -> None:
    network = Network()
    users = Users({"alice": Access("md5", secret="s3cret")})
    client = network.add(CLIENT)
    network.add(SERVER, authority=users)
    registration = client.endpoint.register(SERVER, "alice", "s3cret", 60, network.now)
    network.run(1)
    if release:
        network.taps.clear()
        client.endpoint.release(registration, network.now)
        network.run(1)
    name = "REGREL" if release else "REGREQ"
    assert said(network) == (
        f"> {name} 0/0\n< CALLTOKEN 0/1\n> {name} 0/0\n< REGAUTH 0/1\n> {name} 1/1\n"
        "< REGACK 1/2\n> ACK 2/2"
    )


def test_poke() -> None:
    network = Network()
    client = network.add(CLIENT)
    network.add(SERVER)
    client.endpoint.poke(SERVER, network.now)
    network.run(1)
    assert said(network) == "> POKE 0/0\n< PONG 0/1\n> ACK 1/1"


def test_a_call_known_by_its_address_shows_that_it_hears() -> None:
    access = Access("address", token="no")
    network = Network()
    users = Users({"": access})
    network.add(CLIENT)
    server = network.add(SERVER, authority=users)
    new = NewCall(called="1", capability=4).elements()
    from firmware.wire.iax2.elements import Elements

    frame = FullFrame(9, 0, 3, 0, 0, FrameType.IAX, Iax.NEW, Elements.of(new).to_bytes())
    server.endpoint.receive_datagram(frame.to_bytes(), CLIENT, network.now)
    server.endpoint.events.clear()
    assert [FullFrame.from_bytes(one).subclass for one, _ in server.endpoint.outgoing] == [Iax.PING]
