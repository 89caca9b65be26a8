"""Codecs of telephone audio and concealment of lost frames, by libspandsp through cffi.

Audio is 16-bit linear, 8000 samples a second, in frames of 20 ms (320 octets). G.722 codes 16000
samples a second; the library's mode for 8000 leaves the upper band empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hal.dsp.dtmf import library
from hal.values import FRAME_OCTETS, FRAME_SAMPLES

CodecName = Literal["PCMU", "PCMA", "G722", "GSM"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the library makes and unmakes a codec."""

    octets: int
    """Of a 20 ms frame."""
    encoder: str
    decoder: str
    arguments: tuple[int, ...]
    coder: str


_G722_RATE = 64_000
_G722_AT_8000 = 1
_GSM_VOIP = 2
"""Packing of RFC 3551, 4.5.8.1: 33 octets a frame."""

_KINDS: dict[CodecName, _Kind] = {
    "PCMU": _Kind(160, "g711_init", "g711_init", (1,), "g711"),
    "PCMA": _Kind(160, "g711_init", "g711_init", (0,), "g711"),
    "G722": _Kind(160, "g722_encode_init", "g722_decode_init", (_G722_RATE, _G722_AT_8000), "g722"),
    "GSM": _Kind(33, "gsm0610_init", "gsm0610_init", (_GSM_VOIP,), "gsm0610"),
}
_FREE = {
    "g711_init": "g711_free", "g722_encode_init": "g722_encode_free",
    "g722_decode_init": "g722_decode_free", "gsm0610_init": "gsm0610_free",
}  # fmt: skip


def frame_octets(name: CodecName) -> int:
    """Octets of a frame of 20 ms."""
    return _KINDS[name].octets


class Encoder:
    """One direction of one stream.

    Raises:
        LineFault: libspandsp is not installed.
    """

    def __init__(self, name: CodecName) -> None:
        kind = _KINDS[name]
        self.name = name
        self._ffi, lib = library()
        self._state = _state(self._ffi, lib, kind.encoder, kind.arguments)
        self._encode = getattr(lib, f"{kind.coder}_encode")
        self._code = self._ffi.new("uint8_t[]", kind.octets)
        self._octets = self._ffi.buffer(self._code)

    def encode(self, frame: bytes) -> bytes:
        """The code of a frame."""
        assert len(frame) == FRAME_OCTETS, "a frame is 20 ms"
        samples = self._ffi.from_buffer("int16_t[]", frame)
        count = self._encode(self._state, self._code, samples, FRAME_SAMPLES)
        return bytes(self._octets[:count])


class Decoder:
    """One direction of one stream.

    Raises:
        LineFault: libspandsp is not installed.
    """

    def __init__(self, name: CodecName) -> None:
        kind = _KINDS[name]
        self.name = name
        self._most = kind.octets
        self._ffi, lib = library()
        self._state = _state(self._ffi, lib, kind.decoder, kind.arguments)
        self._decode = getattr(lib, f"{kind.coder}_decode")
        self._audio = self._ffi.new("int16_t[]", 2 * FRAME_SAMPLES)
        self._octets = self._ffi.buffer(self._audio)

    def decode(self, code: bytes) -> bytes:
        """A frame of audio. What the far end sent short is made up with silence."""
        assert len(code) <= self._most, "split into frames before"
        octets = self._ffi.from_buffer("uint8_t[]", code)
        count = self._decode(self._state, self._audio, octets, len(code)) if code else 0
        return bytes(self._octets[: 2 * min(count, FRAME_SAMPLES)]).ljust(FRAME_OCTETS, b"\0")


class Concealer:
    """Packet loss concealment: the pitch of what was heard last goes on, and fades.

    `firmware.wire.jitter.Concealment` for the device.

    Raises:
        LineFault: libspandsp is not installed.
    """

    def __init__(self) -> None:
        self._ffi, self._lib = library()
        state = self._lib.plc_init(self._ffi.NULL)
        assert state != self._ffi.NULL, "libspandsp could not allocate a concealer"
        self._state = self._ffi.gc(state, self._lib.plc_free)
        self._audio = self._ffi.new("int16_t[]", FRAME_SAMPLES)
        self._octets = self._ffi.buffer(self._audio)

    def heard(self, audio: bytes) -> bytes:
        """Take a good frame; the same, with a smooth seam after lost ones."""
        self._octets[:] = audio
        self._lib.plc_rx(self._state, self._audio, FRAME_SAMPLES)
        return bytes(self._octets)

    def lost(self) -> bytes:
        """A frame in place of a lost one."""
        self._lib.plc_fillin(self._state, self._audio, FRAME_SAMPLES)
        return bytes(self._octets)


def _state(ffi: Any, lib: Any, make: str, arguments: tuple[int, ...]) -> Any:
    state = getattr(lib, make)(ffi.NULL, *arguments)
    assert state != ffi.NULL, "libspandsp could not allocate a codec"
    return ffi.gc(state, getattr(lib, _FREE[make]))
