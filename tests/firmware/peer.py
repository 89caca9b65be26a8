"""A tiny SIP registrar and telephone over UDP, for the device to talk to. Test code only."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from dataclasses import dataclass, field

import numpy as np

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
NONCE = "4d2c9a17"
REALM = "test"


def ulaw_decode(octets: bytes) -> np.ndarray:
    """ITU-T G.711 u-law to linear, by the formula."""
    code = ~np.frombuffer(octets, np.uint8)
    sign = np.where(code & 0x80, -1, 1)
    exponent = (code >> 4) & 7
    magnitude = (((code & 15).astype(int) << 3) + 0x84 << exponent) - 0x84
    return sign * magnitude


_LINEAR = ulaw_decode(bytes(range(256)))


def ulaw_encode(samples: np.ndarray) -> bytes:
    """Nearest code of each sample."""
    order = np.argsort(_LINEAR, kind="stable")
    at = np.clip(np.searchsorted(_LINEAR[order], samples), 0, 255)
    return order[at].astype(np.uint8).tobytes()


@dataclass
class Heard:
    """One SIP message."""

    first: str
    headers: dict[str, list[str]]
    body: str
    source: tuple[str, int]

    @property
    def method(self) -> str:
        return self.first.split(" ")[0]

    def one(self, name: str) -> str:
        return self.headers.get(name, [""])[0]


def parse(octets: bytes, source: tuple[str, int]) -> Heard:
    head, _, body = octets.decode("utf-8", "replace").partition("\r\n\r\n")
    lines = head.split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    return Heard(lines[0], headers, body, source)


@dataclass
class Script:
    """What the peer does with calls to one number."""

    steps: tuple[tuple[int, bool], ...] = ((180, False), (200, True))
    """Statuses, and whether each bears SDP."""
    reason: str = ""
    pause_s: float = 0.05


class Peer:
    """Registrar, callee and caller on one UDP socket, with one RTP socket."""

    def __init__(
        self,
        algorithms: tuple[str, ...] = ("SHA-256", "MD5"),
        password: str = "secret",
        port: int = 0,
        deaf: bool = False,
    ) -> None:
        self.algorithms = algorithms
        self.password = password
        self.deaf = deaf
        self.other_contact = ""
        self.expires_s = 60
        self.challenges = True
        self.takes_events = True
        self.codec = (0, "PCMU")
        self.packets: dict[int, int] = {}
        """Audio packets of 160 octets that came, by payload type."""
        self.keep_alives = 0
        self.through: tuple[str, int] | None = None
        self.scripts: dict[str, Script] = {}
        self.contact = ""
        self.mailbox: str | None = None
        """Body that answers a subscription to message-summary; None refuses it."""
        self.registers: list[Heard] = []
        self.heard: list[Heard] = []
        self.audio: list[bytes] = []
        self.events: list[int] = []
        self.offered_codecs: list[str] = []
        self.tone_hz = 0
        self._far_rtp: tuple[str, int] | None = None
        self._dialog: dict[str, str] = {}
        self._cseq = 8
        self._lock = threading.Lock()
        self.sip = _bound(port)
        self.rtp = _bound(0)
        self.port: int = self.sip.getsockname()[1]
        self._open = True
        self._threads = [
            threading.Thread(target=target, daemon=True)
            for target in (self._serve, self._listen, self._talk)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._open = False
        for thread in self._threads:
            thread.join(2)
        self.sip.close()
        self.rtp.close()

    # Messages

    def _serve(self) -> None:
        while self._open:
            try:
                octets, source = self.sip.recvfrom(65_536)
            except TimeoutError:
                continue
            self.keep_alives += octets.strip(b"\r\n\0") == b""
            if self.deaf or len(octets) < 20:
                continue
            message = parse(octets, source)
            with self._lock:
                self.heard.append(message)
            if message.method == "REGISTER":
                self._register(message)
            elif message.method == "INVITE":
                threading.Thread(target=self._invite, args=(message,), daemon=True).start()
            elif message.method in ("BYE", "CANCEL"):
                self._far_rtp = None
                self._reply(message, 200)
            elif message.method == "SUBSCRIBE":
                self._subscribe(message)
            elif message.method in ("OPTIONS", "UPDATE"):
                self._reply(message, 200)

    def _reply(self, request: Heard, status: int, extra: str = "", body: str = "") -> None:
        to = request.one("to")
        if ";tag=" not in to and status > 100:
            to += ";tag=peer"
        via = "".join(f"Via: {one}\r\n" for one in request.headers.get("via", []))
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = (
            f"SIP/2.0 {status} Status\r\n{via}From: {request.one('from')}\r\nTo: {to}\r\n"
            f"Call-ID: {request.one('call-id')}\r\nCSeq: {request.one('cseq')}\r\n"
            f"Contact: <sip:peer@127.0.0.1:{self.port}>\r\n{extra}{kind}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self.sip.sendto(text.encode(), request.source)

    def _authorized(self, request: Heard, name: str) -> bool:
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', request.one(name)))
        if not fields:
            return False
        hashed = HASHES[fields.get("algorithm", "MD5")]

        def h(text: str) -> str:
            return hashed(text.encode()).hexdigest()

        ha1 = h(f"100001:{REALM}:{self.password}")
        ha2 = h(f"{request.method}:{fields['uri']}")
        middle = f"{fields['nc']}:{fields['cnonce']}:auth:" if "qop" in fields else ""
        return fields["response"] == h(f"{ha1}:{NONCE}:{middle}{ha2}")

    def _challenge(self, request: Heard) -> None:
        lines = "".join(
            f'WWW-Authenticate: Digest realm="{REALM}",nonce="{NONCE}",algorithm={one},'
            'qop="auth"\r\n'
            for one in self.algorithms
        )
        self._reply(request, 401, lines)

    def _register(self, request: Heard) -> None:
        if not request.one("authorization"):
            self._challenge(request)
            return
        if not self._authorized(request, "authorization"):
            self._reply(request, 403)
            return
        self.registers.append(request)
        bound = [one for one in request.headers.get("contact", []) if "expires=0" not in one]
        if request.one("expires") == "0":
            bound = []
        found = re.search(r"<(sip:[^>]+)>", bound[0]) if bound else None
        self.contact = found[1] if found else ""
        lines = self.other_contact
        if self.contact:
            lines += f"Contact: <{self.contact}>;expires={self.expires_s}\r\n"
        self._reply(request, 200, lines)

    def _invite(self, request: Heard) -> None:
        if ";tag=" in request.one("to"):
            self._reply(request, 200, body=self._sdp())
            return
        if self.challenges and not request.one("authorization"):
            self._challenge(request)
            return
        self.offered_codecs = re.findall(r"a=rtpmap:\d+ ([^/]+)/", request.body)
        self._learn_rtp(request.body)
        number = request.first.split("sip:")[1].split("@")[0]
        script = self.scripts.get(number, Script())
        for status, sdp in script.steps:
            time.sleep(script.pause_s)
            reason = f"Reason: {script.reason}\r\n" if script.reason and status >= 300 else ""
            self._reply(request, status, reason, self._sdp() if sdp else "")
        self._dialog = {
            "from": request.one("to") + ";tag=peer",
            "to": request.one("from"),
            "call-id": request.one("call-id"),
            "uri": re.findall(r"<([^>]+)>", request.one("contact"))[0],
            "ip": request.source[0],
            "port": str(request.source[1]),
        }

    def _sdp(self) -> str:
        port = self.rtp.getsockname()[1]
        kind, name = self.codec
        events = "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP {kind}{' 101' if self.takes_events else ''}\r\n"
            f"a=rtpmap:{kind} {name}/8000\r\na=sendrecv\r\n" + (events if self.takes_events else "")
        )

    def _learn_rtp(self, sdp: str) -> None:
        ip, port = re.search(r"c=IN IP4 (\S+)", sdp), re.search(r"m=audio (\d+)", sdp)
        if ip and port:
            self._far_rtp = (ip[1], int(port[1]))

    def bye(self, reason: str = "") -> None:
        """Hang up the call that the device placed or took."""
        self.within("BYE", f"Reason: {reason}\r\n" if reason else "")

    def within(self, method: str, extra: str) -> None:
        """Send a request within the dialog."""
        dialog = self._dialog
        self._cseq += 1
        text = (
            f"{method} {dialog['uri']} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{self.port};"
            f"branch=z9hG4bKin{time.monotonic_ns()}\r\nMax-Forwards: 70\r\n"
            f"From: {dialog['from']}\r\nTo: {dialog['to']}\r\nCall-ID: {dialog['call-id']}\r\n"
            f"CSeq: {self._cseq} {method}\r\nContact: <sip:peer@127.0.0.1:{self.port}>\r\n"
            f"{extra}Content-Length: 0\r\n\r\n"
        )
        self.sip.sendto(text.encode(), (dialog["ip"], int(dialog["port"])))

    def call(
        self, via: socket.socket | None = None, call_id: str = "", caller: str = "", extra: str = ""
    ) -> str:
        """Send the device an INVITE, from our own socket or a stranger's; its Call-ID.

        Args:
            caller: From, without tag; ours if empty.
            extra: more header lines.
        """
        sender = via or self.sip
        call_id = call_id or f"call{time.monotonic_ns()}"
        octets = self.request("INVITE", call_id, sender.getsockname()[1], caller, extra)
        sender.sendto(octets, self.device)
        return call_id

    def notify(
        self, body: str, via: socket.socket | None = None, event: str = "message-summary"
    ) -> None:
        """Tell the device unasked what waits for it (RFC 3842), or of another event."""
        sender = via or self.sip
        port = sender.getsockname()[1]
        name = f"mwi{time.monotonic_ns()}"
        text = (
            f"NOTIFY {self.contact} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};"
            f"branch=z9hG4bK{name}\r\nMax-Forwards: 70\r\nFrom: <sip:mail@127.0.0.1>;tag=m\r\n"
            f"To: <{self.contact}>\r\nCall-ID: {name}\r\nCSeq: 1 NOTIFY\r\n"
            f"Contact: <sip:mail@127.0.0.1:{port}>\r\nEvent: {event}\r\n"
            "Subscription-State: active\r\nContent-Type: application/simple-message-summary\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        sender.sendto(text.encode(), self.device)

    def _subscribe(self, request: Heard) -> None:
        """Grant a subscription, and say within it what `mailbox` says."""
        if self.mailbox is None:
            self._reply(request, 489)
            return
        self._reply(request, 200, "Expires: 600\r\n")
        uri = re.findall(r"<([^>]+)>", request.one("contact"))[0]
        text = (
            f"NOTIFY {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{self.port};"
            f"branch=z9hG4bKs{time.monotonic_ns()}\r\nMax-Forwards: 70\r\n"
            f"From: {request.one('to')};tag=peer\r\nTo: {request.one('from')}\r\n"
            f"Call-ID: {request.one('call-id')}\r\nCSeq: 1 NOTIFY\r\n"
            f"Contact: <sip:peer@127.0.0.1:{self.port}>\r\nEvent: message-summary\r\n"
            "Subscription-State: active;expires=600\r\n"
            "Content-Type: application/simple-message-summary\r\n"
            f"Content-Length: {len(self.mailbox)}\r\n\r\n{self.mailbox}"
        )
        self.sip.sendto(text.encode(), request.source)

    def request(
        self, method: str, call_id: str, port: int, caller: str = "", extra: str = ""
    ) -> bytes:
        """A request outside any dialog, with an offer."""
        sdp = self._sdp()
        caller = caller or '"Ann" <sip:5145550199@127.0.0.1>'
        text = (
            f"{method} {self.contact} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};"
            f"branch=z9hG4bK{call_id}\r\nMax-Forwards: 70\r\n"
            f"From: {caller};tag=a{call_id}\r\nTo: <{self.contact}>\r\n"
            f"Call-ID: {call_id}\r\nCSeq: 1 {method}\r\nContact: <sip:ann@127.0.0.1:{port}>\r\n"
            f"{extra}Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}"
        )
        return text.encode()

    @property
    def device(self) -> tuple[str, int]:
        """Where requests for the device go: its contact, or the connection that it keeps."""
        if self.through is not None:
            return self.through
        found = re.search(r"@([\d.]+):(\d+)", self.contact)
        assert found, "the device has registered"
        return found[1], int(found[2])

    def acknowledge(self, answer: Heard) -> None:
        """ACK a 200, and remember the dialog."""
        self._learn_rtp(answer.body)
        uri = re.findall(r"<([^>]+)>", answer.one("contact"))[0]
        text = (
            f"ACK {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{self.port};"
            f"branch=z9hG4bKack{time.monotonic_ns()}\r\nMax-Forwards: 70\r\n"
            f"From: {answer.one('from')}\r\nTo: {answer.one('to')}\r\n"
            f"Call-ID: {answer.one('call-id')}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
        )
        self.sip.sendto(text.encode(), self.device)
        self._dialog = {
            "from": answer.one("from"),
            "to": answer.one("to"),
            "call-id": answer.one("call-id"),
            "uri": uri,
            "ip": self.device[0],
            "port": str(self.device[1]),
        }

    def wait_for(self, first: str, method: str = "", timeout_s: float = 5.0) -> Heard:
        """The first message whose first line begins so (and whose CSeq names `method`)."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            with self._lock:
                for message in self.heard:
                    if message.first.startswith(first) and message.one("cseq").endswith(method):
                        return message
            time.sleep(0.01)
        raise AssertionError(f"no {first} came, only {[one.first for one in self.heard]}")

    # Audio

    def _listen(self) -> None:
        while self._open:
            try:
                packet, _ = self.rtp.recvfrom(2_048)
            except TimeoutError:
                continue
            kind = packet[1] & 0x7F
            if len(packet) == 172:
                self.packets[kind] = self.packets.get(kind, 0) + 1
            if kind == 0:
                self.audio.append(packet[12:])
            elif kind == 101 and packet[1] & 0x80:
                self.events.append(packet[12])

    def _talk(self) -> None:
        sequence = 0
        due = time.monotonic()
        while self._open:
            due += 0.02
            time.sleep(max(0.0, due - time.monotonic()))
            target = self._far_rtp
            if not self.tone_hz or target is None:
                continue
            at = np.arange(160) + sequence * 160
            wave = 8_000 * np.sin(2 * np.pi * self.tone_hz * at / 8_000)
            head = bytes((0x80, 0)) + (sequence & 0xFFFF).to_bytes(2, "big")
            head += ((sequence * 160) & 0xFFFFFFFF).to_bytes(4, "big") + b"peer"
            self.rtp.sendto(head + ulaw_encode(wave), target)
            sequence += 1

    def pcm(self) -> np.ndarray:
        """All audio that came from the device."""
        return ulaw_decode(b"".join(self.audio))


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))
    sock.settimeout(0.1)
    return sock


@dataclass
class Spectrum:
    """Levels of the sines in some audio."""

    samples: np.ndarray
    _power: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        window = np.hanning(len(self.samples))
        self._power = np.abs(np.fft.rfft(self.samples * window)) * 2 / window.sum()

    def dbm0(self, hz: float) -> float:
        """Level of the strongest line within 15 Hz of `hz`."""
        bins = np.fft.rfftfreq(len(self.samples), 1 / 8_000)
        peak = self._power[np.abs(bins - hz) <= 15].max()
        return float(20 * np.log10(max(peak, 1e-3) / 32_768) + 3.14)

    def strongest(self, count: int = 1) -> list[int]:
        """The strongest frequencies, hertz."""
        power = self._power.copy()
        bins = np.fft.rfftfreq(len(self.samples), 1 / 8_000)
        found = []
        for _ in range(count):
            at = bins[power.argmax()]
            found.append(round(float(at)))
            power[np.abs(bins - at) <= 12] = 0
        return sorted(found)
