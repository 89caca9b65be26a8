"""Calls between two endpoints as their users see them."""

from __future__ import annotations

import pytest

from firmware.wire.iax2 import (
    Access,
    Address,
    Busy,
    Call,
    CallOffered,
    Congestion,
    Credentials,
    DigitBegan,
    DigitEnded,
    Ended,
    Endpoint,
    EndpointSettings,
    Event,
    Format,
    Hold,
    NewCall,
    Quelched,
    State,
    Text,
    Unhold,
    Unquelched,
)
from firmware.wire.iax2.elements import Elements, Ie
from firmware.wire.iax2.frames import FullFrame
from firmware.wire.iax2.kinds import FrameType, Iax
from tests.wire.iax2.link import CLIENT, SERVER, Network, Party, Users

ALICE = Credentials("alice", "s3cret")
NEW = NewCall(called="15145550100", calling="5145550199", name="Alice")


class Pair:
    """A caller and a server that knows alice."""

    def __init__(
        self,
        access: Access | None = None,
        client: EndpointSettings | None = None,
        server: EndpointSettings | None = None,
        answer: bool = True,
        seed: int = 1,
    ) -> None:
        self.network = Network(seed=seed)
        self.users = Users({"alice": access or Access("md5", secret="s3cret")})
        self.client = self.network.add(CLIENT, client)
        self.server = self.network.add(SERVER, server, self.users)
        self.heard: list[tuple[int, bytes, Format]] = []
        self.heard_by_client: list[tuple[int, bytes, Format]] = []
        self.answer = answer
        self.server.on_event = self._on_server

    def _on_server(self, event: Event) -> None:
        if isinstance(event, CallOffered):
            event.call.voice_sink = lambda *voice: self.heard.append(voice)
            if self.answer:
                event.call.ringing(self.network.now)
                event.call.answer(self.network.now)

    def call(
        self,
        credentials: Credentials | None = ALICE,
        new: NewCall = NEW,
        trunk: bool = False,
        seconds: float = 1.0,
    ) -> Call:
        call = self.client.endpoint.place(SERVER, new, self.network.now, credentials, "mine", trunk)
        call.voice_sink = lambda *voice: self.heard_by_client.append(voice)
        self.network.run(seconds)
        return call

    @property
    def taken(self) -> Call:
        return self.server.all_of(CallOffered)[0].call

    def finish(self) -> None:
        """Nothing is left of anything."""
        self.network.run(60)
        for party in (self.client, self.server):
            assert not len(party.endpoint)
            assert not party.endpoint.calls
            assert party.endpoint.next_deadline is None


def iax_frames(party: Party) -> list[Iax]:
    frames = [FullFrame.from_bytes(one) for one in party.sent if one[0] & 0x80]
    return [Iax(one.subclass) for one in frames if one.type == FrameType.IAX]


def test_a_call_from_new_to_hangup() -> None:
    pair = Pair()
    call = pair.call()
    assert pair.client.kinds() == ["Accepted", "Ringing", "Answered"]
    assert call.format is Format.ULAW
    assert (call.tag, call.state) == ("mine", State.UP)
    taken = pair.taken
    assert (taken.new.called, taken.new.calling, taken.new.name) == (
        "15145550100", "5145550199", "Alice",
    )  # fmt: skip
    assert taken.username == "alice"
    assert taken.address == CLIENT
    for step in range(50):
        call.send_voice(bytes([step]) * 160, pair.network.now)
        taken.send_voice(bytes([step]) * 160, pair.network.now)
        pair.network.run(0.02)
    for heard in (pair.heard, pair.heard_by_client):
        assert [payload[0] for _, payload, _ in heard] == list(range(50))
        times = [at for at, _, _ in heard]
        assert times == list(range(times[0], times[0] + 1000, 20))
    call.hang_up(pair.network.now, 16, "Bye")
    pair.network.run(1)
    assert pair.client.all_of(Ended) == [Ended(call, 16, "Bye", by_peer=False)]
    assert pair.server.all_of(Ended) == [Ended(taken, 16, "Bye", by_peer=True)]
    assert iax_frames(pair.client)[:3] == [Iax.NEW, Iax.NEW, Iax.AUTHREP]
    assert iax_frames(pair.server)[:2] == [Iax.CALLTOKEN, Iax.AUTHREQ]
    pair.finish()


def test_a_long_call_measures_the_way_and_stays() -> None:
    pair = Pair()
    call = pair.call()
    for _ in range(200):
        pair.taken.send_voice(bytes(160), pair.network.now)
        pair.network.run(0.02)
    pair.network.run(100)
    assert not call.ended
    assert call.rtt_ms in (18, 19, 20)
    assert pair.taken.peer_statistics is not None
    assert pair.taken.peer_statistics.received == 200
    assert pair.taken.peer_statistics.lost == 0
    assert call.lag_ms is not None


def test_an_ended_call_is_inert() -> None:
    pair = Pair()
    call = pair.call()
    call.hang_up(pair.network.now)
    sent = len(pair.client.endpoint.outgoing)
    now = pair.network.now
    call.answer(now)
    call.ringing(now)
    call.accept(now)
    call.hold(now)
    call.quelch(now)
    call.digit(now, "5")
    call.text(now, "late")
    call.send_voice(bytes(160), now)
    call.reject(now, 17, "")
    call.hang_up(now)
    assert len(pair.client.endpoint.outgoing) == sent
    pair.finish()
    assert len(pair.client.all_of(Ended)) == 1


def test_hold_quelch_digits_and_text() -> None:
    pair = Pair()
    call = pair.call()
    network = pair.network
    call.hold(network.now)
    call.unhold(network.now)
    call.quelch(network.now)
    network.run(0.1)
    pair.taken.send_voice(bytes(160), network.now)
    network.run(0.1)
    assert not pair.heard_by_client, "who asked for silence hears none"
    call.unquelch(network.now)
    network.run(0.1)
    pair.taken.send_voice(bytes(160), network.now)
    call.digit_begin(network.now, "5")
    network.run(0.12)
    call.digit_end(network.now, "5")
    call.digit(network.now, "#")
    call.text(network.now, "hello, Zoë")
    network.run(0.1)
    assert len(pair.heard_by_client) == 1
    taken = pair.taken
    assert pair.server.told[1:] == [
        Hold(taken), Unhold(taken), Quelched(taken), Unquelched(taken),
        DigitBegan(taken, "5"), DigitEnded(taken, "5", 120),
        DigitBegan(taken, "#"), DigitEnded(taken, "#", 0), Text(taken, "hello, Zoë"),
    ]  # fmt: skip


@pytest.mark.parametrize(("cause", "told"), [(17, Busy), (34, Congestion), (21, None)])
def test_a_call_is_refused_before_and_after_accept(cause: int, told: type[Event] | None) -> None:
    for accepted in (False, True):
        pair = Pair(answer=False)
        call = pair.call()
        assert not pair.client.told, "nothing is said before the callee has"
        if accepted:
            pair.taken.ringing(pair.network.now)
        pair.taken.reject(pair.network.now, cause, "no")
        pair.network.run(1)
        assert pair.client.all_of(Ended) == [Ended(call, cause, "no", by_peer=True)]
        if told is not None:
            assert bool(pair.client.all_of(told)) is accepted
        pair.finish()


def test_no_format_in_common_is_refused_before_ringing() -> None:
    pair = Pair(client=EndpointSettings(formats=(Format.GSM,)))
    call = pair.call()
    assert pair.client.told == [Ended(call, 58, "Unable to negotiate codec", by_peer=True)]
    assert not pair.server.told
    pair.finish()


def test_the_caller_has_the_first_word_on_the_format() -> None:
    formats = (Format.ULAW, Format.ALAW)
    pair = Pair(server=EndpointSettings(formats=formats))
    new = NewCall(called="1", formats_preferred=(Format.ALAW, Format.ULAW))
    assert pair.call(new=new).format is Format.ALAW
    assert pair.taken.format is Format.ALAW


def test_wrong_passwords_and_unknown_users_are_told_the_same() -> None:
    answers = []
    for credentials in (Credentials("alice", "wrong"), Credentials("nobody", "wrong")):
        pair = Pair()
        call = pair.call(credentials)
        assert pair.client.told == [Ended(call, 21, "No authority found", by_peer=True)]
        assert pair.users.failures == [(credentials.username, CLIENT)]
        assert not pair.server.told
        answers.append([len(one) for one in pair.server.sent[:-1]])
        pair.finish()
    assert [size + 1 for size in answers[0][1:2]] == answers[1][1:2], "but for the longer name"


def test_plain_passwords_are_never_sent() -> None:
    network = Network()
    client = network.add(CLIENT)
    call = client.endpoint.place(SERVER, NEW, network.now, ALICE)
    network.settle(client)
    challenge = Elements.of([(Ie.AUTHMETHODS, 1), (Ie.CHALLENGE, "1"), (Ie.USERNAME, "alice")])
    frame = FullFrame(7, call.number, 3, 0, 1, FrameType.IAX, Iax.AUTHREQ, challenge.to_bytes())
    client.endpoint.receive_datagram(frame.to_bytes(), SERVER, network.now)
    network.settle(client)
    assert not [one for one in client.sent if b"s3cret" in one]
    assert [one.cause for one in client.all_of(Ended)] == [57]


def test_a_peer_known_by_its_address_needs_no_password() -> None:
    pair = Pair(Access("address", token="no"))
    call = pair.call(None, NewCall(called="1", username="alice"))
    assert call.state is State.UP
    assert pair.taken.username == ""


def test_a_device_takes_calls_from_its_registrar_alone() -> None:
    network = Network()
    device, registrar = network.add(CLIENT), network.add(SERVER)
    device.endpoint.trusted_peers.add(SERVER)
    registrar.endpoint.place(CLIENT, NewCall(called="100"), network.now)
    stranger: Address = ("198.51.100.9", 4569)
    unknown = network.add(stranger)
    unknown.endpoint.place(CLIENT, NewCall(called="100"), network.now)
    network.run(1)
    assert [one.call.address for one in device.all_of(CallOffered)] == [SERVER]
    assert device.endpoint.counters.refused


def test_nobody_answers() -> None:
    network = Network()
    client = network.add(CLIENT)
    call = client.endpoint.place(SERVER, NEW, network.now, ALICE)
    network.run(60)
    assert client.told == [Ended(call, 38, "no answer from the peer", by_peer=False)]
    assert len(client.sent) == 5, "once, and four times again"
    assert not len(client.endpoint)


def test_a_peer_that_went_away_ends_the_call() -> None:
    pair = Pair()
    call = pair.call()
    del pair.network.parties[SERVER]
    pair.network.run(90)
    assert pair.client.all_of(Ended) == [Ended(call, 41, "no answer from the peer", by_peer=False)]


def test_a_peer_that_forgot_the_call_says_so_by_inval() -> None:
    pair = Pair()
    call = pair.call()
    del pair.network.parties[SERVER]
    pair.network.add(SERVER, authority=pair.users)
    pair.network.run(30)
    assert [one.by_peer for one in pair.client.all_of(Ended)] == [True]
    assert call.ended


def test_a_call_hung_up_before_the_peer_answered() -> None:
    pair = Pair(answer=False)
    call = pair.call(seconds=0.005)
    call.hang_up(pair.network.now)
    pair.network.run(1)
    assert len(pair.client.all_of(Ended)) == 1
    assert len(pair.server.all_of(Ended)) == len(pair.server.all_of(CallOffered))
    pair.finish()


def test_close_hangs_up_everything() -> None:
    pair = Pair()
    calls = [pair.call() for _ in range(3)]
    pair.client.endpoint.close(pair.network.now)
    pair.network.run(1)
    assert all(call.ended for call in calls)
    assert len(pair.server.all_of(Ended)) == 3
    pair.finish()


def test_what_is_not_supported_is_said_so() -> None:
    pair = Pair()
    call = pair.call()
    for subclass in (Iax.TXREQ, Iax.TRANSFER, Iax.DPREQ, Iax.PAGE, Iax.FWDOWNL, Iax.UNSUPPORT):
        pair.taken.send_iax(pair.network.now, subclass, [(Ie.TRANSFERID, 77)])
    pair.taken.send_full(pair.network.now, FrameType.IAX, 99, b"")
    pair.taken.send_full(pair.network.now, 200, 1, b"a frame type of another century")
    pair.taken.send_full(pair.network.now, FrameType.VIDEO, 0x92, b"picture")
    before = len(pair.client.sent)
    pair.network.run(2)
    frames = [FullFrame.from_bytes(one) for one in pair.client.sent[before:]]
    assert [
        one.elements.number(Ie.IAX_UNKNOWN) for one in frames if one.subclass == Iax.UNSUPPORT
    ] == [Iax.TRANSFER, Iax.DPREQ, Iax.PAGE, Iax.FWDOWNL, 99]
    rejected = [one for one in frames if one.subclass == Iax.TXREJ]
    assert [one.elements.number(Ie.TRANSFERID) for one in rejected] == [77]
    assert not call.ended


def test_three_outstanding_authentications_a_user() -> None:
    """A fourth one waits for a place; who has shown a token displaces who has not."""
    pair = Pair(Access("md5", secret="s3cret", token="no"))
    endpoint = pair.server.endpoint
    bare = NewCall(called="15145550100", username="alice", formats_preferred=(Format.ULAW,),
                   capability=4, format=Format.ULAW).elements()  # fmt: skip
    for source in range(10, 16):
        frame = FullFrame(source, 0, 5, 0, 0, FrameType.IAX, Iax.NEW, Elements.of(bare).to_bytes())
        endpoint.receive_datagram(frame.to_bytes(), ("198.51.100.7", 4000 + source), 1000.0)
    assert len(endpoint) == 3
    assert endpoint.counters.unauthenticated_limit == 3
    call = pair.call()
    assert call.state is State.UP, "forged addresses lock nobody out"
    pair.network.run(11)
    assert len(endpoint) == 1


def test_a_burst_of_calls_of_one_user_is_served_a_few_at_a_time() -> None:
    pair = Pair()
    calls = [pair.call(seconds=0) for _ in range(10)]
    pair.network.run(12)
    assert {call.state for call in calls} == {State.UP}
    assert pair.server.endpoint.counters.unauthenticated_limit


def test_who_has_answered_a_challenge_from_there_may_begin_many_calls_at_once() -> None:
    """A PBX far away, whose challenges are on their way for longer than its calls are apart."""
    pair = Pair()
    assert pair.call().state is State.UP
    calls = [pair.call(seconds=0) for _ in range(40)]
    pair.network.run(1)
    assert {call.state for call in calls} == {State.UP}
    assert not pair.server.endpoint.counters.unauthenticated_limit
    # Somebody else who uses its name, and has a token, too, still finds three places.
    endpoint, now = pair.server.endpoint, pair.network.now
    before = len(endpoint)
    for source in range(10, 16):
        _new_with_token(endpoint, source, ("198.51.100.7", 4000), now)
    assert len(endpoint) == before + 3
    assert endpoint.counters.unauthenticated_limit == 3


def _new_with_token(endpoint: Endpoint, source: int, address: Address, now: float) -> None:
    """A NEW in the name of alice with a token, as from somebody who hears our answers."""
    bare = NewCall(called="15145550100", username="alice", formats_preferred=(Format.ULAW,),
                   capability=4, format=Format.ULAW).elements()  # fmt: skip

    def send(token: bytes) -> None:
        data = Elements.of([*bare, (Ie.CALLTOKEN, token)]).to_bytes()
        frame = FullFrame(source, 0, 5, 0, 0, FrameType.IAX, Iax.NEW, data)
        endpoint.receive_datagram(frame.to_bytes(), address, now)

    send(b"")
    (answer,) = [data for data, to in endpoint.outgoing if to == address]
    endpoint.outgoing.clear()
    send(FullFrame.from_bytes(answer).elements.values[Ie.CALLTOKEN])
    endpoint.outgoing.clear()


def test_a_limit_of_calls_an_address() -> None:
    pair = Pair(server=EndpointSettings(max_calls_per_address=2))
    calls = [pair.call() for _ in range(3)]
    assert [call.ended for call in calls] == [False, False, True]
    assert pair.client.all_of(Ended)[0].cause == 42
    calls[0].hang_up(pair.network.now)
    pair.network.run(15)
    assert not pair.call().ended
