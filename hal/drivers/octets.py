"""Octet order: ours is little-endian, the machine's may be the other."""

from __future__ import annotations

import sys
from array import array


def swapped(audio: bytes) -> bytes:
    """16-bit audio from our order to the machine's, and back."""
    if sys.byteorder == "little":
        return audio
    samples = array("h", audio)
    samples.byteswap()
    return samples.tobytes()
