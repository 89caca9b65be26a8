"""What the ear hears and what the mouthpiece says, frame by frame."""

from __future__ import annotations

from collections import deque

from hal.countries import Country
from hal.dsp.data import frames
from hal.dsp.dtmf import DtmfSender
from hal.dsp.dtmf_receiver import DtmfReceiver
from hal.dsp.echo import EchoCanceller
from hal.dsp.levels import mix
from hal.dsp.tones import ToneGenerator
from hal.values import SILENCE


class AudioPath:
    """One line's audio: tones and digits of our own, and the frames of a leg.

    Args:
        country: whose tones.
        detect_dtmf: False if the driver detects digits itself.
        echo: takes out of the mouthpiece what comes back of the ear; None: the driver does.
    """

    def __init__(
        self, country: Country, detect_dtmf: bool, echo: EchoCanceller | None = None
    ) -> None:
        self._country = country
        self._echo = echo
        self._receiver = DtmfReceiver() if detect_dtmf else None
        self._tone: ToneGenerator | None = None
        self._far_digits: DtmfSender | None = None
        self._clip: deque[bytes] = deque()
        self._beep: ToneGenerator | None = None
        self.muted = False
        """Nothing but a clip passes, either way: the telephone is told who waits."""
        self.data = False
        """A fax machine or modem is heard as it is."""

    def play(self, tone: str) -> None:
        """Play a country's tone from its beginning; empty: none. `waiting` goes over a call."""
        made = ToneGenerator(self._country.tones[tone]) if tone else None
        self._tone, self._beep = (None, made) if tone == "waiting" else (made, None)

    def far_digit(self, digit: str) -> None:
        """Make a digit audible that came out of band; a modem would take it for noise."""
        if self.data:
            return
        self._far_digits = self._far_digits or DtmfSender()
        self._far_digits.send(digit)

    def send(self, clip: bytes) -> None:
        """Play a clip alone, from its beginning; empty: stop one that plays."""
        self._clip = deque(frames(clip))

    @property
    def sending(self) -> bool:
        """True while frames of a clip are left."""
        return bool(self._clip)

    def reset(self) -> None:
        """The receiver is on the hook: nothing sounds any more."""
        self._tone = self._beep = None
        self._far_digits = None
        self.muted = False
        self._clip.clear()
        self.carry_data(False)

    def carry_data(self, on: bool) -> None:
        """Let a fax machine or modem pass untouched: no canceller, no digits, no beep.

        The canceller is off for every answering tone, not for one with phase reversals alone:
        fax machines send CED without (ITU-T G.168, 7; T.30, 4.3.1).
        """
        self.data = on
        self.cancel_echo(not on)
        if on:
            self._beep = self._far_digits = None

    def cancel_echo(self, on: bool) -> None:
        """Cancel echo, or let everything pass as fax and modems want it (ITU-T G.168, 7)."""
        if self._echo is not None:
            self._echo.enabled = on

    def from_mouth(self, frame: bytes, mute_digits: bool) -> tuple[str, bytes]:
        """Take a frame from the mouthpiece.

        Returns:
            The digits that began in it, and the frame for the far end: silence where
            `mute_digits` and a digit sounds, or what may become one.
        """
        if self._echo is not None:
            frame = self._echo.cancel(frame)
        if self.muted:
            return self._receiver.hear(frame) if self._receiver is not None else "", SILENCE
        if self._receiver is None or self.data:
            return "", frame
        if frame == SILENCE and not self._receiver.maybe:
            return "", frame
        digits = self._receiver.hear(frame)
        return digits, (SILENCE if mute_digits and self._receiver.maybe else frame)

    def to_ear(self, far: bytes | None) -> bytes:
        """The next frame for the ear: a clip, our tone, else the far end, with its digits."""
        frame = self._sounding(far)
        if self._echo is not None:
            self._echo.played(frame)
        return frame

    def _sounding(self, far: bytes | None) -> bytes:
        if self._clip:
            return self._clip.popleft()
        if self.muted:
            return SILENCE
        frame = self._tone.frame() if self._tone is not None else far or SILENCE
        if self._beep is not None:
            frame = mix(frame, self._beep.frame())
        if self._far_digits is not None:
            digits = self._far_digits.frame()
            if digits is None:
                self._far_digits = None
            else:
                frame = mix(frame, digits)
        return frame
