"""DTMF sender (ETSI ES 201 235-2) and the library of all tones, libspandsp, through cffi."""

from __future__ import annotations

from typing import Any

from hal.dsp.libraries import open_library
from hal.values import FRAME_OCTETS, FRAME_SAMPLES

DIGITS = frozenset("0123456789ABCD*#")
_LIBRARIES = ("libspandsp.so.2", "libspandsp.so.3", "libspandsp.so")
_SEND_LEVEL_DBM0 = -10
"""Of the low group; the high group is `_SEND_TWIST_DB` louder."""
_SEND_TWIST_DB = 2


_loaded: tuple[Any, Any] | None = None


def library() -> tuple[Any, Any]:
    """The cffi interface and the library, loaded once.

    Raises:
        LineFault: libspandsp is not installed.
    """
    global _loaded
    if _loaded is None:
        _loaded = open_library(
            "hal.dsp._spandsp_abi",
            _LIBRARIES,
            "libspandsp is not installed, so DTMF cannot be heard; "
            "install it with `apt install libspandsp2`",
        )
    return _loaded


class DtmfSender:
    """Makes digits as audio."""

    def __init__(self, on_ms: int = 80, off_ms: int = 80) -> None:
        ffi, self._lib = library()
        state = self._lib.dtmf_tx_init(ffi.NULL, ffi.NULL, ffi.NULL)
        assert state != ffi.NULL, "libspandsp could not allocate a sender"
        self._state = ffi.gc(state, self._lib.dtmf_tx_free)
        self._lib.dtmf_tx_set_level(self._state, _SEND_LEVEL_DBM0, _SEND_TWIST_DB)
        self._lib.dtmf_tx_set_timing(self._state, on_ms, off_ms)
        self._buffer = ffi.new("int16_t[]", FRAME_SAMPLES)
        self._octets = ffi.buffer(self._buffer)

    def send(self, digits: str) -> int:
        """Queue digits after those still to be played.

        Returns:
            How many digits found no room (128 wait at most).
        Raises:
            ValueError: one is no DTMF digit.
        """
        if not set(digits) <= DIGITS:
            raise ValueError(f"{digits!r} has a character that is no DTMF digit (0-9 A-D * #)")
        return int(self._lib.dtmf_tx_put(self._state, digits.encode("ascii"), len(digits)))

    def frame(self) -> bytes | None:
        """The next 20 ms, or None when there is nothing left to send."""
        count = self._lib.dtmf_tx(self._state, self._buffer, FRAME_SAMPLES)
        if count == 0:
            return None
        return bytes(self._octets[: 2 * count]).ljust(FRAME_OCTETS, b"\0")
