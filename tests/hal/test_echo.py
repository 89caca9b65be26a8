"""The echo canceller, measured by numpy on noise and on speech through an echo path of ours.

Echo return loss enhancement (ERLE, ITU-T G.168, 3.9) is the energy of the echo by that of what the
canceller leaves of it, both of the same two seconds, without any non-linear processing. Where both
speak it cannot be seen; there it is asked what became of the near speech.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.lines import HybridSettings
from hal.drivers.hybrid import Hybrid
from hal.dsp import echo as module
from hal.dsp.echo import EchoCanceller
from hal.dsp.levels import level_dbm0
from hal.values import FRAME_OCTETS, FRAME_SAMPLES, SILENCE, LineFault
from tests.hal.speech import needs_espeak, speech

RATE = 8_000
LOSS_DB = 6
VOICES = (("en-us", 160), ("en-us+f3", 140), ("fr", 180), ("es", 160), ("de", 150), ("en-gb", 130))


def echo_of(far: np.ndarray, delay_ms: float, seed: int) -> np.ndarray:
    """What a hybrid gives back: 20 random taps that fade, 6 dB below, after a delay."""
    rng = np.random.default_rng(seed)
    taps = rng.normal(size=20) * np.exp(-np.arange(20) / 6)
    taps *= 10 ** (-LOSS_DB / 20) / np.linalg.norm(taps)
    path = np.concatenate([np.zeros(int(delay_ms * 8)), taps])
    return np.round(np.convolve(far, path)[: len(far)])


def cancelled(
    far: np.ndarray, near: np.ndarray, canceller: EchoCanceller | None = None
) -> np.ndarray:
    """What is left of `near` while the ear hears `far`."""
    canceller = canceller or EchoCanceller()
    play, record = (one.clip(-32_767, 32_767).astype("<i2").tobytes() for one in (far, near))
    left = []
    for at in range(0, len(record) - FRAME_OCTETS + 1, FRAME_OCTETS):
        canceller.played(play[at : at + FRAME_OCTETS])
        left.append(canceller.cancel(record[at : at + FRAME_OCTETS]))
    return np.frombuffer(b"".join(left), "<i2").astype(float)


def db(one: np.ndarray, other: np.ndarray) -> float:
    """Energy of one by that of the other."""
    return float(10 * np.log10((np.sum(one**2) + 1) / (np.sum(other**2) + 1)))


def seconds(samples: np.ndarray, start: float, end: float) -> np.ndarray:
    return samples[int(start * RATE) : int(end * RATE)]


def erle(echo: np.ndarray, left: np.ndarray, start: float, end: float) -> float:
    return db(seconds(echo, start, end), seconds(left, start, end))


def noise(seed: int, length_s: float) -> np.ndarray:
    return np.round(np.random.default_rng(seed).normal(0, 2_000, int(length_s * RATE)))


@pytest.mark.parametrize("delay_ms", [2, 18, 30])
@pytest.mark.parametrize("seed", range(1, 5))
def test_thirty_decibels_on_noise_after_two_seconds(delay_ms: float, seed: int) -> None:
    far = noise(seed, 4)
    echo = echo_of(far, delay_ms, seed)
    got = erle(echo, cancelled(far, echo), 2, 4)
    print(f"seed {seed}, {delay_ms} ms, noise: {got:.1f} dB")
    assert got >= 30, f"seed {seed}"


@needs_espeak
@pytest.mark.parametrize("delay_ms", [2, 18, 30])
@pytest.mark.parametrize(("voice", "speed"), VOICES)
def test_thirty_decibels_on_speech_after_two_seconds(
    delay_ms: float, voice: str, speed: int
) -> None:
    far = speech(voice, speed)
    for seed in range(1, 5):
        echo = echo_of(far, delay_ms, seed)[: 4 * RATE]
        got = erle(echo, cancelled(far, echo), 2, 4)
        print(f"seed {seed}, {delay_ms} ms, {voice}: {got:.1f} dB")
        assert got >= 30, f"seed {seed}"


@needs_espeak
@pytest.mark.parametrize("delay_ms", [2, 18, 30])
@pytest.mark.parametrize("pair", range(len(VOICES)))
@pytest.mark.parametrize("near_dbm0", [-15, -21])
def test_double_talk_passes_and_does_no_lasting_harm(
    delay_ms: float, pair: int, near_dbm0: float
) -> None:
    """The far end speaks for ten seconds, the near end from the fourth to the seventh.

    The near speech has to be there with its level (energy of all that is left by its own) and its
    wave (its gain in what is left, by regression) within 1 dB; from the eighth second on ERLE has
    to be 30 dB again.
    """
    far = np.tile(speech(*VOICES[pair]), 2)[: 10 * RATE]
    near = np.zeros(10 * RATE)
    other = speech(*VOICES[(pair + 1) % len(VOICES)], dbm0=near_dbm0)
    near[4 * RATE : 7 * RATE] = other[RATE // 2 : 7 * RATE // 2]
    for seed in (1, 3):
        echo = echo_of(far, delay_ms, seed)
        left = cancelled(far, echo + near)
        both, spoken = seconds(left, 4, 7), seconds(near, 4, 7)
        level = db(both, spoken)
        gain = 20 * np.log10(np.dot(both, spoken) / np.dot(spoken, spoken))
        after = erle(echo, left, 8, 10)
        print(f"seed {seed}, {delay_ms} ms: near {level:+.2f} and {gain:+.2f} dB, then {after:.1f}")
        assert abs(level) <= 1, f"seed {seed}"
        assert abs(gain) <= 1, f"seed {seed}"
        assert after >= 30, f"seed {seed}"


@needs_espeak
def test_who_speaks_alone_is_passed_as_he_is() -> None:
    near = speech("en-us", 160)
    left = cancelled(np.zeros(len(near)), near)
    near = near[: len(left)]
    assert abs(db(left, near)) <= 0.5
    assert db(near, left - near) >= 10, "what is taken out beside is direct current, and hum"


@needs_espeak
@pytest.mark.parametrize("seed", [1, 3])
def test_an_echo_that_moves_by_a_frame_is_found_again(seed: int) -> None:
    """A sound device that once was late keeps a frame more from then on."""
    far = np.tile(speech("en-us", 160), 2)[: 10 * RATE]
    early, late = echo_of(far, 5, seed), echo_of(far, 25, seed)
    echo = np.concatenate([seconds(early, 0, 4), seconds(late, 4, 10)])
    left = cancelled(far, echo)
    assert erle(echo, left, 2, 4) >= 30, f"seed {seed}"
    assert erle(echo, left, 7, 10) >= 30, f"seed {seed}"


@pytest.mark.parametrize(("delay_ms", "path_ms"), [(0, 60), (120, 122), (120, 180), (33, 50)])
def test_the_drivers_delay_is_taken_from_the_echos(delay_ms: int, path_ms: float) -> None:
    far = noise(7, 4)
    echo = echo_of(far, path_ms, 1)
    canceller = EchoCanceller(delay_ms)
    assert erle(echo, cancelled(far, echo, canceller), 2, 4) >= 30
    assert canceller.echo_ms is not None
    assert delay_ms + canceller.echo_ms == pytest.approx(path_ms, abs=3)


def test_a_dispersed_echo_that_the_short_filter_does_not_span_is_cancelled_by_the_long_one() -> (
    None
):
    far = noise(8, 5)
    rng = np.random.default_rng(8)
    taps = rng.normal(size=320) * np.exp(-np.arange(320) / 120)
    taps *= 0.5 / np.linalg.norm(taps)
    echo = np.round(np.convolve(far, taps)[: len(far)])
    assert erle(echo, cancelled(far, echo), 3, 5) >= 30


def test_switched_off_it_changes_nothing() -> None:
    far = noise(1, 1)
    echo = echo_of(far, 2, 1)
    canceller = EchoCanceller()
    canceller.enabled = False
    assert np.array_equal(cancelled(far, echo, canceller), echo)
    assert canceller.echo_ms is None


def test_silence_stays_silence() -> None:
    assert not cancelled(np.zeros(RATE), np.zeros(RATE)).any()


_LOUD = (b"\xff\x7f" * FRAME_SAMPLES, b"\x00\x80\xff\x7f" * (FRAME_SAMPLES // 2))
_FRAMES = st.sampled_from([SILENCE, *_LOUD])


@settings(max_examples=30)
@given(st.lists(st.tuples(_FRAMES, _FRAMES | st.binary(min_size=320, max_size=320)), max_size=80))
def test_any_audio_leaves_frames(frames: list[tuple[bytes, bytes]]) -> None:
    canceller = EchoCanceller()
    for far, near in frames:
        canceller.played(far)
        assert len(canceller.cancel(near)) == FRAME_OCTETS


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LIBRARIES", ("libnothing-of-the-kind.so",))
    module.library.cache_clear()
    try:
        with pytest.raises(LineFault, match="apt install libspeexdsp1"):
            EchoCanceller()
    finally:
        module.library.cache_clear()


def test_the_simulated_hybrid_gives_back_what_its_settings_say() -> None:
    hybrid = Hybrid(HybridSettings(loss_db=12, delay_ms=30, seed=4))
    far = noise(2, 2)
    octets = far.astype("<i2").tobytes()
    frames = (octets[at : at + FRAME_OCTETS] for at in range(0, len(octets), FRAME_OCTETS))
    back = b"".join(map(hybrid.echo, frames))
    path = np.concatenate([np.zeros(240), hybrid.taps])
    wanted = np.round(np.convolve(far, path)[: len(far)])
    assert np.abs(np.frombuffer(back, "<i2") - wanted).max() <= 1
    assert level_dbm0(octets) - level_dbm0(back[640:]) == pytest.approx(12, abs=0.5)
