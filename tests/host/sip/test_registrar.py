"""Registration as devices see it (RFC 3261, 10.3)."""

from __future__ import annotations

from typing import Any

import pytest

from firmware.wire.sip.message import Headers, Request, Response
from host.settings import Listener
from tests.host.sip.agents import Agent, answers, cast, hangs_up, with_did
from tests.host.sip.world import DID, HOST, MONTREAL_POP, SimFlow, World

NEW_YORK = DID.lstrip("+")


@pytest.fixture
def alice(world: World) -> Agent:
    return cast(world)[0]


def bindings(response: Response) -> list[tuple[str, int]]:
    return [(str(c.uri), int(c.param("expires") or 0)) for c in response.contacts]


def asked(agent: Agent, *arguments: Any, **options: Any) -> Response:
    agent.register(*arguments, **options)
    agent.world.run(1)
    return agent.registered[-1]


def test_an_expiry_is_cut_to_ours_and_a_short_one_refused(alice: Agent) -> None:
    assert bindings(asked(alice, 100_000)) == [("sip:alice@10.0.1.1:5062", 3600)]
    short = asked(alice, 30)
    assert (short.status, short.headers.get("Min-Expires")) == (423, "60")
    assert bindings(asked(alice, None)) == [("sip:alice@10.0.1.1:5062", 3600)]


def test_the_contacts_own_expiry_counts_before_the_fields(alice: Agent) -> None:
    response = asked(alice, 600, "<sip:alice@10.0.1.1:5062>;expires=120")
    assert bindings(response) == [("sip:alice@10.0.1.1:5062", 120)]


def test_several_contacts_and_ones_own_comes_first(world: World, alice: Agent) -> None:
    asked(alice)
    other = Agent(world, ("10.0.1.2", 5062), "alice")
    answer = asked(other)
    assert [uri for uri, _ in bindings(answer)] == [
        "sip:alice@10.0.1.2:5062",
        "sip:alice@10.0.1.1:5062",
    ]
    assert len(bindings(asked(alice, None, ""))) == 2, "without Contact it only asks"


def test_more_contacts_than_allowed_take_none(alice: Agent) -> None:
    many = ", ".join(f"<sip:alice@10.0.1.1:{7000 + n}>" for n in range(11))
    assert asked(alice, 600, many).status == 403
    assert bindings(asked(alice, None, "")) == []


def test_wildcard_removes_all_and_only_with_expires_0(alice: Agent) -> None:
    asked(alice)
    assert asked(alice, 600, "*").status == 400
    assert asked(alice, 0, "*, <sip:alice@10.0.1.1>").status == 400
    assert len(bindings(asked(alice, None, ""))) == 1
    assert bindings(asked(alice, 0, "*")) == []
    assert alice.world.host.registrar.count == 0


def test_an_older_cseq_changes_nothing(alice: Agent) -> None:
    alice.cseq = 50
    asked(alice)
    alice.cseq = 10
    assert asked(alice, 0).status == 500
    assert len(bindings(asked(alice, None, ""))) == 1


def test_a_binding_ends_when_its_time_is_over(world: World, alice: Agent) -> None:
    asked(alice, 60)
    world.run(61)
    assert world.host.registrar.count == 0


def test_the_same_register_again_gets_the_same_answer(world: World, alice: Agent) -> None:
    """A lost answer: the very request comes again, with a nonce count that was used."""
    for expires in (3600, 0):
        asked(alice, expires)
        requests = [d for _, a, _, d in world.wire if a == alice.where and b"Authorization" in d]
        answers_before = [d for _, _, b, d in world.wire if b == alice.where]
        alice.raw(requests[-1])
        world.run(1)
        again = [d for _, _, b, d in world.wire if b == alice.where][-1]
        assert again == answers_before[-1]


def test_what_another_port_says_with_a_used_nonce_is_challenged(world: World, alice: Agent) -> None:
    asked(alice)
    requests = [d for _, a, _, d in world.wire if a == alice.where and b"Authorization" in d]
    thief = ("10.0.1.1", 6666)
    world.carry(thief, HOST, requests[-1])
    world.run(1)
    (answer,) = [d for _, _, b, d in world.wire if b == thief]
    assert answer.startswith(b"SIP/2.0 401")
    assert b"stale=true" in answer
    (contact,) = world.host.registrar.bindings()
    assert contact.flow.port == alice.where[1]


def test_received_and_rport_are_told_and_calls_go_where_the_register_came_from(
    world: World,
) -> None:
    alice, north = cast(world)
    world.did("alice")
    # Behind NAT: the contact's own address is private.
    response = asked(alice, 3600, "<sip:alice@192.168.1.5:5060>")
    via = response.top_via
    assert (via.param("received"), via.param("rport")) == (None, "5062") or (
        via.param("received"),
        via.param("rport"),
    ) == ("10.0.1.1", "5062")
    caller = north.call(NEW_YORK)
    caller.on_answer = hangs_up(3)
    world.run(20)
    assert caller.outcome == 200
    assert alice.sides[0].request.uri == "sip:alice@192.168.1.5:5060"
    world.finish()


def test_the_pop_is_the_listeners_that_the_register_came_to(world: World) -> None:
    alice, north = with_did(world)
    alice.home = MONTREAL_POP
    asked(alice, call_id="elsewhere")
    refused = north.call(NEW_YORK)
    world.run(2)
    assert refused.outcome == 480
    alice.home = HOST
    asked(alice, call_id="home again")
    caller = north.call(NEW_YORK)
    caller.on_answer = hangs_up(3)
    world.run(20)
    assert caller.outcome == 200


def test_a_closed_connection_takes_its_bindings_along(world: World, alice: Agent) -> None:
    listener = Listener(pop="default", address=HOST[0], port=HOST[1], transport="tcp")
    flow = SimFlow(world, listener, alice.where, True)
    asked(alice, 3600, "<sip:alice@10.0.1.1:9999>")
    host = world.host
    registered = [d for _, a, _, d in world.wire if a == alice.where][-1]
    assert b"REGISTER" in registered
    challenge = alice.world.host.authenticator
    assert challenge.failures == 0
    from firmware.wire.sip.message import parse

    request = parse(registered)
    response = host.registrar.register(request, 1, "alice", flow, world.now)  # type: ignore[arg-type]
    assert response.status == 200
    stranger = SimFlow(world, listener, ("10.0.9.9", 1), True)
    host.sip.closed(stranger)
    assert host.registrar.count == 1
    host.sip.closed(flow)
    assert host.registrar.count == 0
    assert not host.registrar._streams


def test_who_comes_back_over_another_connection_is_the_same(world: World, alice: Agent) -> None:
    """By the Call-ID of his registrations; another device of the account, or one at the same
    address, takes nobody's calls over."""
    registrar = world.host.registrar
    registrar.register(_register("one", "10.0.1.1:1"), 1, "alice", first := _stream(world), 0.0)
    registrar.register(_register("two", "10.0.1.1:2"), 1, "alice", _stream(world), 0.0)
    assert registrar.successor(first) is first
    world.host.sip.closed(first)
    assert registrar.successor(first) is first, "he has not come back"
    registrar.register(_register("one", "10.0.1.1:3"), 1, "alice", second := _stream(world), 1.0)
    assert registrar.successor(first) is second
    world.host.sip.closed(second)
    registrar.register(_register("one", "10.0.1.1:4"), 1, "alice", third := _stream(world), 2.0)
    assert registrar.successor(first) is third, "however often"
    registrar.register(_register("one", "10.0.1.1:5"), 2, "bob", _stream(world), 3.0)
    world.host.sip.closed(third)
    assert registrar.successor(third) is third, "another account's Call-ID is another"


def _stream(world: World) -> SimFlow:
    listener = Listener(pop="default", address=HOST[0], port=HOST[1], transport="tcp")
    return SimFlow(world, listener, ("10.0.1.1", 9), True)


def _register(call_id: str, contact: str) -> Request:
    headers = Headers(
        [("Call-ID", call_id), ("CSeq", "1 REGISTER"), ("Contact", f"<sip:alice@{contact}>"),
         ("From", "<sip:alice@x>;tag=1"), ("To", "<sip:alice@x>"), ("Expires", "300"),
         ("Via", "SIP/2.0/TCP 10.0.1.1;branch=z9hG4bK1")]
    )  # fmt: skip
    return Request("REGISTER", "sip:x", headers, b"")


def test_somebody_elses_address_is_not_ones_to_register(world: World, alice: Agent) -> None:
    world.account("bob")
    bob = Agent(world, ("10.0.1.9", 5062), "bob")
    fields = [("From", "<sip:bob@x>;tag=1"), ("To", "<sip:alice@x>"), ("Call-ID", "theft")]
    uri = "sip:10.0.0.1"
    answers_: list[Response] = []

    def answer(transaction: Any, response: Response | None) -> None:
        assert response is not None
        answers_.append(response)
        if response.status == 401:
            value = bob.authorization(response, "REGISTER", uri)
            request = bob.request("REGISTER", uri, *fields, ("Authorization", value))
            request.headers.set("Contact", bob.contact)
            bob.send(request, answer)

    bob.send(bob.request("REGISTER", uri, *fields), answer)
    world.run(1)
    assert answers_[-1].status == 403
    assert world.host.registrar.count == 0


def test_a_blocked_account_does_not_register(world: World) -> None:
    alice, _ = cast(world, status="blocked")
    assert asked(alice).status == 403


@pytest.mark.parametrize("contact", ["<tel:+1212>", "<mailto:a@b>"])
def test_contacts_that_cannot_be_called(alice: Agent, contact: str) -> None:
    assert asked(alice, 600, contact).status == 400


def test_unknown_extensions_are_named(alice: Agent) -> None:
    alice.register(600, None, "", ("Require", "time-travel"))
    alice.world.run(1)
    answer = alice.registered[-1]
    assert (answer.status, answer.headers.get("Unsupported")) == (420, "time-travel")


def test_a_call_to_an_unregistered_contact_is_not_made(world: World) -> None:
    alice, north = with_did(world)
    asked(alice, 0)
    alice.plan = answers()
    refused = north.call(NEW_YORK)
    world.finish()
    assert refused.outcome == 480
    assert not alice.sides
