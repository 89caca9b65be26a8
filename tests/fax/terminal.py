"""A fax machine: spandsp's T.30, driven frame by frame by whatever carries its sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal.values import FRAME_OCTETS, FRAME_SAMPLES
from tests.fax.libraries import spandsp

_V27TER, _V29, _V17 = 1, 2, 4
_T4_1D, _T4_2D, _T6 = 2, 4, 8
_STANDARD, _FINE = 1, 2
_215_MM_WIDTH, _UNLIMITED_LENGTH, _A4_LENGTH = 0x1, 0x10000, 0x20000
"""Of t30.h."""
_STATISTICS = 64
"""Integers; of those that t30_stats_t has, the first ones and the retries are looked at."""
_BIT_RATE, _ECM, _PAGES_SENT, _PAGES_RECEIVED, _RETRIES = 0, 1, 2, 3, 13


@dataclass(frozen=True, slots=True)
class FaxResult:
    """How a session ended, or how far it has come."""

    text: str
    """The library's name of the completion code; empty while the session goes on."""
    ok: bool
    bit_rate: int
    ecm: bool
    pages: int
    """Sent or received so far."""
    retries: int
    """Blocks of the error correction that were sent more than once."""


class FaxTerminal:
    """One end of a session.

    Args:
        pages: TIFF file to send, or to be written.
        calling: it calls (CNG) and sends; else it answers (CED) and receives.
    """

    def __init__(self, pages: Path, calling: bool) -> None:
        self._ffi, self._lib = ffi, lib = spandsp()
        self._calling = calling
        self._code: int | None = None
        self._fax = ffi.gc(lib.fax_init(ffi.NULL, int(calling)), lib.fax_free)
        lib.fax_set_transmit_on_idle(self._fax, 1)
        t30 = self._t30 = lib.fax_get_t30_state(self._fax)
        lib.t30_set_ecm_capability(t30, 1)
        lib.t30_set_supported_modems(t30, _V27TER | _V29 | _V17)
        lib.t30_set_supported_compressions(t30, _T4_1D | _T4_2D | _T6)
        lib.t30_set_supported_resolutions(t30, _STANDARD | _FINE)
        lib.t30_set_supported_image_sizes(t30, _215_MM_WIDTH | _UNLIMITED_LENGTH | _A4_LENGTH)
        self._on_end = ffi.callback("phase_e_t", self._ended)
        lib.t30_set_phase_e_handler(t30, self._on_end, ffi.NULL)
        name = str(pages).encode()
        if calling:
            lib.t30_set_tx_file(t30, name, -1, -1)
        else:
            lib.t30_set_rx_file(t30, name, -1)
        self._buffer = ffi.new("int16_t[]", FRAME_SAMPLES)
        self._octets = ffi.buffer(self._buffer)

    def hear(self, frame: bytes) -> None:
        """20 ms come from the line."""
        self._octets[:] = frame
        self._lib.fax_rx(self._fax, self._buffer, FRAME_SAMPLES)

    def speak(self) -> bytes:
        """20 ms for the line."""
        count = self._lib.fax_tx(self._fax, self._buffer, FRAME_SAMPLES)
        return bytes(self._octets[: 2 * count]).ljust(FRAME_OCTETS, b"\0")

    @property
    def over(self) -> bool:
        """True when the session has ended, well or not."""
        return self._code is not None

    def result(self) -> FaxResult:
        """How it has gone so far."""
        seen = self._ffi.new("int[]", _STATISTICS)
        self._lib.t30_get_transfer_statistics(self._t30, seen)
        text = ""
        if self._code is not None:
            said = self._lib.t30_completion_code_to_str(self._code)
            text = self._ffi.string(said).decode()
        pages = seen[_PAGES_SENT if self._calling else _PAGES_RECEIVED]
        return FaxResult(
            text, self._code == 0, seen[_BIT_RATE], bool(seen[_ECM]), pages, seen[_RETRIES]
        )

    def _ended(self, _t30: Any, _user: Any, code: int) -> None:
        self._code = code
