"""Caller ID and message waiting as audio: FSK and DTMF data, and the tones that announce them.

Everything here is a clip: 16-bit linear, little-endian, 8000 samples a second, without silence at
its ends. FSK is made by libspandsp through cffi.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Literal

from hal.dsp.dtmf import DtmfSender, library
from hal.dsp.levels import PEAK
from hal.dsp.tones import Tone, ToneGenerator
from hal.values import FRAME_OCTETS, RATE_HZ, SILENCE

Modem = Literal["bell202", "v23"]

ALERT_HZ = (2_130, 2_750)
"""CPE alerting signal (CAS, GR-30) and dual tone alerting signal (DT-AS, EN 300 659-1)."""
_STANDARDS: dict[Modem, int] = {"bell202": 1, "v23": 2}
"""The library's numbers of CLASS and CLIP."""
_SENT_DBM0 = -14.0
"""Level of the library's FSK."""
_TRAILING_MARKS = 10
_STOP_BITS = 1
_MOST_OCTETS = 257
_CHUNK = 800
_DTMF_MS = 70
"""On and off: at least 65 ms each (ES 201 235-2)."""
_OCTETS_A_MS = RATE_HZ // 1000 * 2


def fsk(
    message: bytes, modem: Modem, level_dbm0: float, seizure_bits: int, mark_bits: int
) -> bytes:
    """A message by FSK, 1200 bit/s, least significant bit first (GR-30, EN 300 659-1).

    Args:
        message: type, length, contents and checksum.
        seizure_bits: alternating bits before it; 0 while a call is on.
        mark_bits: ones between those and the message.
    Raises:
        LineFault: libspandsp is not installed.
    """
    assert 3 <= len(message) <= _MOST_OCTETS, "type, length and checksum, and 254 octets"
    assert sum(message) % 256 == 0, "the checksum is right"
    ffi, lib = library()
    state = lib.adsi_tx_init(ffi.NULL, _STANDARDS[modem])
    assert state != ffi.NULL, "libspandsp could not allocate a sender"
    state = ffi.gc(state, lib.adsi_tx_free)
    lib.adsi_tx_set_preamble(state, seizure_bits, mark_bits, _TRAILING_MARKS, _STOP_BITS)
    # The library puts the checksum behind the message by itself.
    lib.adsi_tx_put_message(state, message[:-1], len(message) - 1)
    buffer = ffi.new("int16_t[]", _CHUNK)
    pieces = []
    while count := lib.adsi_tx(state, buffer, _CHUNK):
        pieces.append(bytes(ffi.buffer(buffer))[: 2 * count])
    return _amplify(b"".join(pieces), level_dbm0 - _SENT_DBM0)


def dtmf(digits: str) -> bytes:
    """Digits as DTMF, each at least as long as ES 201 235-2 wants.

    Raises:
        ValueError: one is no DTMF digit.
        LineFault: libspandsp is not installed.
    """
    sender = DtmfSender(_DTMF_MS, _DTMF_MS)
    sender.send(digits)
    pieces = []
    while (frame := sender.frame()) is not None:
        pieces.append(frame)
    return b"".join(pieces)[: (2 * len(digits) - 1) * _DTMF_MS * _OCTETS_A_MS]


def alert_tone(ms: int, dbm0: float) -> bytes:
    """2130 and 2750 Hz of one level, exactly so long: CAS or DT-AS."""
    generator = ToneGenerator(Tone(ALERT_HZ, dbm0))
    octets = ms * _OCTETS_A_MS
    return b"".join(generator.frame() for _ in range(octets // FRAME_OCTETS + 1))[:octets]


def pause(ms: int) -> bytes:
    """Silence, exactly so long."""
    return bytes(ms * _OCTETS_A_MS)


def frames(clip: bytes) -> Iterator[bytes]:
    """A clip as frames of 20 ms; the last is filled up with silence."""
    for at in range(0, len(clip), FRAME_OCTETS):
        piece = clip[at : at + FRAME_OCTETS]
        yield piece if len(piece) == FRAME_OCTETS else piece + SILENCE[len(piece) :]


def _amplify(clip: bytes, db: float) -> bytes:
    factor = 10.0 ** (db / 20.0)
    samples = array("h", clip)
    return array("h", [max(-PEAK, min(PEAK, round(one * factor))) for one in samples]).tobytes()
