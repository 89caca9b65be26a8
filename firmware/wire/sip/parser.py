"""SIP messages from octets: datagrams and streams (RFC 3261, 7, 16.3 and 18.3)."""

from __future__ import annotations

from dataclasses import dataclass

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.headers import KNOWN_NAMES, SINGLE, Headers, canonical
from firmware.wire.sip.model import Request, Response, parse_cseq
from firmware.wire.sip.params import TOKEN
from firmware.wire.sip.uri import parse_name_addr, parse_uri, parse_via


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message may measure. Beyond it, 413 or 400."""

    octets: int = 65_535
    header_fields: int = 128
    line_octets: int = 8_192
    """One header field, unfolded."""
    vias: int = 70
    """As many as Max-Forwards lets a request pass (RFC 3261, 8.1.1.6)."""


DEFAULT = Limits()


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A ping (CR LF CR LF) between messages of a stream (RFC 5626, 3.5.1): answer CR LF."""


_MANDATORY = ("Via", "From", "To", "Call-ID", "CSeq")


def parse(data: bytes, limits: Limits = DEFAULT) -> Request | Response:
    """One message from one datagram.

    Octets beyond Content-Length are dropped; a body that is short of it is an error (18.3).
    Line breaks of a keep-alive before the message are skipped (7.5).

    Raises:
        SipPeerError: the message cannot be used. `request` is set if it can be answered.
    """
    if len(data) > limits.octets:
        data = data[: limits.octets]
        oversize = True
    else:
        oversize = False
    if data[:2] == b"\r\n":
        data = data.lstrip(b"\r\n")
    end = data.find(b"\r\n\r\n")
    if end < 0:
        # Headers without their end are read, if they can be, to tell the sender.
        end = len(data)
        message = _read_head(data, limits)
        raise _failed(message, 413 if oversize else 400, "Message Cut Short")
    message = _read_head(data[:end], limits)
    try:
        _check(message, limits)
    except SipPeerError as error:
        raise _failed(message, error.status, error.reason) from error
    if oversize:
        raise _failed(message, 413, "Message Too Large")
    values = message.headers.fields.get("Content-Length")
    if values is None:
        message.body = data[end + 4 :]
        return message
    length = content_length(values[0])
    if length is None:
        raise _failed(message, 400, "Malformed Content-Length")
    body_start = end + 4
    if body_start + length > len(data):
        raise _failed(message, 400, "Body Shorter Than Content-Length")
    if length:
        message.body = data[body_start : body_start + length]
    return message


def content_length(value: str) -> int | None:
    """The number of a Content-Length value, None if it is none."""
    if not value.isdecimal() or not value.isascii() or len(value) > 9:
        return None
    return int(value)


def _failed(message: Request | Response, status: int, reason: str) -> SipPeerError:
    return SipPeerError(status, reason, message if isinstance(message, Request) else None)


def _read_head(head: bytes, limits: Limits) -> Request | Response:
    """Start line and header fields, as yet unchecked but for their form."""
    text = head.decode("utf-8", "surrogateescape")
    lines = text.split("\r\n")
    breaks = len(lines) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise SipPeerError(400, "Stray CR, LF or NUL")
    if "\n " in text or "\n\t" in text:
        lines = _unfold(lines)
    first = lines[0]
    if len(first) > limits.line_octets:
        raise SipPeerError(400, "Start Line Too Long")
    parts = first.split(" ", 2)
    if len(parts) != 3:
        raise SipPeerError(400, "Malformed start line")
    message: Request | Response
    fields: dict[str, list[str]] = {}
    problem: SipPeerError | None = None
    word, middle, last = parts
    if word == "SIP/2.0":
        if len(middle) != 3 or not middle.isdecimal() or not "100" <= middle < "700":
            raise SipPeerError(400, "Malformed status line")
        message = Response(int(middle), last, Headers.adopt(fields))
    else:
        message = Request(word, middle, Headers.adopt(fields))
        if word[:4].upper() == "SIP/" or not word or word.strip(TOKEN):
            raise SipPeerError(400, "Malformed start line")
        if last != "SIP/2.0":
            if " " in last or "/" not in last:
                problem = SipPeerError(400, "Malformed Request-Line", message)
            elif last.upper() != "SIP/2.0":
                problem = SipPeerError(505, "Version Not Supported", message)
    if len(lines) - 1 > limits.header_fields:
        problem = problem or _failed(message, 400, "Too Many Header Fields")
        del lines[limits.header_fields + 1 :]
    if len(text) > limits.line_octets and max(map(len, lines)) > limits.line_octets:
        problem = problem or _failed(message, 400, "Header Field Too Long")
        lines = [line for line in lines if len(line) <= limits.line_octets]
    known = KNOWN_NAMES
    del lines[0]
    for line in lines:
        name, colon, value = line.partition(":")
        key = known.get(name)
        if key is None or not colon:
            name = name.rstrip(" \t")
            if not colon or not name or name.strip(TOKEN):
                problem = problem or _failed(message, 400, "Malformed Header Field")
                continue
            key = canonical(name) if len(name) <= 64 else name
        if key not in fields:
            fields[key] = [value.strip()]
        elif key in SINGLE:
            problem = problem or _failed(message, 400, f"More Than One {key}")
        else:
            fields[key].append(value.strip())
    if problem is not None:
        raise problem
    return message


def _unfold(lines: list[str]) -> list[str]:
    """Join lines that begin with a blank to the one before (RFC 3261, 7.3.1)."""
    out: list[str] = [lines[0]]
    pending: list[str] = []
    for line in lines[1:]:
        if line[:1] in (" ", "\t") and len(out) > 1:
            pending.append(line.strip())
            continue
        if pending:
            out[-1] = " ".join([out[-1], *pending])
            pending.clear()
        out.append(line)
    if pending:
        out[-1] = " ".join([out[-1], *pending])
    return out


def _check(message: Request | Response, limits: Limits) -> None:
    """What every element must check (RFC 3261, 8.2.2, 16.3 and 18.1.2).

    The fields that every layer reads are parsed here once, so that nobody meets a malformed
    one later.
    """
    headers = message.headers
    fields = headers.fields
    try:
        vias, from_, to = fields["Via"], fields["From"][0], fields["To"][0]
        call_id, cseq_text = fields["Call-ID"][0], fields["CSeq"][0]
    except KeyError:
        absent = next(name for name in _MANDATORY if name not in fields)
        raise SipPeerError(400, f"Missing {absent}") from None
    if not call_id:
        raise SipPeerError(400, "Empty Call-ID")
    # What the accessors of `Message` would remember, put there without asking each of them.
    parsed = headers.parsed
    parsed["CSeq"] = cseq = parse_cseq(cseq_text)
    parsed["From"] = parse_name_addr(from_)
    parsed["To"] = parse_name_addr(to)
    if len(vias) == 1 and "," not in vias[0]:
        parsed["Via"] = parse_via(vias[0])
    else:
        message.top_via  # noqa: B018
        if len(vias) + sum([via.count(",") for via in vias]) > limits.vias:
            raise SipPeerError(400, "Too Many Via")
    if isinstance(message, Request):
        if cseq[1] != message.method:
            raise SipPeerError(400, "CSeq Method Differs")
        hops = fields.get("Max-Forwards")
        if hops is not None:
            count = content_length(hops[0])
            if count is None or count > 255:
                raise SipPeerError(400, "Malformed Max-Forwards")
        if not parse_uri(message.uri).routable:
            raise SipPeerError(416, "Unsupported URI Scheme", message)


class StreamParser:
    """Messages from a stream such as TCP or TLS (RFC 3261, 18.3; RFC 5626, 3.5.1).

    After a SipPeerError in the list, framing is lost: the shell answers if it can and closes
    the connection; whatever is fed then is ignored. A malformed message whose end is known is
    reported likewise but leaves the stream in step (`lost` stays False).
    """

    __slots__ = ("_buffer", "_limits", "_scanned", "lost")

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._buffer = bytearray()
        self._limits = limits
        self._scanned = 0
        self.lost = False
        """True when no further message can be found: close the connection."""

    def feed(self, data: bytes) -> list[Request | Response | KeepAlive | SipPeerError]:
        """Take octets as they come, give what is complete, in order.

        Never holds more than one message of the permitted size and what was just fed.
        """
        found: list[Request | Response | KeepAlive | SipPeerError] = []
        if self.lost:
            return found
        buffer = self._buffer
        buffer += data
        while buffer and not self.lost:
            if buffer[0] in b"\r\n":
                if not self._skip_line_breaks(found):
                    break
                continue
            end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
            if end < 0:
                self._scanned = len(buffer)
                if len(buffer) > self._limits.octets:
                    self._lose(found, SipPeerError(413, "Message Too Large"))
                break
            size = self._frame(end, found)
            if size is None or size > len(buffer):
                break
            self._scanned = 0
            octets = bytes(buffer[:size])
            del buffer[:size]
            try:
                found.append(parse(octets, self._limits))
            except SipPeerError as error:
                found.append(error)
        return found

    def _skip_line_breaks(self, found: list[Request | Response | KeepAlive | SipPeerError]) -> bool:
        """Take leading line breaks; False if more octets are needed to tell a ping."""
        buffer = self._buffer
        if buffer[:4] == b"\r\n\r\n":
            del buffer[:4]
            found.append(KeepAlive())
            return True
        if len(buffer) < 4 and b"\r\n\r\n".startswith(buffer):
            return False
        del buffer[: 2 if buffer[:2] == b"\r\n" else 1]
        return True

    def _frame(
        self, end: int, found: list[Request | Response | KeepAlive | SipPeerError]
    ) -> int | None:
        """Size of the message whose headers end at `end`; None if it cannot be told."""
        lengths: list[bytes] = []
        for line in bytes(self._buffer[:end]).split(b"\r\n")[1:]:
            if line[:1] in b"cClL":
                name, _, value = line.partition(b":")
                if name.rstrip().lower() in (b"content-length", b"l"):
                    lengths.append(value.strip())
        length = content_length(lengths[0].decode("latin-1")) if len(lengths) == 1 else None
        if length is None:
            self._lose(found, self._unframed(end, "Content-Length Missing or Malformed"))
            return None
        size = end + 4 + length
        if size > self._limits.octets:
            error = self._unframed(end, "Message Too Large")
            error.status = 413
            self._lose(found, error)
            return None
        self._scanned = end
        return size

    def _unframed(self, end: int, reason: str) -> SipPeerError:
        """The error of a message of unknown size, with its request if it can be read."""
        try:
            message = _read_head(bytes(self._buffer[:end]), self._limits)
        except SipPeerError as error:
            return SipPeerError(400, reason, error.request)
        return _failed(message, 400, reason)

    def _lose(
        self,
        found: list[Request | Response | KeepAlive | SipPeerError],
        error: SipPeerError,
    ) -> None:
        found.append(error)
        self._buffer.clear()
        self.lost = True
