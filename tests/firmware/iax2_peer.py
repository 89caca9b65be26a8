"""A peer that speaks IAX2 in a thread: a registrar, a callee and a caller, and a bad way to it."""

from __future__ import annotations

import heapq
import os
import random
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from firmware.aes import AesCbc
from firmware.ua.iax2_leg import FORMATS
from firmware.wire import iax2
from hal.dsp.codecs import CodecName, Decoder, Encoder
from hal.values import FRAME_OCTETS

Address = tuple[str, int]
_STEP_S = 0.005


class Peer:
    """One endpoint as a server. What it does with a call is in `behave`, by the called number.

    Behaviours: `answer` (ring, answer after 0.1 s), `ring`, `early` (tone before an answer),
    `busy`, `congestion`, `reject`, `silent` (nothing at all), `voice` (audio, and no word of it).
    """

    def __init__(
        self,
        password: str = "secret",
        codecs: tuple[CodecName, ...] = ("PCMU", "PCMA", "G722", "GSM"),
        encryption: Literal["no", "offer", "require"] = "no",
        refresh_s: int = 60,
        address: str = "127.0.0.1",
    ) -> None:
        self.password = password
        self.encryption = encryption
        self.refresh_s = refresh_s
        self.deaf = False
        self.registers = True
        """Registrations are taken."""
        self.method: Literal["md5", "address"] = "md5"
        self.behave: dict[str, str] = {}
        self.tone_hz = 0.0
        self.mailbox: tuple[int, int] | None = None
        """New and old messages of everybody."""
        self.codecs = codecs
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.setblocking(False)
        self.where: Address = self.socket.getsockname()[:2]
        self.endpoint = iax2.Endpoint(
            iax2.EndpointSettings(
                formats=tuple(FORMATS[name] for name in codecs),
                min_refresh_s=1,
                tries=2,
                first_retry_s=0.3,
                min_retry_s=0.2,
            ),
            os.urandom,
            self,
            AesCbc(),
        )
        self.events: list[Any] = []
        self.devices: list[Address] = []
        self.heard: dict[int, list[tuple[int, bytes]]] = {}
        """Decoded frames by call, with their timestamps."""
        self.raw: list[bytes] = []
        self.sent: list[bytes] = []
        self.names: dict[int, CodecName] = {}
        self._coders: dict[tuple[int, str], Any] = {}
        self._phase = 0
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0
        self._talking: list[Any] = []
        self._tone_at = time.monotonic()
        self._lock = threading.RLock()
        self._stop = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def server(self) -> str:
        host, port = self.where
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    # Authority of the endpoint

    def access(self, username: str, address: Address, purpose: str) -> Any:
        known = username == "100001" and (self.registers or purpose != "register")
        secret = self.password if known else os.urandom(8).hex()
        return iax2.Access(
            method=self.method, secret=secret, token="yes", encryption=self.encryption, trunk=False
        )

    def failed(self, username: str, address: Address, now: float) -> None:
        """Nobody is locked out here."""

    def refresh(self, username: str, asked_s: int) -> int:
        return self.refresh_s

    def messages(self, username: str) -> tuple[int, int] | None:
        return self.mailbox

    # What a test asks for

    def call(self, device: Address | None = None, **new: Any) -> Any:
        """Call a device, the last one that registered."""
        with self._lock:
            new.setdefault("called", "100001")
            new.setdefault("calling", "15145550199")
            new.setdefault("name", "Far End")
            formats = tuple(FORMATS[name] for name in self.codecs)
            wanted = iax2.NewCall(
                formats_preferred=formats, capability=sum(formats), format=formats[0], **new
            )
            call = self.endpoint.place(
                device or self.devices[-1],
                wanted,
                time.monotonic(),
                iax2.Credentials("100001", self.password, self.encryption),
            )
            self._follow(call)
            self._flush()
            return call

    def do(self, what: Callable[[float], None]) -> None:
        """Do something with the endpoint or a call, on the endpoint's terms."""
        with self._lock:
            what(time.monotonic())
            self._flush()

    def wait(self, kind: type, timeout_s: float = 8.0, **fields: Any) -> Any:
        """The first event of a kind with these fields."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            with self._lock:
                for event in self.events:
                    if isinstance(event, kind) and all(
                        getattr(event, name) == value for name, value in fields.items()
                    ):
                        return event
            time.sleep(0.01)
        with self._lock:
            raise AssertionError(f"no {kind.__name__} {fields}; there were {self.events}")

    def of(self, kind: type) -> list[Any]:
        """All events of a kind."""
        with self._lock:
            return [event for event in self.events if isinstance(event, kind)]

    def pcm(self, call: Any) -> np.ndarray:
        """What was heard in a call, by timestamp; holes are silence."""
        with self._lock:
            frames = sorted(self.heard.get(call.number, []))
        if not frames:
            return np.zeros(0)
        start = frames[0][0]
        samples = np.zeros((frames[-1][0] - start + 20) * 8)
        for timestamp_ms, audio in frames:
            at = (timestamp_ms - start) * 8
            samples[at : at + 160] = np.frombuffer(audio, "<i2")[: len(samples) - at]
        return samples

    def forget(self) -> None:
        """Audio so far."""
        with self._lock:
            self.heard.clear()

    def close(self) -> None:
        self._stop = True
        self._thread.join(5)
        self.socket.close()

    # The thread

    def _serve(self) -> None:
        while not self._stop:
            select.select([self.socket], (), (), _STEP_S)
            with self._lock:
                now = time.monotonic()
                self._take(now)
                self.endpoint.handle_timers(now)
                self._take_events(now)
                while self._due and self._due[0][0] <= now:
                    heapq.heappop(self._due)[2](now)
                self._talk(now)
                self._flush()

    def _take(self, now: float) -> None:
        while True:
            try:
                data, source = self.socket.recvfrom(4_096)
            except OSError:
                return
            if not self.deaf:
                self.raw.append(data)
                self.endpoint.receive_datagram(data, source[:2], now)

    def _take_events(self, now: float) -> None:
        events = list(self.endpoint.events)
        self.endpoint.events.clear()
        for event in events:
            self.events.append(event)
            if isinstance(event, iax2.Registering):
                self.devices.append(event.address)
            elif isinstance(event, iax2.CallOffered):
                self._offered(event.call, now)
            elif isinstance(event, iax2.Answered):
                self._talking.append(event.call)

    def _offered(self, call: Any, now: float) -> None:
        self._follow(call)
        what = self.behave.get(call.new.called, "answer")
        if what == "busy":
            call.proceeding(now)
            call.busy(now)
        elif what == "congestion":
            call.proceeding(now)
            call.congestion(now)
        elif what == "reject":
            call.reject(now, 1, "No such number")
        elif what == "ring":
            call.ringing(now)
        elif what == "early":
            call.progress(now)
            self._talking.append(call)
        elif what == "voice":
            call.proceeding(now)
            self._talking.append(call)
        elif what == "answer":
            call.ringing(now)
            self._later(now + 0.1, lambda at: self._answer(call, at))

    def _answer(self, call: Any, now: float) -> None:
        if not call.ended:
            call.answer(now)
            self._talking.append(call)

    def _later(self, at: float, what: Callable[[float], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (at, self._count, what))

    def _follow(self, call: Any) -> None:
        names = {wire: name for name, wire in FORMATS.items()}

        def take(timestamp_ms: int, payload: bytes, wire: Any) -> None:
            name = self.names[call.number] = names[wire]
            decoder = self._coders.setdefault((call.number, f"d{name}"), Decoder(name))
            audio = decoder.decode(bytes(payload))
            self.heard.setdefault(call.number, []).append((timestamp_ms, audio))

        call.voice_sink = take

    def _talk(self, now: float) -> None:
        if now - self._tone_at > 1:
            self._tone_at = now
        while self._tone_at <= now:
            self._tone_at += 0.02
            if not self.tone_hz:
                continue
            at = (np.arange(FRAME_OCTETS // 2) + self._phase) / 8_000
            self._phase += FRAME_OCTETS // 2
            audio = np.rint(8_000 * np.sin(2 * np.pi * self.tone_hz * at)).astype("<i2").tobytes()
            for call in self._talking:
                if call.ended:
                    continue
                name = next(one for one, wire in FORMATS.items() if wire == call.format)
                encoder = self._coders.setdefault((call.number, f"e{name}"), Encoder(name))
                call.send_voice(encoder.encode(audio), now)

    def _flush(self) -> None:
        for data, address in self.endpoint.outgoing:
            if not self.deaf:
                self.sent.append(data)
                self.socket.sendto(data, address)
        self.endpoint.outgoing.clear()


class BadWay:
    """A relay that loses, delays, doubles and reorders datagrams, by a seed, both ways."""

    def __init__(
        self, far: Address, seed: int, loss: float, jitter_ms: float, twice: float = 0.0
    ) -> None:
        self._far = far
        self._random = random.Random(seed)
        self._loss, self._jitter_s, self._twice = loss, jitter_ms / 1000, twice
        self._near: Address | None = None
        self._inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for one in (self._inner, self._outer):
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
        self.server = f"127.0.0.1:{self._inner.getsockname()[1]}"
        self._waiting: list[tuple[float, int, bytes, bool]] = []
        self._count = 0
        self.lost = 0
        self._stop = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop = True
        self._thread.join(5)
        self._inner.close()
        self._outer.close()

    def _serve(self) -> None:
        while not self._stop:
            select.select([self._inner, self._outer], (), (), 0.005)
            now = time.monotonic()
            for one, outward in ((self._inner, True), (self._outer, False)):
                while True:
                    try:
                        data, source = one.recvfrom(4_096)
                    except OSError:
                        break
                    if outward:
                        self._near = source
                    self._pass(data, outward, now)
            while self._waiting and self._waiting[0][0] <= now:
                _, _, data, outward = heapq.heappop(self._waiting)
                if outward:
                    self._outer.sendto(data, self._far)
                elif self._near is not None:
                    self._inner.sendto(data, self._near)

    def _pass(self, data: bytes, outward: bool, now: float) -> None:
        copies = 2 if self._random.random() < self._twice else 1
        for _ in range(copies):
            if self._random.random() < self._loss:
                self.lost += 1
                continue
            self._count += 1
            at = now + self._random.random() * self._jitter_s
            heapq.heappush(self._waiting, (at, self._count, data, outward))
