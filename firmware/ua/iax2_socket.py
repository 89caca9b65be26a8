"""The shell under IAX2: a UDP socket for each address family, and names looked up aside."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from firmware.config import Iax2Server
from firmware.ua.base import AgentError

Address = tuple[str, int]

_LONGEST = 4_096
"""No datagram of IAX2 is longer: full frames carry a few hundred octets, trunks an MTU."""
_MOST_A_TURN = 200


class UdpPort:
    """One local port. The socket of a family is opened when it is needed first.

    Args:
        address: local address; empty: all.
        port: local port; 0 takes a free one.
    """

    def __init__(self, address: str, port: int) -> None:
        self._address = address
        self._port = port
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}
        self.unsent = 0
        """Datagrams that the system refused: no route, no buffer."""

    def open(self, family: socket.AddressFamily) -> None:
        """Open the socket of a family.

        Raises:
            AgentError: the address or port cannot be had.
        """
        one = socket.socket(family, socket.SOCK_DGRAM)
        try:
            one.setblocking(False)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            own = (":" in self._address) == (family == socket.AF_INET6)
            one.bind((self._address if own else "", self._port))
        except OSError as error:
            one.close()
            where = f"{self._address or '*'}:{self._port}"
            raise AgentError(
                f"IAX2 cannot start at {where} ({error.strerror}); check `address` and `port` "
                "in [iax2], and that nothing else uses the port"
            ) from None
        self._sockets[family] = one

    def descriptors(self) -> tuple[int, ...]:
        """Readable when there is something to take."""
        return tuple(one.fileno() for one in self._sockets.values())

    def take(self) -> Iterator[tuple[bytes, Address]]:
        """What has come, two hundred datagrams at most."""
        for one in self._sockets.values():
            for _ in range(_MOST_A_TURN):
                try:
                    data, source = one.recvfrom(_LONGEST)
                except BlockingIOError:
                    break
                except OSError:
                    continue  # an ICMP error of an earlier datagram; the protocol has time-outs
                yield data, (source[0], source[1])

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram. What the system refuses is lost, as on the way."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        if family not in self._sockets:
            try:
                self.open(family)
            except AgentError:
                self.unsent += 1
                return
        try:
            self._sockets[family].sendto(data, address)
        except OSError:
            self.unsent += 1

    def close(self) -> None:
        """Give everything back."""
        while self._sockets:
            self._sockets.popitem()[1].close()


Found = Callable[[], "Address | str | None"]
"""An address; None while it is being looked up; a text that says why there is none."""


def look_up(server: Iax2Server) -> Found:
    """Begin to look up a server; audio does not wait for it.

    A literal address is there at once. A name is looked up in a thread that lives no longer than
    the resolver's own time-outs.
    """
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, server.host)
            return lambda: (server.host, server.port)
    answers = _running.get(server)
    if answers is None:  # else an earlier question still waits for the resolver
        answers = _running[server] = []
        work = threading.Thread(target=_ask, args=(server, answers), name="look-up", daemon=True)
        work.start()
    return lambda: answers[0] if answers else None


_running: dict[Iax2Server, list[Address | str]] = {}
"""One thread a server, however often it is asked for."""


def _ask(server: Iax2Server, answers: list[Address | str]) -> None:
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        answers.append(f"{server.host} cannot be looked up ({error})")
    else:
        found.sort(key=lambda one: one[0] != socket.AF_INET)
        answers.append((str(found[0][4][0]), server.port))
    del _running[server]
