"""UDP, TCP and TLS as the SIP server sees them (RFC 3261, 18): sockets and nothing else.

A flow is where a message came from and where its answer goes: for UDP the pair of our socket and
the peer's address, for TCP and TLS the connection itself.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import replace
from functools import lru_cache
from typing import Protocol, cast

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import KeepAlive, Request, Response, StreamParser
from host.settings import Listener
from host.watch import Watch

MAX_CONNECTIONS = 4_096
IDLE_UNPROVEN_S = 32
"""A connection over which nobody has authenticated is closed after so long in silence."""
BUFFER_OCTETS = 4 << 20
MAX_DRAIN = 1_024
"""Datagrams that are taken from one socket before others have their turn: some batches, or what
did not fit into one would wait behind each that follows."""
MAX_QUEUED = 1 << 20
"""Octets that may wait for a peer that does not read; then its connection is dropped."""


class Flow(Protocol):
    """Where to send."""

    listener: Listener
    address: str
    port: int

    @property
    def reliable(self) -> bool:
        """As the transaction layer asks (RFC 3261, 17): TCP and TLS are, UDP is not."""

    def __hash__(self) -> int: ...

    def prove(self) -> None:
        """Somebody authenticated over it: such a connection is kept."""

    def send(self, data: bytes) -> None:
        """Send at once or queue; never raises for what the peer did."""


class Receiver(Protocol):
    """What the server offers to its transports."""

    def datagram(self, data: bytes, flow: Flow) -> None: ...
    def message(self, message: Request | Response, flow: Flow) -> None: ...
    def bad_message(self, error: SipPeerError, flow: Flow) -> None: ...
    def drained(self) -> None: ...
    def closed(self, flow: Flow) -> None: ...


class UdpFlow:
    """One peer's address at one of our sockets."""

    __slots__ = ("address", "endpoint", "listener", "port")
    reliable = False

    def __init__(self, endpoint: UdpEndpoint, address: str, port: int) -> None:
        self.endpoint = endpoint
        self.listener = endpoint.listener
        self.address = address
        self.port = port

    def prove(self) -> None:
        """Nothing is kept for a datagram's sender."""

    def send(self, data: bytes) -> None:
        self.endpoint.send(data, (self.address, self.port))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, UdpFlow)
            and self.port == other.port
            and self.address == other.address
            and self.endpoint is other.endpoint
        )

    def __hash__(self) -> int:
        return hash((self.address, self.port))


class UdpEndpoint:
    """One UDP socket, read when its watch says so."""

    def __init__(self, listener: Listener, receiver: Receiver) -> None:
        """Bind the listener's address.

        Raises:
            OSError: the address is taken or not ours.
        """
        family = socket.AF_INET6 if ":" in listener.address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_OCTETS)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_OCTETS)
            self.socket.bind((listener.address, listener.port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setblocking(False)
        self.listener = replace(listener, port=self.socket.getsockname()[1])
        self.unsent = 0
        self._receive = receiver.datagram

    def drain(self) -> int:
        """Take what has come, at most `MAX_DRAIN` datagrams; answers how many there were."""
        receive, take = self._receive, self.socket.recvfrom
        for count in range(MAX_DRAIN):
            try:
                data, source = take(65_535)
            except BlockingIOError:
                return count
            except OSError:  # ICMP said that a peer is not there: its transaction's timer sees it
                continue
            receive(data, UdpFlow(self, source[0], source[1]))
        return MAX_DRAIN

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        try:
            self.socket.sendto(data, address)
        except OSError:  # the queue is full, or there is no way: as if lost on the way
            self.unsent += 1


class StreamFlow(asyncio.Protocol):
    """One TCP or TLS connection, ours or the peer's."""

    reliable = True

    def __init__(
        self, listener: Listener, receiver: Receiver, connections: set[StreamFlow]
    ) -> None:
        self.listener = listener
        self.address = ""
        self.port = 0
        self.proven = False
        self.closed = False
        """The connection is gone, or did not come about: the next request opens another."""
        self._receiver = receiver
        self._connections = connections
        self._parser = StreamParser()
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes, though they do what those do.
        transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername") or ("", 0)
        self.address, self.port = peer[0], peer[1]
        if len(self._connections) >= MAX_CONNECTIONS:
            transport.abort()
            return
        self._transport = transport
        self._connections.add(self)
        transport.set_write_buffer_limits(high=MAX_QUEUED)
        self._arm_idle()
        for data in self._waiting:
            transport.write(data)
        self._waiting.clear()

    def prove(self) -> None:
        self.proven = True

    def _arm_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(IDLE_UNPROVEN_S, self._close_if_unproven)

    def _close_if_unproven(self) -> None:
        if not self.proven and self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        for item in self._parser.feed(data):
            if isinstance(item, KeepAlive):  # RFC 5626, 3.5.1
                self.send(b"\r\n")
            elif isinstance(item, SipPeerError):
                self._receiver.bad_message(item, self)
                if self._parser.lost and self._transport is not None:
                    self._transport.close()  # the stream's framing is lost
                    return
            else:
                self._receiver.message(item, self)

    def pause_writing(self) -> None:
        """The peer does not read what it asked for."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        self.closed = True
        if self._idle is not None:
            self._idle.cancel()
        self._receiver.closed(self)

    def failed(self) -> None:
        """A connection that we opened did not come about."""
        self._waiting.clear()
        self.closed = True
        self._receiver.closed(self)

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
        elif self.address == "":
            self._waiting.append(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Transports:
    """All listeners of one host, and the connections that it opens itself."""

    def __init__(self, receiver: Receiver, watch: Watch) -> None:
        """UDP sockets are looked at by `watch`, which calls `Receiver.drained` itself."""
        self._receiver = receiver
        self._watch = watch
        self._servers: list[asyncio.AbstractServer] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.endpoints: list[UdpEndpoint] = []
        self.connections: set[StreamFlow] = set()
        self._outgoing: dict[tuple[str, str, int], StreamFlow] = {}
        self._listeners: list[Listener] = []

    async def open(self, listener: Listener) -> Listener:
        """Bind one listener; answers it with the port that was bound (for port 0).

        Raises:
            OSError: the address is taken or not ours.
            ssl.SSLError: the certificate or key can't be used.
        """
        loop = asyncio.get_running_loop()
        if listener.transport == "udp":
            endpoint = UdpEndpoint(listener, self._receiver)
            listener = endpoint.listener
            self.endpoints.append(endpoint)
            self._watch.add(endpoint.socket, endpoint.drain)
        else:
            context = _server_context(listener) if listener.transport == "tls" else None
            bound = [listener]
            server = await loop.create_server(
                lambda: StreamFlow(bound[0], self._receiver, self.connections),
                listener.address,
                listener.port,
                ssl=context,
                backlog=512,
            )
            listener = bound[0] = _bound(listener, server.sockets[0].getsockname()[1])
            self._servers.append(server)
        self._listeners.append(listener)
        return listener

    def flow_to(
        self, transport: str, address: str, port: int, pop: str | None = None
    ) -> Flow | None:
        """A flow towards an address; None where no listener has that transport, and for a name:
        looking one up would make all calls wait."""
        literal = literal_address(address)
        if literal is None:
            return None
        address = literal
        if transport == "udp":
            for endpoint in self.endpoints:
                if pop is None or endpoint.listener.pop == pop:
                    return UdpFlow(endpoint, address, port)
            return UdpFlow(self.endpoints[0], address, port) if self.endpoints else None
        key = (transport, address, port)
        flow = self._outgoing.get(key)
        if flow is not None and not flow.closed:
            return flow
        listener = next((x for x in self._listeners if x.transport == transport), None)
        if listener is None:
            return None
        flow = StreamFlow(listener, self._receiver, self.connections)
        flow.proven = True
        self._outgoing[key] = flow
        task = asyncio.get_running_loop().create_task(self._connect(flow, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return flow

    async def _connect(self, flow: StreamFlow, key: tuple[str, str, int]) -> None:
        transport, address, port = key
        context = ssl.create_default_context() if transport == "tls" else None
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(
                loop.create_connection(lambda: flow, address, port, ssl=context), 10
            )
        except (OSError, TimeoutError, ssl.SSLError):
            self._outgoing.pop(key, None)
            flow.failed()

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.close()
        for endpoint in self.endpoints:
            self._watch.remove(endpoint.socket)
            endpoint.socket.close()
        await asyncio.sleep(0)


def _bound(listener: Listener, port: int) -> Listener:
    return replace(listener, port=port)


def _server_context(listener: Listener) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(listener.certificate, listener.key)
    return context


@lru_cache(maxsize=1024)
def literal_address(host: str) -> str | None:
    """The IP address that a host is (IPv6 without its brackets); None for a name."""
    host = host.strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return host
