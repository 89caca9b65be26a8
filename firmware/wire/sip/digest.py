"""Digest authentication (RFC 7616, RFC 8760 in SIP; RFC 2617 and 2069 for old peers).

Secrets, nonces' time and client nonces are passed in. Nothing here tells a known user from an
unknown one by its time: callers pass the HA1 of nobody for users that do not exist.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.nonce import NonceFactory
from firmware.wire.sip.params import is_token, quote_string, unquote_string

__all__ = [
    "Challenge",
    "Credentials",
    "NonceFactory",
    "challenge",
    "digest_hash",
    "ha1",
    "parse_authorization",
    "parse_challenge",
    "respond",
    "verify",
]

_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
_NAMES = {
    f"{name}{suffix}".lower(): f"{name}{suffix}" for name in _HASHES for suffix in ("", "-sess")
}
MAX_PARAMS = 32
"""More parameters than any Digest has."""


def digest_hash(algorithm: str, data: bytes) -> str:
    """Hex hash of `data`; a `-sess` algorithm has the hash of its base (RFC 7616, 3.2)."""
    name = _HASHES[algorithm.removesuffix("-sess")]
    if name == "sha256":
        return hashlib.sha256(data).hexdigest()
    if name == "md5":
        return hashlib.md5(data, usedforsecurity=False).hexdigest()
    return hashlib.new(name, data, usedforsecurity=False).hexdigest()


def ha1(username: str, realm: str, password: str, algorithm: str) -> str:
    """H(username:realm:password), hex: what a server stores (RFC 7616, 3.4.2)."""
    return digest_hash(algorithm, f"{username}:{realm}:{password}".encode())


class Credentials(NamedTuple):
    """The value of Authorization or Proxy-Authorization."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str = "MD5"
    """In the registered spelling; as written if it is none that we know."""
    cnonce: str = ""
    qop: str = ""
    """Empty: the peer is of RFC 2069."""
    nc: int = 0
    opaque: str = ""


class Challenge(NamedTuple):
    """The value of WWW-Authenticate or Proxy-Authenticate."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    opaque: str = ""
    stale: bool = False


def _parse_fields(value: str) -> dict[str, str]:
    """Parameters of a Digest header value by lower-case name, unquoted."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        raise SipPeerError(400, "Not a Digest")
    fields = _plain_fields(rest)
    if fields is not None:
        return fields
    fields = {}
    position, end = 0, len(rest)
    while position < end:
        equals = rest.find("=", position)
        if equals < 0:
            raise SipPeerError(400, "Malformed Digest")
        name = rest[position:equals].strip().lower()
        position = equals + 1
        while rest[position : position + 1] in (" ", "\t"):
            position += 1
        if rest[position : position + 1] == '"':
            close = _closing_quote(rest, position)
            text = unquote_string(rest[position : close + 1])
            comma = rest.find(",", close)
            if rest[close + 1 : comma if comma >= 0 else end].strip():
                raise SipPeerError(400, "Malformed Digest")
        else:
            comma = rest.find(",", position)
            text = rest[position : comma if comma >= 0 else end].strip()
        if not is_token(name) or name in fields or len(fields) >= MAX_PARAMS:
            raise SipPeerError(400, "Malformed Digest")
        fields[name] = text
        if comma < 0:
            break
        position = comma + 1
    return fields


_PLAIN = r'\s*([A-Za-z]+)=(?:"([^"\\]*)"|([A-Za-z0-9._+-]+))\s*'
"""One parameter as nearly all clients write it: no escapes, no odd blanks."""
_ONE_PLAIN = re.compile(_PLAIN)
_ALL_PLAIN = re.compile(f"(?:{_PLAIN},)*{_PLAIN}")


def _plain_fields(text: str) -> dict[str, str] | None:
    """The parameters when all are plain and differ; None where the whole grammar is needed."""
    if _ALL_PLAIN.fullmatch(text) is None:
        return None
    found = _ONE_PLAIN.findall(text)
    fields = {name.lower(): token or quoted for name, quoted, token in found}
    return fields if len(fields) == len(found) <= MAX_PARAMS else None


def _closing_quote(text: str, opening: int) -> int:
    position = text.find('"', opening + 1)
    while position > 0:
        content = text[opening + 1 : position]
        if (len(content) - len(content.rstrip("\\"))) % 2 == 0:
            return position
        position = text.find('"', position + 1)
    raise SipPeerError(400, "Quoted string left open")


def parse_authorization(value: str) -> Credentials:
    """Parse the value of Authorization or Proxy-Authorization (RFC 7616, 3.4).

    `username*` is decoded (RFC 5987).

    Raises:
        SipPeerError: not Digest, malformed, or a required parameter is missing (400).
    """
    fields = _parse_fields(value)
    username = fields.get("username")
    extended = fields.get("username*")
    if extended is not None:
        charset, _, rest = extended.partition("'")
        _, quote, encoded = rest.partition("'")
        if username is not None or charset.lower() != "utf-8" or not quote:
            raise SipPeerError(400, "Malformed username")
        try:
            username = unquote(encoded, errors="strict")
        except UnicodeDecodeError as error:
            raise SipPeerError(400, "Malformed username") from error
    nc = fields.get("nc", "0")
    if len(nc) > 8 or nc.strip("0123456789abcdefABCDEF") or not nc:
        raise SipPeerError(400, "Malformed nonce count")
    qop = fields.get("qop", "").lower()
    if qop and ("cnonce" not in fields or "nc" not in fields):
        raise SipPeerError(400, "Digest without nc or cnonce")
    algorithm = fields.get("algorithm", "MD5")
    try:
        return Credentials(
            username=username if username is not None else fields["username"],
            realm=fields["realm"],
            nonce=fields["nonce"],
            uri=fields["uri"],
            response=fields["response"].lower(),
            algorithm=_NAMES.get(algorithm.lower(), algorithm),
            cnonce=fields.get("cnonce", ""),
            qop=qop,
            nc=int(nc, 16),
            opaque=fields.get("opaque", ""),
        )
    except KeyError as error:
        raise SipPeerError(400, f"Digest without {error.args[0]}") from error


def parse_challenge(value: str) -> Challenge:
    """Parse the value of WWW-Authenticate or Proxy-Authenticate (RFC 7616, 3.3).

    Raises:
        SipPeerError: not Digest, malformed, or without realm or nonce (400).
    """
    fields = _parse_fields(value)
    if "realm" not in fields or "nonce" not in fields:
        raise SipPeerError(400, "Challenge without realm or nonce")
    algorithm = fields.get("algorithm", "MD5")
    return Challenge(
        realm=fields["realm"],
        nonce=fields["nonce"],
        algorithm=_NAMES.get(algorithm.lower(), algorithm),
        qop=tuple([part.strip().lower() for part in fields.get("qop", "").split(",") if part]),
        opaque=fields.get("opaque", ""),
        stale=fields.get("stale", "").lower() == "true",
    )


def challenge(
    realm: str,
    nonce: str,
    algorithms: Iterable[str],
    stale: bool = False,
    opaque: str = "",
    qop: str = "auth",
) -> list[str]:
    """One header value an algorithm, in the order given: the strongest first (RFC 8760, 2.4)."""
    tail = f", opaque={quote_string(opaque)}" if opaque else ""
    tail += ", stale=true" if stale else ""
    tail += f', qop="{qop}"' if qop else ""
    head = f"Digest realm={quote_string(realm)}, nonce={quote_string(nonce)}"
    return [f"{head}, algorithm={algorithm}{tail}" for algorithm in algorithms]


def _response(
    secret: str,
    algorithm: str,
    *,
    method: str,
    uri: str,
    nonce: str,
    cnonce: str,
    nc: int,
    qop: str,
    body: bytes,
) -> str:
    """The response of RFC 7616, 3.4.1, or of RFC 2069 when qop is empty. `secret` is the HA1."""
    if algorithm.endswith("-sess"):
        secret = digest_hash(algorithm, _octets(f"{secret}:{nonce}:{cnonce}"))
    a2 = f"{method}:{uri}"
    if qop == "auth-int":
        a2 += f":{digest_hash(algorithm, body)}"
    h2 = digest_hash(algorithm, _octets(a2))
    middle = f"{nc:08x}:{cnonce}:{qop}:" if qop else ""
    return digest_hash(algorithm, _octets(f"{secret}:{nonce}:{middle}{h2}"))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def verify(
    credentials: Credentials,
    method: str,
    ha1_by_algorithm: Mapping[str, str],
    body: bytes = b"",
    *,
    allow_no_qop: bool = False,
) -> bool:
    """Whether the response is right, in a time that does not depend on the HA1.

    `ha1_by_algorithm` maps base algorithms (`MD5`, `SHA-256`) to HA1s; an algorithm that is not
    in it fails. Nonce, nonce count and realm are the caller's to check. `allow_no_qop` accepts
    RFC 2069 peers, whose answers can be replayed for as long as the nonce lives.
    """
    algorithm = credentials.algorithm
    secret = ha1_by_algorithm.get(algorithm.removesuffix("-sess"))
    if secret is None or algorithm.lower() not in _NAMES:
        return False
    if credentials.qop not in ("auth", "auth-int") and (credentials.qop or not allow_no_qop):
        return False
    expected = _response(
        secret,
        algorithm,
        method=method,
        uri=credentials.uri,
        nonce=credentials.nonce,
        cnonce=credentials.cnonce,
        nc=credentials.nc,
        qop=credentials.qop,
        body=body,
    )
    return hmac.compare_digest(expected.encode(), _octets(credentials.response))


def respond(
    challenge_header_values: Sequence[str],
    *,
    username: str,
    password: str,
    method: str,
    uri: str,
    cnonce: str,
    nc: int,
    body: bytes = b"",
) -> str | None:
    """The Authorization value for the first challenge that we support (RFC 8760, 2.4).

    None if there is none: another scheme, algorithm or quality of protection. Malformed
    challenges are passed over.
    """
    for value in challenge_header_values:
        try:
            offered = parse_challenge(value)
        except SipPeerError:
            continue
        if offered.algorithm.lower() not in _NAMES:
            continue
        if offered.qop and "auth" not in offered.qop and "auth-int" not in offered.qop:
            continue
        qop = "" if not offered.qop else "auth" if "auth" in offered.qop else "auth-int"
        response = _response(
            ha1(username, offered.realm, password, offered.algorithm),
            offered.algorithm,
            method=method,
            uri=uri,
            nonce=offered.nonce,
            cnonce=cnonce,
            nc=nc,
            qop=qop,
            body=body,
        )
        parts = [
            f"Digest username={quote_string(username)}",
            f"realm={quote_string(offered.realm)}",
            f"nonce={quote_string(offered.nonce)}",
            f"uri={quote_string(uri)}",
            f'response="{response}"',
            f"algorithm={offered.algorithm}",
        ]
        if qop or offered.algorithm.endswith("-sess"):
            parts.append(f"cnonce={quote_string(cnonce)}")
        if qop:
            parts += [f"qop={qop}", f"nc={nc:08x}"]
        if offered.opaque:
            parts.append(f"opaque={quote_string(offered.opaque)}")
        return ", ".join(parts)
    return None
