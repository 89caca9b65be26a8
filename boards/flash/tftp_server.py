"""Serves what a board is to fetch by TFTP; the shell around `boards.tftp`."""

from __future__ import annotations

import socket

from boards import tftp
from boards.flash.run import Helper

_MOST = 2_048
_MOST_TRANSFERS = 4
"""One board fetches one file; some more where it has begun anew."""


class ServerError(Exception):
    """The server cannot be had: why, and what to do."""


class TftpServer(Helper):
    """Files for one board. Each transfer has a socket of its own (RFC 1350, 4)."""

    def __init__(self, address: str, files: tftp.Files, port: int = tftp.PORT) -> None:
        """
        Args:
            address: of this computer, where the board reaches it.
            port: another than 69 is for tests; boot loaders know no other.
        Raises:
            ServerError: the port cannot be bound.
        """
        self._address, self._files = address, files
        self._socket = _bound(address, port)
        self.port = int(self._socket.getsockname()[1])
        self._transfers: dict[socket.socket, tftp.Transfer] = {}
        self.asked = 0
        """Requests that have come: none means that the board does not reach us."""

    def descriptors(self) -> list[int]:
        """What to wait for."""
        return [self._socket.fileno(), *(one.fileno() for one in self._transfers)]

    def deadline(self) -> float | None:
        """When `serve` is due if nothing comes."""
        return min((one.deadline for one in self._transfers.values()), default=None)

    def serve(self, now: float) -> None:
        """Take what has come, answer, and send again what is due."""
        for datagram, peer in _datagrams(self._socket):
            self._request(datagram, peer, now)
        for sock, transfer in list(self._transfers.items()):
            for datagram, _ in _datagrams(sock):
                _send(sock, transfer.receive(datagram, now))
            _send(sock, transfer.tick(now))
            if transfer.over:
                sock.close()
                del self._transfers[sock]

    def close(self) -> None:
        """Serve no more."""
        for sock in (self._socket, *self._transfers):
            sock.close()
        self._transfers.clear()

    def _request(self, datagram: bytes, peer: tuple[str, int], now: float) -> None:
        self.asked += 1
        begun = tftp.answer(datagram, self._files, now)
        if isinstance(begun, bytes):
            if begun:
                self._socket.sendto(begun, peer)
            return
        while len(self._transfers) >= _MOST_TRANSFERS:
            oldest = next(iter(self._transfers))
            oldest.close()
            del self._transfers[oldest]
        sock = _bound(self._address, 0)
        try:
            sock.connect(peer)
        except OSError:
            sock.close()
            return
        self._transfers[sock] = begun
        _send(sock, begun.begin())


def own_address(board: str) -> str:
    """The address of this computer from which it would reach `board`, or the world if empty.

    Raises:
        ServerError: it has no network.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((board or "192.0.2.1", 9))  # sends nothing
            return str(sock.getsockname()[0])
        except OSError as error:
            raise ServerError(
                f"this computer has no way to {board or 'any network'} ({error.strerror}): plug it "
                "into the board's network, or give its address there as --server"
            ) from None


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    try:
        sock.bind((address, port))
    except PermissionError:
        sock.close()
        raise ServerError(
            f"only root may serve at port {port}: run `sudo sysctl -w "
            f"net.ipv4.ip_unprivileged_port_start={port}` (until this computer is switched off), "
            "then the same command again; or use --via serial"
        ) from None
    except OSError as error:
        sock.close()
        raise ServerError(
            f"nothing can be served at {address}, port {port} ({error.strerror}): end another TFTP "
            "server if there is one, and see that --server is an address of this computer"
        ) from None
    return sock


def _datagrams(sock: socket.socket) -> list[tuple[bytes, tuple[str, int]]]:
    found = []
    while True:
        try:
            found.append(sock.recvfrom(_MOST))
        except BlockingIOError:
            return found
        except OSError:
            return found  # the board has gone for the moment; it is asked again by time


def _send(sock: socket.socket, datagrams: list[bytes]) -> None:
    for datagram in datagrams:
        try:
            sock.send(datagram)
        except OSError:
            return  # as if it were lost on the way
