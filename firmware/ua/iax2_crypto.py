"""AES-128-CBC for encrypted calls; the one place that needs the package `cryptography`."""

from __future__ import annotations

from firmware.ua.base import AgentError

_NO_IV = bytes(16)


class AesCbc:
    """`firmware.wire.iax2.Crypto`.

    Raises:
        AgentError: the package is not installed.
    """

    def __init__(self) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers import Cipher
            from cryptography.hazmat.primitives.ciphers.algorithms import AES
            from cryptography.hazmat.primitives.ciphers.modes import CBC
        except ImportError:
            raise AgentError(
                "encryption of IAX2 calls needs the package `cryptography`; install it with "
                "`pip install 'loopstart[encryption]'`, or write `encryption = \"no\"` in [iax2]"
            ) from None

        def cipher(key: bytes) -> Cipher[CBC]:
            return Cipher(AES(key), CBC(_NO_IV))

        self._cipher = cipher

    def encrypt(self, key: bytes, data: bytes) -> bytes:
        """Encrypt whole blocks of 16 octets."""
        context = self._cipher(key).encryptor()
        return bytes(context.update(data) + context.finalize())

    def decrypt(self, key: bytes, data: bytes) -> bytes:
        """Decrypt whole blocks of 16 octets."""
        context = self._cipher(key).decryptor()
        return bytes(context.update(data) + context.finalize())
