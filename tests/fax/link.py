"""A bad link between devices and their host: every datagram is late by a seeded 0 to 40 ms.

None overtakes another. Over SIP audio goes its own way, to where session descriptions say; so the
link puts itself in there, and in Contact, as a session border controller would.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

Address = tuple[str, int]
_CONNECTION = re.compile(rb"^c=IN IP4 (\S+)", re.M)
_AUDIO = re.compile(rb"^m=audio (\d+)", re.M)
_LENGTH = re.compile(rb"^(Content-Length|l)[ \t]*:[ \t]*\d+", re.M | re.I)
_CONTACT = re.compile(
    rb"^((?:Contact|Record-Route)[ \t]*:[^\r\n]*?sips?:(?:[^@>\r\n]*@)?)[^;>\r\n@]*", re.M
)


class _Socket(asyncio.DatagramProtocol):
    """One bound address; tells whom a datagram came from."""

    def __init__(self, take: Callable[[bytes, Address], None]) -> None:
        self._take = take
        self.transport: asyncio.DatagramTransport | None = None
        self.address: Address = ("", 0)

    async def open(self, address: str, port: int = 0) -> _Socket:
        loop = asyncio.get_running_loop()
        made, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(address, port))
        self.transport = made
        self.address = made.get_extra_info("sockname")[:2]
        return self

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there yet, or any more."""

    def send(self, data: bytes, to: Address) -> None:
        if self.transport is not None:
            self.transport.sendto(data, to)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()
            self.transport = None


@dataclass(slots=True)
class LinkStatistics:
    """What has passed."""

    datagrams: int = 0
    late_ms: float = 0.0
    """Sum of how late they were made."""
    most_ms: float = 0.0


class Link:
    """Stands where devices look for their host.

    Args:
        address: where it is bound; devices have `address` and the host's port as their server.
        host: the host's listener.
        sip: session descriptions are rewritten, too; else all is in one stream, as in IAX2.
        jitter_ms: the most that a datagram is late.
        seed: of how late each is.
    """

    def __init__(self, address: str, host: Address, sip: bool, jitter_ms: float, seed: int) -> None:
        self.statistics = LinkStatistics()
        self._address, self._host, self._sip = address, host, sip
        self._jitter_s = jitter_ms / 1000
        self._random = random.Random(seed)
        self._front = _Socket(self._from_device)
        self._backs: dict[Address, _Socket] = {}
        self._waiting: dict[Address, list[bytes]] = {}
        self._aliases: dict[Address, _Socket] = {}
        self._free: list[_Socket] = []
        self._released: dict[tuple[Address, Address], float] = {}

    async def start(self, aliases: int = 16) -> None:
        """Bind everything that may be needed.

        Raises:
            OSError: the address is taken.
        """
        await self._front.open(self._address, self._host[1])
        for _ in range(aliases if self._sip else 0):
            self._free.append(await self._alias_socket())

    def close(self) -> None:
        """Free all ports."""
        for one in (self._front, *self._backs.values(), *self._aliases.values(), *self._free):
            one.close()

    # Signalling, or everything

    def _from_device(self, data: bytes, device: Address) -> None:
        back = self._backs.get(device)
        if back is None:
            if device in self._waiting:
                self._waiting[device].append(data)
                return
            self._waiting[device] = [data]
            asyncio.get_running_loop().create_task(self._open_back(device))
            return
        self._pass(self._rewritten(data, contact=False), device, back, self._host)

    async def _open_back(self, device: Address) -> None:
        back = await _Socket(lambda data, _: self._from_host(data, device)).open(self._address)
        self._backs[device] = back
        for data in self._waiting.pop(device):
            self._from_device(data, device)

    def _from_host(self, data: bytes, device: Address) -> None:
        self._pass(self._rewritten(data, contact=True), self._host, self._front, device)

    def _pass(self, data: bytes, source: Address, by: _Socket, to: Address) -> None:
        """Send it on, late, but after what went before."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        at = max(
            now + self._random.uniform(0.0, self._jitter_s),
            self._released.get((source, to), 0.0) + 1e-5,
        )
        self._released[source, to] = at
        seen = self.statistics
        seen.datagrams += 1
        seen.late_ms += (at - now) * 1000
        seen.most_ms = max(seen.most_ms, (at - now) * 1000)
        loop.call_at(at, by.send, data, to)

    # Session descriptions and their audio

    def _rewritten(self, data: bytes, contact: bool) -> bytes:
        if not self._sip:
            return data
        head, gap, body = data.partition(b"\r\n\r\n")
        if contact:
            here = f"{self._address}:{self._host[1]}".encode()
            head = _CONTACT.sub(lambda found: found[1] + here, head)
        at, port = _CONNECTION.search(body), _AUDIO.search(body)
        if at is not None and port is not None and int(port[1]):
            alias = self._alias((at[1].decode(), int(port[1])))
            body = _CONNECTION.sub(b"c=IN IP4 " + alias[0].encode(), body)
            body = _AUDIO.sub(b"m=audio %d" % alias[1], body)
            head = _LENGTH.sub(b"Content-Length: %d" % len(body), head)
        return head + gap + body

    def _alias(self, of: Address) -> Address:
        """Our address that stands for another."""
        if of not in self._aliases:
            self._aliases[of] = self._free.pop()
            asyncio.get_running_loop().create_task(self._refill())
        return self._aliases[of].address

    async def _refill(self) -> None:
        self._free.append(await self._alias_socket())

    async def _alias_socket(self) -> _Socket:
        made = _Socket(lambda data, source: self._audio(made, data, source))
        return await made.open(self._address)

    def _audio(self, alias: _Socket, data: bytes, source: Address) -> None:
        """A packet came for whomever this alias stands for: it leaves from its sender's alias."""
        to = next((one for one, made in self._aliases.items() if made is alias), None)
        if to is not None and self._free:
            self._alias(source)
            self._pass(data, source, self._aliases[source], to)
