"""Messages between machines that are lost, doubled and reordered, and ends that put up with it.

An `End` does what any signalling protocol of telephony does below its words (SIP's transactions,
IAX2's full frames): numbers, acknowledges, repeats, drops what came before, gives up.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from host.simulate.schedule import Schedule

TRIES = 6
"""A message is sent so often; the waits double from `FIRST_WAIT_S` (31.5 s in all)."""
FIRST_WAIT_S = 0.5


class Packet(NamedTuple):
    """One datagram."""

    conversation: str
    epoch: int
    """Which life of the host it belongs to; 0: the first message of a caller, any host's."""
    sequence: int
    """-1: no message of a conversation (`ack`, `unknown`)."""
    kind: str
    body: Any


class Link(NamedTuple):
    """What a network does: chances, and the delay in seconds."""

    loss: float
    twice: float
    delay_s: tuple[float, float]


class Network:
    """Carries packets from address to address."""

    def __init__(self, schedule: Schedule, link: Link, dice: random.Random) -> None:
        self.link = link
        self.counts: Counter[str] = Counter()
        self._schedule = schedule
        self._dice = dice
        self._receivers: dict[str, Callable[[str, Packet], None]] = {}
        self._sent: Counter[tuple[str, str]] = Counter()
        self._newest: dict[tuple[str, str], int] = {}

    def attach(self, address: str, receive: Callable[[str, Packet], None]) -> None:
        """Packets to `address` go to `receive(source, packet)`."""
        self._receivers[address] = receive

    def send(self, source: str, target: str, packet: Packet) -> None:
        """Carry a packet, or lose it, or carry it twice."""
        link, dice = self.link, self._dice
        copies = 1
        if dice.random() < link.loss:
            copies = 0
            self.counts["message lost"] += 1
        elif dice.random() < link.twice:
            copies = 2
            self.counts["message doubled"] += 1
        way = (source, target)
        for _ in range(copies):
            self._sent[way] += 1
            number = self._sent[way]
            arrive = partial(self._arrive, way, number, packet)
            self._schedule.at(dice.uniform(*link.delay_s), arrive)

    def _arrive(self, way: tuple[str, str], number: int, packet: Packet) -> None:
        if number < self._newest.get(way, 0):
            self.counts["message reordered"] += 1
        else:
            self._newest[way] = number
        self._schedule.trace("packet", *way, number, packet.conversation, packet.kind)
        self._receivers[way[1]](way[0], packet)


class End:
    """One side of a conversation: its messages arrive once and in order, or `lost` is told."""

    def __init__(
        self,
        network: Network,
        schedule: Schedule,
        addresses: tuple[str, str],
        conversation: str,
        epoch: int,
        heard: Callable[[str, Any], None],
        lost: Callable[[], None],
    ) -> None:
        """Stand at the first of `addresses`, speak to the second."""
        self.conversation = conversation
        self.epoch = epoch
        self.dead = False
        """Says and hears nothing more: its process or its machine is gone."""
        self._network = network
        self._schedule = schedule
        self._addresses = addresses
        self.peer = addresses[1]
        self._heard = heard
        self._lost = lost
        self._next_out = 0
        self._unacknowledged: dict[int, Packet] = {}
        self._next_in = 0
        self._early: dict[int, Packet] = {}

    def send(self, kind: str, body: Any = None) -> None:
        """Say something, until it is acknowledged."""
        if self.dead:
            return
        packet = Packet(self.conversation, self.epoch, self._next_out, kind, body)
        self._next_out += 1
        self._unacknowledged[packet.sequence] = packet
        self._transmit(packet.sequence, TRIES)

    def receive(self, packet: Packet) -> None:
        """A packet of this conversation came."""
        if self.dead:
            return
        if packet.kind == "unknown":
            self._give_up()
            return
        if self.epoch == 0:
            self.epoch = packet.epoch
        if packet.kind == "ack":
            self._unacknowledged.pop(packet.body, None)
            return
        ack = Packet(self.conversation, self.epoch, -1, "ack", packet.sequence)
        self._network.send(*self._addresses, ack)
        if packet.sequence >= self._next_in:
            self._early[packet.sequence] = packet
        while (found := self._early.pop(self._next_in, None)) is not None and not self.dead:
            self._next_in += 1
            self._heard(found.kind, found.body)

    def _transmit(self, sequence: int, tries: int) -> None:
        packet = self._unacknowledged.get(sequence)
        if packet is None or self.dead:
            return
        if tries == 0:
            self._give_up()
            return
        # A host's first word back told which life it is; what is repeated belongs to that one.
        self._network.send(*self._addresses, packet._replace(epoch=self.epoch))
        wait_s = FIRST_WAIT_S * 2.0 ** (TRIES - tries)
        self._schedule.at(wait_s, lambda: self._transmit(sequence, tries - 1))

    def _give_up(self) -> None:
        self.dead = True
        self._unacknowledged.clear()
        self._lost()


def stray(network: Network, own: str, source: str, packet: Packet) -> None:
    """Answer a packet of a conversation that is not known here, unless it is an answer itself."""
    if packet.kind not in ("ack", "unknown"):
        network.send(own, source, Packet(packet.conversation, packet.epoch, -1, "unknown", None))
