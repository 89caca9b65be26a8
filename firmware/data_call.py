"""Which call is a fax machine's or a modem's, decided by the tones on it, without I/O.

What that means to the rest: no echo canceller (ITU-T G.168, 7), no digits taken out of the audio,
no call waiting, G.711 and a jitter buffer of one length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hal.dsp.connect_tones import ConnectTone
from hal.values import SILENCE

Mode = Literal["auto", "on", "off"]
Detector = Callable[[bytes], ConnectTone | None]
"""Takes the frames of one side."""

_CALLED = {
    ConnectTone.CNG: "CNG",
    ConnectTone.ANS: "ANS (CED)",
    ConnectTone.ANS_PR: "ANS with phase reversals",
    ConnectTone.ANSAM: "ANSam",
    ConnectTone.ANSAM_PR: "ANSam with phase reversals",
    ConnectTone.PREAMBLE: "V.21 preamble",
}


@dataclass(frozen=True, slots=True)
class Became:
    """A leg carries data from now on."""

    leg: str
    why: str
    """For the log: the tone, and where it came from."""
    ours: bool
    """The telephone here has shown it, or its owner has said so."""


class DataCallWatch:
    """Listens to both sides of the call at hand.

    Args:
        mode: `auto` goes by tones, `on` takes every call for data, `off` none.
        detector: makes an ear for one side; made anew for each call.
    """

    def __init__(self, mode: Mode, detector: Callable[[], Detector]) -> None:
        self._mode = mode
        self._make = detector
        self._legs: tuple[str, ...] = ()
        self._data: set[str] = set()
        self._ears: tuple[Detector, Detector] | None = None

    @property
    def active(self) -> bool:
        """True while the handset is joined to one leg, and that one carries data."""
        return len(self._legs) == 1 and self._legs[0] in self._data

    def connect(self, legs: tuple[str, ...]) -> Became | None:
        """The handset is joined to these legs; a leg that is data from its beginning."""
        if legs == self._legs:
            return None
        self._legs = legs
        self._ears = None
        if len(legs) == 1 and self._mode == "on" and not self.active:
            return self._become(legs[0], "configured", ours=True)
        if len(legs) == 1 and self._mode == "auto" and not self.active:
            self._ears = self._make(), self._make()
        return None

    def hear(self, mouth: bytes, far: bytes | None) -> Became | None:
        """Take a frame of each side; the leg that has just turned out to be data."""
        if self._ears is None:
            return None
        ours, theirs = self._ears
        tone = ours(mouth)
        if tone is not None:
            return self._become(self._legs[0], f"{_CALLED[tone]} from the telephone", ours=True)
        tone = theirs(far or SILENCE)
        if tone is not None:
            return self._become(self._legs[0], f"{_CALLED[tone]} from the far end", ours=False)
        return None

    def ended(self, leg: str) -> None:
        """A leg is gone."""
        self._data.discard(leg)

    def _become(self, leg: str, why: str, ours: bool) -> Became:
        self._data.add(leg)
        self._ears = None
        return Became(leg, why, ours)
