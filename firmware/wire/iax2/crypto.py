"""Encryption of a call's frames, as chan_iax2 does it (RFC 5456, 10, leaves the details out).

AES-128 in CBC mode with a zero vector, begun anew for each frame; call numbers stay in clear.
Before the plain text stand 16 to 31 random octets, so many that the whole is of whole blocks; the
low half of the 16th tells how many more than 16. There is no integrity check: a wrong key or a
forged frame shows by its content making no sense.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from firmware.wire.iax2.frames import Iax2PeerError


class Crypto(Protocol):
    """AES-128-CBC, zero vector, no padding; data of whole 16-octet blocks."""

    def encrypt(self, key: bytes, data: bytes) -> bytes:
        """Cipher text of the same length."""

    def decrypt(self, key: bytes, data: bytes) -> bytes:
        """Plain text of the same length."""


class FrameCipher:
    """One call's key."""

    __slots__ = ("_crypto", "_key", "_random")

    def __init__(self, crypto: Crypto, key: bytes, random: Callable[[int], bytes]) -> None:
        assert len(key) == 16, "no key of AES-128"
        self._crypto = crypto
        self._key = key
        self._random = random

    def seal(self, frame: bytes, clear: int) -> bytes:
        """Encrypt all but the first `clear` octets: 4 of a full frame, 2 of a mini frame."""
        extra = -(len(frame) - clear) % 16
        padding = bytearray(self._random(16 + extra))
        padding[15] = padding[15] & 0xF0 | extra
        plain = bytes(padding) + frame[clear:]
        return frame[:clear] + self._crypto.encrypt(self._key, plain)

    def open(self, frame: bytes, clear: int) -> bytes:
        """Decrypt.

        Raises:
            Iax2PeerError: no whole blocks, or less than a header in them.
        """
        size = len(frame) - clear
        if size < 32 or size % 16:
            raise Iax2PeerError("not an encrypted frame")
        plain = self._crypto.decrypt(self._key, frame[clear:])
        start = 16 + (plain[15] & 0x0F)
        if size - start < (8 if clear == 4 else 2):
            raise Iax2PeerError("an encrypted frame without a header")
        return frame[:clear] + plain[start:]
