"""Requests and responses (RFC 3261, 7): values, parsing on demand, serialising.

`parse` in `parser` reads them from octets; `response_to` makes the answer to a request.
"""

from __future__ import annotations

from typing import Any

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.headers import Headers, split_list
from firmware.wire.sip.params import is_token
from firmware.wire.sip.status import REASON_PHRASES, reason_phrase
from firmware.wire.sip.uri import NameAddr, SipUri, Via

_METHODS = frozenset(("INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "UPDATE", "INFO"))
"""The usual ones, which are known to be tokens."""

MAX_CSEQ = 2**31
"""CSeq numbers stay below it (RFC 3261, 8.1.1.5); a peer may write up to 2**32 - 1 (20.16)."""


def parse_cseq(value: str) -> tuple[int, str]:
    """Number and method of a CSeq value (RFC 3261, 20.16).

    Raises:
        SipPeerError: malformed, or a number of 2**32 or more (400).
    """
    number, _, method = value.partition(" ")
    if method in _METHODS and len(number) < 10 and number.isdecimal() and number.isascii():
        return int(number), method
    method = method.strip()
    if not number.isdecimal() or not number.isascii() or not is_token(method):
        raise SipPeerError(400, "Malformed CSeq")
    if len(number) > 10 or int(number) >= 2**32:
        raise SipPeerError(400, "CSeq number out of range")
    return int(number), method


class Message:
    """What requests and responses have in common.

    The accessors parse when first asked, remember, and forget when the header field is changed
    through `Headers`. They raise SipPeerError(400) when the field is absent or malformed.
    """

    __slots__ = ("body", "headers")

    def __init__(self, headers: Headers, body: bytes = b"") -> None:
        self.headers = headers
        self.body = body

    def _raw(self, name: str) -> str:
        values = self.headers.fields.get(name)
        if values is None:
            raise SipPeerError(400, f"Missing {name}")
        return values[0]

    @property
    def call_id(self) -> str:
        """The Call-ID as written."""
        values = self.headers.fields.get("Call-ID")
        if values is None:
            raise SipPeerError(400, "Missing Call-ID")
        return values[0]

    @property
    def cseq(self) -> tuple[int, str]:
        """Number and method."""
        parsed = self.headers.parsed
        value: tuple[int, str] | None = parsed.get("CSeq")
        if value is None:
            value = parsed["CSeq"] = parse_cseq(self._raw("CSeq"))
        return value

    @property
    def top_via(self) -> Via:
        """The first Via."""
        parsed = self.headers.parsed
        value: Via | None = parsed.get("Via")
        if value is None:
            raw = self._raw("Via")
            if "," in raw:
                raw = split_list(raw)[0]
            value = parsed["Via"] = Via.parse(raw)
        return value

    @property
    def from_(self) -> NameAddr:
        """The From field."""
        parsed = self.headers.parsed
        value: NameAddr | None = parsed.get("From")
        if value is None:
            value = parsed["From"] = NameAddr.parse(self._raw("From"))
        return value

    @property
    def to(self) -> NameAddr:
        """The To field."""
        parsed = self.headers.parsed
        value: NameAddr | None = parsed.get("To")
        if value is None:
            value = parsed["To"] = NameAddr.parse(self._raw("To"))
        return value

    @property
    def contacts(self) -> list[NameAddr]:
        """All Contact values, in order; `*` has the URI scheme `*`. Not to be changed."""
        parsed = self.headers.parsed
        value: list[NameAddr] | None = parsed.get("Contact")
        if value is None:
            fields = self.headers.fields.get("Contact", ())
            if len(fields) == 1 and "," not in fields[0]:
                value = [NameAddr.parse(fields[0])]
            else:
                value = [NameAddr.parse(part) for part in self.headers.get_all("Contact")]
            parsed["Contact"] = value
        return value

    def start_line(self) -> str:
        """The first line, without its line break."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """The message as it travels; Content-Length is written to fit the body (18.3)."""
        fields = self.headers.fields
        if "Content-Length" in fields:  # of a message that came in
            fields = {name: fields[name] for name in fields if name != "Content-Length"}
        lines = [f"{name}: {value}\r\n" for name, values in fields.items() for value in values]
        body = self.body
        text = f"{self.start_line()}\r\n{''.join(lines)}Content-Length: {len(body)}\r\n\r\n"
        return text.encode("utf-8", "surrogateescape") + body

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Message)
            and self.start_line() == other.start_line()
            and self.headers == other.headers
            and self.body == other.body
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.start_line()}>"


class Request(Message):
    """A request. `uri` is the Request-URI as written."""

    __slots__ = ("method", "uri")

    def __init__(
        self, method: str, uri: str, headers: Headers | None = None, body: bytes = b""
    ) -> None:
        self.method = method
        self.uri = uri
        self.headers = Headers() if headers is None else headers
        self.body = body

    @property
    def request_uri(self) -> SipUri:
        """The Request-URI.

        Raises:
            SipPeerError: malformed (400), or of a scheme that SIP does not route (416).
        """
        uri = SipUri.parse(self.uri)
        if not uri.routable:
            raise SipPeerError(416, "Unsupported URI Scheme", self)
        return uri

    def start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"

    def stamp(self, host: str, port: int) -> None:
        """Note in the top Via where the request came from (RFC 3261, 18.2.1; RFC 3581, 4).

        `received` is added where sent-by says otherwise or rport was asked for, `rport` is
        filled in where it was asked for.
        """
        via = self.top_via
        wants_rport = via.param("rport") is not None
        if not wants_rport and (via.host == host or via.host.strip("[]") == host.strip("[]")):
            return
        via = via.with_param("received", host.strip("[]"))
        if wants_rport:
            via = via.with_param("rport", str(port))
        values = self.headers.fields["Via"]
        # An element that is empty (a comma too many) says nothing and is not passed on.
        rest = [part for part in split_list(values[0])[1:] if part] if "," in values[0] else []
        values[0] = ", ".join([str(via), *rest])
        self.headers.parsed["Via"] = via

    def copy(self) -> Request:
        """A request that changes independently."""
        return Request(self.method, self.uri, self.headers.copy(), self.body)


class Response(Message):
    """A response."""

    __slots__ = ("reason", "status")

    def __init__(
        self, status: int, reason: str = "", headers: Headers | None = None, body: bytes = b""
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = Headers() if headers is None else headers
        self.body = body

    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    def copy(self) -> Response:
        """A response that changes independently."""
        return Response(self.status, self.reason, self.headers.copy(), self.body)


_COPIED = ("Via", "From", "To", "Call-ID", "CSeq")


def response_to(
    request: Request, status: int, reason: str | None = None, *, to_tag: str | None = None
) -> Response:
    """The answer to a request, as yet without Contact and body (RFC 3261, 8.2.6).

    Via, From, To, Call-ID and CSeq are copied. To gets `to_tag` unless it has a tag or the
    status is 100. Timestamp is copied into a 100, Record-Route into what may make a dialog
    (12.1.1: 101 to 299). Fields that a malformed request lacks are left out.
    """
    source = request.headers.fields
    fields = {name: source[name][:1] for name in _COPIED if name in source}
    if "Via" in fields:
        fields["Via"] = source["Via"].copy()
    if to_tag is not None and status > 100 and "To" in fields and request.to.tag is None:
        fields["To"] = [f"{source['To'][0]};tag={to_tag}"]
    if status == 100:
        if "Timestamp" in source:
            fields["Timestamp"] = source["Timestamp"].copy()
    elif status < 300 and "Record-Route" in source:
        fields["Record-Route"] = source["Record-Route"].copy()
    if reason is None:
        reason = REASON_PHRASES.get(status) or reason_phrase(status)
    return Response(status, reason, Headers.adopt(fields))


def error_response(error: SipPeerError, *, to_tag: str | None = None) -> Response | None:
    """What to answer to a request that could not be used; None if nothing can or may be said.

    An ACK is never answered (RFC 3261, 17), a response neither.
    """
    request: Any = error.request
    if request is None or request.method == "ACK" or "Via" not in request.headers:
        return None
    try:
        response = response_to(request, error.status, error.reason, to_tag=to_tag)
    except SipPeerError:  # a To that cannot be read gets no tag either
        response = response_to(request, error.status, error.reason)
    if error.status == 420:
        response.headers.set("Unsupported", ", ".join(request.headers.get_all("Require")))
    return response
