"""Tokens, quoted strings, parameters and hosts: what all header fields are made of (25.1).

Parsing is cached: a dialog repeats the same few strings in every message. The caches are bounded
in entries and in the length of what they keep, so that strangers cannot fill memory with them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from firmware.wire.sip.errors import SipPeerError

Params = tuple[tuple[str, str | None], ...]
"""Parameters in order; names in lower case, values as written (quotes kept), None if valueless."""

TOKEN = "abcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # RFC 3261, 25.1
ALNUM = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HOST = ALNUM + "-._"

CACHED_LENGTH = 256
"""Longer strings are parsed each time rather than kept."""
CACHE_SIZE = 1024

T = TypeVar("T")


def cached(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Remember the results of `parse` for short strings, at most `CACHE_SIZE` of them."""
    remembered = lru_cache(maxsize=CACHE_SIZE)(parse)

    def lookup(text: str) -> T:
        return remembered(text) if len(text) <= CACHED_LENGTH else parse(text)

    return lookup


def is_token(text: str) -> bool:
    """Whether `text` is a token of RFC 3261, 25.1."""
    return bool(text) and not text.strip(TOKEN)


def split_quoted(text: str, separator: str) -> list[str]:
    """Split at `separator`, but not within quoted strings or angle brackets.

    Raises:
        SipPeerError: a quoted string or an angle bracket is left open (400).
    """
    parts: list[str] = []
    start = 0
    quoted = bracketed = escaped = False
    for position, char in enumerate(text):
        if quoted:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
        elif char == "<":
            bracketed = True
        elif char == ">":
            bracketed = False
        elif char == separator and not bracketed:
            parts.append(text[start:position])
            start = position + 1
    if quoted or bracketed:
        raise SipPeerError(400, "Unbalanced quotes or brackets")
    parts.append(text[start:])
    return parts


def parse_params(text: str) -> Params:
    """Parse `name=value;name...` (RFC 3261, 25.1, generic-param), without the first semicolon.

    Raises:
        SipPeerError: an empty parameter, a name that is no token, blanks within a value (400).
    """
    params: list[tuple[str, str | None]] = []
    for part in text.split(";") if '"' not in text else split_quoted(text, ";"):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not name or name.strip(TOKEN):
            raise SipPeerError(400, "Malformed parameter")
        if not equals:
            params.append((name.lower(), None))
            continue
        if not value.strip(TOKEN):  # a token, which is what nearly all values are
            params.append((name.lower(), value))
            continue
        value = value.strip()
        if '"' in value:
            if len(value) < 2 or value[0] != '"' or value[-1] != '"':
                raise SipPeerError(400, "Malformed parameter value")
        elif " " in value or "\t" in value or "<" in value or ">" in value:
            raise SipPeerError(400, "Malformed parameter value")
        params.append((name.lower(), value))
    return tuple(params)


def format_params(params: Params) -> str:
    """Inverse of `parse_params`, each parameter led by its semicolon."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in params])


def unquote_string(text: str) -> str:
    """The content of a quoted string (RFC 3261, 25.1); anything else is given back unchanged."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    text = text[1:-1]
    if "\\" not in text:
        return text
    chars = iter(text)
    return "".join([next(chars, "") if char == "\\" else char for char in chars])


def quote_string(text: str) -> str:
    """`text` as a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def find_param(params: Params, name: str) -> str | None:
    """Value of the first parameter `name` (lower case), unquoted; "" if it has none, else None."""
    for key, value in params:
        if key == name:
            if value is None:
                return ""
            return unquote_string(value) if value[:1] == '"' else value
    return None


def set_param(params: Params, name: str, value: str | None) -> Params:
    """`params` with `name` set in its place, or added at the end."""
    if all(key != name for key, _ in params):
        return (*params, (name, value))
    return tuple((key, value if key == name else old) for key, old in params)


def split_host_port(text: str) -> tuple[str, int | None]:
    """Host in lower case (IPv6 in its brackets) and port of `host[:port]` (RFC 3261, 25.1).

    Raises:
        SipPeerError: no host, a character no host has, a port beyond 65535 (400).
    """
    if text[:1] == "[":
        host, bracket, rest = text.partition("]")
        if not bracket or host[1:].strip("0123456789abcdefABCDEF:.") or ":" not in host:
            raise SipPeerError(400, "Malformed IPv6 address")
        host = host.lower() + "]"
        rest = rest.strip()
        if not rest:
            return host, None
        if rest[0] != ":":
            raise SipPeerError(400, "Malformed host")
        port_text = rest[1:].strip()
    else:
        host, colon, port_text = text.partition(":")
        host = host.strip().lower()
        if not host or host.strip(_HOST):
            raise SipPeerError(400, "Malformed host")
        if not colon:
            return host, None
        port_text = port_text.strip()
    if not port_text.isdecimal() or not port_text.isascii() or len(port_text) > 5:
        raise SipPeerError(400, "Malformed port")
    port = int(port_text)
    if port > 65535:
        raise SipPeerError(400, "Malformed port")
    return host, port
