"""Makes the sounds of `words.toml` by espeak-ng. No part of a device: `tasks.py prompts`."""

from __future__ import annotations

import io
import subprocess
import tomllib
import wave

import numpy as np
import numpy.typing as npt

from firmware.prompts import FOLDER
from hal.dsp.codecs import Encoder
from hal.dsp.levels import peak_of
from hal.values import FRAME_SAMPLES, RATE_HZ

_WORDS_A_MINUTE = 190
_LEVEL_DBM0 = -15.0
"""Of the loudest part of each word."""
_PASS_HZ = 3_400
_TAPS = 255
_QUIET = 0.02
"""Share of the peak below which the ends of a word are cut off."""

Samples = npt.NDArray[np.float64]


def main() -> None:
    """Write a `.ulaw` and a `.toml` for each language."""
    for language, words in tomllib.loads((FOLDER / "words.toml").read_text("utf-8")).items():
        voice = words.pop("voice")
        sounds = {word: _encoded(_spoken(text, voice)) for word, text in words.items()}
        (FOLDER / f"{language}.ulaw").write_bytes(b"".join(sounds.values()))
        lines = [f'"{word}" = {len(sound) // FRAME_SAMPLES}' for word, sound in sounds.items()]
        head = "# Frames of each word, made with the sounds: change `words.toml` instead.\n"
        (FOLDER / f"{language}.toml").write_text(head + "\n".join(lines) + "\n", "utf-8")
        print(f"{language}: {len(sounds)} words, {sum(map(len, sounds.values()))} octets")


def _spoken(text: str, voice: str) -> Samples:
    """A word at 8000 samples a second, without silence at its ends."""
    command = ["espeak-ng", "-v", voice, "-s", str(_WORDS_A_MINUTE), "--stdout", text]
    made = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    with wave.open(io.BytesIO(made)) as wav:
        rate = wav.getframerate()
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(float)
    samples = np.convolve(samples, _low_pass(rate), "same")
    at = np.arange(0, len(samples) - 1, rate / RATE_HZ)
    samples = np.interp(at, np.arange(len(samples)), samples)
    loud = np.flatnonzero(np.abs(samples) > _QUIET * np.abs(samples).max())
    word: Samples = samples[loud[0] : loud[-1] + 1]
    return word


def _low_pass(rate: int) -> Samples:
    """Keeps what 8000 samples a second can carry."""
    at = np.arange(_TAPS) - _TAPS // 2
    taps = np.sinc(2 * _PASS_HZ / rate * at) * np.hamming(_TAPS)
    passed: Samples = taps / taps.sum()
    return passed


def _encoded(samples: Samples) -> bytes:
    """Whole frames of mu-law, as loud as every other word."""
    samples = np.pad(samples, (0, -len(samples) % FRAME_SAMPLES))
    frames = samples.reshape(-1, FRAME_SAMPLES)
    strongest = np.sqrt((frames**2).mean(axis=1)).max()
    linear = np.rint(samples * peak_of(_LEVEL_DBM0) / np.sqrt(2) / strongest)
    encoder = Encoder("PCMU")
    octets = np.clip(linear, -32_767, 32_767).astype("<i2").tobytes()
    step = 2 * FRAME_SAMPLES
    return b"".join(encoder.encode(octets[at : at + step]) for at in range(0, len(octets), step))


if __name__ == "__main__":
    main()
