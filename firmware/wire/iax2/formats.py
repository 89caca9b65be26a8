"""Media formats: a bit each (RFC 5456, 8.7), preference lists, the choice between two ends."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag
from typing import NamedTuple


class Format(IntFlag):
    """Voice formats by their bit on the wire. Bits that we do not name may be set, too."""

    G723 = 1 << 0
    GSM = 1 << 1
    ULAW = 1 << 2
    ALAW = 1 << 3
    G726_AAL2 = 1 << 4
    ADPCM = 1 << 5
    SLINEAR = 1 << 6
    LPC10 = 1 << 7
    G729 = 1 << 8
    SPEEX = 1 << 9
    ILBC = 1 << 10
    G726 = 1 << 11
    G722 = 1 << 12
    SIREN7 = 1 << 13
    SIREN14 = 1 << 14
    SLINEAR16 = 1 << 15
    G719 = 1 << 32
    SPEEX16 = 1 << 33
    OPUS = 1 << 34


VOICE_MASK = sum(Format)
"""All bits that stand for voice; the others are pictures, video and text."""


class FormatRow(NamedTuple):
    """What a bridge to RTP has to know of a format."""

    format: Format
    name: str
    rtp_payload_type: int | None
    """Static payload type of RFC 3551, None where there is none."""
    octets_20ms: int | None
    """Size of 20 ms of audio, None where frames are of another length or vary."""


FORMATS: dict[Format, FormatRow] = {
    row.format: row
    for row in (
        FormatRow(Format.G723, "g723", 4, None),
        FormatRow(Format.GSM, "gsm", 3, 33),
        FormatRow(Format.ULAW, "ulaw", 0, 160),
        FormatRow(Format.ALAW, "alaw", 8, 160),
        FormatRow(Format.G726_AAL2, "g726aal2", None, 80),
        FormatRow(Format.ADPCM, "adpcm", None, 80),
        FormatRow(Format.SLINEAR, "slin", None, 320),
        FormatRow(Format.LPC10, "lpc10", 7, None),
        FormatRow(Format.G729, "g729", 18, 20),
        FormatRow(Format.SPEEX, "speex", None, None),
        FormatRow(Format.ILBC, "ilbc", None, None),
        FormatRow(Format.G726, "g726", None, 80),
        FormatRow(Format.G722, "g722", 9, 160),
        FormatRow(Format.SIREN7, "siren7", None, 80),
        FormatRow(Format.SIREN14, "siren14", None, 120),
        FormatRow(Format.SLINEAR16, "slin16", None, 640),
        FormatRow(Format.G719, "g719", None, 160),
        FormatRow(Format.SPEEX16, "speex16", None, None),
        FormatRow(Format.OPUS, "opus", None, None),
    )
}

_PREFERENCE_ORDER: tuple[Format | None, ...] = (
    Format.G723, Format.GSM, Format.ULAW, Format.ALAW, Format.G726, Format.ADPCM,
    Format.SLINEAR, Format.LPC10, Format.G729, Format.SPEEX, Format.SPEEX16, Format.ILBC,
    Format.G726_AAL2, Format.G722, Format.SLINEAR16, None, None, None, None, None, None, None,
    None, None, Format.SIREN7, Format.SIREN14, None, Format.G719, None, None, None, None, None,
    None, None, None, Format.OPUS,
)  # fmt: skip
"""The letter B in CODEC PREFS is the first row, C the second (RFC 5456, 8.6.35); None: no voice."""

_LETTERS = {row: chr(66 + index) for index, row in enumerate(_PREFERENCE_ORDER) if row}


def preferences_to_text(formats: Iterable[Format]) -> str:
    """The value of CODEC PREFS for formats in order of preference, the best first."""
    return "".join(_LETTERS[one] for one in formats if one in _LETTERS)


def preferences_from_text(text: str) -> tuple[Format, ...]:
    """The formats that a CODEC PREFS names, in order; letters that we do not know are left out."""
    found: list[Format] = []
    for letter in text:
        index = ord(letter) - 66
        row = _PREFERENCE_ORDER[index] if 0 <= index < len(_PREFERENCE_ORDER) else None
        if row is not None and row not in found:
            found.append(row)
    return tuple(found)


def mask(formats: Iterable[Format]) -> int:
    """The capability that these formats make."""
    total = 0
    for one in formats:
        total |= one
    return int(total)


def split(bits: int) -> tuple[Format, ...]:
    """The voice formats of a capability, lowest bit first."""
    return tuple(one for one in FORMATS if bits & one)


def choose(
    ours: tuple[Format, ...], asked: Format | None, preferred: tuple[Format, ...], capability: int
) -> Format | None:
    """The format of a call that was offered (RFC 5456, 6.2.2).

    The caller's list of preferences goes first, then the format that it asks for, then our own
    order among what it is capable of. None when there is nothing in common.

    >>> choose((Format.ULAW, Format.GSM), None, (), 0x0E)
    <Format.ULAW: 4>
    """
    bits = capability | (asked or 0)
    if not bits:
        bits = mask(preferred)
    for one in preferred:
        if one in ours and bits & one:
            return one
    if asked is not None and asked in ours:
        return asked
    for one in ours:
        if bits & one:
            return one
    return None
