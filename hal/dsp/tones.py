"""Call progress tones as audio, from data.

A tone's frequencies are whole hertz, so their sum repeats within one second. One such period is
computed when the tone is first asked for; playing it is copying, whatever the number of
frequencies.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from functools import lru_cache

from hal.dsp.levels import PEAK, peak_of
from hal.values import FRAME_OCTETS, RATE_HZ

_OCTETS_A_MS = RATE_HZ // 1000 * 2


@dataclass(frozen=True, slots=True)
class Tone:
    """Sines of one level in a cadence."""

    hz: tuple[int, ...]
    dbm0: float
    """Level of each frequency."""
    cadence_ms: tuple[int, ...] = ()
    """On, off, on, off..., repeated; empty: steady."""
    weaker_db: tuple[int, ...] = ()
    """How much weaker than `dbm0` each successive "on" of the cadence is; empty: none."""
    intro_ms: tuple[int, ...] = ()
    """On, off... played once before the cadence."""

    def __post_init__(self) -> None:
        assert len(self.cadence_ms) % 2 == 0, "on and off alternate"
        assert len(self.intro_ms) % 2 == 0, "on and off alternate"
        assert len(self.weaker_db) in (0, len(self.cadence_ms) // 2), "one for each on"


@lru_cache(maxsize=4)
def period(hz: tuple[int, ...], dbm0: float) -> bytes:
    """One whole period of a sum of sines, at most a second of 16-bit linear audio."""
    if not hz:
        return bytes(2)
    length = RATE_HZ // math.gcd(*hz, RATE_HZ)
    peak = peak_of(dbm0)
    samples = array("h", bytes(2 * length))
    for position in range(length):
        angle = 2.0 * math.pi * position / RATE_HZ
        value = round(peak * sum(math.sin(angle * one) for one in hz))
        samples[position] = max(-PEAK, min(PEAK, value))
    return samples.tobytes()


class ToneGenerator:
    """Plays one tone, frame by frame, without a break of phase within a burst."""

    __slots__ = ("_left", "_parts", "_phase", "_position", "_repeat_from", "_tone")

    def __init__(self, tone: Tone) -> None:
        self._tone = tone
        parts = [(ms, on, 0) for ms, on in _alternate(tone.intro_ms)]
        self._repeat_from = len(parts)
        for index, (ms, on) in enumerate(_alternate(tone.cadence_ms)):
            weaker = tone.weaker_db[index // 2] if on and tone.weaker_db else 0
            parts.append((ms, on, weaker))
        if not tone.cadence_ms:
            parts.append((0, True, 0))
        self._parts = parts
        self._position = 0
        self._left = parts[0][0] * _OCTETS_A_MS
        self._phase = 0

    def frame(self) -> bytes:
        """The next 20 ms."""
        ms, on, weaker = self._parts[self._position]
        if ms == 0 or self._left >= FRAME_OCTETS:
            self._left -= FRAME_OCTETS
            return self._take(FRAME_OCTETS, on, weaker)
        pieces: list[bytes] = []
        wanted = FRAME_OCTETS
        while wanted:
            ms, on, weaker = self._parts[self._position]
            count = wanted if ms == 0 else min(wanted, self._left)
            pieces.append(self._take(count, on, weaker))
            wanted -= count
            self._left -= count
            if ms and self._left == 0:
                self._next_part()
        return b"".join(pieces)

    def _next_part(self) -> None:
        self._position += 1
        if self._position == len(self._parts):
            self._position = self._repeat_from
        self._left = self._parts[self._position][0] * _OCTETS_A_MS

    def _take(self, octets: int, on: bool, weaker: int) -> bytes:
        if not on or not self._tone.hz:
            self._phase = 0
            return bytes(octets)
        table = period(self._tone.hz, self._tone.dbm0 - weaker)
        start = self._phase
        self._phase = (start + octets) % len(table)
        if start + octets <= len(table):
            return table[start : start + octets]
        return (table * (octets // len(table) + 2))[start : start + octets]


def _alternate(parts: tuple[int, ...]) -> list[tuple[int, bool]]:
    return [(ms, index % 2 == 0) for index, ms in enumerate(parts)]
