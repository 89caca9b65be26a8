"""URIs, addresses and Via values (RFC 3261, 19.1, 20.10 and 20.42; RFC 3966).

Parsing is cached: a dialog repeats the same few strings in every message. What no cache can know,
tags and branches, has a short way for the form that nearly all peers write. Values are named
tuples, which cost a third of a frozen dataclass to make.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.params import (
    ALNUM,
    TOKEN,
    Params,
    cached,
    find_param,
    format_params,
    is_token,
    parse_params,
    quote_string,
    set_param,
    split_host_port,
    unquote_string,
)

_USER_SAFE = "-_.!~*'()&=+$,;?/"
_PASSWORD_SAFE = "-_.!~*'()&=+$,"
_URI_ROUTABLE = ("sip", "sips", "tel")
_MUST_MATCH = ("transport", "user", "ttl", "method", "maddr")
_RPORT: tuple[str, None] = ("rport", None)
_TUPLE: Any = tuple.__new__
"""Makes a named tuple in half the time of calling it."""


class SipUri(NamedTuple):
    """A sip, sips or tel URI, or any other URI as it stands in a header field.

    For sip and sips every part has its own field. For tel, `user` is the number and `host` is
    empty. For any other scheme, `user` is all behind the colon. `*` (Contact) has scheme `*`.
    `user` and `password` are without escapes; `str()` escapes them again.
    """

    scheme: str
    user: str | None = None
    password: str | None = None
    host: str = ""
    """Lower case; an IPv6 address keeps its brackets."""
    port: int | None = None
    params: Params = ()
    headers: str = ""
    """What follows the question mark, as written."""

    def param(self, name: str) -> str | None:
        """Value of a parameter, "" if it has none, None if it is absent."""
        return find_param(self.params, name.lower())

    def with_param(self, name: str, value: str | None) -> SipUri:
        """The same URI with one parameter set."""
        return SipUri(
            self.scheme,
            self.user,
            self.password,
            self.host,
            self.port,
            set_param(self.params, name.lower(), value),
            self.headers,
        )

    @property
    def routable(self) -> bool:
        """Whether a SIP element may route to it: sip, sips or tel (else 416; RFC 3261, 8.2.2.1)."""
        return self.scheme in _URI_ROUTABLE

    def same_as(self, other: SipUri) -> bool:
        """Comparison of RFC 3261, 19.1.4, for bindings and loop checks."""
        if (self.scheme, self.user, self.password, self.host, self.port, self.headers) != (
            other.scheme,
            other.user,
            other.password,
            other.host,
            other.port,
            other.headers,
        ):
            return False
        mine, theirs = dict(self.params), dict(other.params)
        for name in {*mine, *theirs}:
            both = name in mine and name in theirs
            if not both and name in _MUST_MATCH:
                return False
            if both and (mine[name] or "").lower() != (theirs[name] or "").lower():
                return False
        return True

    def __str__(self) -> str:
        if self.scheme not in ("sip", "sips"):
            if self.scheme == "*":
                return "*"
            return f"{self.scheme}:{self.user or ''}{format_params(self.params)}"
        text = self.host if self.port is None else f"{self.host}:{self.port}"
        user = self.user
        if user is not None:
            if not user.isalnum() or not user.isascii():
                user = quote(user, safe=_USER_SAFE, errors="surrogateescape")
            if self.password is not None:
                password = quote(self.password, safe=_PASSWORD_SAFE, errors="surrogateescape")
                user = f"{user}:{password}"
            text = f"{user}@{text}"
        if self.params:
            text += format_params(self.params)
        if self.headers:
            text += "?" + self.headers
        return f"{self.scheme}:{text}"

    @staticmethod
    def parse(text: str) -> SipUri:
        """Parse a URI.

        Raises:
            SipPeerError: it is no URI, or a malformed sip, sips or tel URI (400).
        """
        return parse_uri(text)


@cached
def parse_uri(text: str) -> SipUri:
    """`SipUri.parse`."""
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or not rest or not scheme.isascii() or scheme.strip(ALNUM + "+-."):
        raise SipPeerError(400, "Malformed URI")
    if " " in text or "<" in text or ">" in text or '"' in text or not text.isprintable():
        raise SipPeerError(400, "Malformed URI")
    if scheme == "tel":
        number, semicolon, tail = rest.partition(";")
        if not number or number.strip("0123456789abcdefABCDEF+-.()*#"):
            raise SipPeerError(400, "Malformed telephone number")
        return SipUri("tel", number, None, "", None, parse_params(tail) if semicolon else ())
    if scheme not in ("sip", "sips"):
        return SipUri(scheme, rest)
    # Headers hold no @ unless escaped (25.1), so the first one ends the user part.
    user, at, host_part = rest.partition("@")
    if not at:
        name = password = None
    else:
        rest = host_part
        name, separator, secret = user.partition(":")
        if not name:
            raise SipPeerError(400, "Empty user part")
        if "%" in name:
            name = unquote(name, errors="surrogateescape")
        password = unquote(secret, errors="surrogateescape") if separator else None
    rest, _, headers = rest.partition("?")
    rest, semicolon, tail = rest.partition(";")
    host, port = split_host_port(rest)
    return SipUri(
        scheme, name, password, host, port, parse_params(tail) if semicolon else (), headers
    )


STAR = SipUri("*")
"""The URI of `Contact: *` (RFC 3261, 10.2.2)."""


class NameAddr(NamedTuple):
    """A display name, a URI and header parameters, as in From, To, Contact, Route."""

    display: str
    """Without quotes; empty if there is none."""
    uri: SipUri
    params: Params = ()
    """Parameters of the header field (tag, expires, q...), not of the URI."""

    @property
    def tag(self) -> str | None:
        """The dialog tag (RFC 3261, 19.3), None if there is none."""
        for name, value in self.params:
            if name == "tag":
                return value
        return None

    def param(self, name: str) -> str | None:
        """Value of a header parameter, "" if it has none, None if it is absent."""
        return find_param(self.params, name.lower())

    def with_param(self, name: str, value: str | None) -> NameAddr:
        """The same with one header parameter set."""
        return NameAddr(self.display, self.uri, set_param(self.params, name.lower(), value))

    def without_params(self) -> NameAddr:
        """The same without header parameters, as a dialog keeps it."""
        return NameAddr(self.display, self.uri)

    def __str__(self) -> str:
        text = f"<{self.uri}>" if self.uri.scheme != "*" else "*"
        if self.display:
            text = f"{quote_string(self.display)} {text}"
        return text + format_params(self.params) if self.params else text

    @staticmethod
    def parse(text: str) -> NameAddr:
        """Parse name-addr or addr-spec with header parameters.

        Raises:
            SipPeerError: it is neither (400).
        """
        return parse_name_addr(text)


@cached
def parse_name_addr(text: str) -> NameAddr:
    """`NameAddr.parse`."""
    # Tags change from call to call, names and URIs do not: those are remembered by themselves.
    end = text.rfind(">") + 1
    tail = text[end:]
    if tail[:5] == ";tag=" and end:
        # The common form: a token and nothing else, so that there is nothing to split.
        tag = tail[5:]
        if not tag.strip(TOKEN):
            display, uri, params = _parse_whole(text[:end])
            if not params:
                found: NameAddr = _TUPLE(NameAddr, (display, uri, (("tag", tag),)))
                return found
    tail = tail.strip()
    if not end or not tail or '"' in tail:
        return _parse_whole(text)
    if tail[0] != ";":
        raise SipPeerError(400, "Malformed address")
    base = _parse_whole(text[:end])
    if base.params:
        raise SipPeerError(400, "Malformed address")
    return NameAddr(base.display, base.uri, parse_params(tail[1:]))


_PLAIN = re.compile(r"<(sips?):([A-Za-z0-9_.+-]+)@([a-z0-9._-]+)(?::([0-9]{1,4}))?>", re.ASCII)
"""An address that needs none of the grammar: a user, a host and perhaps a port."""


@cached
def _parse_whole(text: str) -> NameAddr:
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        scheme, user, host, digits = plain.groups()
        port = None if digits is None else int(digits)
        uri: SipUri = _TUPLE(SipUri, (scheme, user, None, host, port, (), ""))
        found: NameAddr = _TUPLE(NameAddr, ("", uri, ()))
        return found
    return _parse_any(text.strip())


def _parse_any(text: str) -> NameAddr:
    """By the whole grammar."""
    if text[:1] == "<":
        display, rest = "", text[1:]
    elif text[:1] == '"':
        display, rest = _quoted_display(text)
    elif text == "*":
        return NameAddr("", STAR)
    else:
        display, bracket, rest = text.partition("<")
        display = display.strip()
        if not bracket:
            # Without angle brackets, parameters belong to the header (RFC 3261, 20).
            uri_text, semicolon, tail = text.partition(";")
            if "?" in uri_text or "," in uri_text:
                raise SipPeerError(400, "URI needs angle brackets")
            uri = SipUri.parse(uri_text.rstrip())
            return NameAddr("", uri, parse_params(tail) if semicolon else ())
        # display-name is *(token LWS); non-ASCII words are tolerated.
        if any(char in display for char in '",;:@()\\'):
            raise SipPeerError(400, "Malformed display name")
    uri_text, bracket, tail = rest.partition(">")
    if not bracket:
        raise SipPeerError(400, "Angle bracket left open")
    uri = SipUri.parse(uri_text.strip() if uri_text[:1] == " " else uri_text)
    tail = tail.strip()
    if not tail:
        return NameAddr(display, uri)
    if tail[0] != ";":
        raise SipPeerError(400, "Malformed address")
    return NameAddr(display, uri, parse_params(tail[1:]))


def _quoted_display(text: str) -> tuple[str, str]:
    """The display name and what follows the opening angle bracket."""
    end = text.find('"', 1)
    while end > 0:
        # A quote after an odd number of backslashes is escaped.
        before = text[1:end]
        if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
            break
        end = text.find('"', end + 1)
    if end < 0:
        raise SipPeerError(400, "Quoted string left open")
    rest = text[end + 1 :].lstrip()
    if rest[:1] != "<":
        raise SipPeerError(400, "Malformed address")
    return unquote_string(text[: end + 1]), rest[1:]


class Via(NamedTuple):
    """One hop of the path of a request (RFC 3261, 20.42; rport of RFC 3581)."""

    transport: str
    """Upper case: UDP, TCP, TLS..."""
    host: str
    port: int | None = None
    params: Params = ()

    @property
    def branch(self) -> str | None:
        """The transaction's identifier, None if there is none."""
        for name, value in self.params:
            if name == "branch":
                return value
        return None

    def param(self, name: str) -> str | None:
        """Value of a parameter, "" if it has none, None if it is absent."""
        return find_param(self.params, name.lower())

    def with_param(self, name: str, value: str | None) -> Via:
        """The same with one parameter set."""
        return Via(self.transport, self.host, self.port, set_param(self.params, name, value))

    @property
    def reply_to(self) -> tuple[str, int]:
        """Where a response over UDP goes: received and rport, else sent-by (RFC 3581, 4).

        An IPv6 host is without brackets; maddr is not followed (it lets strangers aim us).
        """
        host = (self.param("received") or self.host).strip("[]")
        rport = self.param("rport") or ""
        if rport.isdecimal() and rport.isascii() and 0 < int(rport[:6]) < 65536:
            return host, int(rport)
        return host, self.port or (5061 if self.transport == "TLS" else 5060)

    def __str__(self) -> str:
        sent_by = self.host if self.port is None else f"{self.host}:{self.port}"
        return f"SIP/2.0/{self.transport} {sent_by}{format_params(self.params)}"

    @staticmethod
    def parse(text: str) -> Via:
        """Parse one via-parm.

        Raises:
            SipPeerError: malformed (400), or of another version of SIP (505).
        """
        return parse_via(text)


def parse_via(text: str) -> Via:
    """`Via.parse`."""
    # Not cached as a whole: each transaction has a branch of its own.
    head, semicolon, tail = text.partition(";")
    transport, host, port = _parse_via_head(head)
    params: Params | None = None
    if tail[:7] == "branch=":
        # The common forms: a branch, with `rport` behind it or without.
        branch = tail[7:]
        if branch[-6:] == ";rport":
            branch = branch[:-6]
            if not branch.strip(TOKEN):
                params = ("branch", branch), _RPORT
        elif not branch.strip(TOKEN):
            params = (("branch", branch),)
    if params is None:
        params = parse_params(tail) if semicolon else ()
    via: Via = _TUPLE(Via, (transport, host, port, params))
    return via


@cached
def _parse_via_head(head: str) -> tuple[str, str, int | None]:
    """Transport, host and port of a Via, which all requests of a peer share."""
    if head[:8] == "SIP/2.0/":
        transport, _, sent_by = head[8:].partition(" ")
    else:
        name, _, rest = head.partition("/")
        version, _, rest = rest.partition("/")
        if name.strip().upper() != "SIP":
            raise SipPeerError(400, "Malformed Via")
        if version.strip() != "2.0":
            raise SipPeerError(505, "Version Not Supported")
        transport, _, sent_by = rest.strip().partition(" ")
    if not transport or transport.strip(TOKEN):
        transport, _, sent_by = head.rpartition("/")[2].strip().partition(" ")
        if not is_token(transport):
            raise SipPeerError(400, "Malformed Via")
    host, port = split_host_port(sent_by.strip())
    return transport.upper(), host, port
