"""Levels and mixing of 16-bit linear audio.

0 dBm0 is the level of a sine 3.14 dB below full scale (ITU-T G.711, A-law), about 22826 at the
peak.
"""

from __future__ import annotations

import math
from array import array

FULL_SCALE_DBM0 = 3.14
PEAK = 32_767
_SILENT_DBM0 = -90.0


def peak_of(dbm0: float) -> float:
    """Peak amplitude of a sine of that level."""
    return 32_768.0 * math.pow(10.0, (dbm0 - FULL_SCALE_DBM0) / 20.0)


def level_dbm0(audio: bytes) -> float:
    """Power of some audio, at least -90.

    Args:
        audio: 16-bit linear, little-endian.
    """
    samples = array("h", audio)
    if not samples:
        return _SILENT_DBM0
    power = sum(sample * sample for sample in samples) / len(samples)
    if power < 1.0:
        return _SILENT_DBM0
    sine_power = power * 2.0 / (32_768.0 * 32_768.0)
    return max(_SILENT_DBM0, 10.0 * math.log10(sine_power) + FULL_SCALE_DBM0)


def mix(one: bytes, other: bytes) -> bytes:
    """Sum of two frames of the same length, clipped."""
    assert len(one) == len(other), "frames are of one length"
    total = array("h", one)
    for position, sample in enumerate(array("h", other)):
        value = total[position] + sample
        total[position] = PEAK if value > PEAK else -PEAK if value < -PEAK else value
    return total.tobytes()


def amplify(audio: bytes, db: float) -> bytes:
    """Audio louder or weaker by so many decibels, clipped."""
    if not db:
        return audio
    factor = math.pow(10.0, db / 20.0)
    samples = array("h", audio)
    for position, sample in enumerate(samples):
        value = round(sample * factor)
        samples[position] = PEAK if value > PEAK else -PEAK if value < -PEAK else value
    return samples.tobytes()
