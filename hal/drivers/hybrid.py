"""The hybrid of a simulated line: part of what goes to the ear comes back from the mouthpiece."""

from __future__ import annotations

import math
import random
from array import array

from boards.lines import HybridSettings
from hal.dsp.levels import PEAK
from hal.values import FRAME_SAMPLES, RATE_HZ

_FADE_SAMPLES = 6.0
"""After so many the impulse response is weaker by a factor of e."""


class Hybrid:
    """An echo path: an impulse response of random taps that fade, after a delay.

    Args:
        settings: its loss is that of white noise; other sounds may lose more or less.
    """

    def __init__(self, settings: HybridSettings) -> None:
        rng = random.Random(settings.seed)
        taps = [rng.gauss(0, 1) * math.exp(-at / _FADE_SAMPLES) for at in range(settings.taps)]
        gain = 10.0 ** (-settings.loss_db / 20.0) / math.hypot(*taps)
        self.taps = tuple(tap * gain for tap in taps)
        self.delay_samples = round(settings.delay_ms * RATE_HZ / 1000)
        self._past = array("h", bytes(2 * (self.delay_samples + len(taps))))

    def echo(self, frame: bytes) -> bytes:
        """What comes back while this frame is heard."""
        past = self._past + array("h", frame)
        self._past = past[FRAME_SAMPLES:]
        total = [0.0] * FRAME_SAMPLES
        for at, tap in enumerate(self.taps):
            start = len(self.taps) - at
            piece = past[start : start + FRAME_SAMPLES]
            total = [sum_ + tap * one for sum_, one in zip(total, piece, strict=True)]
        return array("h", [max(-PEAK, min(PEAK, round(one))) for one in total]).tobytes()
