"""Calls over IAX2 with sound: callers, and whoever is called, on IAX2 or on SIP, in one loop.

Both ends send a frame of u-law every 20 ms, calls spread over that time, and count what they hear.
It burns a processor of its own: the host under measurement is another process.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from firmware.wire.iax2 import (
    Answered,
    Call,
    CallOffered,
    Credentials,
    Ended,
    Endpoint,
    EndpointSettings,
    NewCall,
    RegisterAccepted,
)
from firmware.wire.rtp import RtpPacket
from firmware.wire.sip.message import Request, parse, response_to

Where = tuple[str, int]
FRAME = bytes(range(160))
SLOTS = 10
"""Calls are spread over so many parts of 20 ms."""
LATE_S = 5.0
"""So long after the last call should be over it is given up."""
_BUFFER = 4 << 20


class Heard(NamedTuple):
    """What came of a load with sound."""

    calls: int
    answered: int
    ended: int
    """Hung up by us and acknowledged as such."""
    sent: int
    heard: int
    """Frames while it was measured, at both ends."""
    seconds: float
    """Of the measurement."""
    elapsed_s: float


def _socket(where: Where) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
    sock.bind(where)
    sock.setblocking(False)
    return sock


class Iax2End:
    """An IAX2 device, PBX or carrier with many calls."""

    def __init__(self, where: Where, host: Where, trunk: bool = False) -> None:
        self.sock = _socket(where)
        self.endpoint = Endpoint(EndpointSettings(), os.urandom)
        self.endpoint.trusted_peers.add(host)
        self.host = host
        self.trunk = trunk
        self.live: list[Call] = []
        self.answered = 0
        self.ended = 0
        self.heard = 0
        self.registered = False
        self.answer_after_s = 0.1
        self.talk_s: float | None = None
        """Calls are hung up so long after their answer; None: by whoever drives this."""
        self._ending: list[tuple[float, Call]] = []
        self._waiting: list[tuple[float, Call]] = []

    def register(self, user: str, password: str) -> None:
        self.endpoint.register(self.host, user, password, 3600, time.monotonic())
        self.flush()

    def call(self, number: str, credentials: Credentials | None) -> Call:
        new = NewCall(called=number)
        now = time.monotonic()
        call = self.endpoint.place(self.host, new, now, credentials, None, self.trunk)
        call.voice_sink = self._sink
        return call

    def _sink(self, ms: int, payload: bytes, law: object) -> None:
        self.heard += 1

    def read(self) -> None:
        receive, take = self.endpoint.receive_datagram, self.sock.recvfrom
        now = time.monotonic()
        while True:
            try:
                data, source = take(65_535)
            except BlockingIOError:
                break
            except OSError:
                continue
            receive(data, source, now)

    def speak(self, slot: int) -> int:
        """The frames of one part of 20 ms."""
        now = time.monotonic()
        calls = self.live[slot::SLOTS]
        for call in calls:
            call.send_voice(FRAME, now)
        return len(calls)

    def flush(self) -> None:
        endpoint, now = self.endpoint, time.monotonic()
        at = endpoint.next_deadline
        if at is not None and at <= now:
            endpoint.handle_timers(now)
        while self._waiting and self._waiting[0][0] <= now:
            call = self._waiting.pop(0)[1]
            call.answer(now)
            if not call.ended:
                self.live.append(call)
        while self._ending and self._ending[0][0] <= now:
            call = self._ending.pop(0)[1]
            call.hang_up(now, 16)
            self.live.remove(call)
        events = endpoint.events[:]
        endpoint.events.clear()
        for event in events:
            if isinstance(event, CallOffered):
                event.call.voice_sink = self._sink
                event.call.trunk = self.trunk
                event.call.ringing(now)
                self._waiting.append((now + self.answer_after_s, event.call))
            elif isinstance(event, Answered):
                self.answered += 1
                self.live.append(event.call)
                if self.talk_s is not None:
                    self._ending.append((now + self.talk_s, event.call))
            elif isinstance(event, Ended):
                self.ended += event.cause == 16
                if event.call in self.live:
                    self.live.remove(event.call)
            elif isinstance(event, RegisterAccepted):
                self.registered = True
        for data, address in endpoint.outgoing:
            self.sock.sendto(data, address)
        endpoint.outgoing.clear()

    def hang_up(self, call: Call) -> None:
        call.hang_up(time.monotonic(), 16)

    def close(self) -> None:
        self.sock.close()


class _Sound:
    """One call of the SIP carrier: a socket that sends and counts."""

    def __init__(self, address: str, target: Where) -> None:
        self.sock = _socket((address, 0))
        self.target = target
        self.sequence = 0

    def speak(self) -> None:
        self.sequence += 1
        packet = RtpPacket(0, self.sequence & 0xFFFF, self.sequence * 160, 1, FRAME)
        self.sock.sendto(packet.to_bytes(), self.target)


class SipEnd:
    """A carrier on SIP that answers every call at once, with sound."""

    def __init__(self, where: Where) -> None:
        self.sock = _socket(where)
        self.where: Where = self.sock.getsockname()
        self.calls: dict[str, _Sound] = {}
        self.heard = 0
        self.ended = 0

    @property
    def live(self) -> list[Any]:
        return list(self.calls.values())

    def read(self) -> None:
        while True:
            try:
                data, source = self.sock.recvfrom(65_535)
            except BlockingIOError:
                break
            message = parse(data)
            if isinstance(message, Request):
                self._request(message, source)
        for call in self.calls.values():
            try:
                while True:
                    call.sock.recv(2048)
                    self.heard += 1
            except BlockingIOError:
                continue

    def _request(self, request: Request, source: Where) -> None:
        if request.method == "ACK":
            return
        response = response_to(request, 200, to_tag="bench")
        call_id = request.call_id
        if request.method == "INVITE":
            if call_id not in self.calls:
                text = request.body.decode()
                address = text.split("c=IN IP4 ")[1].split("\r\n")[0]
                port = int(text.split("m=audio ")[1].split()[0])
                self.calls[call_id] = _Sound(self.where[0], (address, port))
            port = self.calls[call_id].sock.getsockname()[1]
            response.headers.set("Contact", f"<sip:{self.where[0]}:{self.where[1]}>")
            response.headers.set("Content-Type", "application/sdp")
            response.body = (
                f"v=0\r\no=- 1 1 IN IP4 {self.where[0]}\r\ns=-\r\nc=IN IP4 {self.where[0]}\r\n"
                f"t=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
            ).encode()
        elif request.method == "BYE" and call_id in self.calls:
            self.calls.pop(call_id).sock.close()
            self.ended += 1
        self.sock.sendto(response.to_bytes(), source)

    def speak(self, slot: int) -> int:
        calls = self.live[slot::SLOTS]
        for call in calls:
            call.speak()
        return len(calls)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        for call in self.live:
            call.sock.close()
        self.sock.close()


@dataclass
class Drive:
    """Callers, callees and the clock that drives both."""

    caller: Iax2End
    callee: Iax2End | SipEnd
    sent: int = 0
    _slot: int = 0
    _next: float = field(default_factory=time.monotonic)

    def run(
        self, seconds: float, speak: bool = True, until: Callable[[], bool] | None = None
    ) -> None:
        """Let time pass, with or without sound; at most so long if there is something to wait
        for."""
        end = time.monotonic() + seconds
        ends = (self.caller, self.callee)
        self._next = time.monotonic()
        while (now := time.monotonic()) < end and not (until is not None and until()):
            self._next += 0.02 / SLOTS
            if self._next > now:
                select.select([], [], [], self._next - now)
            elif now - self._next > 0.1:
                self._next = now
            self._slot = (self._slot + 1) % SLOTS
            for one in ends:
                one.read()
                if speak:
                    self.sent += one.speak(self._slot)
                one.flush()


def talk(
    load: Drive,
    numbers: list[str],
    credentials: Credentials | None,
    seconds: float,
    measured: Callable[[], float],
) -> tuple[Heard, float]:
    """All numbers are called at 25 a second and talk; what `measured` grew by while they did."""
    begun = time.monotonic()
    caller, callee = load.caller, load.callee
    for number in numbers:
        caller.call(number, credentials)
        load.run(0.04)
    load.run(8, until=lambda: len(caller.live) == len(numbers))
    load.run(0.5)
    answered = caller.answered
    before, heard, sent = measured(), caller.heard + callee.heard, load.sent
    at = time.monotonic()
    load.run(seconds)
    cost, passed = measured() - before, time.monotonic() - at
    heard, sent = caller.heard + callee.heard - heard, load.sent - sent
    for call in list(caller.live):
        caller.hang_up(call)
        caller.ended += 1
        caller.live.remove(call)
    load.run(1.5, speak=False)
    elapsed = time.monotonic() - begun
    told = Heard(len(numbers), answered, callee.ended, sent, heard, passed, elapsed)
    return told, cost


def setups(
    load: Drive, numbers: list[str], credentials: Credentials | None, rate: float, talk_s: float
) -> tuple[int, int, float]:
    """Calls without sound at a rate; answers how many were answered and ended, and how long."""
    caller = load.caller
    caller.talk_s = talk_s
    begun, before = time.monotonic(), load.callee.ended
    for n, number in enumerate(numbers):
        load.run(max(0.0, begun + n / rate - time.monotonic()), speak=False)
        caller.call(number, credentials)
    load.run(talk_s + LATE_S, speak=False, until=lambda: load.callee.ended - before >= len(numbers))
    load.run(0.5, speak=False)
    return caller.answered, load.callee.ended, time.monotonic() - begun
