"""The simulated host of `tests.host.sip.world` with IAX2 listeners, and IAX2 phones around it.

Endpoints, bridges, call control, charging and store are the real things; sockets are simulated.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from firmware.wire import rtp
from firmware.wire.iax2 import (
    Accepted,
    Answered,
    Call,
    CallOffered,
    Credentials,
    DigitBegan,
    DigitEnded,
    Ended,
    Endpoint,
    EndpointSettings,
    Format,
    Hold,
    NewCall,
    Progress,
    RegisterAccepted,
    RegisterRefused,
    Ringing,
    Unhold,
)
from host.iax2.server import Iax2Server
from host.iax2.sockets import RtpPort
from host.main import Host
from host.media.bridge import Bridge, Ground
from host.media.echo import Echoes
from host.numbering import provisioning
from host.numbering.iax2_access import allow_iax2
from host.numbering.values import Carrier
from host.settings import Listener
from tests.host.sip.world import REALM, Where, World

HOST = ("10.0.0.1", 4569)
MONTREAL = ("10.0.0.2", 4569)
MEDIA = "10.0.0.1"
NUMBER = "15145550100"
ULAW = [bytes([n]) * 160 for n in range(256)]
"""Frames of 20 ms that are easy to tell apart."""

Plan = Callable[["Iax2Phone", Call], None]


class SimSocket:
    """One of the host's UDP sockets."""

    def __init__(self, world: Iax2World, own: Where) -> None:
        self.world = world
        self.own = own
        self.waiting: list[tuple[bytes, Where]] = []

    def sendto(self, data: bytes, address: Where) -> int:
        self.world.carry(self.own, address, data)
        return len(data)

    def recvfrom(self, size: int) -> tuple[bytes, Where]:
        if not self.waiting:
            raise BlockingIOError
        return self.waiting.pop(0)

    def close(self) -> None:
        self.world.sockets.pop(self.own, None)


class SimPorts:
    """RTP ports of the simulated host, by the host's own `RtpPort`."""

    def __init__(self, world: Iax2World) -> None:
        self.world = world
        self.next = 30_000
        self.full = False

    def open(self, bridge: Bridge) -> RtpPort | None:
        if self.full:
            return None
        own = (MEDIA, self.next)
        self.next += 2
        sock = SimSocket(self.world, own)
        port = RtpPort(self, sock, own[1], bridge.receive)  # type: ignore[arg-type]
        self.world.sockets[own] = (sock, port)
        return port

    def forget(self, sock: SimSocket) -> None:
        pass


class Iax2World(World):
    """A world whose host listens for IAX2 at two POPs."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.sockets: dict[Where, Any] = {}
        iax2 = options.pop("iax2", {})
        media = {"silence_s": 0, **options.pop("media", {})}
        super().__init__(path, **options)
        host = self.host
        settings = host.settings
        host.settings = replace(
            settings,
            iax2=replace(settings.iax2, **iax2),
            media=replace(settings.media, address=MEDIA, **media),
        )
        self.ports = SimPorts(self)
        rng = random.Random(self.seed)
        ground = Ground(MEDIA, self.ports.open, rng.randbytes)
        host.iax2 = Iax2Server(
            host.settings,
            peers=host.directory,
            router=host.sip._router,
            control=host.control,
            registrar=host.registrar,
            guard=host.authenticator.guard,
            ground=ground,
            new_call_id=host.new_call_id,
            random=rng.randbytes,
            clock=host.enter,
            flush=host.flush,
            refuses=host.refuses_calls,
        )
        host.echoes = Echoes(
            MEDIA,
            lambda receive: self.ports.open(SimpleNamespace(receive=receive)),  # type: ignore[arg-type]
            host.control,
            host.enter,
        )
        self.iax2_lines = {
            where: host.iax2.add_line(
                Listener(pop=pop, address=where[0], port=where[1], transport="iax2"),
                SimSocket(self, where),
            )
            for where, pop in ((HOST, "default"), (MONTREAL, "montreal"))
        }

    @property
    def iax2(self) -> Iax2Server:
        assert self.host.iax2 is not None
        return self.host.iax2

    def iax2_account(self, name: str, password: str = "secret", **columns: Any) -> int:
        """An account that may use IAX2."""
        row = self.account(name, password=password, route="value", **columns)
        allow_iax2(self.conn, name, REALM, password)
        return row

    def iax2_carrier(self, name: str, where: Where, **columns: Any) -> None:
        """A carrier that speaks IAX2."""
        carrier = Carrier(name, where[0], where[1], "iax2", **columns)
        provisioning.add_carrier(self.conn, carrier)

    def _arrive(self, source: Where, target: Where, data: bytes) -> None:
        line = self.iax2_lines.get(target)
        if line is not None:
            self.host.enter()
            self.iax2.begin()
            line.endpoint.receive_datagram(data, source, self.now)
            self.iax2.over()
        elif target in self.sockets:
            sock, port = self.sockets[target]
            sock.waiting.append((data, source))
            self.host.enter()
            self.iax2.begin()
            port.drain()
            self.iax2.over()
        else:
            super()._arrive(source, target, data)

    def check(self) -> None:
        super().check()
        assert not self.sockets, f"seed {self.seed}: ports left"
        assert self.iax2.legs == 0, f"seed {self.seed}: IAX2 legs left"
        for line in self.iax2.lines:
            assert not line.endpoint.calls, f"seed {self.seed}: IAX2 calls left"
            assert len(line.endpoint) == 0, f"seed {self.seed}: IAX2 exchanges left"


def answers(ring_s: float = 0.1, answer_s: float = 1.0) -> Plan:
    """Ring, then answer."""

    def plan(phone: Iax2Phone, call: Call) -> None:
        phone.later(ring_s, lambda: call.ringing(phone.world.now))
        phone.later(answer_s, lambda: call.answer(phone.world.now))

    return plan


def refuses(cause: int, text: str = "") -> Plan:
    return lambda phone, call: phone.later(0.1, lambda: call.reject(phone.world.now, cause, text))


def rings() -> Plan:
    return lambda phone, call: phone.later(0.1, lambda: call.ringing(phone.world.now))


class Iax2Phone:
    """An IAX2 device, PBX or carrier at one address."""

    def __init__(
        self,
        world: Iax2World,
        where: Where,
        user: str = "",
        password: str = "secret",
        formats: tuple[Format, ...] = (Format.ULAW, Format.ALAW),
        crypto: Any = None,
    ) -> None:
        self.world = world
        self.where = where
        self.user = user
        self.password = password
        self.home = HOST
        self.formats = formats
        self.plan: Plan = answers()
        self.events: list[Any] = []
        self.calls: list[Call] = []
        self.heard: dict[Call, list[tuple[int, bytes, Format]]] = {}
        self.mute = False
        rng = random.Random(hash(where))
        self.endpoint = Endpoint(EndpointSettings(formats=formats), rng.randbytes, crypto=crypto)
        self.endpoint.trusted_peers |= {HOST, MONTREAL}
        world.agents[where] = self

    # As an agent of the world.

    @property
    def layer(self) -> Iax2Phone:
        return self

    @property
    def next_deadline(self) -> float | None:
        return self.endpoint.next_deadline

    def tick(self) -> None:
        at = self.endpoint.next_deadline
        if at is not None and at <= self.world.now:
            self.endpoint.handle_timers(self.world.now)
        self.flush()

    def receive(self, data: bytes, source: Where) -> None:
        if not self.mute:
            self.endpoint.receive_datagram(data, source, self.world.now)
            self.flush()

    def check(self) -> None:
        """Every call that it made or got came to an end that it knows of."""
        assert not self.endpoint.calls, f"{self.where}: left in a call"
        for call in self.calls:
            assert len([e for e in self.told(call) if isinstance(e, Ended)]) == 1

    def flush(self) -> None:
        events = self.endpoint.events[:]
        self.endpoint.events.clear()
        self.events += events
        for event in events:
            if isinstance(event, CallOffered):
                self._new(event.call)
                self.plan(self, event.call)
        out = self.endpoint.outgoing[:]
        self.endpoint.outgoing.clear()
        for data, address in out:
            if not self.mute:
                self.world.carry(self.where, address, data)

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        def run() -> None:
            do()
            self.flush()

        self.world.at(seconds, run)

    def _new(self, call: Call) -> None:
        self.calls.append(call)
        self.heard[call] = []
        call.voice_sink = lambda ms, payload, law: self.heard[call].append((ms, payload, law))

    # What it does.

    def register(self, refresh_s: int = 3600) -> Any:
        """Try, and wait for the answer."""
        self.endpoint.register(self.home, self.user, self.password, refresh_s, self.world.now)
        self.flush()
        before = len(self.events)
        self.world.run(3)
        return next(
            e for e in self.events[before:] if isinstance(e, RegisterAccepted | RegisterRefused)
        )

    def call(self, number: str = NUMBER, **new: Any) -> Call:
        encryption = new.pop("encryption", "no")
        credentials = Credentials(self.user, self.password, encryption) if self.user else None
        call = self.endpoint.place(
            self.home, NewCall(called=number, **new), self.world.now, credentials
        )
        self._new(call)
        self.flush()
        return call

    def do(self, act: Callable[[float], None]) -> None:
        """Something with a call, now: `phone.do(call.hold)`."""
        act(self.world.now)
        self.flush()

    def hang_up(self, call: Call, cause: int = 16) -> None:
        self.do(lambda now: call.hang_up(now, cause))

    def speak(self, call: Call, frames: list[bytes], every_s: float = 0.02) -> None:
        """Send frames, 20 ms each."""
        for n, frame in enumerate(frames):
            self.later(n * every_s, lambda frame=frame: call.send_voice(frame, self.world.now))

    # What it was told.

    def told(self, call: Call) -> list[Any]:
        return [e for e in self.events if getattr(e, "call", None) is call]

    def story(self, call: Call) -> list[str]:
        """What happened to a call, in words."""
        words: list[str] = []
        for event in self.told(call):
            if isinstance(event, Ended):
                words.append(f"ended {event.cause} {event.text}".strip())
            elif isinstance(event, DigitBegan):
                words.append(f"down {event.digit}")
            elif isinstance(event, DigitEnded):
                words.append(f"up {event.digit}")
            elif isinstance(event, Accepted):
                words.append(f"accepted {event.format.name}")
            elif isinstance(event, Ringing | Answered | Progress | Hold | Unhold):
                words.append(type(event).__name__.lower())
        return words

    def audio(self, call: Call) -> bytes:
        return b"".join(payload for _, payload, _ in self.heard[call])


class RtpPeer:
    """Where a SIP side takes RTP."""

    def __init__(self, world: Iax2World, where: Where) -> None:
        self.world = world
        self.where = where
        self.packets: list[rtp.RtpPacket] = []
        self.sources: list[Where] = []
        self.target: Where | None = None
        self._sequence, self._timestamp = 65_530, 2**32 - 400
        self.ssrc = 7
        world.agents[where] = self

    @property
    def layer(self) -> RtpPeer:
        return self

    next_deadline = None

    def tick(self) -> None:
        pass

    def check(self) -> None:
        pass

    def receive(self, data: bytes, source: Where) -> None:
        self.packets.append(rtp.RtpPacket.from_bytes(data))
        self.sources.append(source)

    def send(
        self, target: Where, payload: bytes, kind: int = 0, *, step: bool = True, at: int = 0
    ) -> None:
        timestamp = at or self._timestamp
        packet = rtp.RtpPacket(kind, self._sequence, timestamp, self.ssrc, payload)
        self._sequence = self._sequence + 1 & 0xFFFF
        if step:
            self._timestamp = self._timestamp + 160 & 0xFFFFFFFF
        self.world.carry(self.where, target, packet.to_bytes())

    def speak(self, target: Where, frames: list[bytes], kind: int = 0) -> None:
        for n, frame in enumerate(frames):
            self.world.at(n * 0.02, lambda frame=frame: self.send(target, frame, kind))

    @property
    def voice(self) -> list[rtp.RtpPacket]:
        return [p for p in self.packets if p.payload_type in (0, 8)]

    @property
    def events(self) -> list[tuple[str, bool]]:
        """Keys of events and whether each packet is an end."""
        told = [
            rtp.TelephoneEvent.from_bytes(p.payload) for p in self.packets if p.payload_type == 101
        ]
        return [(e.key or "", e.end) for e in told]


__all__ = ["HOST", "MONTREAL", "Host", "Iax2Phone", "Iax2World", "RtpPeer"]
