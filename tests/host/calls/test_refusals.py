"""Each refusal: what the caller is told, what its CDR says, and in which order the rules come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from host.charging.values import Reason
from host.numbering import provisioning
from host.sip.status import REFUSALS
from tests.host.sip.agents import Agent, Side, cast, rings, with_did
from tests.host.sip.world import CALLED, DID, World

NEW_YORK = DID.lstrip("+")


def blocked(world: World) -> Side:
    alice, _ = cast(world, status="blocked")
    return alice.call()


def locked(world: World) -> Side:
    alice, _ = cast(world, status="locked")
    return alice.call()


def no_money(world: World) -> Side:
    alice, _ = cast(world, usd_cents=0)
    return alice.call()


def no_destination(world: World) -> Side:
    alice, _ = cast(world)
    return alice.call("18005550100")


def nonsense(world: World) -> Side:
    alice, _ = cast(world)
    return alice.call("hello")


def no_carrier(world: World) -> Side:
    world.account("alice", route="value")
    return Agent(world, ("10.0.1.1", 5062), "alice").call()


def channels(world: World) -> Side:
    alice, north = cast(world, channels=2)
    north.plan = rings()
    for last in (1, 2):
        alice.call(f"1514555010{last}")
    world.run(1)
    return alice.call("15145550109")


def one_number(world: World) -> Side:
    alice, north = cast(world)
    north.plan = rings()
    for _ in (1, 2):
        alice.call()
    world.run(1)
    return alice.call()


def did_channels(world: World) -> Side:
    alice, north = with_did(world)
    provisioning.set_did(world.conn, DID, plan="flat")
    alice.plan = rings()
    for _ in (1, 2):
        north.call(NEW_YORK)
    world.run(1)
    return north.call(NEW_YORK)


def busy(world: World) -> Side:
    alice, north = with_did(world)
    alice.plan = lambda side: side.respond(486)
    return north.call(NEW_YORK)


def other_pop(world: World) -> Side:
    _, north = with_did(world)
    provisioning.set_did(world.conn, DID, pop="montreal")
    return north.call(NEW_YORK)


def not_registered(world: World) -> Side:
    _, north = cast(world)
    world.did("alice")
    return north.call(NEW_YORK)


def not_ours(world: World) -> Side:
    _, north = cast(world)
    return north.call("14165550100")


TABLE: list[tuple[Callable[[World], Side], int, int, str]] = [
    (blocked, 403, 21, Reason.BLOCKED.value),
    (locked, 403, 21, Reason.BLOCKED.value),
    (no_money, 402, 21, Reason.NO_MONEY.value),
    (no_destination, 404, 1, Reason.NO_DESTINATION.value),
    (nonsense, 404, 1, Reason.NO_DESTINATION.value),
    (no_carrier, 503, 34, Reason.NO_CARRIER.value),
    (channels, 403, 34, Reason.ACCOUNT_CHANNELS.value),
    (one_number, 403, 34, Reason.ONE_NUMBER.value),
    (did_channels, 486, 17, Reason.DID_CHANNELS.value),
    (busy, 486, 17, ""),
    (other_pop, 480, 20, Reason.POP_MISMATCH.value),
    (not_registered, 480, 20, Reason.NOT_REGISTERED.value),
    (not_ours, 404, 1, Reason.NO_DESTINATION.value),
]


@pytest.mark.parametrize(
    ("story", "status", "cause", "reason"), TABLE, ids=[row[0].__name__ for row in TABLE]
)
def test_a_refusal_and_its_cdr(
    world: World, story: Callable[[World], Side], status: int, cause: int, reason: str
) -> None:
    refused = story(world)
    world.run(3)
    assert refused.outcome == status
    said = refused.responses[-1].headers.get("Reason") or ""
    assert said.startswith(f"Q.850;cause={cause}")
    assert (refused.responses[-1].headers.get("Retry-After") is not None) == (status == 503)
    cdr = world.cdrs()[-1]
    assert (cdr["reason"], cdr["talk_ms"], cdr["cost"]) == (reason, 0, 0)
    for agent in world.agents.values():
        for side in agent.sides:  # those that still ring
            if side.outcome is None and hasattr(side, "uri"):
                side.cancel()
    world.finish()


def test_every_reason_has_a_status_and_the_numbers_agreed_on() -> None:
    assert set(REFUSALS) == set(Reason)
    agreed = {
        Reason.CREDENTIALS: 403, Reason.NO_DESTINATION: 404, Reason.NO_CARRIER: 503,
        Reason.ACCOUNT_CHANNELS: 403, Reason.ONE_NUMBER: 403, Reason.DID_CHANNELS: 486,
        Reason.POP_MISMATCH: 480, Reason.NOT_REGISTERED: 480, Reason.NO_MONEY: 402,
    }  # fmt: skip
    assert {reason: REFUSALS[reason][0] for reason in agreed} == agreed


def test_the_order_of_refusal(world: World) -> None:
    """Credentials, blocked, route, channels, one number, money: each mended in turn."""
    alice, north = cast(world, usd_cents=0, status="blocked", channels=0, calls_to_one_number=0)
    north.plan = rings()
    alice.password = "wrong"

    def tried(number: str = CALLED) -> tuple[int | None, str]:
        side = alice.call(number)
        world.run(2)
        return side.outcome, side.responses[-1].reason

    nowhere = "18005550100"
    assert tried(nowhere) == (403, "Forbidden")
    alice.password = "secret"
    assert tried(nowhere) == (403, "Account Blocked")
    provisioning.set_account(world.conn, "alice", status="active")
    assert tried(nowhere)[0] == 404
    assert tried() == (403, "Account Channels Full")
    provisioning.set_account(world.conn, "alice", channels=5)
    assert tried() == (403, "Too Many Calls To This Number")
    provisioning.set_account(world.conn, "alice", calls_to_one_number=2)
    assert tried()[0] == 402


@pytest.mark.parametrize(
    ("headers", "options", "status", "field"),
    [
        ([("Require", "100rel")], {}, 420, ("Unsupported", "100rel")),
        ([("Max-Forwards", "0")], {}, 483, None),
        ([], {"content_type": "text/plain"}, 415, ("Accept", "application/sdp")),
        ([], {"without": ["Contact"]}, 400, None),
        ([("Session-Expires", "30"), ("Supported", "timer")], {}, 422, ("Min-SE", "90")),
        ([("Session-Expires", "soon")], {}, 400, None),
        ([("Record-Route", "<mailto:a@b>")], {}, 400, None),
    ],
)
def test_requests_that_cannot_be_served(
    world: World,
    headers: list[tuple[str, str]],
    options: dict[str, Any],
    status: int,
    field: tuple[str, str] | None,
) -> None:
    alice, north = cast(world)
    side = alice.call(CALLED, *headers, **options)
    world.finish()
    assert side.outcome == status
    if field is not None:
        assert side.responses[-1].headers.get(field[0]) == field[1]
    assert not north.sides
    assert not world.cdrs()


def test_a_call_that_has_gone_round_is_no_further_sent(world: World) -> None:
    alice, north = cast(world)
    side = alice.call(CALLED, ("Max-Forwards", "1"))
    world.finish()
    assert side.outcome == 483
    assert not north.sides
