"""RTP packets (RFC 3550), DTMF events (RFC 4733) and G.711, as octets.

Audio is 16-bit linear, little-endian, 8000 samples a second.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from functools import cache
from struct import Struct

from firmware.wire.errors import PeerError

_HEADER = Struct("!BBHII")
_EVENT = Struct("!BBH")
_EXTENSION = Struct("!HH")

PCMU = 0
PCMA = 8


class RtpPeerError(PeerError):
    """Octets that are no RTP packet, or a payload that does not fit its format."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet (RFC 3550, 5.1). Padding is taken off when read and never written."""

    payload_type: int
    sequence: int
    """0 to 65535."""
    timestamp: int
    """0 to 2**32 - 1, in samples."""
    ssrc: int
    payload: bytes = b""
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: tuple[int, bytes] | None = None
    """Profile number and content, whole 32-bit words (RFC 3550, 5.3.1)."""

    @staticmethod
    def from_bytes(data: bytes) -> RtpPacket:
        """Read one datagram.

        Raises:
            RtpPeerError: too short, another version, or lengths that do not fit.
        """
        if len(data) < 12:
            raise RtpPeerError("shorter than an RTP header")
        first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        if first >> 6 != 2:
            raise RtpPeerError("not RTP version 2")
        start, end = 12, len(data)
        csrcs: tuple[int, ...] = ()
        extension = None
        if first & 0x0F:
            count = first & 0x0F
            start += 4 * count
            if start > end:
                raise RtpPeerError("contributing sources cut short")
            csrcs = Struct(f"!{count}I").unpack_from(data, 12)
        if first & 0x10:
            if start + 4 > end:
                raise RtpPeerError("extension cut short")
            profile, words = _EXTENSION.unpack_from(data, start)
            start += 4 + 4 * words
            if start > end:
                raise RtpPeerError("extension cut short")
            extension = (profile, data[start - 4 * words : start])
        if first & 0x20:
            padding = data[-1]
            if not padding or start + padding > end:
                raise RtpPeerError("padding longer than the payload")
            end -= padding
        return RtpPacket(
            second & 0x7F,
            sequence,
            timestamp,
            ssrc,
            data[start:end],
            bool(second & 0x80),
            csrcs,
            extension,
        )

    def to_bytes(self) -> bytes:
        """The packet as it travels."""
        first = 0x80 | len(self.csrcs) | (0x10 if self.extension is not None else 0)
        second = self.payload_type | (0x80 if self.marker else 0)
        head = _HEADER.pack(first, second, self.sequence, self.timestamp, self.ssrc)
        if self.csrcs:
            head += Struct(f"!{len(self.csrcs)}I").pack(*self.csrcs)
        if self.extension is not None:
            profile, content = self.extension
            assert len(content) % 4 == 0, "an extension of broken words"
            head += _EXTENSION.pack(profile, len(content) // 4) + content
        return head + self.payload


EVENT_KEYS = "0123456789*#ABCD"
"""Keys of events 0 to 15 (RFC 4733, 3.2); 16 is a flash."""
EVENT_FLASH = 16


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """The payload of a telephone-event packet (RFC 4733, 2.3)."""

    event: int
    end: bool = False
    volume_dbm0: int = -10
    """0 to -63."""
    duration: int = 0
    """Timestamp units since the event began, 0 to 65535."""

    @property
    def key(self) -> str | None:
        """The key it stands for, None if it is none."""
        return EVENT_KEYS[self.event] if self.event < len(EVENT_KEYS) else None

    @staticmethod
    def from_bytes(payload: bytes) -> TelephoneEvent:
        """Read the first event of a payload.

        Raises:
            RtpPeerError: shorter than an event.
        """
        if len(payload) < 4:
            raise RtpPeerError("shorter than a telephone-event")
        event, flags, duration = _EVENT.unpack_from(payload)
        return TelephoneEvent(event, bool(flags & 0x80), -(flags & 0x3F), duration)

    def to_bytes(self) -> bytes:
        """The payload as it travels."""
        flags = (0x80 if self.end else 0) | (-self.volume_dbm0 & 0x3F)
        return _EVENT.pack(self.event, flags, self.duration)


# G.711. Decoding is a table of 256 words; encoding one of 65536 octets, made when first used.


def _decode_ulaw(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


def _decode_alaw(code: int) -> int:
    code ^= 0x55
    exponent = code >> 4 & 7
    magnitude = (code & 0x0F) << 4 | 8
    if exponent:
        magnitude = magnitude + 0x100 << exponent - 1
    return magnitude if code & 0x80 else -magnitude


def _encode_ulaw(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 0x84
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF


def _encode_alaw(sample: int) -> int:
    sign = 0x80 if sample >= 0 else 0
    magnitude = min(sample if sample >= 0 else ~sample, 32767)
    if magnitude < 256:
        code = magnitude >> 4
    else:
        exponent = magnitude.bit_length() - 8
        code = exponent << 4 | magnitude >> exponent + 3 & 0x0F
    return (code | sign) ^ 0x55


_ULAW_WORDS = [_decode_ulaw(code).to_bytes(2, "little", signed=True) for code in range(256)]
_ALAW_WORDS = [_decode_alaw(code).to_bytes(2, "little", signed=True) for code in range(256)]


@cache
def _encoder(law: int) -> bytes:
    """The code of each sample, found by the sample as an unsigned word."""
    encode = _encode_ulaw if law == PCMU else _encode_alaw
    return bytes([encode(word - 65536 if word & 0x8000 else word) for word in range(65536)])


def _encode(law: int, audio: bytes) -> bytes:
    assert len(audio) % 2 == 0, "half a sample"
    words = array("H", audio)
    if sys.byteorder == "big":
        words.byteswap()
    return bytes(map(_encoder(law).__getitem__, words))


def encode_ulaw(audio: bytes) -> bytes:
    """G.711 mu-law, one octet a sample (PCMU, payload type 0)."""
    return _encode(PCMU, audio)


def encode_alaw(audio: bytes) -> bytes:
    """G.711 A-law, one octet a sample (PCMA, payload type 8)."""
    return _encode(PCMA, audio)


def decode_ulaw(payload: bytes) -> bytes:
    """16-bit audio of mu-law octets; every octet means a sample."""
    return b"".join(map(_ULAW_WORDS.__getitem__, payload))


def decode_alaw(payload: bytes) -> bytes:
    """16-bit audio of A-law octets; every octet means a sample."""
    return b"".join(map(_ALAW_WORDS.__getitem__, payload))
