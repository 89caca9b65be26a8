"""Which calls are data calls, and what that spares a fax machine on the line."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import pytest

from firmware.causes import Cause
from firmware.data_call import Became, DataCallWatch
from firmware.legs import CarryData, HangUp, LegAnswered, LegEnded, Offered, SendDigit
from hal.dsp.connect_tones import ConnectTone
from hal.values import SILENCE
from tests.firmware.simulated import Desk
from tests.hal.test_connect_tones import SENT, made

FRAME = bytes(320)


class Ears:
    """Detectors of paper: each hears what the test puts there."""

    def __init__(self) -> None:
        self.made: list[deque[ConnectTone]] = []

    def make(self) -> Callable[[bytes], ConnectTone | None]:
        coming: deque[ConnectTone] = deque()
        self.made.append(coming)
        return lambda _: coming.popleft() if coming else None


def test_a_tone_of_either_side_makes_a_leg_a_data_call_once() -> None:
    for side in (0, 1):
        ears = Ears()
        watch = DataCallWatch("auto", ears.make)
        assert watch.connect(("out1",)) is None
        assert watch.hear(FRAME, None) is None
        ears.made[side].append(ConnectTone.CNG)
        became = watch.hear(FRAME, FRAME)
        where = ("the telephone", "the far end")[side]
        assert became == Became("out1", f"CNG from {where}", ours=side == 0)
        assert watch.active
        ears.made[side].append(ConnectTone.ANS)
        assert watch.hear(FRAME, FRAME) is None, "it is one already"


def test_every_tone_has_a_name_for_the_log() -> None:
    for tone in ConnectTone:
        ears = Ears()
        watch = DataCallWatch("auto", ears.make)
        watch.connect(("in1",))
        ears.made[0].append(tone)
        became = watch.hear(FRAME, FRAME)
        assert became is not None
        assert became.why.endswith("from the telephone")


def test_on_takes_each_call_from_its_beginning_and_off_takes_none() -> None:
    ears = Ears()
    watch = DataCallWatch("on", ears.make)
    assert watch.connect(("out1",)) == Became("out1", "configured", ours=True)
    assert watch.active
    assert watch.connect(("out1",)) is None
    watch = DataCallWatch("off", ears.make)
    assert watch.connect(("out1",)) is None
    assert watch.hear(FRAME, FRAME) is None
    assert not watch.active
    assert ears.made == [], "nobody listens"


def joined(watch: DataCallWatch, *legs: str) -> bool:
    """Whether the call with these legs is a data call."""
    watch.connect(legs)
    return watch.active


def test_another_leg_is_speech_and_the_first_is_data_still_when_it_comes_back() -> None:
    ears = Ears()
    watch = DataCallWatch("auto", ears.make)
    watch.connect(("out1",))
    ears.made[1].append(ConnectTone.ANS_PR)
    watch.hear(FRAME, FRAME)
    assert not joined(watch)
    assert not joined(watch, "out2")
    assert not joined(watch, "out1", "out2"), "three people talk"
    assert joined(watch, "out1")
    watch.ended("out1")
    assert not joined(watch, "out1")


def frames(samples: np.ndarray) -> deque[bytes]:
    octets = np.clip(np.round(samples), -32_767, 32_767).astype("<i2").tobytes()
    return deque(octets[at : at + 320] for at in range(0, len(octets) - 319, 320))


def talking(desk: Desk) -> None:
    desk.event(Offered("in1", "5145550123"))
    desk.lift()
    desk.event(LegAnswered("in1"))
    assert desk.state[1] == "talking"


def says(desk: Desk, tone: ConnectTone, seconds: float = 2.5) -> deque[bytes]:
    """The telephone sends a tone from now on; what is left of it."""
    coming = frames(made(tone, seconds, -15.0))
    speak = desk.handset.speak
    desk.handset.speak = lambda: coming.popleft() if coming else speak()
    return coming


def carried(desk: Desk) -> list[CarryData]:
    return [one for one in desk.agent.commands if isinstance(one, CarryData)]


@pytest.mark.parametrize("tone", SENT)
def test_a_tone_of_the_telephone_is_told_to_the_user_agent_once(tone: ConnectTone) -> None:
    desk = Desk(fax_jitter_ms=160)
    talking(desk)
    says(desk, tone)
    desk.run(2_500)
    assert carried(desk) == [CarryData("in1", 160, ours=True)]


def test_a_tone_of_the_far_end_counts_as_much() -> None:
    desk = Desk()
    talking(desk)
    desk.agent.far = frames(made(ConnectTone.ANS, 2.5, -25.0))
    desk.run(2_500)
    assert carried(desk) == [CarryData("in1", 200, ours=False)]


@pytest.mark.parametrize("data", [True, False])
def test_digits_are_cut_out_of_speech_but_not_out_of_data(data: bool) -> None:
    desk = Desk()
    talking(desk)
    if data:
        says(desk, ConnectTone.CNG, 1.0)
    desk.run(1_500)
    desk.agent.spoken.clear()
    desk.press("5")
    digits = [one for one in desk.agent.commands if isinstance(one, SendDigit)]
    sound = [frame for frame in desk.agent.spoken if frame != SILENCE]
    assert len(digits) == (0 if data else 1)
    assert (len(sound) >= 4) is data, "80 ms of it are four frames or five"


def test_nobody_waits_during_a_data_call_but_during_the_next_one() -> None:
    desk = Desk()
    talking(desk)
    says(desk, ConnectTone.CNG, 1.0)
    desk.run(1_000)
    desk.event(Offered("in2", "5145550199"))
    refused = [one.leg for one in desk.agent.commands if isinstance(one, HangUp)]
    assert refused == ["in2"]
    desk.event(LegEnded("in1", Cause(16, 200, "")))
    desk.put_back()
    desk.event(Offered("in3", "5145550123"))
    desk.lift()
    desk.event(LegAnswered("in3"))
    desk.event(Offered("in4", "5145550199"))
    desk.run(500)
    assert HangUp("in4", 17) not in desk.agent.commands
    assert len(carried(desk)) == 1


def test_a_device_that_is_told_so_takes_no_notice() -> None:
    desk = Desk(fax="off")
    talking(desk)
    says(desk, ConnectTone.CNG, 2.0)
    desk.run(2_000)
    assert carried(desk) == []


def test_a_line_for_a_fax_machine_alone_is_data_at_once() -> None:
    desk = Desk(fax="on")
    talking(desk)
    assert carried(desk) == [CarryData("in1", 200, ours=True)]
