"""Call tokens (AST-2009-006): a stranger proves that it hears us before we keep anything of it."""

from __future__ import annotations

from binascii import b2a_base64

from firmware.wire.iax2.hashes import blake2s, compare_digest

_SLOTS = 4


class TokenFactory:
    """Makes and checks tokens without keeping any: a keyed hash over address, port and time.

    A token is seven characters, 42 bits, so that the answer to the shortest sensible REGREQ is
    no longer than the REGREQ; it is text, since chan_iax2 handles tokens as such. It lives
    between three quarters of `life_s` and `life_s`. `secret` is at least 16 random octets.
    """

    __slots__ = ("_secret", "_slot_s")

    def __init__(self, secret: bytes, life_s: float) -> None:
        assert len(secret) >= 16, "a secret of fewer than 128 bits"
        self._secret = secret[: blake2s.MAX_KEY_SIZE]
        self._slot_s = life_s / _SLOTS

    def make(self, address: tuple[str, int], now: float) -> bytes:
        """The token of this address, now."""
        return self._mac(address, int(now // self._slot_s))

    def check(self, token: bytes, address: tuple[str, int], now: float) -> bool:
        """Whether the token is ours, for this address, and young enough."""
        slot = int(now // self._slot_s)
        valid = False
        for back in range(_SLOTS):
            valid |= compare_digest(self._mac(address, slot - back), token)
        return valid

    def _mac(self, address: tuple[str, int], slot: int) -> bytes:
        data = f"{address[0]}\n{address[1]}\n{slot}".encode()
        digest = blake2s(data, digest_size=6, key=self._secret).digest()
        return b2a_base64(digest)[:7]
