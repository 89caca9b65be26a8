"""Whose audio goes where: the handset and its legs, and pairs of legs that have left it.

A leg hears the sum of all others in its call, not itself. Frames are 20 ms, 16-bit linear; sums are
clipped.
"""

from __future__ import annotations

from collections.abc import Iterable

from firmware.legs import AudioCommand, Connect, Part, SendDigit
from firmware.ua.base import UserAgent
from hal.dsp.levels import amplify, mix
from hal.dsp.tones import Tone, ToneGenerator
from hal.values import FRAME_MS, SILENCE

_MOST_FRAMES_A_TURN = 5


class Mixer:
    """Joins one line's legs.

    Args:
        ringback: what a leg hears whose other end is still being called.
        gain_db: of what the handset says, and of what it hears.
    """

    def __init__(
        self, agent: UserAgent, ringback: Tone, gain_db: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        self.connected: tuple[str, ...] = ()
        """The legs that the handset is joined to."""
        self._agent = agent
        self._ringback = ringback
        self._transmit_db, self._receive_db = gain_db
        self._pairs: dict[tuple[str, str], ToneGenerator | None] = {}
        self._next_ms = 0.0

    def carry_out(self, command: AudioCommand, now_ms: float) -> None:
        """Join or part legs."""
        if isinstance(command, Connect):
            self.connected = command.legs
            return
        pair = command.first, command.second
        if isinstance(command, Part):
            self._pairs.pop(pair, None)
            return
        if not self._pairs:
            self._next_ms = now_ms + FRAME_MS
        self._pairs[pair] = ToneGenerator(self._ringback) if command.ringback else None

    @property
    def deadline_ms(self) -> float | None:
        """When `run` has a frame to pass on."""
        return self._next_ms if self._pairs else None

    def keeps_digits_out(self) -> bool:
        """True if digits of the handset travel as events on some leg, so not in the audio."""
        return any(self._agent.digits_out_of_band(leg) for leg in self.connected)

    def exchange(self, mouth: bytes) -> bytes | None:
        """Pass on one frame of the handset; what its ear hears, or None for nothing (yet)."""
        legs = self.connected
        if not legs:
            return None
        mouth = amplify(mouth, self._transmit_db)
        heard = self._exchange(legs, mouth)
        return amplify(heard, self._receive_db) if heard is not None else None

    def _exchange(self, legs: tuple[str, ...], mouth: bytes) -> bytes | None:
        if len(legs) == 1:
            self._agent.speak(legs[0], mouth)
            return self._agent.hear(legs[0])
        far = [self._agent.hear(leg) for leg in legs]
        for place, leg in enumerate(legs):
            others = (one for at, one in enumerate(far) if at != place)
            self._agent.speak(leg, _sum((mouth, *others)) or SILENCE)
        return _sum(far)

    def run(self, now_ms: float) -> None:
        """Pass on what pairs say to each other; call when `deadline_ms` has come."""
        turns = 0
        while self._pairs and now_ms >= self._next_ms:
            self._next_ms += FRAME_MS
            turns += 1
            if turns > _MOST_FRAMES_A_TURN:  # a device that slept has missed its frames
                self._next_ms = now_ms + FRAME_MS
            for (first, second), ringback in self._pairs.items():
                there, back = self._agent.hear(first), self._agent.hear(second)
                if ringback is not None:
                    back = ringback.frame()
                self._agent.speak(first, back or SILENCE)
                self._agent.speak(second, there or SILENCE)

    def far_digit(self, leg: str, digit: str) -> bool:
        """A leg has sent a digit: the others get it, too. True if the handset is to hear it."""
        for pair in self._pairs:
            for one, other in (pair, pair[::-1]):
                if one == leg:
                    self._agent.carry_out(SendDigit(other, digit, False))
        if leg not in self.connected:
            return False
        for other in self.connected:
            if other != leg:
                self._agent.carry_out(SendDigit(other, digit, False))
        return True


def _sum(frames: Iterable[bytes | None]) -> bytes | None:
    total: bytes | None = None
    for frame in frames:
        if frame is not None and frame != SILENCE:
            total = frame if total is None else mix(total, frame)
    return total
