"""Caller ID on call waiting against telephones that understand it, and such that do not.

The telephone is simulated from its earpiece: it looks for CAS in what it hears, and presses D or A
a while after its end. All times are measured in the audio of both directions, sample by sample.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.audio import AudioPath
from firmware.call_waiting_id import (
    TRANSITIONS,
    CallWaitingIdMachine,
    Command,
    Event,
    Mute,
    SendAlert,
    SendData,
    State,
)
from hal.caller_id.message import Caller
from hal.caller_id.schemes import Scheme, load_scheme, scheme_names
from hal.countries import load_country
from hal.drivers.sim import SimLine
from hal.dsp.tones import Tone, ToneGenerator
from hal.values import FRAME_SAMPLES, SILENCE
from tests.hal import ears

ANN = Caller("5145550199", "Ann Lee")
NOW = datetime.fromisoformat("2026-03-27T15:30")
TYPE_II = [one for one in map(load_scheme, scheme_names()) if one is not None and one.waiting_ms]
SPEECH_HZ = 1_004


def share(samples: np.ndarray, hz: float) -> float:
    """Share of the power that a sine of `hz` has."""
    at = np.arange(len(samples))
    power = float(np.sum(samples**2))
    if power < 1:
        return 0.0
    turned = abs(np.sum(samples * np.exp(-2j * np.pi * hz / 8_000 * at)))
    return float(2 * turned**2 / len(samples) / power)


class TypeTwoTelephone:
    """Hears CAS and answers it; None: an old telephone, which does not."""

    def __init__(self, key: str | None, after_ms: int) -> None:
        self.key, self.after_ms = key, after_ms
        self.cas = 0
        self.press_in: int | None = None

    def hear(self, frame: bytes) -> str:
        """One frame; the key that it begins to press."""
        samples = np.frombuffer(frame, "<i2").astype(float)
        sounds = share(samples, 2_130) > 0.3 and share(samples, 2_750) > 0.3
        if sounds:
            self.cas += 1
        elif self.cas and self.press_in is None:
            # CAS of 82 ms ends 2 ms into its last frame or so: frames are what it counts by.
            self.press_in = max(0, self.after_ms // 20 - 1) if self.cas >= 4 else None
            self.cas = 0
        if self.press_in is not None:
            self.press_in -= 1
            if self.press_in == -1 and self.key is not None:
                return self.key
        return ""


class Talk:
    """A call that is on, and all that its line does while a second one waits."""

    def __init__(self, scheme: Scheme, telephone: TypeTwoTelephone) -> None:
        self.now_ms = 0.0
        self.scheme = scheme
        self.telephone = telephone
        self.line = SimLine(lambda: self.now_ms)
        self.machine = CallWaitingIdMachine()
        self.audio = AudioPath(load_country("US"), True)
        self.speech = ToneGenerator(Tone((SPEECH_HZ,), -15.0))
        self.muted = False
        self.keys = ""
        self.ear: list[bytes] = []
        self.mouth: list[bytes] = []
        self.far: list[bytes] = []
        self.line.handset.lift(0)
        self.now_ms = 100.0
        self.line.advance()
        self.line.audio(True)
        self._hear, self._speak = self.line.handset.hear, self.line.handset.speak
        self.line.handset.hear = self._listen  # type: ignore[method-assign]
        self.line.handset.speak = self._talk  # type: ignore[method-assign]

    def _listen(self, frame: bytes) -> None:
        self.ear.append(frame)
        key = self.telephone.hear(frame)
        if key:
            self.line.handset.press(key, 60, 20)

    def _talk(self) -> bytes:
        self.mouth.append(self._speak())
        return self.mouth[-1]

    def run(self, ms: float, step_ms: float = 5) -> None:
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms:
            self.now_ms += step_ms
            self.line.advance()
            while (frame := self.line.read_audio()) is not None:
                self._frame(frame)
            self.do(self.machine.handle_timer(self.now_ms))

    def _frame(self, frame: bytes) -> None:
        digits, frame = self.audio.from_mouth(frame, True)
        for digit in digits:
            if self.machine.takes(digit):
                self.do(self.machine.acknowledge(self.now_ms))
            else:
                self.keys += digit
        speech = self.speech.frame()
        self.far.append(SILENCE if self.muted else frame)
        sending = self.audio.sending
        self.line.write_audio(self.audio.to_ear(SILENCE if self.muted else speech))
        if sending and not self.audio.sending:
            self.do(self.machine.sent(self.now_ms))

    def do(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Mute):
                self.muted = command.on
            elif isinstance(command, SendAlert):
                self.audio.send(self.scheme.cas_clip())
            elif isinstance(command, SendData):
                self.audio.send(self.scheme.talking_clip(command.caller, NOW))
            else:
                self.audio.send(b"")

    def heard(self) -> np.ndarray:
        return np.frombuffer(b"".join(self.ear), "<i2").astype(float)

    def parts(self) -> list[tuple[str, float, float]]:
        """What the ear heard: `speech`, `cas` or `data`, from when to when in milliseconds.

        Speech fills its frames; the others are parted by silence.
        """
        samples = self.heard()
        found: list[tuple[str, float, float]] = []
        for at in range(0, len(samples), FRAME_SAMPLES):
            if share(samples[at : at + FRAME_SAMPLES], SPEECH_HZ) > 0.9:
                samples[at : at + FRAME_SAMPLES] = 0
                start_ms, end_ms = at / 8, (at + FRAME_SAMPLES) / 8
                if found and found[-1][2] == start_ms:
                    start_ms = found.pop()[1]
                found.append(("speech", start_ms, end_ms))
        loud = np.flatnonzero(np.abs(samples) > 30)
        cuts = np.flatnonzero(np.diff(loud) > 40)
        for part in np.split(loud, cuts + 1) if len(loud) else []:
            tone = samples[part[0] : part[-1] + 1]
            alert = share(tone, 2_130) > 0.3 and share(tone, 2_750) > 0.3
            found.append(("cas" if alert else "data", part[0] / 8, (part[-1] + 1) / 8))
        return sorted(found, key=lambda one: one[1])

    def acknowledgement(self) -> tuple[float, float]:
        loud = [at for at, frame in enumerate(self.mouth) if np.frombuffer(frame, "<i2").any()]
        last = np.frombuffer(self.mouth[loud[-1]], "<i2")
        return loud[0] * 20, loud[-1] * 20 + (np.flatnonzero(last)[-1] + 1) / 8


def announced(scheme: Scheme, telephone: TypeTwoTelephone, ms: float = 3_000) -> Talk:
    """A talk of half a second, then a call that waits."""
    talk = Talk(scheme, telephone)
    talk.run(500)
    talk.do(talk.machine.start(ANN, talk.now_ms))
    talk.run(ms)
    return talk


@ears.needs_minimodem
@pytest.mark.parametrize("scheme", TYPE_II, ids=lambda one: one.name)
@pytest.mark.parametrize("after_ms", [20, 80, 140])
@pytest.mark.parametrize("key", ["D", "A"])
def test_a_telephone_that_acknowledges_is_told_who_calls(
    scheme: Scheme, after_ms: int, key: str, tmp_path: Path
) -> None:
    talk = announced(scheme, TypeTwoTelephone(key, after_ms))
    (_, _, before), (cas, cas_start, cas_end), (data, data_start, data_end), speech = talk.parts()
    ack_start, ack_end = talk.acknowledgement()
    assert (cas, data, speech[0]) == ("cas", "data", "speech")
    assert 80 <= cas_end - cas_start <= 85
    assert before <= cas_start
    assert 0 <= ack_start - cas_end <= 160
    assert 55 <= data_start - ack_end <= 200
    assert speech[1] - data_end <= 120
    audio = talk.heard()[int(data_start * 8) - 400 : int(data_end * 8) + 400]
    octets = ears.octets(audio.astype("<i2").tobytes(), scheme.signal, tmp_path)
    assert sum(octets[: octets[1] + 3]) % 256 == 0
    assert b"\x02\x0a5145550199" in octets
    assert b"\x07\x07Ann Lee" in octets
    assert talk.keys == "", "the telephone's own key is nobody else's"
    assert talk.machine.acknowledged == 1


@pytest.mark.parametrize("scheme", TYPE_II, ids=lambda one: one.name)
def test_an_old_telephone_gets_its_talk_back(scheme: Scheme) -> None:
    talk = announced(scheme, TypeTwoTelephone(None, 0))
    kinds = [kind for kind, _, _ in talk.parts()]
    assert kinds == ["speech", "cas", "speech"]
    _, (_, _, cas_end), (_, speech_start, _) = talk.parts()
    assert speech_start - cas_end <= 400
    assert talk.machine.state is State.IDLE
    assert talk.machine.acknowledged == 0


def test_a_late_acknowledgement_and_other_keys_are_keys() -> None:
    scheme = TYPE_II[0]
    late = announced(scheme, TypeTwoTelephone("D", 600))
    assert [kind for kind, _, _ in late.parts()] == ["speech", "cas", "speech"]
    assert late.keys == "D"
    other = announced(scheme, TypeTwoTelephone("5", 60))
    assert [kind for kind, _, _ in other.parts()] == ["speech", "cas", "speech"]
    assert other.keys == "5"


@pytest.mark.parametrize("after_ms", range(0, 1_200, 60))
def test_a_caller_who_gives_up_ends_it_at_once(after_ms: int) -> None:
    talk = Talk(TYPE_II[0], TypeTwoTelephone("D", 60))
    talk.run(300)
    talk.do(talk.machine.start(ANN, talk.now_ms))
    talk.run(after_ms)
    talk.do(talk.machine.stop(talk.now_ms))
    assert not talk.muted
    heard = len(talk.ear)
    talk.run(500)
    later = np.frombuffer(b"".join(talk.ear[heard + 3 :]), "<i2").astype(float)
    assert share(later, SPEECH_HZ) > 0.95, "nothing but the talk"


def test_a_line_whose_frames_do_not_flow_gets_its_talk_back() -> None:
    machine = CallWaitingIdMachine()
    assert machine.start(ANN, 0) == [Mute(True), SendAlert()]
    assert machine.deadline_ms is not None
    assert machine.handle_timer(machine.deadline_ms)[-1] == Mute(False)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(list(Event)), st.integers(0, 2_000)), max_size=30))
def test_muted_exactly_while_it_is_not_idle(deeds: list[tuple[Event, int]]) -> None:
    machine = CallWaitingIdMachine()
    muted, now_ms = False, 0.0
    for event, ms in deeds:
        now_ms += ms
        out: list[Command] = []
        if event is Event.START:
            out = machine.start(ANN, now_ms) if machine.state is State.IDLE else []
        elif event is Event.TIMER:
            out = machine.handle_timer(now_ms)
        elif event is Event.SENT:
            out = machine.sent(now_ms)
        elif event is Event.ACKNOWLEDGE:
            out = machine.acknowledge(now_ms) if machine.takes("D") else []
        else:
            out = machine.stop(now_ms)
        for command in out:
            if isinstance(command, Mute):
                assert command.on != muted
                muted = command.on
        assert muted is (machine.state is not State.IDLE)
        assert (machine.deadline_ms is None) is (machine.state is State.IDLE)


def test_the_table_is_whole() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert FRAME_SAMPLES == 160
