"""DTMF send and receive (ETSI ES 201 235, ITU-T Q.24), by libspandsp through cffi."""

from __future__ import annotations

from typing import Any

from hal.values import FRAME_OCTETS, FRAME_SAMPLES, LineFault

DIGITS = frozenset("0123456789ABCD*#")
_LIBRARIES = ("libspandsp.so.2", "libspandsp.so.3", "libspandsp.so")
_SEND_LEVEL_DBM0 = -10
"""Of the low group; the high group is `_SEND_TWIST_DB` louder."""
_SEND_TWIST_DB = 2
_LOW_LOUDER_DB = 8
_HIGH_LOUDER_DB = 7
"""How far apart the two groups may be (6 dB by ES 201 235-3, and a margin)."""
_THRESHOLD_DBM0 = -42
_MOST_DIGITS = 128
"""What the sender of the library queues at most."""


def _load() -> tuple[Any, Any]:
    try:
        from hal.dsp._spandsp_abi import ffi
    except ImportError:
        raise LineFault("cffi is not installed; install it with `pip install cffi`") from None
    for name in _LIBRARIES:
        try:
            return ffi, ffi.dlopen(name)
        except OSError:
            continue
    raise LineFault(
        "libspandsp is not installed, so DTMF cannot be heard; "
        "install it with `apt install libspandsp2`"
    )


_loaded: tuple[Any, Any] | None = None


def library() -> tuple[Any, Any]:
    """The cffi interface and the library, loaded once.

    Raises:
        LineFault: libspandsp is not installed.
    """
    global _loaded
    if _loaded is None:
        _loaded = _load()
    return _loaded


class DtmfReceiver:
    """Hears digits in audio."""

    def __init__(self) -> None:
        ffi, self._lib = library()
        self._ffi = ffi
        state = self._lib.dtmf_rx_init(ffi.NULL, ffi.NULL, ffi.NULL)
        assert state != ffi.NULL, "libspandsp could not allocate a receiver"
        self._state = ffi.gc(state, self._lib.dtmf_rx_free)
        self._digits = ffi.new("char[]", _MOST_DIGITS + 1)
        self._lib.dtmf_rx_parms(self._state, 1, _LOW_LOUDER_DB, _HIGH_LOUDER_DB, _THRESHOLD_DBM0)

    def hear(self, frame: bytes) -> str:
        """Take one frame; the digits that began in it, each once however long it lasts."""
        samples = self._ffi.from_buffer("int16_t[]", frame)
        self._lib.dtmf_rx(self._state, samples, len(frame) // 2)
        count = self._lib.dtmf_rx_get(self._state, self._digits, _MOST_DIGITS)
        if not count:
            return ""
        text: bytes = self._ffi.string(self._digits, count)
        return text.decode("ascii")

    @property
    def maybe(self) -> bool:
        """True while a digit sounds, or what may turn out to be one."""
        return bool(self._lib.dtmf_rx_status(self._state))


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
