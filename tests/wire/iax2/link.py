"""Two endpoints, or more, joined by links that a seed makes bad, in simulated time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TypeVar

from firmware.wire.iax2 import (
    Access,
    Address,
    Authority,
    Crypto,
    Endpoint,
    EndpointSettings,
    Event,
    Purpose,
)

T = TypeVar("T")

CLIENT: Address = ("192.0.2.1", 4569)
SERVER: Address = ("192.0.2.2", 4569)


@dataclass
class Link:
    """What happens to a datagram: chances, and delay in seconds."""

    loss: float = 0.0
    twice: float = 0.0
    delay_s: tuple[float, float] = (0.010, 0.010)


CLEAN = Link()
BAD = Link(loss=0.2, twice=0.1, delay_s=(0.0, 0.3))
"""20 % lost, 10 % doubled, 300 ms of jitter, which reorders whatever is closer together."""


@dataclass
class Users:
    """An authority with a table of users, which remembers who failed."""

    access_of: dict[str, Access] = field(default_factory=dict)
    failures: list[tuple[str, Address]] = field(default_factory=list)
    mailbox: tuple[int, int] | None = None

    def access(self, username: str, address: Address, purpose: Purpose) -> Access:
        return self.access_of.get(username, Access("md5", secret="nobody knows this one"))

    def failed(self, username: str, address: Address, now: float) -> None:
        self.failures.append((username, address))

    def refresh(self, username: str, asked_s: int) -> int:
        return min(max(asked_s, 60), 3600)

    def messages(self, username: str) -> tuple[int, int] | None:
        return self.mailbox


class Party:
    """An endpoint, its address, and all that it was told."""

    def __init__(self, network: Network, address: Address, endpoint: Endpoint) -> None:
        self.network = network
        self.address = address
        self.endpoint = endpoint
        self.told: list[Event] = []
        self.sent: list[bytes] = []
        self.on_event: Callable[[Event], None] = lambda event: None

    def kinds(self) -> list[str]:
        """Names of the events so far."""
        return [type(event).__name__ for event in self.told]

    def all_of(self, kind: type[T]) -> list[T]:
        return [event for event in self.told if isinstance(event, kind)]


class Network:
    """The clock and the wires."""

    def __init__(self, link: Link = CLEAN, seed: int = 1) -> None:
        self.link = link
        self.random = random.Random(seed)
        self.now = 1000.0
        self.parties: dict[Address, Party] = {}
        self.taps: list[tuple[float, Address, Address, bytes]] = []
        self._flights: list[tuple[float, int, Address, Address, bytes]] = []
        self._count = 0

    def add(
        self,
        address: Address,
        settings: EndpointSettings | None = None,
        authority: Authority | None = None,
        crypto: Crypto | None = None,
    ) -> Party:
        endpoint = Endpoint(
            settings or EndpointSettings(), self.random.randbytes, authority, crypto
        )
        party = self.parties[address] = Party(self, address, endpoint)
        return party

    def settle(self, party: Party) -> None:
        """What the shell does after each entry."""
        endpoint = party.endpoint
        while endpoint.outgoing or endpoint.events:
            outgoing, endpoint.outgoing[:] = list(endpoint.outgoing), []
            events, endpoint.events[:] = list(endpoint.events), []
            for data, address in outgoing:
                party.sent.append(data)
                self.send(party.address, address, data)
            for event in events:
                party.told.append(event)
                party.on_event(event)

    def send(self, source: Address, to: Address, data: bytes) -> None:
        self.taps.append((self.now, source, to, data))
        if self.random.random() < self.link.loss:
            return
        for _ in range(2 if self.random.random() < self.link.twice else 1):
            self._count += 1
            at = self.now + self.random.uniform(*self.link.delay_s)
            heappush(self._flights, (at, self._count, source, to, data))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        for party in self.parties.values():
            self.settle(party)
        while True:
            next_at = self._flights[0][0] if self._flights else until + 1
            for party in self.parties.values():
                deadline = party.endpoint.next_deadline
                if deadline is not None:
                    next_at = min(next_at, deadline)
            if next_at > until:
                break
            self.now = max(self.now, next_at)
            while self._flights and self._flights[0][0] <= self.now:
                _, _, source, to, data = heappop(self._flights)
                party_to = self.parties.get(to)
                if party_to is not None:
                    party_to.endpoint.receive_datagram(data, source, self.now)
                    self.settle(party_to)
            for party in self.parties.values():
                party.endpoint.handle_timers(self.now)
                self.settle(party)
        self.now = until
