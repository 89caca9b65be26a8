"""What Lantiq's TAPI and its users say to each other: events and structures (drv_tapi_io.h).

Numbers of ioctls are not here: they differ between releases of the driver, and stand in the
board file.
"""

from __future__ import annotations

import struct
from enum import IntEnum


class LineFeed(IntEnum):
    """Arguments of LINE_FEED_SET."""

    ACTIVE = 0
    REVERSED = 1
    STANDBY = 2
    DISABLED = 4


class TapiEvent(IntEnum):
    """What EVENT_GET answers, as far as a line for telephones meets it."""

    NONE = 0
    RING_BURST_END = 0x20000002
    RINGING_END = 0x20000003
    ON_HOOK = 0x20000004
    OFF_HOOK = 0x20000005
    FLASH = 0x20000006
    PULSE_DIGIT = 0x30000001
    DTMF_DIGIT = 0x31000001
    OVER_TEMPERATURE = 0xF2000005
    OVER_CURRENT = 0xF2000006


EVENT_SIZE = 16
_EVENT = struct.Struct("=IHHII")
"""Number, channel, more to come, two words of data."""
_CADENCE_OCTETS = 40
_CADENCE_BIT_MS = 50
_CADENCE = struct.Struct("=40si40si")
"""The pattern that repeats and its bits, and one that is played once before."""
_PULSE_ZERO = 0x0B
_TEN_PULSES = 0x0A

_RTP = struct.Struct("!BBHII")
RTP_HEADER = 12
PAYLOAD_TYPES = {"PCMU": 0, "PCMA": 8}


def ask_event(channel: int) -> bytearray:
    """The argument of EVENT_GET: which channel is asked."""
    return bytearray(_EVENT.pack(0, channel, 0, 0, 0))


def event_of(octets: bytes | bytearray) -> tuple[int, bool, int]:
    """Number of the event, whether more wait, and its first word of data."""
    number, _, more, data, _ = _EVENT.unpack(octets)
    return number, bool(more), data


def event_octets(number: int, more: bool, data: int) -> bytes:
    """What the driver answers."""
    return _EVENT.pack(number, 0, int(more), data, 0)


def pulse_digit(data: int) -> str | None:
    """The digit of a PULSE_DIGIT, counted in the second octet; None for what no dial has."""
    count = data >> 8 & 0xFF
    if count in (_PULSE_ZERO, _TEN_PULSES):
        return "0"
    return str(count) if 1 <= count <= 9 else None


def dtmf_digit(data: int) -> str | None:
    """The digit of a DTMF_DIGIT, in ASCII in the third octet."""
    digit = chr(data >> 16 & 0x7F).upper()
    return digit if digit in "0123456789ABCD*#" else None


def cadence(pattern_ms: tuple[int, ...]) -> bytearray:
    """The argument of RING_CADENCE_HR_SET: one bit for each 50 ms, the first bit the highest.

    Raises:
        ValueError: the pattern is longer than 16 s, or has a part under 25 ms.
    """
    bits: list[bool] = []
    for index, ms in enumerate(pattern_ms):
        count = round(ms / _CADENCE_BIT_MS)
        if not count:
            raise ValueError(f"TAPI rings in steps of {_CADENCE_BIT_MS} ms; {ms} ms is too short")
        bits += [index % 2 == 0] * count
    if len(bits) > 8 * _CADENCE_OCTETS:
        raise ValueError(f"TAPI's cadences last 16 s at most, not {sum(pattern_ms) / 1000} s")
    octets = bytearray(_CADENCE_OCTETS)
    for place, on in enumerate(bits):
        octets[place // 8] |= on << (7 - place % 8)
    return bytearray(_CADENCE.pack(bytes(octets), len(bits), b"", 0))


def pattern_of(octets: bytes | bytearray) -> list[int]:
    """A cadence's argument as on, off, on... in milliseconds."""
    data, count, _, _ = _CADENCE.unpack(octets)
    parts: list[int] = []
    before = False
    for place in range(count):
        on = bool(data[place // 8] >> (7 - place % 8) & 1)
        if not parts or on != before:
            parts.append(0)
        parts[-1] += _CADENCE_BIT_MS
        before = on
    return parts


def packet(payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes) -> bytes:
    """An RTP packet (RFC 3550, 5.1) without extras."""
    return _RTP.pack(0x80, payload_type, sequence, timestamp, ssrc) + payload


def payload_of(octets: bytes) -> tuple[int, bytes] | None:
    """Payload type and payload of an RTP packet; None for anything else."""
    if len(octets) < RTP_HEADER or octets[0] >> 6 != 2:
        return None
    start = RTP_HEADER + 4 * (octets[0] & 0x0F)
    return octets[1] & 0x7F, octets[start:]
