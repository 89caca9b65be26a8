"""UDP sockets of listeners and bridges."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from firmware.wire.iax2 import Endpoint
from host.media.bridge import Ground
from host.settings import MediaSettings
from host.watch import Watch

BUFFER_OCTETS = 4 << 20
RTP_BUFFER_OCTETS = 256 << 10
MAX_DRAIN = 512
"""Datagrams that are taken from one socket before others have their turn."""
LARGEST = 65_535

Address = tuple[str, int]


class Socket(Protocol):
    """What is needed of a datagram socket."""

    def sendto(self, data: bytes, address: Address, /) -> int: ...
    def close(self) -> None: ...


def bind(address: str, port: int, buffer_octets: int) -> socket.socket:
    """A bound UDP socket that never waits.

    Raises:
        OSError: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_octets)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_octets)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def drain_of(sock: socket.socket, endpoint: Endpoint, ground: Ground) -> Callable[[], int]:
    """Takes what has come for a listener to its endpoint; answers how many datagrams."""
    take, receive = sock.recvfrom, endpoint.receive_datagram

    def drain() -> int:
        now = ground.now
        for count in range(MAX_DRAIN):
            try:
                data, source = take(LARGEST)
            except BlockingIOError:
                return count
            except OSError:  # ICMP said that a peer is not there: retransmission sees it
                continue
            if len(source) != 2:  # IPv6: without flow and scope
                source = (source[0], source[1])
            receive(data, source, now)
        return MAX_DRAIN

    return drain


class RtpPorts:
    """Opens a socket for each bridged leg, in the range of the settings, even ports alone: the odd
    ones above them are where peers send RTCP."""

    def __init__(self, settings: MediaSettings, watch: Watch) -> None:
        self._settings = settings
        self._watch = watch
        self._first = settings.bridge_min_port + (settings.bridge_min_port & 1)
        self._count = max(0, (settings.bridge_max_port - self._first) // 2 + 1)
        self._next = 0
        self.open_ports = 0

    def open(self, receive: Callable[[bytes], bool]) -> RtpPort | None:
        """The next port that is free; None when there is none."""
        for _ in range(self._count):
            number = self._first + 2 * self._next
            self._next = (self._next + 1) % self._count
            try:
                sock = bind(self._settings.address, number, RTP_BUFFER_OCTETS)
            except OSError:
                continue
            port = RtpPort(self, sock, number, receive)
            self.open_ports += 1
            self._watch.add(sock, port.drain)
            return port
        return None

    def forget(self, sock: socket.socket) -> None:
        self.open_ports -= 1
        self._watch.remove(sock)


class RtpPort:
    """One socket of one bridge; implements `host.media.bridge.MediaPort`."""

    __slots__ = ("_aimed", "_fixed", "_pinned", "_ports", "_receive", "_socket", "_target", "port")

    def __init__(
        self, ports: RtpPorts, sock: socket.socket, port: int, receive: Callable[[bytes], bool]
    ) -> None:
        self.port = port
        self._socket = sock
        self._ports = ports
        self._receive = receive
        self._aimed: tuple[Address, bool] | None = None
        self._target: Address | None = None
        self._pinned = False
        self._fixed = False
        """It is known where the peer's packets come from."""

    def aim(self, address: str, port: int, pinned: bool) -> None:
        """Send there; unless `pinned`, to where the first packet comes from as soon as it does."""
        where = (address, port)
        if self._aimed == (where, pinned):
            return  # said again: what was learned stands
        self._aimed = (where, pinned)
        self._target = where
        self._pinned, self._fixed = pinned, False

    def send(self, data: bytes) -> None:
        if self._target is None:
            return
        with suppress(OSError):  # nobody there, or a full queue: as if lost on the way
            self._socket.sendto(data, self._target)

    def drain(self) -> int:
        """Take what has come; answers how many packets."""
        take = self._socket.recvfrom
        for count in range(MAX_DRAIN):
            try:
                data, source = take(LARGEST)
            except BlockingIOError:
                return count
            except OSError:  # ICMP said that nobody is there
                return count + 1
            self._arrived(data, source)
        return MAX_DRAIN

    def _arrived(self, data: bytes, source: Any) -> None:
        if len(source) != 2:  # IPv6: without flow and scope
            source = (source[0], source[1])
        target = self._target
        if source == target:
            self._fixed = True
            self._receive(data)
        elif target is None or self._fixed:
            return
        elif self._pinned:  # from its address, whatever the port
            if source[0] == target[0]:
                self._receive(data)
        elif self._receive(data):
            self._target, self._fixed = source, True

    def close(self) -> None:
        self._ports.forget(self._socket)
        self._socket.close()
