"""A carrier that wants to know who we are: digest on the INVITE and on everything after it."""

from __future__ import annotations

from typing import Any

import pytest

from firmware.wire.sip import digest
from firmware.wire.sip.message import Request, response_to
from firmware.wire.sip.transaction import ServerTransaction
from tests.host.sip.agents import Agent, sdp
from tests.host.sip.world import World

GATEWAY = ("10.0.0.9", 5060)
REALM, USER, SECRET = "carrier.example", "loopstart", "s3cret"


class Asking(Agent):
    """A carrier that challenges every request but ACK."""

    def __init__(self, world: World, status: int = 407, algorithm: str = "MD5") -> None:
        super().__init__(world, GATEWAY)
        self.status, self.algorithm = status, algorithm
        self.nonces = 0
        self.stale = 0
        """So many good answers are told that their nonce is stale."""
        self.asked: list[str] = []
        self.proved: list[str] = []

    def _requested(self, transaction: ServerTransaction, request: Request) -> None:
        proxy = self.status == 407
        value = request.headers.get("Proxy-Authorization" if proxy else "Authorization")
        ha1 = {self.algorithm: digest.ha1(USER, REALM, SECRET, self.algorithm)}
        known = value is not None and digest.verify(
            digest.parse_authorization(value), request.method, ha1, request.body
        )
        if known and not self.stale:
            self.proved.append(request.method)
            super()._requested(transaction, request)
            return
        stale = known
        self.stale -= known
        self.asked.append(request.method)
        self.nonces += 1
        (challenge,) = digest.challenge(
            REALM, f"n{self.nonces}", (self.algorithm,), stale=bool(stale)
        )
        response = response_to(request, self.status, to_tag=f"asks{self.nonces}")
        response.headers.set("Proxy-Authenticate" if proxy else "WWW-Authenticate", challenge)
        transaction.respond(response, self.world.now)


def cast(world: World, secret: str = SECRET, **asking: Any) -> tuple[Agent, Asking]:
    world.account("alice", route="value")
    world.carrier("north", GATEWAY, username=USER, secret=secret)
    return Agent(world, ("10.0.1.1", 5060), "alice"), Asking(world, **asking)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("status", [401, 407])
def test_a_call_gets_through_a_carrier_that_asks(world: World, status: int, algorithm: str) -> None:
    alice, north = cast(world, status=status, algorithm=algorithm)
    side = alice.call()
    world.run(3)
    assert side.outcome == 200
    changed = sdp(alice.where, 4002, direction="sendonly", version=2)
    side.modify(changed)
    world.run(3)
    assert side.modified[-1] is not None
    assert side.modified[-1].status == 200
    side.bye()
    world.finish()
    assert north.asked == ["INVITE", "INVITE", "BYE"]
    assert north.proved == ["INVITE", "INVITE", "BYE"]
    (ack, *_) = north.sides[0].acks
    name = "Proxy-Authorization" if status == 407 else "Authorization"
    assert ack.headers.get(name) is not None, "RFC 3261, 13.2.2.4"
    cdr = world.cdr()
    assert (cdr["disposition"], cdr["carrier"]) == ("answered", "north")


def test_a_stale_nonce_is_answered_anew(world: World) -> None:
    alice, north = cast(world)
    north.stale = 2
    side = alice.call()
    world.run(3)
    assert side.outcome == 200
    assert north.asked == ["INVITE"] * 3
    side.bye()
    world.finish()


def test_a_wrong_password_is_tried_once_and_the_next_carrier_asked(world: World) -> None:
    alice, north = cast(world, secret="wrong")
    world.carrier("south", ("10.0.0.8", 5060), priority=20)
    south = Agent(world, ("10.0.0.8", 5060))
    side = alice.call()
    world.run(3)
    assert north.asked == ["INVITE", "INVITE"]
    assert north.proved == []
    # Not the caller's affair: he hears neither the challenge nor of our password.
    assert 407 not in side.statuses
    assert side.outcome == 200
    side.bye()
    world.finish()
    assert len(south.sides) == 1
    assert world.cdr()["carrier"] == "south"


def test_without_credentials_a_carrier_that_asks_is_no_carrier(world: World) -> None:
    world.account("alice", route="value")
    world.carrier("north", GATEWAY)
    north = Asking(world)
    side = Agent(world, ("10.0.1.1", 5060), "alice").call()
    world.finish()
    assert north.asked == ["INVITE"]
    assert side.outcome == 503
    assert world.cdr()["cause"] == 34


def test_a_carrier_that_calls_every_nonce_stale_is_not_asked_for_ever(world: World) -> None:
    alice, north = cast(world)
    north.stale = 1_000
    side = alice.call()
    world.finish()
    assert side.outcome is not None
    assert side.outcome >= 400
    assert len(north.asked) <= 11
