"""Voice frames and digits of an IAX2 leg as one RTP stream (RFC 3550, RFC 4733).

No I/O: frames with times in milliseconds go in, packets come out. Samples are G.711, one an octet.
"""

from __future__ import annotations

from struct import Struct

from firmware.wire.rtp import EVENT_KEYS, TelephoneEvent

_HEADER = Struct("!BBHII")
_MASK = 0xFFFF_FFFF
SKEW_MS = 10
"""A frame that is off its time by less continues the stream without a seam, as a sender's clock
that wobbles is no gap."""
GAP_MS = 400
"""What is missing up to here are lost frames, which keep their sequence numbers; beyond it the
stream begins anew with a marker (silence suppression, a new source)."""
END_PACKETS = 3
"""RFC 4733, 2.5.1.4."""
LEAST_EVENT_MS = 40
"""RFC 4733, 2.5.2.3: shorter ones are not recognised."""
UNTOLD_EVENT_MS = 100
"""Of a digit that was said to have ended without having begun."""


class RtpOut:
    """One stream.

    Args:
        ssrc, sequence, timestamp: where it begins; random (RFC 3550, 5.1).
    """

    __slots__ = (
        "_due_ms",
        "_event",
        "_event_at",
        "_event_ts",
        "_sequence",
        "_ssrc",
        "_timestamp",
        "event_type",
        "payload_type",
        "table",
    )

    def __init__(self, ssrc: int, sequence: int, timestamp: int) -> None:
        self.payload_type = 0
        self.table: bytes | None = None
        """Transcodes what comes in, where the laws differ."""
        self.event_type: int | None = None
        """Payload type of telephone-event; None: the peer takes none."""
        self._ssrc = ssrc
        self._sequence = sequence & 0xFFFF
        self._timestamp = timestamp & _MASK
        """Of the frame that is due next."""
        self._due_ms: int | None = None
        """Time of that frame by the frames' own clock; None: nothing was sent yet."""
        self._event: TelephoneEvent | None = None
        self._event_ts = 0
        self._event_at = 0.0

    def voice(self, time_ms: int, payload: bytes) -> bytes:
        """The packet of one frame.

        While a digit is held it stands in place of the sound (RFC 4733, 2.5.1.2).
        """
        samples = len(payload)
        due_ms = self._due_ms
        marker = 0
        sequence = self._sequence
        if due_ms is None:
            marker, off_ms = 0x80, 0
        else:
            off_ms = time_ms - due_ms
        if -SKEW_MS < off_ms < SKEW_MS:
            timestamp = self._timestamp
            time_ms = time_ms if due_ms is None else due_ms
        elif 0 < off_ms <= GAP_MS:
            lost = round(off_ms * 8 / samples) if samples else 0
            sequence += lost
            timestamp = self._timestamp + off_ms * 8
        elif -GAP_MS <= off_ms < 0:  # it was overtaken: back where it belongs
            back = round(-off_ms * 8 / samples) if samples else 0
            return self._packet(0, sequence - back, self._timestamp + off_ms * 8, payload)
        else:
            marker = 0x80
            timestamp = self._timestamp + max(off_ms * 8, 0)
        self._due_ms = time_ms + samples // 8
        self._timestamp = timestamp + samples & _MASK
        self._sequence = sequence + 1 & 0xFFFF
        if self._event is not None:
            return self._event_packet(0, sequence, timestamp + samples)
        return self._packet(marker, sequence, timestamp, payload)

    def _packet(self, marker: int, sequence: int, timestamp: int, payload: bytes) -> bytes:
        if self.table is not None:
            payload = payload.translate(self.table)
        return (
            _HEADER.pack(
                0x80,
                self.payload_type | marker,
                sequence & 0xFFFF,
                timestamp & _MASK,
                self._ssrc,
            )
            + payload
        )

    def digit_begin(self, key: str, now: float) -> list[bytes]:
        """The first packet of a digit; before it, the end of one that is still held.

        Nothing where the peer takes no events or the key is none.
        """
        packets = self.digit_end(now)
        code = EVENT_KEYS.find(key)
        if self.event_type is None or code < 0 or len(key) != 1:
            return packets
        self._event = TelephoneEvent(code)
        self._event_ts, self._event_at = self._timestamp, now
        sequence = self._sequence
        self._sequence = sequence + 1 & 0xFFFF
        packets.append(self._event_packet(0x80, sequence, self._timestamp))
        return packets

    def digit_end(self, now: float, duration_ms: int = 0) -> list[bytes]:
        """The end of the digit that is held, three times.

        Args:
            duration_ms: as the peer says; 0: as it took.
        """
        event = self._event
        if event is None:
            return []
        self._event = None
        held_ms = duration_ms or round((now - self._event_at) * 1000)
        if held_ms < LEAST_EVENT_MS:
            held_ms = LEAST_EVENT_MS if duration_ms else UNTOLD_EVENT_MS
        length = min(held_ms * 8, 0xFFFF)
        payload = TelephoneEvent(event.event, True, duration=length).to_bytes()
        packets = []
        for _ in range(END_PACKETS):
            packets.append(self._framed(0, self._sequence, payload))
            self._sequence = self._sequence + 1 & 0xFFFF
        return packets

    @property
    def holds_digit(self) -> bool:
        return self._event is not None

    def _event_packet(self, marker: int, sequence: int, until: int) -> bytes:
        event = self._event
        assert event is not None
        length = min(until - self._event_ts & _MASK, 0xFFFF)
        return self._framed(
            marker, sequence, TelephoneEvent(event.event, duration=length).to_bytes()
        )

    def _framed(self, marker: int, sequence: int, payload: bytes) -> bytes:
        assert self.event_type is not None
        second = self.event_type | marker
        return _HEADER.pack(0x80, second, sequence & 0xFFFF, self._event_ts, self._ssrc) + payload
