"""DTMF receiver by the limits of ETSI ES 201 235-3 and ITU-T Q.24.

Every 5 ms the last 20 ms are seen through a Hann window at the eight frequencies. From one look to
the next the phase of a tone tells its frequency to a hertz or two, which no window so short could
do by level alone. A look hears a digit where one tone of each group is near enough to its
frequency, both are loud enough and not too unlike, and next to nothing sounds beside them (dial
tone does not count). Several looks in turn make a digit; speech seldom stands still for so long.

The sums are libspandsp's `vec_*` functions; its own receiver takes tones that are 4 % off, refuses
some within 1.5 %, and hears a digit twice that was broken off for 12 ms.
"""

from __future__ import annotations

import math
from array import array
from functools import lru_cache
from typing import Any

from hal.dsp.dtmf import library
from hal.dsp.levels import peak_of
from hal.values import FRAME_SAMPLES, RATE_HZ

LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1_209, 1_336, 1_477, 1_633)
_KEYS = "123A456B789C*0#D"
_HOP = 40
_WINDOW = 160
_BIN_HZ = RATE_HZ / _WINDOW
_LEAST_DBM0 = -36.0
"""Of each tone; -28 has to be heard (ES 201 235-3)."""
_TWIST_DB = 10.0
"""How far apart the two may be; 6 dB have to be heard, and 8 (GR-506)."""
_OFF_SHARE = 0.02
_OFF_HZ = 4.0
"""How far off a tone may be: 1.5 % and 2 Hz have to be heard, 3.5 % must not."""
_PURE = 0.9
"""Share of the two tones in all that sounds. 20 dB of signal to noise are 0.99 of it. With 0.75 a
steady voice of 235 Hz is an A: its second harmonic passes for dial tone, third and seventh stay."""
_LOOKS_ON = 4
"""Looks in turn that make a digit: 40 ms always do, 20 ms never."""
_LOOKS_OFF = 8
"""Looks without it that end a digit: a gap of 20 ms has fewer, one of 40 ms has more."""
_DIAL_TONE_BINS = range(5, 12)
"""250 to 550 Hz."""
_FULL = _WINDOW / 2
"""Sum of the window."""
_SQUARES = _WINDOW * 3 / 8
"""Sum of its squares."""


@lru_cache(maxsize=1)
def _tables() -> tuple[Any, list[tuple[Any, Any]], list[tuple[Any, Any]]]:
    """The window, cosine and sine of each frequency, and of the bins that dial tone is in."""
    ffi, _ = library()
    turns = [2.0 * math.pi * at / RATE_HZ for at in range(_WINDOW)]
    window = [0.5 - 0.5 * math.cos(2.0 * math.pi * at / _WINDOW) for at in range(_WINDOW)]

    def waves(hz: float) -> tuple[Any, Any]:
        cosine = ffi.new("float[]", [math.cos(turn * hz) for turn in turns])
        return cosine, ffi.new("float[]", [-math.sin(turn * hz) for turn in turns])

    tones = [waves(hz) for hz in (*LOW_HZ, *HIGH_HZ)]
    return ffi.new("float[]", window), tones, [waves(at * _BIN_HZ) for at in _DIAL_TONE_BINS]


_LEAST_ENERGY = peak_of(_LEAST_DBM0) ** 2 / 2 * _SQUARES
_TWIST = 10.0 ** (_TWIST_DB / 10)


class DtmfReceiver:
    """Hears digits in audio.

    Raises:
        LineFault: libspandsp is not installed.
    """

    def __init__(self) -> None:
        self._ffi, self._lib = library()
        self._window, self._tones, self._dial_tone = _tables()
        self._past = array("f", bytes(4 * (_WINDOW - _HOP)))
        self._seen = self._ffi.new("float[]", _WINDOW)
        self._before: list[complex] | None = None
        """The last look, if there was anything to see."""
        self._candidate = ""
        self._looks = 0
        self._digit = ""
        self._missing = 0

    @property
    def maybe(self) -> bool:
        """True while a digit sounds, or what may turn out to be one."""
        return bool(self._digit or self._candidate)

    def hear(self, frame: bytes) -> str:
        """Take one frame; the digits that began in it, each once however long it lasts."""
        samples = self._past + array("f", array("h", frame))
        self._past = samples[FRAME_SAMPLES:]
        audio = self._ffi.from_buffer("float[]", samples)
        return "".join(self._judge(self._look(audio + at)) for at in range(0, FRAME_SAMPLES, _HOP))

    def _judge(self, digit: str) -> str:
        """Count looks; a digit when it has begun."""
        if digit and digit == self._digit:
            self._missing = 0
            self._candidate = ""
            return ""
        if self._digit:
            self._missing += 1
            if self._missing >= _LOOKS_OFF:
                self._digit = ""
        self._looks = self._looks + 1 if digit == self._candidate else 1
        self._candidate = digit
        if not digit or self._looks < _LOOKS_ON:
            return ""
        self._digit, self._candidate, self._missing = digit, "", 0
        return digit

    def _look(self, audio: Any) -> str:
        """The digit that the last 20 ms and those before sound like, or none."""
        dot = self._lib.vec_dot_prodf
        self._lib.vec_mulf(self._seen, audio, self._window, _WINDOW)
        seen = self._seen
        energy = dot(seen, seen, _WINDOW)
        if energy < _LEAST_ENERGY:
            self._before = None
            return ""
        now = [
            complex(dot(seen, cosine, _WINDOW), dot(seen, sine, _WINDOW))
            for cosine, sine in self._tones
        ]
        before, self._before = self._before, now
        if before is None:
            return ""
        powers = [one.real * one.real + one.imag * one.imag for one in now]
        row = max(range(4), key=powers.__getitem__)
        column = max(range(4, 8), key=powers.__getitem__)
        low = _tone(LOW_HZ[row], now[row], before[row])
        high = _tone(HIGH_HZ[column - 4], now[column], before[column])
        if min(low, high) < _LEAST_ENERGY or not low < _TWIST * high < _TWIST * _TWIST * low:
            return ""
        wanted = (low + high) / _PURE
        if energy > wanted and energy - self._dial_tone_energy() > wanted:
            return ""
        return _KEYS[4 * row + column - 4]

    def _dial_tone_energy(self) -> float:
        dot, seen = self._lib.vec_dot_prodf, self._seen
        total = 0.0
        for cosine, sine in self._dial_tone:
            total += dot(seen, cosine, _WINDOW) ** 2 + dot(seen, sine, _WINDOW) ** 2
        return total * 2 / _WINDOW


def _tone(hz: int, now: complex, before: complex) -> float:
    """Energy in the window of a tone near `hz`, from two looks; 0 if it is too far off."""
    expected = 2.0 * math.pi * hz * _HOP / RATE_HZ
    turn = now * before.conjugate() * complex(math.cos(expected), -math.sin(expected))
    off_hz = math.atan2(turn.imag, turn.real) * RATE_HZ / (2.0 * math.pi * _HOP)
    if abs(off_hz) > _OFF_SHARE * hz + _OFF_HZ:
        return 0.0
    # The window's transform is lower beside its centre.
    at = off_hz / _BIN_HZ
    droop = 1.0 if abs(at) < 1e-6 else math.sin(math.pi * at) / (math.pi * at * (1 - at * at))
    peak = 2.0 * abs(now) / (_FULL * droop)
    return peak * peak / 2 * _SQUARES
