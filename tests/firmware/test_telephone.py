"""A telephone's life by simulated handset and clock: what is heard, what is placed, what rings."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.causes import Cause, cause_of_status, tone_of
from firmware.legs import (
    Alert,
    Answer,
    FarDigit,
    HangUp,
    LegAnswered,
    LegEnded,
    LegEvent,
    Offered,
    PlaceCall,
    Progress,
    SendDigit,
)
from firmware.line import TRANSITIONS as LINE_TABLE
from firmware.line_values import Event, State
from firmware.phone import TRANSITIONS as PHONE_TABLE
from firmware.phone import Call
from firmware.ua.base import MessagesWaiting, RegistrationChanged
from hal.countries import country_codes, load_country
from hal.values import SILENCE
from tests.firmware.peer import Spectrum
from tests.firmware.simulated import Desk


def pcm(audio: bytes) -> np.ndarray:
    return np.frombuffer(audio, np.int16).astype(float)


def spectrum(audio: bytes) -> Spectrum:
    return Spectrum(pcm(audio))


def bursts_ms(audio: bytes) -> list[int]:
    """Lengths of sound and silence, alternating, to 10 ms; the first and last are cut off."""
    samples = pcm(audio)
    loud = np.abs(samples[: len(samples) // 80 * 80].reshape(-1, 80)).max(axis=1) > 60
    edges = np.flatnonzero(np.diff(loud.astype(int)))
    return [int(one) * 10 for one in np.diff(edges)]


def talking(**line: Any) -> Desk:
    """A desk whose call is answered."""
    desk = Desk(**line)
    desk.lift()
    desk.press("5145550123")
    desk.event(LegAnswered("out1"))
    desk.agent.commands.clear()
    return desk


@pytest.mark.parametrize("code", country_codes())
def test_dial_tone_of_every_country(code: str) -> None:
    desk = Desk(country=code)
    desk.lift()
    tone = load_country(code).tones["dial"]
    heard = spectrum(desk.heard(1_000))
    assert heard.strongest(len(tone.hz)) == pytest.approx(sorted(tone.hz), abs=2)
    for hz in tone.hz:
        assert heard.dbm0(hz) == pytest.approx(tone.dbm0, abs=0.5)


@pytest.mark.parametrize("code", country_codes())
@pytest.mark.parametrize(("q850", "name"), [(17, "busy"), (34, "reorder")])
def test_failure_tones_of_every_country(code: str, q850: int, name: str) -> None:
    desk = Desk(country=code)
    desk.lift()
    desk.press("5145550123")
    desk.event(LegEnded("out1", Cause(q850)))
    tone = load_country(code).tones[name]
    audio = desk.heard(4_000)
    assert spectrum(audio).strongest(len(tone.hz)) == pytest.approx(sorted(tone.hz), abs=6)
    cadence = list(tone.cadence_ms)
    lasted = bursts_ms(audio)
    assert len(lasted) >= 4
    starts = [
        at for at in range(len(cadence))
        if all(abs(one - cadence[(at + k) % len(cadence)]) <= 20 for k, one in enumerate(lasted))
    ]  # fmt: skip
    assert starts, f"{lasted} is not {cadence}"


def test_australian_reorder_is_weaker_every_other_time() -> None:
    desk = Desk(country="AU")
    desk.lift()
    desk.press("5145550123")
    desk.event(LegEnded("out1", Cause(34)))
    samples = np.abs(pcm(desk.heard(3_000)))[: 3_000 * 8 // 80 * 80].reshape(-1, 80).max(axis=1)
    strong, weak = samples.max(), samples[(samples > 60) & (samples < samples.max() * 0.6)].max()
    assert 20 * np.log10(strong / weak) == pytest.approx(10, abs=1)


@pytest.mark.parametrize("code", country_codes())
def test_every_country_rings_in_its_cadence(code: str) -> None:
    desk = Desk(country=code, caller_id="off")
    desk.event(Offered("in1", "5145550199"))
    country = load_country(code)
    state = desk.line.state()
    assert state["ringing"]
    assert state["ring_hz"] == country.ring.hz
    desk.run(sum(country.ring.pattern_ms) * 2 + 50)
    wanted = (list(country.ring.pattern_ms) * 3)[: len(desk.handset.cadence_ms)]
    assert len(wanted) >= 4
    assert desk.handset.cadence_ms == pytest.approx(wanted, abs=6)


def test_a_call_from_off_hook_to_on_hook() -> None:
    desk = Desk()
    desk.lift()
    desk.press("514")
    assert spectrum(desk.heard(500)).dbm0(440) < -60, "dial tone stops at the first digit"
    desk.press("5550123")
    assert desk.agent.commands == [PlaceCall("out1", "15145550123")]
    desk.event(Progress("out1", False))
    assert spectrum(desk.heard(1_500)).strongest(2) == pytest.approx([440, 480], abs=2)
    desk.event(LegAnswered("out1"))
    assert desk.state == ("in_call", "talking")
    assert spectrum(desk.heard(500)).dbm0(440) < -60, "ringback stops at the answer"
    desk.put_back()
    assert desk.agent.commands[-1] == HangUp("out1", 16)
    assert desk.state == ("on_hook", "idle")


def test_speech_crosses_both_ways_unchanged() -> None:
    desk = talking()
    loud = bytes(range(1, 161)) * 2
    desk.agent.far.extend([loud] * 10)
    desk.handset.sound((1_004,), -10.0, 400)
    assert desk.heard(400).count(loud) >= 8
    spoken = b"".join(desk.agent.spoken[-15:])
    assert spectrum(spoken).strongest() == pytest.approx([1_004], abs=3)


def test_digits_in_a_call_are_events_and_silence() -> None:
    desk = talking()
    desk.agent.spoken.clear()
    desk.press("42")
    digits = [one for one in desk.agent.commands if isinstance(one, SendDigit)]
    assert digits == [SendDigit("out1", "4", True), SendDigit("out1", "2", True)]
    sounding = [frame for frame in desk.agent.spoken if frame != SILENCE]
    assert len(sounding) <= 2, "at most a frame of each leaks, too short for a receiver"


def test_digits_in_band_pass() -> None:
    desk = talking()
    desk.agent.out_of_band = False
    desk.agent.spoken.clear()
    desk.press("4")
    assert len([frame for frame in desk.agent.spoken if frame != SILENCE]) >= 4


def test_pulse_digits_in_a_call_are_sent_too() -> None:
    desk = talking()
    desk.handset.rotary(desk.now_ms, "7")
    desk.run(2_000)
    assert SendDigit("out1", "7", False) in desk.agent.commands


def test_a_digit_of_the_far_end_is_heard() -> None:
    desk = talking()
    desk.event(FarDigit("out1", "5"))
    frames = [desk.heard(20) for _ in range(6)]
    loudest = b"".join(one for one in frames if np.abs(pcm(one)).max(initial=0) > 10_000)
    assert len(loudest) >= 2 * 320
    assert spectrum(loudest).dbm0(770) == pytest.approx(-10, abs=3)
    assert spectrum(loudest).dbm0(1_336) == pytest.approx(-8, abs=3)


@pytest.mark.skipif(shutil.which("multimon-ng") is None, reason="multimon-ng is not installed")
def test_the_handsets_digits_are_read_by_a_decoder_not_ours(tmp_path: Path) -> None:
    desk = talking()
    desk.agent.out_of_band = False
    desk.agent.spoken.clear()
    desk.press("159*0#ABCD")
    raw = tmp_path / "mouth.raw"
    samples = pcm(b"".join(desk.agent.spoken))
    upsampled = np.interp(
        np.arange(len(samples) * 2.75625) / 2.75625, np.arange(len(samples)), samples
    )
    raw.write_bytes(upsampled.astype(np.int16).tobytes())
    command = ["multimon-ng", "-q", "-t", "raw", "-a", "DTMF", str(raw)]
    text = subprocess.run(command, capture_output=True, timeout=20, check=True).stdout.decode()
    assert "".join(line.split()[-1] for line in text.splitlines() if "DTMF" in line) == "159*0#ABCD"


@pytest.mark.parametrize("pps", [8, 10, 20])
def test_a_number_by_rotary_dial(pps: float) -> None:
    desk = Desk()
    desk.lift()
    desk.handset.rotary(desk.now_ms, "5145550123", pps)
    desk.run(20_000)
    assert desk.agent.commands[0] == PlaceCall("out1", "15145550123")


def test_an_incomplete_number_ends_in_reorder_and_a_long_silence_in_howler() -> None:
    desk = Desk()
    desk.lift()
    desk.press("514")
    desk.run(9_000)
    assert desk.state[0] == "collecting"
    desk.run(1_500)
    assert desk.state[0] == "ended"
    assert spectrum(desk.heard(1_000)).strongest(2) == pytest.approx([480, 620], abs=3)
    desk.run(59_000, 20)
    howl = spectrum(desk.heard(1_000))
    assert howl.strongest(4) == pytest.approx([1_400, 2_060, 2_450, 2_600], abs=6)
    desk.run(50_000, 20)
    assert desk.state[0] == "parked"
    assert set(desk.heard(200)) == {0}
    desk.put_back()
    desk.lift()
    assert desk.state[0] == "dial_tone"


def test_no_digit_at_all_ends_in_reorder() -> None:
    desk = Desk(dial_tone_s=2.0)
    desk.lift()
    desk.run(2_100)
    assert desk.state == ("ended", "seized")


def test_the_terminator_sends_at_once() -> None:
    desk = Desk()
    desk.lift()
    desk.press("01144123456789")
    assert desk.agent.commands == []
    desk.press("#")
    assert desk.agent.commands == [PlaceCall("out1", "01144123456789")]


def test_the_short_pause_sends_what_is_complete() -> None:
    desk = Desk()
    desk.lift()
    desk.press("0")
    desk.run(2_700)
    assert desk.agent.commands == []
    desk.run(500)
    assert desk.agent.commands == [PlaceCall("out1", "0")]


def test_a_barred_number_and_the_outside_tone() -> None:
    desk = Desk(digit_map="(<9,:>1xxx|1900xx!)")
    desk.lift()
    desk.press("9")
    assert spectrum(desk.heard(500)).strongest(2) == pytest.approx([420, 528], abs=3)
    desk.press("1234")
    assert desk.agent.commands == [PlaceCall("out1", "1234")]
    desk.put_back()
    desk.lift()
    desk.press("190012")
    assert desk.state[0] == "ended"


def test_an_incoming_call_rings_is_answered_and_a_second_is_busy() -> None:
    desk = Desk()
    desk.event(Offered("in1", "5145550199"))
    assert desk.agent.commands == [Alert("in1")]
    desk.event(Offered("in2", "5145550188"))
    assert desk.agent.commands[-1] == HangUp("in2", 17)
    desk.lift()
    assert desk.agent.commands[-1] == Answer("in1")
    assert not desk.line.state()["ringing"]
    desk.event(LegAnswered("in1"))
    assert desk.state == ("in_call", "talking")
    desk.event(Offered("in3", "5145550177"))
    assert desk.agent.commands[-1] == Alert("in3"), "it waits"
    desk.event(Offered("in4", "5145550166"))
    assert desk.agent.commands[-1] == HangUp("in4", 17)
    assert desk.line.state()["ring_vrms"] == 0, "no ringing into a lifted receiver"


@pytest.mark.parametrize("seed", range(5))
def test_ringing_voltage_leaves_the_line_before_the_lifting_is_told(seed: int) -> None:
    desk = Desk(seed)
    desk.event(Offered("in1", "5145550199"))
    desk.handset.lift(desk.now_ms)
    for _ in range(100):
        desk.run(1, 1)
        _check(desk)
    assert desk.agent.commands[-1] == Answer("in1")


def test_a_caller_who_gives_up_stops_the_bell() -> None:
    desk = Desk()
    desk.event(Offered("in1", ""))
    desk.event(LegEnded("in1", Cause(16)))
    assert not desk.line.state()["ringing"]
    assert desk.state == ("on_hook", "idle")


def test_nobody_answers() -> None:
    desk = Desk(ring_s=30.0)
    desk.event(Offered("in1", ""))
    desk.run(30_100, 20)
    assert desk.agent.commands[-1] == HangUp("in1", 19)
    assert not desk.line.state()["ringing"]


@pytest.mark.parametrize(
    ("after", "state", "tone"),
    [("reorder", "ended", "reorder"), ("dial", "dial_tone", "dial"), ("silence", "ended", "")],
)
def test_when_the_far_end_hangs_up(after: str, state: str, tone: str) -> None:
    desk = talking(after_hang_up=after)
    desk.event(LegEnded("out1", Cause(16)))
    assert desk.state == (state, "seized")
    assert desk.line.state()["tone"] == tone


def test_the_loop_opens_for_answering_machines_and_nothing_thinks_it_a_hang_up() -> None:
    desk = talking(cpc_ms=300, cpc_delay_ms=1_000)
    desk.event(LegEnded("out1", Cause(16)))
    desk.run(1_050)
    assert desk.line.state()["line_volts"] == 0
    desk.run(300)
    assert desk.line.state()["line_volts"] == 7
    desk.run(2_000)
    assert desk.state[0] == "ended"
    desk.put_back()
    assert desk.state[0] == "on_hook"


def test_a_flash_after_a_call_brings_a_new_dial_tone() -> None:
    desk = talking()
    desk.event(LegEnded("out1", Cause(17)))
    desk.handset.flash(desk.now_ms, 500)
    desk.run(1_000)
    assert desk.state == ("dial_tone", "seized")


@pytest.mark.parametrize(
    ("status", "q850", "tone"),
    [
        (486, None, "busy"), (600, None, "busy"), (402, 21, "reorder"), (403, 34, "reorder"),
        (403, None, "reorder"), (404, 1, "reorder"), (408, None, "reorder"),
        (480, 20, "reorder"), (486, 17, "busy"), (503, 34, "reorder"), (480, 17, "busy"),
        (699, None, "reorder"), (486, 999, "busy"),
    ],
)  # fmt: skip
def test_causes(status: int, q850: int | None, tone: str) -> None:
    assert tone_of(cause_of_status(status, q850)) == tone


def test_every_row_of_both_tables_can_be_left_and_every_lifted_state_hung_up() -> None:
    for state in State:
        if state not in (State.ON_HOOK, State.RINGING):
            assert (state, Event.ON_HOOK) in LINE_TABLE
    for state in Call:
        assert any(key[0] is state for key in PHONE_TABLE)


_LEGS = st.sampled_from(["out1", "out2", "in1", "in2", "nobody"])
_LEG_EVENTS = st.one_of(
    st.builds(Offered, _LEGS, st.just("5145550199")),
    st.builds(Progress, _LEGS, st.booleans()),
    st.builds(LegAnswered, _LEGS),
    st.builds(LegEnded, _LEGS, st.builds(Cause, st.integers(1, 127))),
    st.builds(FarDigit, _LEGS, st.sampled_from("0159#")),
    st.builds(RegistrationChanged, st.booleans(), st.just("127.0.0.1:5060")),
    st.builds(MessagesWaiting, st.booleans()),
)
_DEEDS = st.one_of(
    st.sampled_from(
        ["lift", "lift", "call", "call", "hang_up", "flash", "short", "keys", "dial", "speak"]
    ),
    _LEG_EVENTS,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_DEEDS, st.integers(0, 900)), max_size=25), st.integers(0, 99))
def test_no_order_of_deeds_breaks_the_telephone(
    deeds: list[tuple[str | LegEvent | RegistrationChanged | MessagesWaiting, int]], seed: int
) -> None:
    """Never ringing voltage on a closed loop, never an open mouth on the hook, no exception."""
    desk = Desk(seed, dial_tone_s=1.0, interdigit_long_s=0.6, interdigit_short_s=0.5, warning_s=1.0)
    for deed, ms in deeds:
        if deed == "lift":
            desk.handset.lift(desk.now_ms)
        elif deed == "hang_up":
            desk.handset.hang_up(desk.now_ms)
        elif deed == "call":
            desk.agent.coming.append(Offered("in1", "5145550199"))
        elif deed == "speak":
            desk.handset.sound((700,), -10.0, 200)
        elif isinstance(deed, str):
            if desk.handset.off_hook:
                _use(desk, deed)
        else:
            desk.agent.coming.append(deed)
        for _ in range(ms // 20 + 1):
            desk.run(20, 20)
            _check(desk)
    desk.handset.hang_up(desk.now_ms)
    desk.run(3_000, 20)
    _check(desk)
    assert desk.line.state()["line"] in ("on_hook", "ringing")
    quiet = len(desk.agent.spoken)
    desk.run(200, 20)
    assert len(desk.agent.spoken) == quiet, "on the hook nothing is sent"


def _use(desk: Desk, deed: str) -> None:
    if deed == "keys":
        desk.handset.press("911", 50, 50)
    elif deed == "dial":
        desk.handset.rotary(desk.now_ms, "21", 20)
    elif deed in ("flash", "short"):
        desk.handset.flash(desk.now_ms, 500 if deed == "flash" else 60)


def _check(desk: Desk) -> None:
    state = desk.line.state()
    if state["loop_current"]:
        assert state["ring_vrms"] == 0, "ringing voltage on a closed loop"
        assert not state["ringing"]
    if state["line"] in ("on_hook", "ringing"):
        announces = desk.device.announces
        assert not state["audio"] or announces, "an open mouthpiece on the hook"
        assert state["tone"] == ""
