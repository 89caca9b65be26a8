"""Audio of one call over RTP: 20 ms frames of G.711 out, everything that comes in kept."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from firmware.wire.errors import PeerError
from firmware.wire.rtp import (
    EVENT_KEYS,
    PCMA,
    PCMU,
    RtpPacket,
    TelephoneEvent,
    decode_alaw,
    decode_ulaw,
    encode_alaw,
    encode_ulaw,
)
from firmware.wire.sip.sdp import Codec
from tests.peers.tones import FRAME_SAMPLES, SILENCE, Samples, tone_frames

FRAME_S = 0.02
MOST_PACKETS = 6_000
"""Two minutes; older ones are forgotten."""
EVENTS = 101
CODECS = (
    Codec(PCMU, "PCMU"),
    Codec(PCMA, "PCMA"),
    Codec(EVENTS, "telephone-event", fmtp="0-15"),
)
_DECODE = {PCMU: decode_ulaw, PCMA: decode_alaw}
_ENCODE = {PCMU: encode_ulaw, PCMA: encode_alaw}
_EVENT_FRAMES = 5
"""A digit lasts so many frames, and its end is sent three times (RFC 4733, 2.5.1.4)."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One packet as it came off the wire."""

    at_s: float
    """Monotonic seconds."""
    source: tuple[str, int]
    packet: RtpPacket


class Media(asyncio.DatagramProtocol):
    """One RTP socket. `source` yields frames to send; None sends nothing at all."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.port = 0
        self.remote: tuple[str, int] | None = None
        self.source: Iterator[bytes] | None = repeat(SILENCE)
        self.payload_type = PCMU
        self.event_type = EVENTS
        self.heard: deque[Heard] = deque(maxlen=MOST_PACKETS)
        self.sent = 0
        self.digits = ""
        """Digits that came as events, each once."""
        self._last_event: tuple[int, int] | None = None
        self._events: deque[tuple[TelephoneEvent, bool]] = deque()
        self._event_start = 0
        self._sequence = secrets.randbelow(1 << 16)
        self._timestamp = secrets.randbelow(1 << 31)
        self._ssrc = secrets.randbelow(1 << 32)
        self._transport: asyncio.DatagramTransport | None = None
        self._out: asyncio.DatagramTransport | None = None
        self.out_port = 0
        """The port that packets really come from."""

    async def open(self) -> None:
        """Bind a port that is free."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=(self.address, 0)
        )
        self.port = self.out_port = self._transport.get_extra_info("sockname")[1]
        self._out = self._transport

    async def send_from_elsewhere(self) -> None:
        """Send from another port than the SDP names, and hear there, as behind NAT."""
        loop = asyncio.get_running_loop()
        self._out, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=(self.address, 0)
        )
        self.out_port = self._out.get_extra_info("sockname")[1]

    def close(self) -> None:
        """Free the port; what was heard stays."""
        for transport in (self._transport, self._out):
            if transport is not None:
                transport.close()
        self._transport = self._out = None

    # --- out ---

    def say(self, hz: float, dbm0: float = -10.0) -> None:
        """Send one tone from now on."""
        self.source = tone_frames((hz,), dbm0)

    def press(self, digits: str) -> None:
        """Send digits as events (RFC 4733), one after the other, in place of audio."""
        for digit in digits:
            event = EVENT_KEYS.index(digit)
            for count in range(1, _EVENT_FRAMES + 1):
                self._events.append((TelephoneEvent(event, False, -10, 160 * count), count == 1))
            last = TelephoneEvent(event, True, -10, 160 * _EVENT_FRAMES)
            self._events.extend([(last, False)] * 3)

    def tick(self) -> None:
        """One frame's time has passed."""
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        if self.remote is None or self._out is None or self.source is None:
            return
        frame = next(self.source, None)
        if self._events:
            event, first = self._events.popleft()
            if first:
                self._event_start = self._timestamp
            self._send(self.event_type, self._event_start, event.to_bytes(), first)
        elif frame is not None:
            payload = _ENCODE[self.payload_type](frame)
            self._send(self.payload_type, self._timestamp, payload, self.sent == 0)

    def _send(self, kind: int, timestamp: int, payload: bytes, marker: bool) -> None:
        assert self._out is not None
        assert self.remote is not None
        self._sequence = (self._sequence + 1) & 0xFFFF
        packet = RtpPacket(kind, self._sequence, timestamp, self._ssrc, payload, marker)
        self._out.sendto(packet.to_bytes(), self.remote)
        self.sent += 1

    # --- in ---

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            packet = RtpPacket.from_bytes(data)
        except PeerError:
            return
        now = asyncio.get_running_loop().time()
        self.heard.append(Heard(now, (addr[0], addr[1]), packet))
        if packet.payload_type == self.event_type:
            try:
                event = TelephoneEvent.from_bytes(packet.payload)
            except PeerError:
                return
            mark = (packet.timestamp, packet.ssrc)
            if mark != self._last_event and event.key is not None:
                self._last_event = mark
                self.digits += event.key

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there yet, or any more."""

    def forget(self) -> None:
        """Start to listen anew."""
        self.heard.clear()

    @property
    def heard_s(self) -> float:
        """Seconds of audio that came."""
        return sum(h.packet.payload_type in _DECODE for h in self.heard) * FRAME_S

    def samples(self) -> Samples:
        """The audio that came, each packet where its timestamp puts it, gaps as silence."""
        audio = [h.packet for h in self.heard if h.packet.payload_type in _DECODE]
        if not audio:
            return np.zeros(0, np.int16)
        parts: list[Samples] = []
        for ssrc in dict.fromkeys(packet.ssrc for packet in audio):
            mine = [packet for packet in audio if packet.ssrc == ssrc]
            base = mine[0].timestamp
            placed = []
            for packet in mine:
                offset = (packet.timestamp - base + (1 << 31)) % (1 << 32) - (1 << 31)
                linear = _DECODE[packet.payload_type](packet.payload)
                if 0 <= offset < MOST_PACKETS * FRAME_SAMPLES:
                    placed.append((offset, np.frombuffer(linear, "<i2")))
            length = max(offset + len(linear) for offset, linear in placed)
            track = np.zeros(length, np.int16)
            for offset, audio_part in placed:
                track[offset : offset + len(audio_part)] = audio_part
            parts.append(track)
        return np.concatenate(parts)


class Ticker:
    """Ticks all media of one endpoint every 20 ms, and catches up when the machine is slow."""

    def __init__(self) -> None:
        self.media: list[Media] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tick from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Tick no more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time()
        while True:
            at += FRAME_S
            await asyncio.sleep(max(0.0, at - loop.time()))
            for media in list(self.media):
                media.tick()
