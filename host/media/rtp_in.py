"""RTP that comes for an IAX2 leg: times in milliseconds of that leg, and digits (RFC 4733).

No I/O: packets go in, values come out. What is no RTP of an agreed format is counted and dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from firmware.wire.rtp import RtpPacket, RtpPeerError, TelephoneEvent

_HEADER = Struct("!BBHII")
_MASK = 0xFFFF_FFFF
_HALF = 0x8000_0000
DRIFT_MS = 2_000
"""A stream whose time is that far from ours began anew, whatever its numbers say."""
EVENT_LOST_S = 0.5
"""Of a digit of which so long nothing was heard the end is lost."""
_REBASE = 1 << 24


class Voice(NamedTuple):
    """One frame: when, and what, in the law that the leg speaks."""

    time_ms: int
    payload: bytes


class DigitBegan(NamedTuple):
    key: str


class DigitEnded(NamedTuple):
    key: str
    duration_ms: int


class RtpIn:
    """One stream as it comes."""

    __slots__ = (
        "_base_ms",
        "_base_ts",
        "_event_key",
        "_event_length",
        "_event_over",
        "_event_seen_at",
        "_event_ts",
        "_ssrc",
        "dropped",
        "event_type",
        "tables",
    )

    def __init__(self) -> None:
        self.tables: Mapping[int, bytes | None] = {}
        """Payload types that are taken, each with what transcodes it, if it has to be."""
        self.event_type: int | None = None
        self.dropped = 0
        self._ssrc = -1
        self._base_ts = 0
        self._base_ms = 0
        self._event_ts = -1
        self._event_key = ""
        self._event_length = 0
        self._event_over = True
        self._event_seen_at = 0.0

    def read(
        self, data: bytes, clock_ms: int, now: float
    ) -> Voice | DigitBegan | DigitEnded | None:
        """What a packet says; None for nothing that matters.

        Args:
            clock_ms: what time it is, which the stream is laid along.
        """
        if len(data) < 12:
            self.dropped += 1
            return None
        first, second, _, timestamp, ssrc = _HEADER.unpack_from(data)
        kind = second & 0x7F
        if first == 0x80:
            payload = data[12:]
        else:
            try:
                payload = RtpPacket.from_bytes(data).payload
            except RtpPeerError:
                self.dropped += 1
                return None
        if kind not in self.tables:
            if kind == self.event_type:
                return self._event(payload, timestamp, now)
            self.dropped += 1  # comfort noise, RTCP, what was not agreed
            return None
        if not payload:
            return None
        passed = timestamp - self._base_ts & _MASK
        if passed & _HALF:
            passed -= _MASK + 1
        time_ms = self._base_ms + (passed >> 3)
        if ssrc != self._ssrc or not -DRIFT_MS < time_ms - clock_ms < DRIFT_MS:
            self._ssrc = ssrc
            self._base_ts, self._base_ms = timestamp, clock_ms
            time_ms = clock_ms
        elif passed > _REBASE:
            self._base_ts = self._base_ts + (passed & ~7) & _MASK
            self._base_ms += passed >> 3
        table = self.tables[kind]
        return Voice(max(time_ms, 0), payload if table is None else payload.translate(table))

    def _event(self, payload: bytes, timestamp: int, now: float) -> DigitBegan | DigitEnded | None:
        """Each digit begins once and ends once, however often that is said (RFC 4733, 2.5.1)."""
        try:
            event = TelephoneEvent.from_bytes(payload)
        except RtpPeerError:
            self.dropped += 1
            return None
        key = event.key
        if key is None:
            return None
        if timestamp == self._event_ts:
            if self._event_over:
                return None
            self._event_seen_at = now
            self._event_length = max(self._event_length, event.duration)
            if event.end:
                return self.end()
            return None
        if not self._event_over:  # its end was lost; the new one is said again in a moment
            return self.end()
        self._event_ts = timestamp
        self._event_key, self._event_length = key, event.duration
        self._event_over, self._event_seen_at = False, now
        return DigitBegan(key)

    def lost_end(self, now: float) -> bool:
        """True when a digit is held of which nothing has been heard for too long."""
        return not self._event_over and now - self._event_seen_at > EVENT_LOST_S

    @property
    def holds_digit(self) -> bool:
        return not self._event_over

    def end(self) -> DigitEnded:
        """The digit that is held is over."""
        assert not self._event_over
        self._event_over = True
        return DigitEnded(self._event_key, self._event_length // 8)
