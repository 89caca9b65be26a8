"""AES-128 for encrypted calls; imported only where encryption is configured."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_VECTOR = modes.CBC(bytes(16))


class AesCbc:
    """Implements `firmware.wire.iax2.Crypto`: CBC, zero vector, no padding."""

    def encrypt(self, key: bytes, data: bytes) -> bytes:
        return bytes(Cipher(algorithms.AES(key), _VECTOR).encryptor().update(data))

    def decrypt(self, key: bytes, data: bytes) -> bytes:
        return bytes(Cipher(algorithms.AES(key), _VECTOR).decryptor().update(data))
