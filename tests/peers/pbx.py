"""A PBX that trunks over IAX2: some calls at once, each with a tone of its own.

It speaks by `firmware.wire.iax2`; what it hears is read off the wire here, octet by octet.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from firmware.wire.iax2 import (
    Answered,
    Call,
    Credentials,
    Ended,
    Endpoint,
    EndpointSettings,
    Format,
    NewCall,
)
from firmware.wire.rtp import decode_ulaw, encode_ulaw
from tests.peers.tones import Samples, tone_frames
from tests.peers.values import Where, until

FRAME_S = 0.02
_META_HEAD, _STAMPED_ENTRY = 8, 6
_VOICE = 2


@dataclass
class Line:
    """One call of the PBX."""

    number: str
    call: Call
    source: Iterator[bytes]
    answered: bool = False
    ended: str = ""
    """Why, once it is over."""
    heard: list[bytes] = field(default_factory=list)
    """Audio as it came off the wire, mu-law, frame by frame."""

    def samples(self) -> Samples:
        """What was heard, 16-bit linear."""
        linear = b"".join(map(decode_ulaw, self.heard))
        return np.frombuffer(linear, "<i2").astype(np.int16)


@dataclass
class Wire:
    """Datagrams of voice by kind, and how many voices came in meta frames."""

    meta: int = 0
    voices_in_meta: int = 0
    mini: int = 0
    full: int = 0


class Pbx(asyncio.DatagramProtocol):
    """One account's trunk.

    Args:
        address: where it is on loopback.
        host: the IAX2 listener.
        login: name and password.
    """

    def __init__(self, address: str, host: Where, login: tuple[str, str]) -> None:
        self._address = address
        self._host = (host.host, host.port)
        self._login = Credentials(*login)
        self._endpoint = Endpoint(EndpointSettings(formats=(Format.ULAW,)), secrets.token_bytes)
        self._transport: asyncio.DatagramTransport | None = None
        self._task: asyncio.Task[None] | None = None
        self.lines: list[Line] = []
        self.came, self.went = Wire(), Wire()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        where = (self._address, 0)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=where)
        self._task = loop.create_task(self._run())

    async def close(self) -> None:
        """Hang up everything."""
        if self._transport is None or self._task is None:
            return
        self._endpoint.close(self._now)
        self._flush()
        await asyncio.sleep(0.1)
        self._task.cancel()
        self._transport.close()

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def dial(self, number: str, hz: float) -> Line:
        """Call a number, and say a tone once it answers."""
        new = NewCall(called=number, calling="5145550100", formats_preferred=(Format.ULAW,))
        call = self._endpoint.place(self._host, new, self._now, self._login, trunk=True)
        line = Line(number, call, tone_frames((hz,)))
        self.lines.append(line)
        self._flush()
        return line

    async def answered(self, count: int, timeout_s: float = 10.0) -> None:
        """Wait until so many calls are answered.

        Raises:
            TimeoutError: they are not.
        """
        lines = self.lines
        await until(lambda: sum(x.answered for x in lines) >= count, timeout_s, f"{count} answers")

    def hang_up(self) -> None:
        """End all calls."""
        for line in self.lines:
            line.call.hang_up(self._now, 16)
        self._flush()

    def forget(self) -> None:
        """Listen and count anew."""
        self.came, self.went = Wire(), Wire()
        for line in self.lines:
            line.heard.clear()

    async def _run(self) -> None:
        at = self._now
        while True:
            at += FRAME_S
            await asyncio.sleep(max(0.0, at - self._now))
            now = self._now
            for line in self.lines:
                if line.answered and not line.ended:
                    line.call.send_voice(encode_ulaw(next(line.source)), now)
            self._endpoint.handle_timers(now)
            self._flush()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        count(self.came, data)
        for number, payload in voices(data):
            for line in self.lines:
                if line.call.peer_number == number:
                    line.heard.append(payload)
        self._endpoint.receive_datagram(data, (addr[0], addr[1]), self._now)
        self._flush()

    def _flush(self) -> None:
        endpoint = self._endpoint
        for data, address in endpoint.outgoing:
            count(self.went, data)
            if self._transport is not None:
                self._transport.sendto(data, address)
        endpoint.outgoing.clear()
        for event in endpoint.events:
            for line in self.lines:
                if isinstance(event, Answered | Ended) and event.call is line.call:
                    line.answered = line.answered or isinstance(event, Answered)
                    line.ended = str(event) if isinstance(event, Ended) else ""
        endpoint.events.clear()


def voices(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Call number and audio of each voice in a datagram (RFC 5456, 8.1)."""
    if len(data) < 4:
        return
    if data[0] & 0x80:
        if len(data) > 12 and data[10] == _VOICE:
            yield struct.unpack("!H", data[:2])[0] & 0x7FFF, data[12:]
    elif data[:2] != b"\0\0":
        yield struct.unpack("!H", data[:2])[0], data[4:]
    elif data[2] == 1 and data[3] == 1:
        at = _META_HEAD
        while at + _STAMPED_ENTRY <= len(data):
            length, number = struct.unpack("!HH", data[at : at + 4])
            at += _STAMPED_ENTRY
            yield number, data[at : at + length]
            at += length


def count(wire: Wire, data: bytes) -> None:
    """Note of what kind a datagram is, if it carries voice."""
    found = sum(1 for _ in voices(data))
    if data[:3] == b"\0\0\1":
        wire.meta += 1
        wire.voices_in_meta += found
    elif found:
        wire.full += data[0] >> 7
        wire.mini += 1 - (data[0] >> 7)
