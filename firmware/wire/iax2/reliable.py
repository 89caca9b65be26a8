"""Reliable delivery of full frames (RFC 5456, 7): what calls, registrations and pokes share."""

from __future__ import annotations

from collections import deque
from math import inf
from struct import Struct
from typing import TYPE_CHECKING

from firmware.wire.iax2 import settings as limits
from firmware.wire.iax2.crypto import FrameCipher
from firmware.wire.iax2.elements import Ie, Value, encode
from firmware.wire.iax2.frames import FULL, FULL_BIT, FULL_OCTETS, Iax2PeerError
from firmware.wire.iax2.kinds import UNNUMBERED, FrameType, Iax

if TYPE_CHECKING:
    from firmware.wire.iax2.endpoint import Endpoint

_MAX_RTT_S = 30.0
_DESTINATION = Struct("!H")
_IAX = int(FrameType.IAX)
_VOICE = int(FrameType.VOICE)
_TYPES = frozenset(map(int, FrameType))
_UNNUMBERED = frozenset(map(int, UNNUMBERED))


class Sent:
    """A full frame under way to the peer."""

    __slots__ = ("at", "due", "frame", "interval_s", "oseqno", "tries")

    def __init__(self, oseqno: int, frame: bytearray, interval_s: float) -> None:
        self.oseqno = oseqno
        self.frame = frame
        self.interval_s = interval_s
        self.tries = 0
        """Times that it left."""
        self.at = 0.0
        self.due = inf


class Exchange:
    """Full frames between one call number of ours and one of a peer.

    A peer that has not shown that it hears us has a credit of octets: what it brought, less what
    it got. Nothing leaves beyond the credit and nothing is repeated by itself, so that a forged
    address never gets more than the forger spent; the peer's own repetitions fetch the answer.
    """

    def __init__(
        self, endpoint: Endpoint, address: tuple[str, int], now: float, credit: int | None = None
    ) -> None:
        self.endpoint = endpoint
        self.address = address
        self.number = endpoint.allot_number()
        self.peer_number = 0
        self.started = now
        self.outgoing = True
        self.ended = False
        """Its user has been told the end."""
        self.rtt_s: float | None = None
        self.credit = credit
        self.heard_at = now
        self.opened_ms = 0
        """The timestamp of the peer's opening frame, which tells its repetition from another."""
        self.cipher: FrameCipher | None = None
        self.scheduled = inf
        self.finishing = False
        """Nothing more will be sent: it is forgotten once all is acknowledged."""
        self._opening: tuple[Iax, list[tuple[int, Value]]] | None = None
        self._has_token = False
        self._restart()
        self._last_ms = -1
        self._vnak_at = -inf
        self._repeated_at = -inf

    def _restart(self) -> None:
        self.oseqno = 0
        self.iseqno = 0
        self._told = 0
        self._unacked: deque[Sent] = deque()
        self._early: dict[int, bytes] = {}

    # Sending

    def clock_ms(self, now: float) -> int:
        """Milliseconds since the call began."""
        return int((now - self.started) * 1000)

    def open(self, subclass: Iax, pairs: list[tuple[int, Value]], now: float) -> None:
        """Send the opening frame, with an empty call token last (AST-2009-006)."""
        self._opening = (subclass, pairs)
        self.send_iax(now, subclass, [*pairs, (Ie.CALLTOKEN, b"")])

    def _on_token(self, payload: bytes, now: float) -> None:
        """The peer wants the opening frame again, with its token; from another call number."""
        if self._opening is None or self._has_token or self.peer_number:
            return
        token = _find_token(payload)
        if not token:
            return
        self._has_token = True
        self.endpoint.uses_tokens(self.address)
        self._restart()
        subclass, pairs = self._opening
        self.send_iax(now, subclass, [*pairs, (Ie.CALLTOKEN, token)])

    def send_iax(
        self,
        now: float,
        subclass: Iax,
        pairs: list[tuple[int, Value]] | tuple[tuple[int, Value], ...] = (),
        timestamp_ms: int | None = None,
    ) -> None:
        """Send an IAX frame reliably."""
        self.send_full(now, _IAX, subclass, encode(pairs) if pairs else b"", timestamp_ms)

    def send_full(
        self, now: float, kind: int, octet: int, payload: bytes, timestamp_ms: int | None = None
    ) -> None:
        """Send a full frame reliably; `octet` is the compressed subclass."""
        if timestamp_ms is None:
            # Older peers tell frames apart by their timestamps.
            timestamp_ms = self._last_ms = max(self.clock_ms(now), self._last_ms + 1)
        oseqno = self.oseqno
        self.oseqno = oseqno + 1 & 0xFF
        head = FULL.pack(
            self.number | FULL_BIT,
            self.peer_number,
            timestamp_ms & 0xFFFFFFFF,
            oseqno,
            self.iseqno,
            kind,
            octet,
        )
        sent = Sent(oseqno, bytearray(head + payload), self._retry_s())
        self._unacked.append(sent)
        if len(self._unacked) > limits.MAX_UNACKED:
            self.give_up(now)
            return
        self._transmit(sent, now)

    def _retry_s(self) -> float:
        settings = self.endpoint.settings
        if self.rtt_s is None:
            return settings.first_retry_s
        return min(max(2 * self.rtt_s, settings.min_retry_s), settings.max_retry_s)

    def _transmit(self, sent: Sent, now: float, counted: bool = True) -> None:
        frame = sent.frame
        _DESTINATION.pack_into(frame, 2, self.peer_number | (FULL_BIT if sent.tries else 0))
        frame[9] = self.iseqno
        data = bytes(frame)
        if self.cipher is not None:
            data = self.cipher.seal(data, 4)
        if self.credit is not None:
            if len(data) > self.credit:
                sent.due = inf
                return
            self.credit -= len(data)
        self.endpoint.outgoing.append((data, self.address))
        self._told = self.iseqno
        if not sent.tries:
            sent.at = now
        if counted or not sent.tries:
            sent.tries += 1
            sent.due = inf if self.credit is not None else now + sent.interval_s
            sent.interval_s = min(2 * sent.interval_s, self.endpoint.settings.max_retry_s)

    def _send_unnumbered(self, subclass: Iax, timestamp_ms: int, oseqno: int) -> None:
        data = FULL.pack(
            self.number | FULL_BIT,
            self.peer_number,
            timestamp_ms & 0xFFFFFFFF,
            oseqno,
            self.iseqno,
            _IAX,
            subclass,
        )
        if self.cipher is not None:
            data = self.cipher.seal(data, 4)
        if self.credit is not None:
            if len(data) > self.credit:
                return
            self.credit -= len(data)
        self.endpoint.outgoing.append((data, self.address))
        self._told = self.iseqno

    def ask_again(self, now: float) -> None:
        """VNAK: the peer sends again all from the first frame that we miss (RFC 5456, 6.9.3)."""
        if now - self._vnak_at >= limits.VNAK_S:
            self._vnak_at = now
            self._send_unnumbered(Iax.VNAK, self.clock_ms(now), self.oseqno)

    def _repeat(self, now: float) -> None:
        """Send all that is under way again. Who asks is there: it is no try of ours."""
        for sent in self._unacked:
            self._transmit(sent, now, counted=False)

    def acknowledge_if_silent(self, now: float) -> None:
        """ACK the opening frame where no answer to it has done so, or waits for credit to."""
        if self._told != self.iseqno and not (self.credit is not None and self._unacked):
            self._send_unnumbered(Iax.ACK, self.opened_ms, 0)

    def prove(self, now: float) -> None:
        """The peer has shown that it hears us: the credit is off, and all is repeated as needed."""
        if self.credit is not None:
            self.credit = None
            for sent in self._unacked:
                if sent.tries:
                    sent.due = now + sent.interval_s
                else:
                    self._transmit(sent, now)

    # Receiving

    def receive(self, data: bytes, now: float) -> None:
        """A full frame of the peer, from its address, for this call.

        Raises:
            PeerError: it makes no sense, or its elements do not.
        """
        self.heard_at = now
        if self.credit is not None:
            self.credit += len(data)
        data = self.decipher(data, now) if self.cipher is None else self.open_cipher(data)
        source, destination, timestamp_ms, oseqno, iseqno, kind, octet = FULL.unpack_from(data)
        if kind not in _TYPES and self.cipher is not None:
            raise Iax2PeerError("a frame that makes no sense under the key of the call")
        if kind == _IAX:
            if octet == Iax.CALLTOKEN:
                self._on_token(data[FULL_OCTETS:], now)
                return
            if octet == Iax.INVAL:
                self.on_inval(now)
                return
        if not self.peer_number:
            self.endpoint.bind(self, source & 0x7FFF)
        self._acknowledged(iseqno, bool(destination & 0x7FFF), now)
        if kind == _IAX and octet in _UNNUMBERED:
            if octet == Iax.VNAK and now - self._repeated_at >= limits.REPEAT_S:
                self._repeated_at = now
                self._repeat(now)
            self._finish_if_done(now)
            return
        ahead = oseqno - self.iseqno & 0xFF
        if ahead >= 128:
            if self.credit is not None and self._unacked:
                # The answer was lost: it is what the credit is for.
                self._repeat(now)
            else:
                self._send_unnumbered(Iax.ACK, timestamp_ms, iseqno)
        elif ahead:
            if ahead < limits.EARLY_FRAMES and self.credit is None and oseqno not in self._early:
                self._early[oseqno] = data
                if kind == _VOICE:
                    self.on_voice(octet, timestamp_ms, data[FULL_OCTETS:], now)
            self.ask_again(now)
        else:
            self._in_order(data, now, heard=False)
            while self._early and (early := self._early.pop(self.iseqno, None)) is not None:
                self._in_order(early, now, heard=True)
        self._finish_if_done(now)

    def _in_order(self, data: bytes, now: float, heard: bool) -> None:
        _, _, timestamp_ms, _, iseqno, kind, octet = FULL.unpack_from(data)
        self.iseqno = self.iseqno + 1 & 0xFF
        try:
            if kind == _VOICE:
                if not heard:
                    self.on_voice(octet, timestamp_ms, data[FULL_OCTETS:], now)
            else:
                self.handle(kind, octet, timestamp_ms, data[FULL_OCTETS:], now)
        finally:
            # Whatever was sent meanwhile told the peer by its iseqno; else an ACK does.
            if self._told != self.iseqno:
                self._send_unnumbered(Iax.ACK, timestamp_ms, iseqno)

    def _acknowledged(self, iseqno: int, knows_us: bool, now: float) -> None:
        if not self._unacked:
            return
        count = iseqno - self._unacked[0].oseqno & 0xFF
        if count > len(self._unacked):
            return
        if knows_us and count:
            # Only who heard us knows our call number.
            self.prove(now)
        for _ in range(count):
            sent = self._unacked.popleft()
            if sent.tries == 1 and self.rtt_s is None:
                self.measured(now - sent.at)

    def measured(self, rtt_s: float) -> None:
        """A round trip took so long, if the peer's word is to be believed."""
        if not 0 <= rtt_s < _MAX_RTT_S:
            return
        self.rtt_s = rtt_s if self.rtt_s is None else 0.75 * self.rtt_s + 0.25 * rtt_s

    def finish(self) -> None:
        """Forget this exchange once all that was sent is acknowledged, or given up."""
        self.finishing = True

    def _finish_if_done(self, now: float) -> None:
        if self.finishing and not self._unacked:
            self.finishing = False
            self.on_finished(now)

    def drop_unacked(self) -> None:
        """Repeat nothing of what was sent so far."""
        self._unacked.clear()

    # Time

    def deadline(self) -> float:
        """When `on_timer` is wanted."""
        return min((sent.due for sent in self._unacked), default=inf)

    def on_timer(self, now: float) -> None:
        """Repeat what is due; more than four times is the end."""
        for sent in list(self._unacked):
            if sent.due <= now:
                if sent.tries > self.endpoint.settings.tries:
                    self.give_up(now)
                    return
                self._transmit(sent, now)

    # What the kinds of exchange do

    def decipher(self, data: bytes, now: float) -> bytes:
        """While there is no cipher yet: the frame, or what a cipher that is due makes of it."""
        return data

    def open_cipher(self, data: bytes) -> bytes:
        """The frame in clear."""
        assert self.cipher is not None
        return self.cipher.open(data, 4)

    def handle(self, kind: int, octet: int, timestamp_ms: int, payload: bytes, now: float) -> None:
        """A frame in its order, once."""

    def on_voice(self, octet: int, timestamp_ms: int, payload: bytes, now: float) -> None:
        """A full voice frame, once, as soon as it is there."""

    def on_inval(self, now: float) -> None:
        """The peer knows nothing of this call."""

    def give_up(self, now: float) -> None:
        """The peer does not answer any more."""

    def on_finished(self, now: float) -> None:
        """All is acknowledged after `finish`."""
        self.endpoint.forget(self)


def _find_token(payload: bytes) -> bytes:
    at = 0
    while at + 2 <= len(payload):
        length = payload[at + 1]
        if payload[at] == Ie.CALLTOKEN:
            return payload[at + 2 : at + 2 + length]
        at += 2 + length
    return b""
