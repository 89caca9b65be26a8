"""AES-128-CBC with a zero vector, for tests: the host's and the device's own are tested there."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class Aes:
    """The `Crypto` of an endpoint."""

    def encrypt(self, key: bytes, data: bytes) -> bytes:
        context = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
        return context.update(data) + context.finalize()

    def decrypt(self, key: bytes, data: bytes) -> bytes:
        context = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).decryptor()
        return context.update(data) + context.finalize()
