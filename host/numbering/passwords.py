"""What is kept of a password: the two HA1 of its realm (RFC 7616, 3.4.2), not the password, but
for accounts that use IAX2 (`host.numbering.iax2_access`)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

_ALPHABET = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without what is read for something else: 0 O, 1 l I i o."""


def ha1(username: str, realm: str, password: str) -> tuple[str, str]:
    """HA1 by MD5 and by SHA-256, hexadecimal."""
    secret = f"{username}:{realm}:{password}".encode()
    return (
        hashlib.md5(secret, usedforsecurity=False).hexdigest(),
        hashlib.sha256(secret).hexdigest(),
    )


def generate(random_octets: Callable[[int], bytes], length: int = 16) -> str:
    """Make a password of `length` characters; 16 have over 90 bits."""
    limit = 256 - 256 % len(_ALPHABET)
    made = ""
    while len(made) < length:
        # Octets over the limit are left out: the remainder would favour the first letters.
        made += "".join(
            _ALPHABET[octet % len(_ALPHABET)] for octet in random_octets(length) if octet < limit
        )
    return made[:length]
