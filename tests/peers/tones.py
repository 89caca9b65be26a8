"""Tones made, and measured in what was heard. Audio is 16-bit linear, 8000 samples a second."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8_000
FRAME_SAMPLES = 160
FULL_SCALE_DBM0 = 3.14
"""A full-scale sine in A-law (ITU-T G.711, 5)."""
SILENCE = bytes(2 * FRAME_SAMPLES)
_NEAR_HZ = 15.0
"""A tone may be off by so much and still be meant."""

Samples = NDArray[np.int16]


def sine(hz: Sequence[float], dbm0: float, samples: int, start: int = 0) -> Samples:
    """Sines of one level each, in phase with sample 0 whatever `start` is."""
    at = (start + np.arange(samples)) / RATE_HZ
    peak = 32_768.0 * 10 ** ((dbm0 - FULL_SCALE_DBM0) / 20)
    total = sum((peak * np.sin(2 * np.pi * one * at) for one in hz), np.zeros(samples))
    return np.clip(np.rint(total), -32_768, 32_767).astype(np.int16)


def tone_frames(hz: Sequence[float], dbm0: float = -10.0) -> Iterator[bytes]:
    """Frames of 20 ms without end."""
    start = 0
    while True:
        yield sine(hz, dbm0, FRAME_SAMPLES, start).astype("<i2").tobytes()
        start += FRAME_SAMPLES


def wav_frames(path: Path) -> Iterator[bytes]:
    """Frames of a WAV file (16-bit, mono, 8000 samples a second), the last one filled up."""
    octets = read_wav(path).astype("<i2").tobytes()
    for start in range(0, len(octets), 2 * FRAME_SAMPLES):
        yield octets[start : start + 2 * FRAME_SAMPLES].ljust(2 * FRAME_SAMPLES, b"\0")


def read_wav(path: Path) -> Samples:
    """What a WAV file holds.

    Raises:
        ValueError: it is not 16-bit, mono, 8000 samples a second.
    """
    with wave.open(str(path), "rb") as wav:
        if (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) != (1, 2, RATE_HZ):
            raise ValueError(f"{path} is not 16-bit mono of 8000 samples a second")
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(np.int16)


def write_wav(path: Path, samples: Samples) -> None:
    """Keep audio where other programs can hear it."""
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE_HZ)
        wav.writeframes(samples.astype("<i2").tobytes())


@dataclass
class Spectrum:
    """Levels of the tones in some audio; at least a tenth of a second tells them apart."""

    samples: Samples
    _peaks: NDArray[np.float64] = field(init=False, repr=False)
    _bins: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.samples) < RATE_HZ // 20:
            self.samples = np.zeros(RATE_HZ // 20, np.int16)
        window = np.hanning(len(self.samples))
        spectrum = np.abs(np.fft.rfft(self.samples * window)) * 2 / window.sum()
        self._peaks = np.maximum(spectrum, 1e-3).astype(np.float64)
        self._bins = np.fft.rfftfreq(len(self.samples), 1 / RATE_HZ).astype(np.float64)

    def dbm0(self, hz: float) -> float:
        """Level of the strongest line near `hz`."""
        near = self._peaks[np.abs(self._bins - hz) <= _NEAR_HZ]
        return _dbm0(float(near.max())) if len(near) else -99.0

    def strongest(self, count: int = 1) -> list[float]:
        """Frequencies of the strongest lines, from low to high, hertz."""
        peaks = self._peaks.copy()
        found: list[float] = []
        for _ in range(count):
            at = float(self._bins[peaks.argmax()])
            found.append(at)
            peaks[np.abs(self._bins - at) <= _NEAR_HZ] = 0
        return sorted(found)

    @property
    def total_dbm0(self) -> float:
        """Level of everything together."""
        power = float(np.mean(self.samples.astype(np.float64) ** 2))
        return _dbm0(max(power * 2, 1e-6) ** 0.5)

    def has(self, hz: float, dbm0: float, within_db: float = 1.5) -> bool:
        """True when a tone of about that level is the strongest, 20 dB above all others."""
        level = self.dbm0(hz)
        if abs(level - dbm0) > within_db:
            return False
        others = self._peaks[np.abs(self._bins - hz) > 4 * _NEAR_HZ]
        return _dbm0(float(others.max())) < level - 20


def _dbm0(peak: float) -> float:
    return float(20 * np.log10(peak / 32_768) + FULL_SCALE_DBM0)


def loudest(samples: Samples, seconds: float = 0.5) -> Samples:
    """The stretch of so many seconds with most power in it."""
    width = int(seconds * RATE_HZ)
    if len(samples) <= width:
        return samples
    power = np.cumsum(np.concatenate(([0.0], samples.astype(np.float64) ** 2)))
    start = int(np.argmax(power[width:] - power[:-width]))
    return samples[start : start + width]


def bursts_ms(samples: Samples, least_dbm0: float = -45.0) -> list[tuple[bool, int]]:
    """Sound and silence by turns, in steps of 10 ms: what a cadence sounds like."""
    step = RATE_HZ // 100
    whole = samples[: len(samples) // step * step].astype(np.float64).reshape(-1, step)
    limit = 32_768 * 10 ** ((least_dbm0 - FULL_SCALE_DBM0) / 20)
    loud = np.sqrt(np.mean(whole**2, axis=1) * 2) > limit
    runs: list[tuple[bool, int]] = []
    for on in loud:
        if runs and runs[-1][0] == bool(on):
            runs[-1] = (bool(on), runs[-1][1] + 10)
        else:
            runs.append((bool(on), 10))
    return runs
