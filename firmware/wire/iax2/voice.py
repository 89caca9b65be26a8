"""Audio of a call, out and in: what becomes a mini frame and what a full one, and its time.

Timestamps have 32 bits since the beginning of the call; mini frames carry the low 16, so that a
full frame goes first, at a change of format, and whenever the high ones change (RFC 5456, 8.1.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from firmware.wire.iax2.elements import Elements, Ie, Value
from firmware.wire.iax2.formats import VOICE_MASK, Format
from firmware.wire.iax2.kinds import FrameType, compress, uncompress
from firmware.wire.iax2.reliable import Exchange

FRAME_MS = 20
_DRIFT_MS = 100
"""A clock of 20 ms steps that is further off the real one is set again."""
_GAP_MS = 2000
"""Timestamps that jump further are looked at twice."""

_NEVER = -1 << 40
"""A time that is a gap away from any other."""

_FORMATS: dict[int, Format] = {int(one): one for one in Format}


@dataclass(frozen=True, slots=True)
class Statistics:
    """How the audio of one end is received; the RR elements (RFC 5456, 8.6.38 to 8.6.43)."""

    jitter_ms: int = 0
    loss_percent: int = 0
    lost: int = 0
    received: int = 0
    delay_ms: int = 0
    """Of the jitter buffer."""
    dropped: int = 0
    """By the jitter buffer."""
    out_of_order: int = 0

    def elements(self) -> list[tuple[int, Value]]:
        """As PONG and LAGRP carry them."""
        return [
            (Ie.RR_JITTER, self.jitter_ms),
            (Ie.RR_LOSS, min(self.loss_percent, 255) << 24 | min(self.lost, 0xFFFFFF)),
            (Ie.RR_PKTS, self.received & 0xFFFFFFFF),
            (Ie.RR_DELAY, min(self.delay_ms, 0xFFFF)),
            (Ie.RR_DROPPED, self.dropped & 0xFFFFFFFF),
            (Ie.RR_OOO, self.out_of_order & 0xFFFFFFFF),
        ]

    @staticmethod
    def of(elements: Elements) -> Statistics | None:
        """What the peer told, None if it told nothing."""
        if Ie.RR_PKTS not in elements:
            return None

        def number(code: int) -> int:
            return elements.number(code) or 0

        loss = number(Ie.RR_LOSS)
        return Statistics(
            number(Ie.RR_JITTER),
            loss >> 24,
            loss & 0xFFFFFF,
            number(Ie.RR_PKTS),
            number(Ie.RR_DELAY),
            number(Ie.RR_DROPPED),
            number(Ie.RR_OOO),
        )


class VoiceExchange(Exchange):
    """An exchange with audio."""

    format: Format
    trunk: bool
    encrypted: bool
    voice_sink: Callable[[int, bytes, Format], None] | None
    jitter_buffer_delay_ms: int
    """Set by the user for RR DELAY, where a jitter buffer stands behind the sink."""
    jitter_buffer_dropped: int

    def _init_voice(self) -> None:
        self.voice_sink = None
        self.jitter_buffer_delay_ms = 0
        self.jitter_buffer_dropped = 0
        self.sending = False
        """ACCEPT is through and the peer has not asked for silence."""
        self._head = self.number.to_bytes(2, "big")
        self._out_ms = -FRAME_MS
        self._out_high = -1
        self._out_format = Format(0)
        self._out_offset: int | None = None
        self._in_ms = -1
        self._in_at = 0.0
        self._in_format = Format(0)
        self._trunk_offset: int | None = None
        self._received = 0
        self._first_in_ms = 0
        self._out_of_order = 0
        self._jitter_ms = 0.0

    # Out

    def send_voice(self, payload: bytes, now: float, timestamp_ms: int | None = None) -> None:
        """Send 20 ms (or another frame) of audio in the format of the call.

        `timestamp_ms` is of a clock of the user's own, the other leg's for instance: only its
        steps count. Without it the audio is taken to follow on what went before, 20 ms a frame,
        as long as that agrees with `now`. Before ACCEPT and while quelched it goes nowhere.
        """
        if not self.sending:
            return
        last = self._out_ms
        if timestamp_ms is None:
            stamp = last + FRAME_MS
            clock = int((now - self.started) * 1000)
            if not -_DRIFT_MS < stamp - clock < _DRIFT_MS:
                stamp = max(clock, stamp if stamp - clock < _DRIFT_MS else clock)
        else:
            offset = self._out_offset
            stamp = _NEVER if offset is None else timestamp_ms + offset
            if not -_GAP_MS < stamp - last < _GAP_MS:
                clock = int((now - self.started) * 1000)
                if not -_GAP_MS < stamp - clock < _GAP_MS:
                    self._out_offset = clock - timestamp_ms
                    stamp = clock
        if stamp > last:
            self._out_ms = stamp
        if stamp >> 16 > self._out_high or self._out_format is not self.format:
            self._out_high = stamp >> 16
            self._out_format = self.format
            self.send_full(now, FrameType.VOICE, compress(int(self.format)), payload, stamp)
            self.endpoint.arm(self)
        elif self.cipher is not None:
            frame = self._head + (stamp & 0xFFFF).to_bytes(2, "big") + payload
            self.endpoint.outgoing.append((self.cipher.seal(frame, 2), self.address))
        elif self.trunk:
            endpoint = self.endpoint
            endpoint.trunks.add(
                self.address, self.number, stamp & 0xFFFF, payload, now, endpoint.outgoing
            )
        else:
            self.endpoint.outgoing.append(
                (self._head + (stamp & 0xFFFF).to_bytes(2, "big") + payload, self.address)
            )

    # In

    def on_voice(self, octet: int, timestamp_ms: int, payload: bytes, now: float) -> None:
        """A full voice frame: it tells the format, and all 32 bits of the time."""
        if self.ended or self.credit is not None:
            return
        found = _FORMATS.get(uncompress(octet) & VOICE_MASK)
        if found is None or found not in self.endpoint.settings.formats:
            self.endpoint.counters.no_format += 1
            return
        if timestamp_ms >= self._in_ms or found is not self._in_format:
            if self._in_ms < 0:
                self._first_in_ms = timestamp_ms
            self._in_ms = timestamp_ms
            self._in_at = now
        self._in_format = found
        self._received += 1
        if self.voice_sink is not None and payload:
            self.voice_sink(timestamp_ms, payload, found)

    def on_mini(self, low_ms: int, payload: bytes, now: float) -> None:
        """Audio with the low 16 bits of its time; the nearest time with these bits is meant."""
        last = self._in_ms
        delta = low_ms - last & 0xFFFF
        if delta >= 0x8000:
            delta -= 0x10000
        if not 0 < delta <= _GAP_MS or last < 0:
            self._on_odd_mini(low_ms, payload, now)
            return
        stamp = last + delta
        # RFC 3550, 6.4.1, in milliseconds.
        late = (now - self._in_at) * 1000 - delta
        self._jitter_ms += ((late if late > 0 else -late) - self._jitter_ms) * 0.0625
        self._in_ms = stamp
        self._in_at = now
        self._received += 1
        sink = self.voice_sink
        if sink is not None:
            sink(stamp, payload, self._in_format)

    def _on_odd_mini(self, low_ms: int, payload: bytes, now: float) -> None:
        """A mini frame that is the first, out of order, or after a long silence."""
        if not self.sending and not self._in_format:
            self.endpoint.counters.no_format += 1
            return
        if not self._in_format:
            # The full frame was lost. The format is known from ACCEPT, the time nearly.
            self._in_format = self.format
            self._in_ms = self._first_in_ms = self.clock_ms(now)
            self._in_at = now
            self.ask_again(now)
        expected = self._in_ms
        if now - self._in_at > _GAP_MS / 1000:
            expected += int((now - self._in_at) * 1000)
        delta = low_ms - expected & 0xFFFF
        if delta >= 0x8000:
            delta -= 0x10000
        stamp = expected + delta
        if stamp < 0:
            stamp += 0x10000
        if stamp > self._in_ms:
            self._in_ms = stamp
            self._in_at = now
        else:
            self._out_of_order += 1
        self._received += 1
        if self.voice_sink is not None:
            self.voice_sink(stamp, payload, self._in_format)

    def on_trunk_entry(self, meta_ms: int, payload: bytes, now: float) -> None:
        """Audio of a trunk frame without timestamps of its entries: the frame's own steps count."""
        offset = self._trunk_offset
        expected = max(self._in_ms, 0) + int((now - self._in_at) * 1000)
        if self._in_ms < 0:
            expected = self.clock_ms(now)
        stamp = expected if offset is None else meta_ms + offset
        if not -_GAP_MS < stamp - expected < _GAP_MS:
            stamp = expected
        self._trunk_offset = stamp - meta_ms
        self.on_mini(stamp & 0xFFFF, payload, now)

    def reception(self) -> Statistics:
        """How we receive the peer's audio so far."""
        expected = (self._in_ms - self._first_in_ms) // FRAME_MS + 1 if self._received else 0
        lost = max(expected - self._received, 0)
        return Statistics(
            int(self._jitter_ms),
            100 * lost // expected if expected else 0,
            lost,
            self._received,
            self.jitter_buffer_delay_ms,
            self.jitter_buffer_dropped,
            self._out_of_order,
        )
