"""Simulated telephones and carriers: who calls, who answers, and who hangs up when."""

from __future__ import annotations

import random
from typing import Any

from host.simulate.network import End, Network, Packet, stray
from host.simulate.schedule import Schedule

LONGEST_S = 110.0
"""Every caller has hung up after so long."""


class PeerLeg:
    """A telephone's or carrier's side of one call."""

    def __init__(self, peer: Peer, host: str, conversation: str, epoch: int) -> None:
        self.peer = peer
        self.answered = False
        self.over = False
        self.end = End(
            peer.network,
            peer.schedule,
            (peer.address, host),
            conversation,
            epoch,
            self._heard,
            self._lost,
        )

    def hang_up(self) -> None:
        """End or give up the call, whatever its state."""
        if not self.over:
            self.over = True
            self.end.send("hangup")

    def _lost(self) -> None:
        self.over = True

    def _heard(self, kind: str, body: Any) -> None:
        if kind == "invite":
            self._ring()
        elif kind == "answer":
            if self.over:
                return
            self.answered = True
            dice = self.peer.dice
            if dice.random() < 0.75:
                self.peer.schedule.at(dice.expovariate(1 / 22), self.hang_up)
        elif kind in ("reject", "hangup"):
            self.over = True

    def _ring(self) -> None:
        dice, at = self.peer.dice, self.peer.schedule.at
        what = dice.random()
        if what < 0.05:
            return  # says nothing at all
        if what < 0.15:
            cause = dice.choice(((17, 486), (41, 503), (1, 404), (127, 500)))
            at(dice.uniform(0, 3), lambda: self._say("reject", cause))
            return
        at(dice.uniform(0, 2), lambda: self._say("progress", dice.random() < 0.5))
        if what > 0.22:
            at(dice.uniform(0, 8), self._answer)

    def _answer(self) -> None:
        if self.over:
            return
        self.answered = True
        self._say("answer", None)
        dice = self.peer.dice
        if dice.random() < 0.5:
            self.peer.schedule.at(dice.uniform(0.2, 90), self.hang_up)

    def _say(self, kind: str, body: Any) -> None:
        if not self.over:
            self.end.send(kind, body)
            self.over = kind == "reject"


class Peer:
    """A telephone or a carrier, at one address."""

    def __init__(
        self, schedule: Schedule, network: Network, address: str, dice: random.Random
    ) -> None:
        self.schedule = schedule
        self.network = network
        self.address = address
        self.dice = dice
        self.legs: dict[str, PeerLeg] = {}
        self.away = False
        self._calls = 0
        network.attach(address, self.receive)

    def call(self, host: str, number: str, caller: str) -> None:
        """Call a number through a host."""
        if self.away:
            return
        self._calls += 1
        leg = self._leg(host, f"{self.address}/{self._calls}", 0)
        leg.end.send("setup", (number, caller))
        dice = self.dice

        def give_up() -> None:
            if not leg.answered:
                leg.hang_up()

        if dice.random() < 0.2:
            self.schedule.at(dice.uniform(0, 12), give_up)
        self.schedule.at(LONGEST_S, leg.hang_up)

    def receive(self, source: str, packet: Packet) -> None:
        """A packet came."""
        if self.away:
            return
        leg = self.legs.get(packet.conversation)
        if leg is None and packet.kind == "invite":
            leg = self._leg(source, packet.conversation, packet.epoch)
        if leg is None or leg.end.epoch not in (0, packet.epoch):
            stray(self.network, self.address, source, packet)
        else:
            leg.end.receive(packet)

    def vanish(self, for_s: float) -> list[str]:
        """Lose power, and with it all calls; answers their conversations."""
        lost = [key for key, leg in self.legs.items() if not leg.over]
        for leg in self.legs.values():
            leg.over = leg.end.dead = True
        self.legs.clear()
        self.away = True

        def back() -> None:
            self.away = False

        self.schedule.at(for_s, back)
        return lost

    def _leg(self, host: str, conversation: str, epoch: int) -> PeerLeg:
        leg = self.legs[conversation] = PeerLeg(self, host, conversation, epoch)
        return leg
