"""Sound, digits and hold between IAX2 and SIP, and between IAX2 and IAX2."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from firmware.wire import rtp
from firmware.wire.iax2 import Call, Format
from firmware.wire.sip import sdp as sdp_of
from tests.host.iax2.world import MEDIA, ULAW, Iax2Phone, Iax2World, RtpPeer
from tests.host.sip.agents import Agent, Side, answers, sdp
from tests.host.sip.world import DID

GATEWAY = ("10.0.0.9", 5060)
EVENTS = "101\r\na=rtpmap:101 telephone-event/8000"
EVERY = bytes(range(256))


class Talk:
    """Alice on IAX2 talks with the carrier on SIP."""

    def __init__(
        self, world: Iax2World, formats: str = f"0 {EVENTS}", law: Format = Format.ULAW
    ) -> None:
        self.world = world
        world.iax2_account("alice")
        world.carrier("north", GATEWAY)
        self.north = Agent(world, GATEWAY)
        self.north.plan = answers(body=sdp(GATEWAY, formats=formats))
        self.media = RtpPeer(world, (GATEWAY[0], 4000))
        self.alice = Iax2Phone(world, ("10.0.1.1", 4570), "alice", formats=(law,))
        self.call: Call = self.alice.call()
        world.run(2)
        assert self.alice.story(self.call)[-1] == "answered"
        self.port = (MEDIA, int(self.side.sdp.split(b"m=audio ")[1].split()[0]))

    @property
    def side(self) -> Side:
        return self.north.sides[0]

    def over(self) -> None:
        self.alice.hang_up(self.call)
        self.world.finish()


def nearest(law: int, sample: int) -> int:
    """The octet of a law whose sample is nearest, found by looking at all of them."""
    decode = rtp.decode_ulaw if law == rtp.PCMU else rtp.decode_alaw
    samples = [int.from_bytes(decode(bytes([n])), "little", signed=True) for n in range(256)]
    return min(abs(s - sample) for s in samples)


@pytest.mark.parametrize(
    ("law", "payload_type"), [(Format.ULAW, 8), (Format.ALAW, 0), (Format.ALAW, 8)]
)
def test_each_sample_comes_through_as_the_nearest_of_the_other_law(
    world: Iax2World, law: Format, payload_type: int
) -> None:
    talk = Talk(world, str(payload_type), law)
    talk.alice.speak(talk.call, [EVERY, EVERY])
    talk.media.speak(talk.port, [EVERY, EVERY], payload_type)
    world.run(1)
    decode = {0: rtp.decode_ulaw, 8: rtp.decode_alaw}
    own = 0 if law is Format.ULAW else 8
    for got, mine, theirs in (
        (talk.media.voice[0].payload, own, payload_type),
        (talk.alice.heard[talk.call][0][1], payload_type, own),
    ):
        for octet in range(256):
            sent = int.from_bytes(decode[mine](EVERY[octet : octet + 1]), "little", signed=True)
            heard = int.from_bytes(decode[theirs](got[octet : octet + 1]), "little", signed=True)
            best = nearest(theirs, sent)
            # Where two are as good as equally near the encoder may take either.
            assert abs(heard - sent) <= best + max(8, abs(sent) // 32), (octet, sent, heard)
    assert talk.media.voice[0].payload_type == payload_type
    talk.over()


def test_two_iax2_legs_of_different_laws_are_transcoded(world: Iax2World) -> None:
    world.iax2_account("alice")
    world.iax2_account("bob")
    world.did("bob")
    alice = Iax2Phone(world, ("10.0.1.1", 4570), "alice", formats=(Format.ULAW,))
    bob = Iax2Phone(world, ("10.0.1.2", 4570), "bob", formats=(Format.ALAW,))
    assert bob.register().refresh_s
    world.carrier("north", GATEWAY)
    call = alice.call(DID)
    world.run(2)
    alice.speak(call, [EVERY])
    world.run(1)
    (_, got, law) = bob.heard[bob.calls[0]][0]
    assert law is Format.ALAW
    assert got == rtp.encode_alaw(rtp.decode_ulaw(EVERY))
    alice.hang_up(call)
    world.finish()


def test_sound_is_sent_to_where_the_carrier_says_and_taken_from_nowhere_else(
    world: Iax2World,
) -> None:
    talk = Talk(world)
    RtpPeer(world, ("10.6.6.6", 4000)).speak(talk.port, ULAW[:5])
    world.run(1)
    assert talk.alice.audio(talk.call) == b"", "a carrier is heard from its own address alone"
    talk.alice.speak(talk.call, ULAW[:2])
    world.run(1)
    assert len(talk.media.voice) == 2
    talk.over()


def test_a_phone_behind_nat_is_answered_where_its_sound_comes_from(world: Iax2World) -> None:
    world.iax2_account("bob")
    world.did("bob")
    bob = Iax2Phone(world, ("10.0.1.2", 4570), "bob")
    assert bob.register().refresh_s
    world.account("carol", route="value")
    world.carrier("north", GATEWAY)
    carol = Agent(world, ("10.0.1.5", 5062), "carol")
    side = carol.call(DID, body=sdp(("192.168.1.2", 0)))
    world.run(2)
    assert side.outcome == 200
    port = (MEDIA, int(side.sdp.split(b"m=audio ")[1].split()[0]))
    outside = RtpPeer(world, ("10.0.1.5", 61_000))
    outside.speak(port, ULAW[:3])
    bob.speak(bob.calls[0], ULAW[10:20])
    world.run(1)
    assert len(outside.voice) >= 9
    thief = RtpPeer(world, ("10.6.6.6", 4000))
    thief.speak(port, ULAW[200:203])
    bob.speak(bob.calls[0], ULAW[20:30])
    world.run(1)
    assert not thief.packets
    assert bob.audio(bob.calls[0]) == b"".join(ULAW[:3])
    side.bye()
    world.finish()


def test_lost_frames_leave_gaps_that_rtp_shows(world: Iax2World) -> None:
    talk = Talk(world)
    start = world.now
    for n in (0, 1, 4, 5):
        talk.alice.later(
            n * 0.02,
            lambda n=n: talk.call.send_voice(ULAW[n], world.now, round((world.now - start) * 1000)),
        )
    world.run(1)
    first = talk.media.voice[0]
    told = [
        (p.sequence - first.sequence & 0xFFFF, p.timestamp - first.timestamp & 0xFFFFFFFF)
        for p in talk.media.voice
    ]
    assert told == [(0, 0), (1, 160), (4, 640), (5, 800)]
    assert [p.marker for p in talk.media.voice] == [True, False, False, False]
    talk.over()


# --- digits ---


def test_a_digit_of_the_phone_is_three_times_ended_events(world: Iax2World) -> None:
    talk = Talk(world)
    talk.alice.speak(talk.call, ULAW[:30])
    talk.alice.later(0.1, lambda: talk.call.digit_begin(world.now, "7"))
    talk.alice.later(0.3, lambda: talk.call.digit_end(world.now, "7"))
    world.run(1)
    events = talk.media.events
    assert {key for key, _ in events} == {"7"}
    assert [end for _, end in events][-3:] == [True] * 3
    assert sum(end for _, end in events) == 3
    packets = [p for p in talk.media.packets if p.payload_type == 101]
    assert len({p.timestamp for p in packets}) == 1
    assert packets[0].marker
    final = rtp.TelephoneEvent.from_bytes(packets[-1].payload)
    assert 1_440 <= final.duration <= 1_760
    sequences = [p.sequence for p in talk.media.packets]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    assert len(talk.media.voice) < 25, "no sound beside the digit"
    talk.over()


def test_a_phone_that_sends_only_the_end_is_understood(world: Iax2World) -> None:
    talk = Talk(world)
    for key in "12#":
        talk.alice.do(lambda now, key=key: talk.call.digit(now, key))
    world.run(1)
    assert [key for key, end in talk.media.events if end] == ["1"] * 3 + ["2"] * 3 + ["#"] * 3
    talk.over()


def test_without_events_in_sip_a_digit_goes_by_info(world: Iax2World) -> None:
    talk = Talk(world, "0")
    talk.alice.do(lambda now: talk.call.digit(now, "5"))
    world.run(1)
    (info,) = [r for r in talk.side.requests if r.method == "INFO"]
    assert info.body.startswith(b"Signal=5\r\n")
    talk.side.send(
        "INFO", ("Content-Type", "application/dtmf-relay"), body=b"Signal=*\r\nDuration=99"
    )
    world.run(1)
    assert talk.alice.story(talk.call)[-2:] == ["down *", "up *"]
    talk.over()


def event(key: int, end: bool, duration: int) -> bytes:
    return rtp.TelephoneEvent(key, end, duration=duration).to_bytes()


def test_events_of_sip_press_each_key_once(world: Iax2World) -> None:
    talk = Talk(world)
    send = talk.media.send
    for key, at in ((3, 10_000), (3, 20_000), (11, 30_000)):
        for duration, end in ((160, False), (320, False), (480, True), (480, True), (480, True)):
            send(talk.port, event(key, end, duration), 101, at=at)
            world.run(0.02)
    world.run(1)
    assert talk.alice.story(talk.call)[3:] == [
        "down 3", "up 3", "down 3", "up 3", "down #", "up #",
    ]  # fmt: skip
    talk.over()


def test_a_digit_whose_end_is_lost_is_let_go(world: Iax2World) -> None:
    talk = Talk(world)
    talk.media.send(talk.port, event(9, False, 160), 101, at=10_000)
    talk.media.speak(talk.port, ULAW[:50])
    world.run(2)
    assert talk.alice.story(talk.call)[3:] == ["down 9", "up 9"]
    talk.over()


def test_digits_between_two_iax2_legs(world: Iax2World) -> None:
    world.iax2_account("alice")
    world.iax2_account("bob")
    world.did("bob")
    alice = Iax2Phone(world, ("10.0.1.1", 4570), "alice")
    bob = Iax2Phone(world, ("10.0.1.2", 4570), "bob")
    assert bob.register().refresh_s
    world.carrier("north", GATEWAY)
    call = alice.call(DID)
    world.run(2)
    alice.do(lambda now: call.digit(now, "0"))
    bob.do(lambda now: bob.calls[0].digit_begin(now, "D"))
    world.run(1)
    assert bob.story(bob.calls[0])[-2:] == ["down 0", "up 0"]
    assert alice.story(call)[-1] == "down D"
    alice.do(call.hold)
    world.run(1)
    assert bob.story(bob.calls[0])[-1] == "hold"
    alice.do(call.unhold)
    world.run(1)
    assert bob.story(bob.calls[0])[-1] == "unhold"
    alice.speak(call, ULAW[:3])
    world.run(1)
    assert bob.audio(bob.calls[0]) == b"".join(ULAW[:3])
    alice.hang_up(call)
    world.finish()


# --- hold ---


def test_hold_of_the_phone_is_a_reinvite_and_back(world: Iax2World) -> None:
    talk = Talk(world)
    for act, wanted in ((talk.call.hold, "sendonly"), (talk.call.unhold, "sendrecv")):
        talk.alice.do(act)
        world.run(1)
        reinvite = talk.side.requests[-1]
        assert reinvite.method == "INVITE"
        assert sdp_of.parse(reinvite.body).direction() == wanted
    talk.alice.speak(talk.call, ULAW[:3])
    talk.media.speak(talk.port, ULAW[5:8])
    world.run(1)
    assert len(talk.media.voice) == 3
    assert talk.alice.audio(talk.call) == b"".join(ULAW[5:8])
    talk.over()


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_hold_of_sip_reaches_the_phone_and_back(world: Iax2World, method: str) -> None:
    talk = Talk(world)
    for direction, mirror, told in (
        ("sendonly", "recvonly", "hold"),
        ("inactive", "inactive", "hold"),
        ("sendrecv", "sendrecv", "unhold"),
    ):
        talk.side.modify(
            sdp(GATEWAY, direction=direction, formats=f"0 {EVENTS}", version=2), method
        )
        world.run(1)
        response = talk.side.modified[-1]
        assert response is not None
        assert response.status == 200
        assert sdp_of.parse(response.body).direction() == mirror
        assert talk.alice.story(talk.call)[-1] == told
    assert talk.alice.story(talk.call).count("hold") == 1
    talk.over()


def test_nothing_is_sent_to_who_holds(world: Iax2World) -> None:
    talk = Talk(world)
    talk.side.modify(sdp(GATEWAY, direction="sendonly", formats=f"0 {EVENTS}", version=2))
    world.run(1)
    talk.alice.speak(talk.call, ULAW[:5])
    world.run(1)
    assert not talk.media.voice
    talk.over()


def test_a_hold_that_is_refused_for_the_moment_is_said_again(world: Iax2World) -> None:
    talk = Talk(world)
    statuses = [491, 200]
    talk.side.on_modify = lambda side, request: statuses.pop(0)
    talk.alice.do(talk.call.hold)
    world.run(4)
    assert not statuses
    talk.over()


def test_a_change_to_a_codec_that_we_have_not_is_refused_and_the_call_goes_on(
    world: Iax2World,
) -> None:
    talk = Talk(world)
    talk.side.modify(sdp(GATEWAY, formats="18", version=2))
    world.run(1)
    assert talk.side.modified[-1] is not None
    assert talk.side.modified[-1].status == 488
    talk.media.speak(talk.port, ULAW[:2])
    world.run(1)
    assert len(talk.alice.heard[talk.call]) == 2
    talk.over()


def test_an_sip_caller_without_g711_gets_488_before_it_rings(world: Iax2World) -> None:
    world.iax2_account("bob")
    world.did("bob")
    bob = Iax2Phone(world, ("10.0.1.2", 4570), "bob")
    assert bob.register().refresh_s
    world.carrier("north", GATEWAY)
    side = Agent(world, GATEWAY).call(DID.lstrip("+"), body=sdp(GATEWAY, formats="18"))
    world.finish()
    assert side.outcome == 488
    assert not bob.calls
    assert 180 not in side.statuses


def test_an_invite_without_an_offer_gets_ours_in_the_answer(world: Iax2World) -> None:
    world.iax2_account("bob")
    world.did("bob")
    bob = Iax2Phone(world, ("10.0.1.2", 4570), "bob")
    assert bob.register().refresh_s
    world.carrier("north", GATEWAY)
    media = RtpPeer(world, (GATEWAY[0], 4000))
    north = Agent(world, GATEWAY)
    side = north.call(DID.lstrip("+"), body=b"")
    side.answer_in_ack = sdp(GATEWAY)
    world.run(3)
    assert side.outcome == 200
    bob.speak(bob.calls[0], ULAW[:3])
    world.run(1)
    assert [p.payload for p in media.voice] == ULAW[:3]
    side.bye()
    world.finish()


def test_the_description_of_a_stranger_that_names_a_port_of_ours_joins_it_to_nothing(
    worlds: Callable[..., Iax2World],
) -> None:
    world = worlds()
    talk = Talk(world)
    world.iax2_account("bob")
    world.did("bob")
    bob = Iax2Phone(world, ("10.0.1.2", 4570), "bob")
    assert bob.register().refresh_s
    thief = Agent(world, ("10.0.0.9", 5060))
    side = thief.call(DID.lstrip("+"), body=sdp(talk.port, talk.port[1]))
    world.run(2)
    assert side.outcome == 200
    talk.alice.speak(talk.call, ULAW[:5])
    world.run(1)
    assert not bob.audio(bob.calls[0])
    side.bye()
    world.run(1)
    talk.alice.hang_up(talk.call)
    world.run(60)
