"""Tones of fax machines and modems, as spandsp makes them, and what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hal.dsp.connect_tones import ConnectTone, ConnectToneDetector
from hal.dsp.dtmf import DIGITS, DtmfSender, library
from hal.dsp.tones import Tone, ToneGenerator
from hal.values import FRAME_SAMPLES
from tests.fax.terminal import FaxTerminal
from tests.hal.speech import needs_espeak, speech

ANSWERS = (ConnectTone.ANS, ConnectTone.ANS_PR, ConnectTone.ANSAM, ConnectTone.ANSAM_PR)
SENT = (ConnectTone.CNG, *ANSWERS)


def made(tone: ConnectTone, seconds: float, dbm0: float) -> np.ndarray:
    """A tone as spandsp sends it, its level set, over a little noise."""
    ffi, lib = library()
    sender = lib.modem_connect_tones_tx_init(ffi.NULL, tone.value)
    block = ffi.new("int16_t[]", FRAME_SAMPLES)
    parts = []
    for _ in range(int(seconds * 50)):
        count = lib.modem_connect_tones_tx(sender, block, FRAME_SAMPLES)
        octets = bytes(ffi.buffer(block))[: 2 * count].ljust(2 * FRAME_SAMPLES, b"\0")
        parts.append(np.frombuffer(octets, "<i2").astype(float))
    lib.modem_connect_tones_tx_free(sender)
    sound = np.concatenate(parts)
    sounding = sound[sound != 0]
    wanted = 22_826 / np.sqrt(2) * 10 ** (dbm0 / 20)
    sound *= wanted / np.sqrt(np.mean(sounding**2))
    return sound + np.random.default_rng(1).normal(0, 2, sound.size)


def heard(samples: np.ndarray) -> list[tuple[int, ConnectTone]]:
    """When each tone was certain, milliseconds, and which it was."""
    detector = ConnectToneDetector()
    whole = np.clip(np.round(samples), -32_767, 32_767).astype("<i2")
    found = []
    for at in range(0, len(whole) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        tone = detector.hear(whole[at : at + FRAME_SAMPLES].tobytes())
        if tone is not None:
            found.append((at // 8 + 20, tone))
    return found


@pytest.mark.parametrize("dbm0", [-6.0, -12.0, -25.0, -35.0])
@pytest.mark.parametrize("tone", SENT)
def test_each_tone_is_told_apart_down_to_thirty_five_below(tone: ConnectTone, dbm0: float) -> None:
    found = heard(made(tone, 3.4, dbm0))
    assert [one for _, one in found] == [tone]
    assert found[0][0] <= (500 if tone is ConnectTone.CNG else 1_700)


def test_cng_is_heard_at_each_burst() -> None:
    found = heard(made(ConnectTone.CNG, 10.0, -15.0))
    assert [one for _, one in found] == [ConnectTone.CNG] * 3
    assert np.diff([ms for ms, _ in found]) == pytest.approx([3_500] * 2, abs=20)


def test_a_machine_whose_answering_tone_was_missed_is_known_by_its_first_message(
    tmp_path: Path,
) -> None:
    terminal = FaxTerminal(tmp_path / "page.tif", calling=False)
    frames = [terminal.speak() for _ in range(400)]
    sound = np.frombuffer(b"".join(frames), "<i2").astype(float)
    found = [one for _, one in heard(sound)]
    assert found[0] is ConnectTone.ANS
    assert ConnectTone.PREAMBLE in found
    late = heard(sound[8_000 * 3 :])
    assert ConnectTone.PREAMBLE in [one for _, one in late]


@pytest.mark.parametrize("sigma", [0.0, 3.0, 300.0, 3_000.0])
def test_noise_is_no_tone(sigma: float) -> None:
    assert heard(np.random.default_rng(7).normal(0, sigma, 8_000 * 10)) == []


@needs_espeak
@pytest.mark.parametrize("voice", ["en-us", "en-gb+f4", "fr", "es+m2", "en-us+whisper"])
def test_speech_is_no_tone(voice: str) -> None:
    assert heard(speech(voice, 160)) == []


def test_digits_are_no_tone() -> None:
    sender = DtmfSender(on_ms=600, off_ms=60)
    sender.send("".join(sorted(DIGITS)))
    frames = list(iter(sender.frame, None))
    assert heard(np.frombuffer(b"".join(frames), "<i2").astype(float)) == []


@pytest.mark.parametrize(
    "hz", [(350, 440), (440, 480), (480, 620), (425,), (1_004,), (2_600,), (1_400,)]
)
def test_the_networks_own_tones_are_none(hz: tuple[int, ...]) -> None:
    generator = ToneGenerator(Tone(hz, -13.0))
    frames = [generator.frame() for _ in range(200)]
    assert heard(np.frombuffer(b"".join(frames), "<i2").astype(float)) == []
