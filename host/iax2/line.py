"""One listener of IAX2 with its endpoint and socket, and where a registration on it came from."""

from __future__ import annotations

from firmware.wire.iax2 import Endpoint
from host.iax2.sockets import Address, Socket
from host.settings import Listener

PORT = 4569
"""RFC 5456, 10."""
_NO_SHAPE = str.maketrans("", "", "-.() ")


class Iax2Flow:
    """One peer's address at one of our listeners; what a binding keeps of its registration."""

    __slots__ = ("address", "line", "listener", "port")
    reliable = False

    def __init__(self, line: Line, address: str, port: int) -> None:
        self.line = line
        self.listener = line.listener
        self.address = address
        self.port = port

    def prove(self) -> None:
        """Nothing is kept for a datagram's sender."""

    def send(self, data: bytes) -> None:
        self.line.socket.sendto(data, (self.address, self.port))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Iax2Flow)
            and self.port == other.port
            and self.address == other.address
            and self.line is other.line
        )

    def __hash__(self) -> int:
        return hash((self.address, self.port))


class Line:
    """One listener: its endpoint and its socket."""

    __slots__ = ("endpoint", "listener", "socket", "unsent")

    def __init__(self, listener: Listener, endpoint: Endpoint, socket: Socket) -> None:
        self.listener = listener
        self.endpoint = endpoint
        self.socket = socket
        self.unsent = 0

    def send(self) -> None:
        """Send what the endpoint has."""
        endpoint = self.endpoint
        out = endpoint.outgoing
        if not out:
            return
        send = self.socket.sendto
        for data, address in out:
            try:
                send(data, address)
            except OSError:  # the queue is full, or there is no way: as if lost on the way
                self.unsent += 1
        out.clear()


def number_of(text: str) -> str:
    """A number as it is dialled, without visual separators, as over SIP."""
    if text[:1] in "+0123456789":
        text = text.translate(_NO_SHAPE)
    return text[:64]


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def address_of(uri: str) -> Address:
    """Address and port of a trunk's `iax2:203.0.113.5:4569`, as provisioning let it in."""
    host = uri.removeprefix("iax2:").rpartition("@")[2].partition(";")[0]
    if host.startswith("["):
        address, _, port = host[1:].partition("]")
        port = port.lstrip(":")
    else:
        address, _, port = host.partition(":")
    return address, int(port or PORT)
