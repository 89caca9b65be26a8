"""Audio: its frames, its time around the wrap of 16 bits, and trunks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.wire.iax2 import (
    Access,
    Call,
    CallOffered,
    Credentials,
    EndpointSettings,
    Event,
    Format,
    NewCall,
)
from firmware.wire.iax2.frames import FullFrame, TrunkFrame
from firmware.wire.iax2.kinds import FrameType
from tests.wire.iax2.link import CLEAN, CLIENT, SERVER, Link, Network, Users


class Talk:
    """A call that is up; what the server hears."""

    def __init__(
        self,
        link: Link = CLEAN,
        seed: int = 1,
        settings: EndpointSettings | None = None,
        trunk: bool = False,
        calls: int = 1,
    ) -> None:
        self.network = Network(seed=seed)
        users = Users(
            {"alice": Access("md5", secret="s3cret", trunk=trunk, max_unauthenticated=30)}
        )
        self.client = self.network.add(CLIENT, settings)
        self.server = self.network.add(SERVER, settings, users)
        self.heard: dict[int, list[tuple[int, bytes, Format]]] = {}
        self.server.on_event = self._on_server
        self.calls = [
            self.client.endpoint.place(
                SERVER, NewCall(called=str(number)), self.network.now,
                Credentials("alice", "s3cret"), trunk=trunk,
            )
            for number in range(calls)
        ]  # fmt: skip
        self.network.run(1)
        self.network.link = link
        self.call = self.calls[0]

    def _on_server(self, event: Event) -> None:
        if isinstance(event, CallOffered):
            heard = self.heard.setdefault(int(event.call.new.called), [])
            event.call.voice_sink = lambda *voice: heard.append(voice)
            event.call.answer(self.network.now)

    def taken(self, number: int = 0) -> Call:
        return next(
            one.call
            for one in self.server.all_of(CallOffered)
            if int(one.call.new.called) == number
        )

    def say(self, seconds: float) -> dict[bytes, float]:
        """Number each frame; when each was said."""
        said = {}
        for step in range(int(seconds * 50)):
            payload = step.to_bytes(4, "big") * 40
            said[payload] = self.network.now
            for call in self.calls:
                call.send_voice(payload, self.network.now)
            self.network.run(0.02)
        return said


def voice_frames(talk: Talk) -> list[FullFrame]:
    full = [FullFrame.from_bytes(one) for one in talk.client.sent if one[0] & 0x80]
    return [one for one in full if one.type == FrameType.VOICE and not one.retransmission]


def test_a_full_frame_first_at_each_wrap_and_at_a_change_of_format() -> None:
    talk = Talk()
    talk.say(140)
    assert [one.timestamp_ms >> 16 for one in voice_frames(talk)] == [0, 1, 2]
    talk.call.format = Format.ALAW
    talk.say(0.1)
    assert [one.subclass for one in voice_frames(talk)][-1] == Format.ALAW
    assert talk.heard[0][-1][2] is Format.ALAW
    minis = [one for one in talk.client.sent if not one[0] & 0x80]
    assert len(minis) == 140 * 50 + 5 - 4


@pytest.mark.parametrize("seed", range(1, 6))
def test_time_is_whole_again_whatever_is_lost_around_the_wrap(seed: int) -> None:
    talk = Talk(Link(loss=0.2, twice=0.1, delay_s=(0.0, 0.3)), seed)
    started = talk.network.now
    said = talk.say(135)
    talk.network.run(1)
    heard = talk.heard[0]
    assert len(heard) > 0.7 * len(said)
    offsets = {stamp - round((said[payload] - started) * 1000) for stamp, payload, _ in heard}
    assert len(offsets) == 1, f"each frame has the time that it was said at, seed {seed}"


@given(st.lists(st.integers(-400, 900), min_size=1, max_size=200), st.integers(0, 2**17))
@settings(max_examples=60, deadline=None)
def test_minis_are_unwrapped_from_any_start(steps: list[int], start: int) -> None:
    talk = Talk()
    taken = talk.taken()
    taken.on_voice(int(Format.ULAW), start, b"first", start / 1000)
    heard: list[int] = []
    taken.voice_sink = lambda stamp, payload, form: heard.append(stamp)
    at, expected = start, []
    highest = start
    for step in steps:
        at = max(highest + step, 0)
        highest = max(highest, at)
        expected.append(at)
        taken.on_mini(at & 0xFFFF, b"x", highest / 1000)
    assert heard == expected


def test_audio_before_the_full_frame_arrived_is_heard_in_the_format_agreed() -> None:
    talk = Talk(Link(loss=1.0))
    talk.call.send_voice(b"lost" * 40, talk.network.now)
    talk.network.settle(talk.client)
    talk.network.link = CLEAN
    for _ in range(10):
        talk.network.run(0.02)
        talk.call.send_voice(b"here" * 40, talk.network.now)
    talk.network.run(1)
    heard = talk.heard[0]
    assert len([one for one in heard if one[1] == b"here" * 40]) == 10
    assert {one[2] for one in heard} == {Format.ULAW}


def test_time_of_another_leg_is_laid_along_ours() -> None:
    talk = Talk()
    for step in range(100):
        talk.call.send_voice(bytes(160), talk.network.now, 5_000_000 + 20 * step)
        talk.network.run(0.02)
    times = [stamp for stamp, _, _ in talk.heard[0]]
    assert times == list(range(times[0], times[0] + 2000, 20))
    assert 900 < times[0] < 1100, "on the clock of the call"
    talk.network.run(5)
    talk.call.send_voice(bytes(160), talk.network.now, 99_000_000)
    talk.network.run(0.1)
    assert 7900 < talk.heard[0][-1][0] < 8100, "a new stream is laid along anew"


def test_silence_leaves_a_gap_in_the_time() -> None:
    talk = Talk()
    talk.say(0.2)
    talk.network.run(100)
    talk.say(0.2)
    gap = talk.heard[0][10][0] - talk.heard[0][9][0]
    assert 99_900 < gap < 100_200


@pytest.mark.parametrize("stamped", [True, False])
def test_ten_calls_in_one_trunk(stamped: bool) -> None:
    settings = EndpointSettings(trunk_timestamps=stamped)
    talk = Talk(settings=settings, trunk=True, calls=10)
    talk.say(4)
    talk.network.run(0.1)
    frames = [TrunkFrame.from_bytes(one) for one in talk.client.sent if one[:3] == b"\0\0\1"]
    assert all(one.timestamps is stamped for one in frames)
    assert max(len(one.entries) for one in frames) == 7, "no frame is longer than a link takes"
    assert max(map(len, talk.client.sent)) <= 1240
    minis = [one for one in talk.client.sent if not one[0] & 0x80 and one[:2] != b"\0\0"]
    assert not minis
    assert len(frames) <= 2 * 4 * 50 + 2
    for number in range(10):
        heard = talk.heard[number]
        assert len(heard) == 200
        steps = {b[0] - a[0] for a, b in pairwise(heard[1:])}
        assert steps <= {20} if stamped else max(steps) <= 60
    for call in talk.calls:
        call.hang_up(talk.network.now)
    talk.network.run(60)
    assert talk.client.endpoint.next_deadline is None


def test_meta_video_and_broken_trunks_are_counted() -> None:
    talk = Talk(trunk=True)
    endpoint = talk.server.endpoint
    endpoint.receive_datagram(b"\0\0\x80\x01\0\0video", CLIENT, talk.network.now)
    endpoint.receive_datagram(b"\0\0\1\1\0\0\0\0\0\xff\0\x07\0\0short", CLIENT, talk.network.now)
    endpoint.receive_datagram(b"\0\0\7\0\0\0\0\0", CLIENT, talk.network.now)
    assert endpoint.counters.meta_video == 1
    assert endpoint.counters.malformed == 2
    assert not endpoint.outgoing
