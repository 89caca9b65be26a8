"""A TLS door before the UDP peer: SIP over a stream (RFC 3261, 18.3). Test code only."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import threading
from pathlib import Path

from tests.firmware.peer import Peer


def make_certificate(folder: Path, name: str, address: str = "127.0.0.1") -> tuple[Path, Path]:
    """A self-signed certificate for an address, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{address},DNS:{address}",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return certificate, key


class TlsFront:
    """Takes connections; each has a UDP socket of its own towards the peer."""

    def __init__(self, peer: Peer, certificate: Path, key: Path) -> None:
        self._peer = peer
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._open = False
        self._server.close()

    def _accept(self) -> None:
        while self._open:
            with contextlib.suppress(OSError):
                plain, _ = self._server.accept()
                stream = self._context.wrap_socket(plain, server_side=True)
                inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                inner.bind(("127.0.0.1", 0))
                for work in (self._inward, self._outward):
                    threading.Thread(target=work, args=(stream, inner), daemon=True).start()

    def _inward(self, stream: ssl.SSLSocket, inner: socket.socket) -> None:
        received = b""
        with contextlib.suppress(OSError):
            while octets := stream.recv(65_536):
                received = (received + octets).lstrip(b"\r\n")
                while b"\r\n\r\n" in received:
                    head = received.partition(b"\r\n\r\n")[0]
                    found = re.search(rb"(?im)^Content-Length\s*:\s*(\d+)", head)
                    length = len(head) + 4 + (int(found[1]) if found else 0)
                    if len(received) < length:
                        break
                    inner.sendto(received[:length], ("127.0.0.1", self._peer.port))
                    received = received[length:].lstrip(b"\r\n")

    def _outward(self, stream: ssl.SSLSocket, inner: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream.sendall(inner.recv(65_536))
