"""Speech that we did not record: espeak-ng, as a telephone carries it."""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from functools import lru_cache

import numpy as np
import pytest

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not installed (Debian: espeak-ng)"
)
TEXT = (
    "The committee will meet on Thursday to discuss the new schedule, and every member should "
    "bring a copy of the report. Please call me back before noon, because the train leaves early "
    "and I would like to hear your opinion first. She sells sea shells by the shore, and the "
    "quick brown fox jumps over the lazy dog."
)
_BAND_HZ = (200, 3_400)


@lru_cache(maxsize=32)
def speech(voice: str, words_a_minute: int, text: str = TEXT, dbm0: float = -15.0) -> np.ndarray:
    """Samples at 8000 Hz, of the telephone's band and that mean level."""
    command = ["espeak-ng", "-v", voice, "-s", str(words_a_minute), "--stdin", "--stdout"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=60, check=True)
    with wave.open(io.BytesIO(done.stdout)) as wav:
        rate = wav.getframerate()
        # What it writes to a pipe does not know its own length.
        octets = wav.readframes(len(done.stdout) // 2)
    samples = np.frombuffer(octets, "<i2").astype(float)
    count = len(samples) * 8_000 // rate
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    hz = np.fft.rfftfreq(count, 1 / 8_000)
    spectrum[(hz < _BAND_HZ[0]) | (hz > _BAND_HZ[1])] = 0
    sound = np.fft.irfft(spectrum, count)
    # Mean power 0 dBm0 is a sine of 22826 at its peak (ITU-T G.711).
    wanted = 22_826 / np.sqrt(2) * 10 ** (dbm0 / 20)
    loud: np.ndarray = np.clip(
        np.round(sound * (wanted / np.sqrt(np.mean(sound**2)))), -32_767, 32_767
    )
    return loud
