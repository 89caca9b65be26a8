"""Authentication by challenge (RFC 5456, 8.6.14 to 8.6.16): MD5 alone, never plain or RSA."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from firmware.wire.iax2.hashes import compare_digest, md5

AUTH_PLAIN = 1
AUTH_MD5 = 2
AUTH_RSA = 4
ENCRYPT_AES128 = 1

Encryption = Literal["no", "offer", "require"]
Purpose = Literal["call", "register"]

CHALLENGE_CHARACTERS = 16
MIN_CHALLENGE_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to a peer that we call."""

    username: str
    password: str
    encryption: Encryption = "no"
    """Whether the call is to be encrypted; needs a `Crypto` in the endpoint."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a peer that calls or registers has to show."""

    method: Literal["md5", "address", "refuse"]
    secret: str = ""
    """Of MD5. For names that nobody has, a random one, so that the answers are the same."""
    token: Literal["yes", "no", "auto"] = "yes"
    """Call tokens: always; never asked for; or once the peer has used one."""
    encryption: Encryption = "no"
    trunk: bool = False
    """Send it voice in trunk frames."""
    max_unauthenticated: int | None = None
    """Outstanding authentications of this user; None: as the endpoint is set."""


class Authority(Protocol):
    """The server's knowledge of users. Calls return at once."""

    def access(self, username: str, address: tuple[str, int], purpose: Purpose) -> Access:
        """What this user has to show from this address."""

    def failed(self, username: str, address: tuple[str, int], now: float) -> None:
        """Wrong credentials were shown."""

    def refresh(self, username: str, asked_s: int) -> int:
        """How long a registration shall last, seconds; asked for 0 where nothing was asked."""

    def messages(self, username: str) -> tuple[int, int] | None:
        """New and old messages waiting, None without a mailbox."""


def make_challenge(random: Callable[[int], bytes], characters: int) -> str:
    """A random text of so many characters, 6 bits each."""
    return b2a_base64(random(characters))[:characters].decode()


def response(challenge: str, secret: str) -> str:
    """MD5 RESULT: hexadecimal, of challenge and secret (RFC 5456, 8.6.16).

    >>> response("1234", "secret")
    '10b168cd4f742410888c3c110f7a7e71'
    """
    return key(challenge, secret).hex()


def key(challenge: str, secret: str) -> bytes:
    """The AES-128 key of a call: the digest that MD5 RESULT shows."""
    text = (challenge + secret).encode("utf-8", "surrogateescape")
    return md5(text, usedforsecurity=False).digest()


def verify(challenge: str, secret: str, result: str) -> bool:
    """Whether the peer knows the secret."""
    shown = result.lower().encode("utf-8", "surrogateescape")
    return compare_digest(response(challenge, secret).encode(), shown)
