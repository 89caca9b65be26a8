"""Session descriptions as values (RFC 8866, read leniently).

A description is kept as its lines, so that what we do not know passes through untouched;
accessors look into them. Sizes and counts are bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from firmware.wire.errors import PeerError

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
_DIRECTIONS: dict[str, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "sendonly",
    "recvonly": "recvonly",
    "inactive": "inactive",
}

MAX_OCTETS = 32_768
MAX_LINES = 1_024
MAX_MEDIA = 16
MAX_FORMATS = 64

STATIC_PAYLOADS: dict[int, tuple[str, int]] = {
    0: ("PCMU", 8000),
    3: ("GSM", 8000),
    4: ("G723", 8000),
    8: ("PCMA", 8000),
    9: ("G722", 8000),
    13: ("CN", 8000),
    18: ("G729", 8000),
}
"""Payload types that need no rtpmap (RFC 3551, 6), of audio only."""


class SdpPeerError(PeerError):
    """A session description that cannot be used. Answer 488, or 400 if it is no SDP at all."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One format of an audio stream."""

    payload_type: int
    name: str
    rate_hz: int = 8000
    channels: int = 1
    fmtp: str = ""

    def same_as(self, other: Codec) -> bool:
        """Whether both mean one encoding; the payload type does not matter (RFC 3264, 6.1)."""
        return (
            self.name.upper() == other.name.upper()
            and self.rate_hz == other.rate_hz
            and self.channels == other.channels
        )


@dataclass(frozen=True, slots=True)
class Media:
    """One m= section."""

    kind: str
    """audio, video, image..."""
    port: int
    """0: refused or removed."""
    proto: str
    formats: tuple[str, ...]
    lines: tuple[str, ...] = ()
    """The lines that follow m=, as they stand."""
    port_count: int = 1

    @property
    def connection(self) -> str | None:
        """Address of its own c= line, None if the session's holds."""
        return _connection(self.lines)

    @property
    def attributes(self) -> tuple[str, ...]:
        """What follows a= in each line."""
        return tuple([line[2:] for line in self.lines if line[:2] == "a="])

    def attribute(self, name: str) -> str | None:
        """Value of the first attribute `name`, "" for a flag, None if absent."""
        return _attribute(self.lines, name)

    @property
    def direction(self) -> Direction | None:
        """Its own direction, None if the session's holds."""
        return _direction(self.lines)

    def rtpmap(self, payload_type: int) -> str | None:
        """Encoding name, rate and channels as written: `opus/48000/2`."""
        return self._mapped("rtpmap", payload_type)

    def fmtp(self, payload_type: int) -> str | None:
        """Format parameters as written."""
        return self._mapped("fmtp", payload_type)

    def _mapped(self, name: str, payload_type: int) -> str | None:
        start = f"a={name}:{payload_type} "
        for line in self.lines:
            if line.startswith(start):
                return line[len(start) :].strip()
        return None

    @property
    def ptime_ms(self) -> int | None:
        """Packet time in milliseconds, None if unsaid or senseless."""
        value = self.attribute("ptime")
        if value is None or not value.isdecimal() or not value.isascii() or len(value) > 4:
            return None
        return int(value)

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The formats that are RTP payloads with a known meaning, in order of preference."""
        found: list[Codec] = []
        for text in self.formats:
            if not text.isdecimal() or not text.isascii() or len(text) > 3 or int(text) > 127:
                continue
            payload_type = int(text)
            mapping = self.rtpmap(payload_type)
            if mapping is None:
                if payload_type not in STATIC_PAYLOADS:
                    continue
                name, rate_hz = STATIC_PAYLOADS[payload_type]
                channels = 1
            else:
                parts = mapping.split("/")
                name = parts[0]
                numbers = [
                    int(p) for p in parts[1:] if p.isdecimal() and p.isascii() and len(p) < 7
                ]
                if not numbers or not all(numbers):
                    continue
                rate_hz = numbers[0]
                channels = numbers[1] if len(numbers) > 1 else 1
            found.append(
                Codec(payload_type, name, rate_hz, channels, self.fmtp(payload_type) or "")
            )
        return tuple(found)

    @property
    def line(self) -> str:
        """The m= line."""
        port = f"{self.port}/{self.port_count}" if self.port_count != 1 else str(self.port)
        return " ".join([f"m={self.kind}", port, self.proto, *self.formats])


@dataclass(frozen=True, slots=True)
class Session:
    """A session description."""

    lines: tuple[str, ...]
    """The session's own lines, from v= to the first m=."""
    media: tuple[Media, ...] = ()

    @property
    def connection(self) -> str | None:
        """Address of the session's c= line, None if it has none."""
        return _connection(self.lines)

    @property
    def origin(self) -> str:
        """What follows o=; empty if it is missing."""
        return next((line[2:] for line in self.lines if line[:2] == "o="), "")

    @property
    def version(self) -> int | None:
        """sess-version of o=, which grows by one with each change (RFC 3264, 8)."""
        parts = self.origin.split()
        if len(parts) != 6 or not parts[2].isdecimal() or not parts[2].isascii():
            return None
        return int(parts[2][:20])

    @property
    def audio(self) -> Media | None:
        """The first audio stream that is not refused."""
        return next((m for m in self.media if m.kind == "audio" and m.port), None)

    def address_of(self, media: Media) -> str | None:
        """Where a stream is to be sent."""
        return media.connection or self.connection

    def direction(self, media: Media | None = None) -> Direction:
        """Direction of a stream, of the first audio stream if none is given (RFC 3264, 5.1)."""
        media = media or self.audio
        own = media.direction if media is not None else None
        return own or _direction(self.lines) or "sendrecv"

    @property
    def is_hold(self) -> bool:
        """Whether the sender of this puts the audio on hold: it takes nothing (RFC 3264, 8.4).

        Also the old way of RFC 2543, an address of zero.
        """
        media = self.audio
        if media is None:
            return False
        if self.direction(media) in ("sendonly", "inactive"):
            return True
        return self.address_of(media) in ("0.0.0.0", "::")

    def to_bytes(self) -> bytes:
        """The description as it travels."""
        lines = list(self.lines)
        for media in self.media:
            lines.append(media.line)
            lines += media.lines
        return ("\r\n".join(lines) + "\r\n").encode("utf-8", "surrogateescape")


def _number(text: str) -> int:
    """A number of at most six digits, 0 if it is none."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 7 else 0


def _connection(lines: Sequence[str]) -> str | None:
    for line in lines:
        if line[:2] == "c=":
            parts = line[2:].split()
            return parts[2].partition("/")[0] if len(parts) == 3 else None
    return None


def _attribute(lines: Sequence[str], name: str) -> str | None:
    flag, start = f"a={name}", f"a={name}:"
    for line in lines:
        if line.startswith(start):
            return line[len(start) :].strip()
        if line == flag:
            return ""
    return None


def _direction(lines: Sequence[str]) -> Direction | None:
    for line in lines:
        if line[:2] == "a=":
            found = _DIRECTIONS.get(line[2:].strip())
            if found is not None:
                return found
    return None


def parse(body: bytes) -> Session:
    """Parse a session description. Lines may end in CR LF or LF alone (RFC 8866, 5).

    Raises:
        SdpPeerError: no SDP, malformed where it matters, or too large.
    """
    if len(body) > MAX_OCTETS:
        raise SdpPeerError("SDP too large")
    text = body.decode("utf-8", "surrogateescape")
    if "\0" in text:
        raise SdpPeerError("NUL in SDP")
    lines = [line.rstrip("\r") for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or lines[0].rstrip() != "v=0":
        raise SdpPeerError("not SDP of version 0")
    if len(lines) > MAX_LINES:
        raise SdpPeerError("too many SDP lines")
    starts: list[int] = []
    for number, line in enumerate(lines):
        if line[1:2] != "=" or not line[0].isalpha() or "\r" in line:
            raise SdpPeerError(f"malformed SDP line {number + 1}")
        if line[0] == "m":
            starts.append(number)
        elif line[0] == "c" and _connection([line]) is None:
            raise SdpPeerError("malformed c= line")
    if len(starts) > MAX_MEDIA:
        raise SdpPeerError("too many media")
    bounds = [*starts, len(lines)]
    media = [_media(lines[start], lines[start + 1 : end]) for start, end in pairwise(bounds)]
    return Session(tuple(lines[: bounds[0]]), tuple(media))


def _media(first: str, rest: list[str]) -> Media:
    parts = first[2:].split()
    if not 4 <= len(parts) <= 3 + MAX_FORMATS:
        raise SdpPeerError("malformed m= line")
    port, slash, count = parts[1].partition("/")
    for number in (port, count) if slash else (port,):
        if not number.isdecimal() or not number.isascii() or len(number) > 5 or int(number) > 65535:
            raise SdpPeerError("malformed port")
    return Media(
        parts[0],
        int(port),
        parts[2],
        tuple(parts[3:]),
        tuple(rest),
        int(count) if slash else 1,
    )
