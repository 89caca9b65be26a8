"""A small blocking user agent on a real socket: UDP, TCP or TLS. For one call at a time."""

from __future__ import annotations

import itertools
import socket
import time

from firmware.wire.sip import digest
from firmware.wire.sip.dialog import Dialog
from firmware.wire.sip.message import (
    Headers,
    Request,
    Response,
    StreamParser,
    parse,
    response_to,
)

_SERIAL = itertools.count(1)


class Phone:
    """Sends, waits, and answers what it is told to answer."""

    def __init__(
        self, sock: socket.socket, transport: str, host: tuple[str, int], user: str
    ) -> None:
        self.sock = sock
        self.transport = transport
        self.host = host
        self.user = user
        self.cseq = 0
        self.mark = f"{next(_SERIAL)}x{time.monotonic_ns():x}"
        self.dialog: Dialog | None = None
        self.own = sock.getsockname()[:2]
        self.media_port = 40_000
        self._parser = StreamParser()
        self._inbox: list[Request | Response] = []
        self._serial = itertools.count(1)
        self.stray: list[Response] = []

    @staticmethod
    def udp(address: str, host: tuple[str, int], user: str = "", port: int = 0) -> Phone:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind((address, port))
        sock.settimeout(5)
        return Phone(sock, "udp", host, user)

    def close(self) -> None:
        self.sock.close()

    # --- octets ---

    def send_octets(self, data: bytes) -> None:
        if self.transport == "udp":
            self.sock.sendto(data, self.host)
        else:
            self.sock.sendall(data)

    def receive(self, seconds: float = 5.0) -> Request | Response:
        until = time.monotonic() + seconds
        while not self._inbox:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.sock.settimeout(left)
            data = self.sock.recv(65_535)
            if self.transport == "udp":
                self._inbox.append(parse(data))
            else:
                if not data:
                    raise ConnectionError("closed")
                for item in self._parser.feed(data):
                    assert isinstance(item, Request | Response), item
                    self._inbox.append(item)
        return self._inbox.pop(0)

    # --- messages ---

    @property
    def via(self) -> str:
        own = f"{self.own[0]}:{self.own[1]}"
        branch = f"z9hG4bK{self.mark}x{next(self._serial)}"
        return f"SIP/2.0/{self.transport.upper()} {own};branch={branch};rport"

    @property
    def contact(self) -> str:
        suffix = "" if self.transport == "udp" else f";transport={self.transport}"
        return f"<sip:{self.user or 'gw'}@{self.own[0]}:{self.own[1]}{suffix}>"

    def sdp(self) -> bytes:
        return (
            f"v=0\r\no=- 1 1 IN IP4 {self.own[0]}\r\ns=-\r\nc=IN IP4 {self.own[0]}\r\nt=0 0\r\n"
            f"m=audio {self.media_port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
        ).encode()

    def build(
        self, method: str, uri: str, to: str, *lines: tuple[str, str], body: bytes = b""
    ) -> Request:
        self.cseq += 1
        fields = [
            ("Via", self.via), ("Max-Forwards", "70"),
            ("From", f"<sip:{self.user or '+13125550177'}@{self.host[0]}>;tag=f{self.mark}"),
            ("To", to), ("Call-ID", f"{method[:3]}{self.mark}"), ("CSeq", f"{self.cseq} {method}"),
            ("Contact", self.contact), ("Supported", "timer"),
            ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE"), *lines,
        ]  # fmt: skip
        if body:
            fields.append(("Content-Type", "application/sdp"))
        return Request(method, uri, Headers(fields), body)

    def final(self, seconds: float = 10.0) -> Response:
        """The next final response; provisional ones are passed over, requests kept."""
        until = time.monotonic() + seconds
        kept: list[Request | Response] = []
        while True:
            message = self.receive(until - time.monotonic())
            if isinstance(message, Response):
                if message.status >= 200:
                    self._inbox[:0] = kept
                    return message
            else:
                kept.append(message)

    def request(self, seconds: float = 10.0) -> Request:
        """The next request of the host; responses are passed over."""
        until = time.monotonic() + seconds
        while True:
            message = self.receive(until - time.monotonic())
            if isinstance(message, Request):
                return message
            self.stray.append(message)

    def ask(
        self, method: str, uri: str, to: str, *lines: tuple[str, str], body: bytes = b""
    ) -> Response:
        """Send, authenticate if asked to, and give the final answer."""
        request = self.build(method, uri, to, *lines, body=body)
        self.send_octets(request.to_bytes())
        response = self.final()
        self.last = request
        if response.status == 401:
            if method == "INVITE":
                self._ack_failure(request, response)
            value = digest.respond(
                response.headers.get_all("WWW-Authenticate"), username=self.user,
                password="secret", method=method, uri=uri, cnonce="c0ffee", nc=1,
            )  # fmt: skip
            assert value is not None
            request = self.build(method, uri, to, *lines, ("Authorization", value), body=body)
            self.last = request
            self.send_octets(request.to_bytes())
            response = self.final()
        return response

    def _ack_failure(self, request: Request, response: Response) -> None:
        fields = {name: request.headers.fields[name][:1] for name in ("Via", "From", "Call-ID")}
        ack = Headers.adopt(
            {**fields, "To": response.headers.fields["To"][:1],
             "CSeq": [f"{request.cseq[0]} ACK"], "Max-Forwards": ["70"]}
        )  # fmt: skip
        self.send_octets(Request("ACK", request.uri, ack).to_bytes())

    def register(self, expires: int = 600) -> Response:
        address = f"sip:{self.user}@{self.host[0]}"
        uri = f"sip:{self.host[0]}:{self.host[1]}"
        return self.ask("REGISTER", uri, f"<{address}>", ("Expires", str(expires)))

    def call(self, number: str) -> Response:
        """Call, and acknowledge the answer; the dialog stands in `dialog`."""
        uri = f"sip:{number}@{self.host[0]}:{self.host[1]}"
        response = self.ask("INVITE", uri, f"<{uri}>", body=self.sdp())
        if response.status < 300:
            self.dialog = Dialog.uac(self.last, response)
            self.send_octets(self.dialog.ack(response.cseq[0], via=self.via).to_bytes())
        else:
            self._ack_failure(self.last, response)
        return response

    def respond(self, request: Request, status: int, body: bytes = b"") -> None:
        response = response_to(request, status, to_tag=f"t{self.mark}")
        response.headers.set("Contact", self.contact)
        if body:
            response.headers.set("Content-Type", "application/sdp")
            response.body = body
        if request.method == "INVITE" and 200 <= status < 300:
            self.dialog = Dialog.uas(request, response)
        self.send_octets(response.to_bytes())

    def in_dialog(self, method: str, *lines: tuple[str, str], body: bytes = b"") -> Request:
        assert self.dialog is not None
        return self.dialog.request(
            method, via=self.via, contact=self.contact, headers=lines, body=body,
            content_type="application/sdp" if body else None,
        )  # fmt: skip

    def bye(self) -> Response:
        self.send_octets(self.in_dialog("BYE").to_bytes())
        return self.final()
