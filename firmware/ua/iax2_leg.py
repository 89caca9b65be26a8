"""One IAX2 call as a leg: its codecs, its jitter buffer, its digits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from firmware.causes import Cause
from firmware.legs import LegEvent, Progress
from firmware.wire.iax2 import Format
from firmware.wire.jitter import JitterBuffer, JitterSettings, Playout
from hal.dsp.codecs import CodecName, Concealer, Decoder, Encoder, frame_octets
from hal.dsp.dtmf import DtmfSender
from hal.values import FRAME_MS

if TYPE_CHECKING:
    from firmware.wire.iax2 import Call

FORMATS: dict[CodecName, Format] = {
    "PCMU": Format.ULAW,
    "PCMA": Format.ALAW,
    "G722": Format.G722,
    "GSM": Format.GSM,
}
_G711 = (Format.ULAW, Format.ALAW)
_NAMES: dict[Format, CodecName] = {wire: name for name, wire in FORMATS.items()}
_DIGIT_S = 0.1
"""Length of a digit that is sent as events, and least pause after it."""
_PAUSE_S = 0.05
_MOST_DIGITS = 64
_FEWEST_CODES = 8
"""A frame of G.711 with no more different octets than that is silence."""
_DATA_MOST_MS = 600
"""A data call's delay may grow so far, where the two ends' clocks differ."""
_PIECES_A_FRAME = 10
"""A voice frame of more than 200 ms is no telephone's: the rest is not played."""

Coded = tuple[CodecName, bytes]


class Iax2Leg:
    """One call.

    Args:
        name: as the telephone calls it.
        call: what goes over the wire.
        jitter: bounds of the jitter buffer.
        emit: takes what happens to it.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        call: Call,
        jitter: JitterSettings,
        emit: Callable[[LegEvent], None],
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.call = call
        self.gone = False
        self.answered = False
        self.held = False
        self.first: Iax2Leg | None = None
        """The other leg of a transfer, where this is the second."""
        self.second: Iax2Leg | None = None
        """The same where this is the first."""
        self.ready = False
        """The server has connected the far end to another: we may leave."""
        self.ends: tuple[float, Cause] | None = None
        """The far end refused, and may still say why until then (monotonic seconds)."""
        self.strange_voice = 0
        """Voice frames in formats that were never agreed."""
        self._emit = emit
        self._clock = clock
        self._buffer: JitterBuffer[Coded] = JitterBuffer(jitter, _is_quiet)
        self._playout: Playout[Coded] | None = None
        self._decoders: dict[CodecName, Decoder] = {}
        self._encoder: Encoder | None = None
        self._early_media = False
        self._early_sounds = 0
        self._partial: tuple[int, bytes] | None = None
        self._digits: deque[str] = deque(maxlen=_MOST_DIGITS)
        self._digit: tuple[float, str] | None = None
        self._inband: DtmfSender | None = None
        call.voice_sink = self.take_voice

    # Audio

    def take_voice(self, timestamp_ms: int, payload: bytes, wire: Format) -> None:
        """A voice frame has come, of whatever length the far end makes."""
        name = _NAMES.get(wire)
        if name is None:
            self.strange_voice += 1
            return
        if not self.answered and not self._early_media and not _is_quiet((name, payload)):
            self._early_sounds += 1
            if self._early_sounds > 2:  # the network speaks, whether it said PROGRESS or not
                self.progress(True)
        now = self._clock()
        octets = frame_octets(name)
        if len(payload) == octets and self._partial is None:
            self._buffer.put(timestamp_ms, (name, payload), now)
            return
        if self._partial is not None:
            since_ms, before = self._partial
            self._partial = None
            if since_ms + len(before) * FRAME_MS // octets == timestamp_ms:
                timestamp_ms, payload = since_ms, before + payload
        whole = min(len(payload) // octets, _PIECES_A_FRAME)
        for piece in range(whole):
            coded = name, payload[piece * octets : (piece + 1) * octets]
            self._buffer.put(timestamp_ms + piece * FRAME_MS, coded, now)
        rest = payload[whole * octets :]
        if rest and len(rest) < octets:
            self._partial = timestamp_ms + whole * FRAME_MS, rest

    def hear(self) -> bytes | None:
        """The next 20 ms from the far end; None when it sends nothing."""
        if self._playout is None:
            self._playout = Playout(self._buffer, self._decode, Concealer())
        frame = self._playout.frame(self._clock())
        seen = self._buffer.statistics
        self.call.jitter_buffer_delay_ms = seen.delay_ms
        self.call.jitter_buffer_dropped = seen.dropped + seen.late
        return frame

    def speak(self, frame: bytes) -> None:
        """20 ms for the far end; digits that go in-band go before it."""
        if self._inband is not None:
            digits = self._inband.frame()
            if digits is None:
                self._inband = None
            else:
                frame = digits
        name = _NAMES.get(self.call.format)
        if name is None or self.held:
            return
        if self._encoder is None or self._encoder.name != name:
            self._encoder = Encoder(name)
        self.call.send_voice(self._encoder.encode(frame), self._clock())

    def report(self) -> dict[str, float]:
        """How the far end was heard, for the log."""
        seen = self._buffer.statistics
        return {
            "received": seen.received,
            "lost": seen.lost,
            "late": seen.late,
            "delay_ms": seen.delay_ms,
            "jitter_ms": round(seen.jitter_ms, 1),
        }

    def _decode(self, coded: Coded) -> bytes:
        name, octets = coded
        decoder = self._decoders.get(name)
        if decoder is None:
            decoder = self._decoders[name] = Decoder(name)
        return decoder.decode(octets)

    def carry_data(self, jitter_ms: int, formats: tuple[Format, ...]) -> None:
        """A fax machine or modem is on it: a buffer of one length, and G.711 if we have that.

        IAX2 renegotiates nothing: a full frame tells of the new format (RFC 5456, 8.1.2), and may
        be of any that was offered. Lost frames are concealed as before, or the far modem would
        take the gap for the end of a carrier.
        """
        self._buffer = JitterBuffer(
            JitterSettings(min_ms=jitter_ms, max_ms=_DATA_MOST_MS, resync_ms=2_000, fixed=True)
        )
        self._playout = None
        if self.call.format not in _G711:
            self.call.format = next((one for one in formats if one in _G711), self.call.format)

    # Signalling

    def progress(self, media: bool) -> None:
        """The far end is alerted, or the network speaks before an answer."""
        if self.answered or self.gone:
            return
        self._early_media = self._early_media or media
        self._emit(Progress(self.name, media))

    def send_digit(self, digit: str, events: bool, audible: bool) -> None:
        """Send a digit as begin and end, or in-band where that is wanted."""
        if events:
            self._digits.append(digit)
            self.handle_timer(self._clock())
        elif not audible:
            self._inband = self._inband or DtmfSender()
            self._inband.send(digit)

    def hold(self, on: bool, now: float) -> None:
        """Tell the far end that it is held, and ask it to send nothing; or take both back.

        HOLD and UNHOLD are for who is at the other end (RFC 5456, 6.3.8), QUELCH and UNQUELCH for
        its audio (6.6).
        """
        if on:
            self.call.hold(now)
            self.call.quelch(now)
        else:
            self.call.unquelch(now)
            self.call.unhold(now)

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` has something to do, monotonic seconds."""
        if self._digit is not None:
            return self._digit[0]
        return self.ends[0] if self.ends is not None else None

    def handle_timer(self, now: float) -> None:
        """Let digits begin and end: one at a time, a tenth of a second each."""
        if self._digit is not None and now >= self._digit[0]:
            digit = self._digit[1]
            self._digit = None
            if digit:
                self.call.digit_end(now, digit, round(_DIGIT_S * 1000))
                self._digit = now + _PAUSE_S, ""
        if self._digit is None and self._digits:
            digit = self._digits.popleft()
            self.call.digit_begin(now, digit)
            self._digit = now + _DIGIT_S, digit


def _is_quiet(coded: Coded) -> bool:
    """True if nobody would miss it. Only G.711 shows it without being decoded."""
    name, octets = coded
    return name in ("PCMU", "PCMA") and len(set(octets)) <= _FEWEST_CODES
