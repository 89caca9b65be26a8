"""Nonces that need no memory, and a bounded guard against replay (RFC 7616, 3.3, 3.4 and 5.5)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

_MAC_OCTETS = 16


class NonceFactory:
    """Makes nonces that prove their own age and source: time, count, keyed BLAKE2 of all of it.

    `secret` is at least 16 random octets. Nothing is kept a nonce, so challenges to strangers
    cost no memory; the count only makes nonces of one instant differ.
    """

    __slots__ = ("_count", "_secret")

    def __init__(self, secret: bytes) -> None:
        assert len(secret) >= 16, "a secret of fewer than 128 bits"
        self._secret = secret[: hashlib.blake2s.MAX_KEY_SIZE]
        self._count = 0

    def make(self, now_s: float, source: str) -> str:
        """A nonce for `source` (an address, say), made at `now_s` seconds of any steady clock."""
        self._count = (self._count + 1) & 0xFFFFFFFF
        head = f"{int(now_s * 1000):x}-{self._count:x}"
        return f"{head}-{self._mac(head, source)}"

    def check(
        self, nonce: str, now_s: float, source: str, max_age_s: float
    ) -> Literal["ok", "stale", "bad"]:
        """`bad`: not ours or not for this source; `stale`: ours, but too old (or of the future)."""
        head, _, mac = nonce.rpartition("-")
        if not hmac.compare_digest(
            self._mac(head, source).encode(), mac.encode("utf-8", "surrogateescape")
        ):
            return "bad"
        age_s = now_s - int(head.partition("-")[0], 16) / 1000
        return "ok" if -1 <= age_s <= max_age_s else "stale"

    def _mac(self, head: str, source: str) -> str:
        data = f"{head}\n{source}".encode("utf-8", "surrogateescape")
        # A keyed BLAKE2s (RFC 7693) is a MAC by itself, and a tenth of the cost of an HMAC.
        return hashlib.blake2s(data, digest_size=_MAC_OCTETS, key=self._secret).hexdigest()
