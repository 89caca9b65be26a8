"""Tones by which fax machines and modems find each other, heard by libspandsp through cffi."""

from __future__ import annotations

from enum import Enum
from typing import Any

from hal.dsp.dtmf import library
from hal.values import FRAME_SAMPLES


class ConnectTone(Enum):
    """What may be heard. The values are the library's (modem_connect_tones.h)."""

    CNG = 1
    """1100 Hz for half a second, every 3.5 s: a fax machine calls (ITU-T T.30, 4.3.2)."""
    ANS = 2
    """2100 Hz: a fax machine (CED; T.30, 4.3.1) or a modem answers (V.25, 4)."""
    ANS_PR = 3
    """2100 Hz whose phase is reversed every 450 ms, to turn echo cancelling off (G.168, 7)."""
    ANSAM = 4
    """2100 Hz, its amplitude modulated by 15 Hz: a modem of V.8 answers (V.8, 3.2)."""
    ANSAM_PR = 5
    """The same with phase reversals."""
    PREAMBLE = 6
    """Flags of V.21 before a fax machine's first message (T.30, 5.3.1): its CED may be missing."""


_LISTENED_FOR = (ConnectTone.CNG, ConnectTone.ANS_PR, ConnectTone.PREAMBLE)
"""The receiver of reversals tells all four answering tones apart."""


class ConnectToneDetector:
    """Listens to one side of a call.

    Raises:
        LineFault: libspandsp is not installed.
    """

    def __init__(self) -> None:
        self._ffi, self._lib = library()
        self._receivers = [self._receiver(tone) for tone in _LISTENED_FOR]

    def hear(self, frame: bytes) -> ConnectTone | None:
        """Take one frame; the tone that it made certain, each once as long as it lasts.

        CNG takes 0.4 s of sound, an answering tone 0.8 s, or 1.6 s where its phase is reversed.
        """
        heard = None
        samples = self._ffi.from_buffer("int16_t[]", frame)
        for receiver in self._receivers:
            self._lib.modem_connect_tones_rx(receiver, samples, FRAME_SAMPLES)
            code = self._lib.modem_connect_tones_rx_get(receiver)
            if code:
                heard = ConnectTone(code)
        return heard

    def _receiver(self, tone: ConnectTone) -> Any:
        null = self._ffi.NULL
        state = self._lib.modem_connect_tones_rx_init(null, tone.value, null, null)
        assert state != null, "libspandsp could not allocate a receiver of tones"
        return self._ffi.gc(state, self._lib.modem_connect_tones_rx_free)
