"""A second call as a telephone hears it: the beep, who calls, the first talk meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware.causes import Cause
from firmware.legs import Answer, HangUp, LegAnswered, LegEnded, Offered, SendDigit
from hal.caller_id.schemes import load_scheme
from hal.countries import country_codes, load_country
from hal.dsp.tones import Tone, ToneGenerator
from hal.values import SILENCE
from tests.firmware.peer import Spectrum
from tests.firmware.simulated import Desk
from tests.firmware.test_call_waiting_id import SPEECH_HZ, TypeTwoTelephone, share
from tests.hal import ears

ANN = Offered("in1", "5145550199", "Ann Lee")
TYPE_II = [
    code
    for code in country_codes()
    if getattr(load_scheme(load_country(code).caller_id), "waiting_ms", 0)
]


class SecondCall:
    """A desk whose first call talks, with a telephone that may understand CAS."""

    def __init__(self, code: str, telephone: TypeTwoTelephone) -> None:
        self.desk = desk = Desk(country=code)
        desk.lift()
        desk.press("411")
        desk.event(LegAnswered("out1"))
        desk.agent.far_of["out1"] = ToneGenerator(Tone((SPEECH_HZ,), -20.0)).frame
        self.telephone = telephone
        hear = desk.handset.hear

        def listen(frame: bytes) -> None:
            hear(frame)
            key = telephone.hear(frame)
            if key:
                desk.handset.press(key, 60, 20)

        desk.handset.hear = listen
        speak = desk.handset.speak
        voice = ToneGenerator(Tone((1_800,), -20.0))
        desk.handset.speak = lambda: _or(speak(), voice.frame())
        desk.run(400)
        desk.ear.clear()
        desk.agent.spoken_to.clear()
        desk.agent.commands.clear()

    def heard(self) -> np.ndarray:
        return np.frombuffer(b"".join(self.desk.ear), "<i2").astype(float)

    def talk(self) -> list[bool]:
        """For each frame at the ear: was it speech alone?"""
        frames = self.heard()[: len(self.heard()) // 160 * 160].reshape(-1, 160)
        return [share(frame, SPEECH_HZ) > 0.9 for frame in frames]


def _or(said: bytes, voice: bytes) -> bytes:
    """A key, where one is pressed, else the voice."""
    return said if said != SILENCE else voice


@pytest.mark.parametrize("code", country_codes())
def test_the_beep_of_every_country_goes_over_the_talk(code: str) -> None:
    call = SecondCall(code, TypeTwoTelephone(None, 0))
    call.desk.event(ANN)
    tone = load_country(code).tones["waiting"]
    call.desk.run(tone.cadence_ms[0] + 100)
    half = tone.cadence_ms[0] * 8 // 2
    starts = range(0, len(call.heard()) - half, half // 4)
    parts = [Spectrum(call.heard()[at : at + half]) for at in starts]
    beeped = max(parts, key=lambda one: one.dbm0(tone.hz[0]))
    assert beeped.dbm0(tone.hz[0]) == pytest.approx(tone.dbm0, abs=2.5)
    talk_dbm0 = -20.0 + load_country(code).gain_db[1]
    assert beeped.dbm0(SPEECH_HZ) == pytest.approx(talk_dbm0, abs=3), (
        "the talk is not cut off by it"
    )
    call.desk.run(2_500)
    assert all(call.talk()[-10:]), "then it goes on as before"
    assert call.desk.line.state()["tone"] == "waiting"
    call.desk.event(LegEnded("in1", Cause(16)))
    call.desk.ear.clear()
    call.desk.run(12_000)
    assert all(call.talk()[2:]), "and no beep comes for one who has gone"


@ears.needs_minimodem
@pytest.mark.parametrize("code", TYPE_II)
def test_a_display_shows_who_waits(code: str, tmp_path: Path) -> None:
    call = SecondCall(code, TypeTwoTelephone("D", 60))
    desk = call.desk
    desk.event(ANN)
    desk.run(3_500)
    scheme = load_scheme(load_country(code).caller_id)
    assert scheme is not None
    told = [frame for frame, speech in zip(desk.ear, call.talk(), strict=True) if not speech]
    octets = ears.octets(b"".join(told), scheme.signal, tmp_path)
    assert b"5145550199" in octets
    assert b"Ann Lee" in octets
    assert not [one for one in desk.agent.commands if isinstance(one, SendDigit)], "D is no key"
    silent = [frame == SILENCE for frame in desk.agent.spoken_to["out1"]]
    assert sum(silent) * 20 >= 500, "the far end hears nothing of it"
    assert not any(silent[-10:])
    assert all(call.talk()[-10:])


def test_a_flash_in_the_midst_of_it_answers() -> None:
    call = SecondCall("US", TypeTwoTelephone("D", 60))
    desk = call.desk
    desk.event(ANN)
    desk.run(500)
    desk.handset.flash(desk.now_ms, 500)
    desk.run(800)
    assert desk.agent.commands[-1] == Answer("in1")
    desk.event(LegAnswered("in1"))
    desk.agent.far_of["in1"] = ToneGenerator(Tone((SPEECH_HZ,), -20.0)).frame
    desk.ear.clear()
    desk.run(500)
    assert all(call.talk()[2:]), "nobody is muted"


def test_one_who_puts_back_in_the_midst_of_it_is_rung() -> None:
    call = SecondCall("US", TypeTwoTelephone("D", 60))
    desk = call.desk
    desk.event(ANN)
    desk.run(600)
    desk.put_back()
    assert HangUp("out1", 16) in desk.agent.commands
    desk.run(1_000)
    assert desk.state == ("ringing", "ringing")
    assert desk.line.state()["ringing"]
    desk.lift()
    assert desk.agent.commands[-1] == Answer("in1")


def test_a_receiver_that_is_off_at_the_start_is_howled_at() -> None:
    desk = Desk(hotline="911", at_start="off")
    desk.run(500)
    assert desk.state == ("howler", "seized")
    assert desk.agent.commands == []
    howl = Spectrum(np.frombuffer(desk.heard(500), "<i2").astype(float))
    assert howl.strongest(4) == pytest.approx([1_400, 2_060, 2_450, 2_600], abs=10)
    desk.put_back()
    desk.lift()
    assert desk.agent.commands, "lifted by a person, it calls"


def test_without_service_there_is_no_dial_tone_and_then_there_is() -> None:
    desk = Desk(registered=False)
    desk.lift()
    assert set(desk.heard(300)) == {0}
    desk.serve()
    heard = Spectrum(np.frombuffer(desk.heard(500), "<i2").astype(float))
    assert heard.strongest(2) == pytest.approx([350, 440], abs=3)


def test_the_feed_is_reversed_while_a_called_party_has_answered() -> None:
    desk = Desk(answer_reversal="on")
    desk.lift()
    desk.press("411")
    fed = desk.watch_feed()
    desk.event(LegAnswered("out1"))
    assert fed == ["reversed"]
    desk.event(LegEnded("out1", Cause(16)))
    assert fed == ["reversed", "forward"]
    desk.put_back()
    desk.event(Offered("in1", "5145550199"))
    desk.lift()
    desk.event(LegAnswered("in1"))
    assert fed == ["reversed", "forward"], "calls that come in say nothing of the kind"


@pytest.mark.parametrize(
    ("line", "said", "heard"),
    [({}, -10, -20), ({"country": "DE"}, -10, -27), ({"transmit_db": -6.0}, -16, -20),
     ({"country": "DE", "receive_db": 3.0}, -10, -17)],
)  # fmt: skip
def test_gain_is_that_of_the_country_or_the_owners(
    line: dict[str, Any], said: float, heard: float
) -> None:
    desk = Desk(**line)
    desk.lift()
    desk.press("411")
    desk.event(LegAnswered("out1"))
    desk.agent.far_of["out1"] = ToneGenerator(Tone((SPEECH_HZ,), -20.0)).frame
    desk.run(200)
    desk.agent.spoken.clear()
    desk.handset.sound((700,), -10.0, 1_000)
    ear = Spectrum(np.frombuffer(desk.heard(1_000), "<i2").astype(float))
    mouth = Spectrum(np.frombuffer(b"".join(desk.agent.spoken[5:45]), "<i2").astype(float))
    assert ear.dbm0(SPEECH_HZ) == pytest.approx(heard, abs=0.5)
    assert mouth.dbm0(700) == pytest.approx(said, abs=0.5)


def test_the_loop_opens_as_usual_in_the_country() -> None:
    desk = Desk(cpc_ms=-1)
    desk.lift()
    desk.press("411")
    desk.event(LegAnswered("out1"))
    desk.event(LegEnded("out1", Cause(16)))
    country = load_country("US")
    desk.run(country.cpc_delay_ms + 50)
    assert desk.line.state()["line_volts"] == 0
    desk.run(country.cpc_ms)
    assert desk.line.state()["line_volts"] == 7
