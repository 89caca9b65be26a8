"""What is kept of API passwords and tokens: enough to know them again, not to say them."""

from __future__ import annotations

import hashlib
import hmac

_N, _R, _P = 1 << 14, 8, 1
"""Cost of scrypt (RFC 7914): 16 MB and some 40 ms a try."""
_SALT = 16
_NOBODY = "scrypt$" + "00" * _SALT + "$" + "00" * 32
"""Stands for a password that nobody has, so that unknown names take the same time."""


def hashed(password: str, salt: bytes) -> str:
    """What is kept of a password; `salt` is random, 16 octets."""
    assert len(salt) == _SALT
    return f"scrypt${salt.hex()}${_scrypt(password, salt).hex()}"


def is_right(password: str, kept: str) -> bool:
    """True when this password was kept; with nothing kept it takes the same time and is False."""
    _, salt, digest = (kept or _NOBODY).split("$")
    same = hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)), bytes.fromhex(digest))
    return same and bool(kept)


def token_digest(token: str) -> str:
    """What is kept of a token, which is random and long: a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def _scrypt(password: str, salt: bytes) -> bytes:
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=_N, r=_R, p=_P, dklen=32)
