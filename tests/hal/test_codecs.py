"""Codecs and concealment, measured by numpy and against tables of the standard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.wire import rtp
from hal.dsp.codecs import CodecName, Concealer, Decoder, Encoder, frame_octets
from hal.values import FRAME_OCTETS

NAMES: tuple[CodecName, ...] = ("PCMU", "PCMA", "G722", "GSM")


def sine(hz: float, frames: int, peak: float = 8_000.0) -> np.ndarray:
    at = np.arange(frames * 160) / 8_000
    return np.rint(peak * np.sin(2 * np.pi * hz * at)).astype("<i2")


def frames_of(samples: np.ndarray) -> list[bytes]:
    octets = samples.astype("<i2").tobytes()
    return [octets[at : at + FRAME_OCTETS] for at in range(0, len(octets), FRAME_OCTETS)]


def strongest(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / 8_000)[spectrum.argmax()])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hz", [400.0, 1_000.0, 2_500.0])
def test_a_tone_survives_each_codec(name: CodecName, hz: float) -> None:
    encoder, decoder = Encoder(name), Decoder(name)
    heard = b""
    for frame in frames_of(sine(hz, 50)):
        code = encoder.encode(frame)
        assert len(code) == frame_octets(name)
        heard += decoder.decode(code)
    samples = np.frombuffer(heard, "<i2")[1_600:].astype(float)
    assert strongest(samples) == pytest.approx(hz, abs=2)
    level_db = 20 * np.log10(np.sqrt(np.mean(samples**2)) / (8_000 / np.sqrt(2)))
    assert abs(level_db) < 2.5


@given(st.binary(min_size=FRAME_OCTETS, max_size=FRAME_OCTETS))
def test_g711_is_that_of_the_standards_tables(frame: bytes) -> None:
    for name, encode, decode in (
        ("PCMU", rtp.encode_ulaw, rtp.decode_ulaw),
        ("PCMA", rtp.encode_alaw, rtp.decode_alaw),
    ):
        code = Encoder(name).encode(frame)  # type: ignore[arg-type]
        ours = np.frombuffer(decode(code), "<i2").astype(int)
        assert Decoder(name).decode(code) == ours.astype("<i2").tobytes()  # type: ignore[arg-type]
        table = np.frombuffer(decode(encode(frame)), "<i2").astype(int)
        wanted = np.frombuffer(frame, "<i2").astype(int)
        steps = np.maximum(np.abs(wanted) // 16, 16)
        assert np.all(np.abs(ours - table) <= steps), "a step apart at the most"


@pytest.mark.parametrize("name", NAMES)
@given(code=st.binary(max_size=160))
def test_whatever_comes_is_a_frame_of_audio(name: CodecName, code: bytes) -> None:
    assert len(Decoder(name).decode(code[: frame_octets(name)])) == FRAME_OCTETS


def test_a_lost_frame_goes_on_as_the_last_ones_and_fades() -> None:
    concealer = Concealer()
    frames = frames_of(sine(400, 30))
    for frame in frames[:20]:
        assert concealer.heard(frame) == frame
    first = np.frombuffer(concealer.lost(), "<i2").astype(float)
    assert strongest(first) == pytest.approx(400, abs=30)
    assert np.sqrt(np.mean(first**2)) > 4_000
    last = np.frombuffer([concealer.lost() for _ in range(10)][-1], "<i2")
    assert not last.any()


def test_concealment_is_smooth_and_better_than_silence() -> None:
    """Given every tenth frame lost, then the seams jump less than silence would."""
    voice = sine(150, 100) + sine(450, 100, 3_000)
    concealer, heard = Concealer(), b""
    for number, frame in enumerate(frames_of(voice)):
        heard += concealer.lost() if number % 10 == 9 else concealer.heard(frame)
    got = np.frombuffer(heard, "<i2").astype(float)
    error = np.sqrt(np.mean((got - voice)[1_600:] ** 2))
    silence = np.array(voice, dtype=float)
    silence.reshape(-1, 160)[9::10] = 0
    assert error < 0.5 * np.sqrt(np.mean((silence - voice)[1_600:] ** 2))
