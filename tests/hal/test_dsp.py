"""Tones, levels and DTMF, measured by numpy and by the limits of ES 201 235."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.countries import TONES, country_codes, load_country
from hal.dsp import dtmf
from hal.dsp.dtmf import DtmfSender
from hal.dsp.dtmf_receiver import DtmfReceiver
from hal.dsp.levels import level_dbm0, mix, peak_of
from hal.dsp.tones import Tone, ToneGenerator
from hal.values import FRAME_OCTETS, LineFault

ALL = "0123456789ABCD*#"


def sines(hz: tuple[float, ...], dbm0: tuple[float, ...], ms: float) -> np.ndarray:
    at = np.arange(int(ms * 8)) / 8_000
    return sum(
        (
            peak_of(level) * np.sin(2 * np.pi * one * at)
            for one, level in zip(hz, dbm0, strict=True)
        ),
        np.zeros(len(at)),
    )


def test_all_digits_are_sent_and_received_once_each() -> None:
    sender, receiver = DtmfSender(65, 65), DtmfReceiver()
    assert sender.send(ALL) == 0
    heard = ""
    while (frame := sender.frame()) is not None:
        assert len(frame) == FRAME_OCTETS
        heard += receiver.hear(frame)
    assert heard == ALL


def test_what_is_no_digit_is_refused() -> None:
    with pytest.raises(ValueError, match="no DTMF digit"):
        DtmfSender().send("12x")


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtmf, "_LIBRARIES", ("libnothing-of-the-kind.so",))
    monkeypatch.setattr(dtmf, "_loaded", None)
    with pytest.raises(LineFault, match="apt install libspandsp2"):
        DtmfReceiver()


@pytest.mark.parametrize("code", country_codes())
@pytest.mark.parametrize("name", TONES)
def test_tones_have_their_level_and_never_clip(code: str, name: str) -> None:
    tone = load_country(code).tones[name]
    generator = ToneGenerator(Tone(tone.hz, tone.dbm0))
    audio = b"".join(generator.frame() for _ in range(100))
    samples = np.frombuffer(audio, "<i2")
    assert np.abs(samples).max() < 32_767
    assert level_dbm0(audio) == pytest.approx(tone.dbm0 + 10 * np.log10(len(tone.hz)), abs=0.2)


def test_phase_is_unbroken_from_frame_to_frame() -> None:
    generator = ToneGenerator(Tone((413, 438), -19.0))
    samples = np.frombuffer(b"".join(generator.frame() for _ in range(60)), "<i2").astype(float)
    wanted = sines((413, 438), (-19, -19), 1_200)
    assert np.abs(samples - wanted).max() <= 1


def test_stutter_is_ten_bursts_and_then_steady() -> None:
    generator = ToneGenerator(load_country("US").tones["stutter"])
    loud = [level_dbm0(generator.frame()) > -30 for _ in range(150)]
    assert loud == ([True] * 5 + [False] * 5) * 10 + [True] * 50


_PARTS = st.lists(st.integers(1, 70), min_size=1, max_size=4).map(lambda one: tuple(one * 2))


@given(_PARTS)
def test_any_cadence_is_kept_to_the_sample(parts: tuple[int, ...]) -> None:
    generator = ToneGenerator(Tone((1_000,), -10.0, parts))
    audio = np.frombuffer(b"".join(generator.frame() for _ in range(20)), "<i2")
    wanted = np.concatenate(
        [np.full(ms * 8, index % 2 == 0) for index, ms in enumerate(parts)]
        * (3_200 // sum(parts) + 1)
    )[: len(audio)]
    assert not audio[~wanted].any()
    assert np.abs(audio[wanted]).sum() > 0


_FRAMES = st.binary(min_size=FRAME_OCTETS, max_size=FRAME_OCTETS)


@given(_FRAMES, _FRAMES)
def test_mixing_is_a_clipped_sum(one: bytes, other: bytes) -> None:
    a, b = (np.frombuffer(x, "<i2").astype(int) for x in (one, other))
    got = np.frombuffer(mix(one, other), "<i2").astype(int)
    assert np.array_equal(got, np.clip(a + b, -32_767, 32_767))


@given(st.binary(max_size=2_000))
def test_the_receiver_survives_any_audio(audio: bytes) -> None:
    octets = audio + bytes(-len(audio) % FRAME_OCTETS)
    receiver = DtmfReceiver()
    for at in range(0, len(octets), FRAME_OCTETS):
        assert set(receiver.hear(octets[at : at + FRAME_OCTETS])) <= set(ALL)
