"""The DTMF receiver at both sides of each limit of ES 201 235-3, Q.24 and GR-506.

Signals are made by numpy, at any place within a frame and in any phase. What must be heard is heard
with everything at its limit at once; what must not is wrong in one thing alone.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hal.countries import country_codes, load_country
from hal.dsp.dtmf_receiver import HIGH_HZ, LOW_HZ, DtmfReceiver
from hal.dsp.levels import peak_of
from hal.dsp.tones import ToneGenerator
from hal.values import FRAME_OCTETS
from tests.hal.ears import needs_multimon
from tests.hal.speech import needs_espeak

KEYS = "123A456B789C*0#D"

digits = st.sampled_from(KEYS)
starts = st.integers(0, 159)
phases = st.floats(0, 2 * np.pi)
seeds = st.integers(0, 2**32 - 1)
tolerated = st.floats(-1, 1)
"""Of what a frequency may be off and must be heard: 1.5 % and 2 Hz."""
signs = st.sampled_from([-1, 1])
levels = st.floats(-28, -4)
twists = st.floats(-6, 6)


def sine(hz: float, dbm0: float, ms: float, phase: float = 0.0) -> np.ndarray:
    at = np.arange(round(ms * 8)) / 8_000
    wave: np.ndarray = peak_of(dbm0) * np.sin(2 * np.pi * hz * at + phase)
    return wave


def pair(digit: str) -> tuple[int, int]:
    row, column = divmod(KEYS.index(digit), 4)
    return LOW_HZ[row], HIGH_HZ[column]


def key(digit: str, ms: float = 50, dbm0: float = -10, phase: float = 1.0) -> np.ndarray:
    low, high = pair(digit)
    both: np.ndarray = sine(low, dbm0, ms) + sine(high, dbm0, ms, phase)
    return both


def hear(*pieces: np.ndarray, start: int = 0) -> str:
    """What the receiver makes of some audio, with silence before and after."""
    samples = np.concatenate([np.zeros(480 + start), *pieces, np.zeros(960)])
    octets = np.clip(np.round(samples), -32_767, 32_767).astype("<i2").tobytes()
    octets += bytes(-len(octets) % FRAME_OCTETS)
    receiver = DtmfReceiver()
    frames = range(0, len(octets), FRAME_OCTETS)
    return "".join(receiver.hear(octets[at : at + FRAME_OCTETS]) for at in frames)


def pause(ms: float) -> np.ndarray:
    return np.zeros(round(ms * 8))


def noisy(samples: np.ndarray, db: float, seed: int) -> np.ndarray:
    """The signal with white noise so far below it."""
    power = np.sqrt(np.mean(samples**2)) * 10 ** (-db / 20)
    return samples + np.random.default_rng(seed).normal(0, power, len(samples))


@settings(max_examples=300)
@given(digits, starts, phases, tolerated, tolerated, levels, twists, st.floats(40, 90), seeds)
def test_all_that_has_to_be_heard_is_heard_once(
    digit: str,
    start: int,
    phase: float,
    low_off: float,
    high_off: float,
    level: float,
    twist: float,
    ms: float,
    seed: int,
) -> None:
    low, high = pair(digit)
    other = min(-4.0, max(-28.0, level + twist))
    signal = sine(low + low_off * (0.015 * low + 2), level, ms) + sine(
        high + high_off * (0.015 * high + 2), other, ms, phase
    )
    assert hear(noisy(signal, 20, seed), start=start) == digit


@given(digits, starts, phases, st.floats(0.035, 0.045), signs, st.booleans(), st.floats(40, 500))
def test_a_frequency_three_and_a_half_percent_off_is_no_digit(
    digit: str, start: int, phase: float, off: float, sign: int, which: bool, ms: float
) -> None:
    low, high = pair(digit)
    off_low, off_high = (off, 0.0) if which else (0.0, off)
    signal = sine(low * (1 + sign * off_low), -10, ms) + sine(
        high * (1 + sign * off_high), -10, ms, phase
    )
    assert hear(signal, start=start) == ""


@given(digits, starts, phases, st.floats(1, 20), levels)
def test_twenty_milliseconds_are_no_digit(
    digit: str, start: int, phase: float, ms: float, level: float
) -> None:
    assert hear(key(digit, ms, level, phase), start=start) == ""


@given(digits, starts, st.floats(-80, -40))
def test_what_is_too_weak_is_no_digit(digit: str, start: int, level: float) -> None:
    assert hear(key(digit, 100, level), start=start) == ""


@given(digits, starts, phases, st.floats(6, 8), st.booleans())
def test_a_twist_of_eight_decibels_is_heard(
    digit: str, start: int, phase: float, twist: float, low_is_weaker: bool
) -> None:
    low, high = pair(digit)
    weak, strong = (low, high) if low_is_weaker else (high, low)
    assert hear(sine(weak, -8 - twist, 50) + sine(strong, -8, 50, phase), start=start) == digit


@given(digits, starts, phases, st.floats(12, 40), st.booleans())
def test_a_twist_of_twelve_decibels_is_no_digit(
    digit: str, start: int, phase: float, twist: float, low_is_weaker: bool
) -> None:
    low, high = pair(digit)
    weak, strong = (low, high) if low_is_weaker else (high, low)
    assert hear(sine(weak, -4 - twist, 100) + sine(strong, -4, 100, phase), start=start) == ""


@given(digits, starts, phases, seeds)
def test_fifteen_decibels_of_signal_to_noise_are_enough(
    digit: str, start: int, phase: float, seed: int
) -> None:
    assert hear(noisy(key(digit, 50, phase=phase), 15, seed), start=start) == digit


@given(seeds, st.floats(-30, -4))
def test_noise_is_no_digit(seed: int, level: float) -> None:
    noise = np.random.default_rng(seed).normal(0, peak_of(level) / np.sqrt(2), 16_000)
    assert hear(noise) == ""


@given(digits, starts, st.floats(1, 19.9), st.floats(40, 90), phases)
@example("4", 0, 19.9, 40.0, 6.03)  # goes on against the phase: hard to know again
def test_a_gap_under_twenty_milliseconds_is_ignored(
    digit: str, start: int, gap: float, ms: float, phase: float
) -> None:
    pieces = key(digit, ms), pause(gap), key(digit, ms, phase=phase)
    assert hear(*pieces, start=start) == digit


@given(digits, digits, starts, st.floats(40, 80), phases)
def test_a_pause_of_forty_milliseconds_parts_two_digits(
    one: str, other: str, start: int, gap: float, phase: float
) -> None:
    pieces = key(one, 45), pause(gap), key(other, 45, phase=phase)
    assert hear(*pieces, start=start) == one + other


@given(st.text(KEYS, min_size=1, max_size=20), starts, seeds)
def test_fast_dialling_is_heard_in_order(text: str, start: int, seed: int) -> None:
    """45 ms on and 45 ms off: eleven digits a second."""
    pieces = [piece for digit in text for piece in (key(digit, 45), pause(45))]
    assert hear(noisy(np.concatenate(pieces), 25, seed), start=start) == text


@given(digits, digits, starts)
def test_one_digit_after_another_without_a_pause_is_two(one: str, other: str, start: int) -> None:
    wanted = one if one == other else one + other
    assert hear(key(one, 60), key(other, 60), start=start) == wanted


@pytest.mark.parametrize("hz", [*LOW_HZ, *HIGH_HZ])
def test_one_tone_alone_is_no_digit(hz: int) -> None:
    assert hear(sine(hz, -10, 500)) == ""


@given(digits, starts, st.floats(300, 3_400), st.floats(-3, 6))
def test_a_third_tone_as_loud_is_no_digit(
    digit: str, start: int, third: float, above_db: float
) -> None:
    assume(third > 580)  # dial tone does no harm
    assume(min(abs(third - hz) for hz in (*LOW_HZ, *HIGH_HZ)) > 80)
    signal = key(digit, 200, -12) + sine(third, -9 + above_db, 200)
    assert hear(signal, start=start) == ""


@pytest.mark.parametrize("code", country_codes())
@pytest.mark.parametrize("digit", KEYS)
def test_digits_are_heard_through_the_countrys_dial_tone(code: str, digit: str) -> None:
    generator = ToneGenerator(load_country(code).tones["dial"])
    frames = b"".join(generator.frame() for _ in range(25))
    tone = np.frombuffer(frames, "<i2").astype(float)
    signal = key(digit, 60, -12)
    tone[1_600 : 1_600 + len(signal)] += signal
    assert hear(tone) == digit


@pytest.mark.parametrize("code", country_codes())
@pytest.mark.parametrize("name", ["dial", "busy", "reorder", "ringback", "waiting", "howler"])
def test_no_tone_of_any_country_is_a_digit(code: str, name: str) -> None:
    generator = ToneGenerator(load_country(code).tones[name])
    frames = b"".join(generator.frame() for _ in range(250))
    assert hear(np.frombuffer(frames, "<i2").astype(float)) == ""


def test_a_long_digit_is_one_digit() -> None:
    assert hear(key("5", 3_000)) == "5"


def test_while_a_digit_sounds_or_may_begin_the_receiver_says_so() -> None:
    """It is muted then: of what travels as an event nothing may be left in the audio."""
    receiver = DtmfReceiver()
    samples = np.concatenate([pause(100), key("5", 100), pause(200)]).astype("<i2").tobytes()
    said = []
    for at in range(0, len(samples), FRAME_OCTETS):
        receiver.hear(samples[at : at + FRAME_OCTETS])
        said.append(receiver.maybe)
    assert said[:5] == [False] * 5
    assert said[6:10] == [True] * 4, "at the latest 20 ms after it began"
    assert said[13:] == [False] * 7


@needs_espeak
@needs_multimon
@pytest.mark.slow
def test_speech_is_no_digit() -> None:
    """A slice of `python3 tasks.py talkoff`, which takes an hour of speech."""
    command = [sys.executable, "-m", "tests.hal.talkoff", "--minutes", "4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["speech_s"] >= 240
    assert told["digits"] == 0, told
