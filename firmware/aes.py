"""AES-128 for encrypted IAX2 calls, of device and host: the one place that needs `cryptography`.

Imported only where encryption is configured; `firmware.wire.iax2` has it passed in.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_VECTOR = modes.CBC(bytes(16))


class AesCbc:
    """Implements `firmware.wire.iax2.Crypto`: CBC, zero vector, no padding."""

    def encrypt(self, key: bytes, data: bytes) -> bytes:
        """Encrypt whole blocks of 16 octets."""
        return bytes(Cipher(algorithms.AES(key), _VECTOR).encryptor().update(data))

    def decrypt(self, key: bytes, data: bytes) -> bytes:
        """Decrypt whole blocks of 16 octets."""
        return bytes(Cipher(algorithms.AES(key), _VECTOR).decryptor().update(data))
