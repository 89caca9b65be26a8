"""Loss concealment for who has no signal processing at hand: the last frame again, ever softer.

Audio is 16-bit linear, little-endian. After `FADED` frames it is silence.
"""

from __future__ import annotations

import sys
from array import array

_GAINS = (1.0, 0.7, 0.4, 0.2)
FADED = len(_GAINS)


class RepeatAndFade:
    """`firmware.wire.jitter.Concealment` in Python.

    Args:
        octets: of a frame, for silence before anything was heard.
    """

    def __init__(self, octets: int = 320) -> None:
        self._last = bytes(octets)
        self._lost = 0

    def heard(self, audio: bytes) -> bytes:
        """Take a good frame; it is left as it is."""
        self._last = audio
        self._lost = 0
        return audio

    def lost(self) -> bytes:
        """A frame in place of a lost one."""
        self._lost += 1
        if self._lost > FADED:
            return bytes(len(self._last))
        gain = _GAINS[self._lost - 1]
        if gain == 1.0:
            return self._last
        samples = array("h", self._last)
        if sys.byteorder == "big":
            samples.byteswap()
        softer = array("h", [int(sample * gain) for sample in samples])
        if sys.byteorder == "big":
            softer.byteswap()
        return softer.tobytes()
