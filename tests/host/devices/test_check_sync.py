"""`device sync`: a NOTIFY of check-sync to where an account is registered, and nobody else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from firmware.wire.sip.message import Request
from firmware.wire.sip.transaction import RequestReceived
from host.control import ControlSocket
from host.sip.registrar import Binding
from tests.host.sip.agents import Agent
from tests.host.sip.world import SimFlow, World


def sync(world: World, account: object, **more: Any) -> Any:
    asked = {"do": "sync", "account_id": account, **more}
    return json.loads(ControlSocket(world.host).answer(json.dumps(asked).encode()))


def heard(phone: Agent) -> list[Request]:
    """Each NOTIFY that has come; the telephone answers 481, as many do."""
    return [
        one.request
        for one in phone.events
        if isinstance(one, RequestReceived) and one.request.method == "NOTIFY"
    ]


def test_each_registration_of_the_account_is_told_once(world: World) -> None:
    bob, carol = world.account("bob"), world.account("carol")
    first = Agent(world, ("192.0.2.1", 5060), "bob")
    second = Agent(world, ("192.0.2.2", 5080), "bob")
    other = Agent(world, ("192.0.2.3", 5060), "carol")
    for phone in (first, second, other):
        phone.register()
    world.run(1)
    assert sync(world, bob) == {"ok": {"told": 2, "over_iax2": 0}}
    world.run(1)
    for phone in (first, second):
        (notify,) = heard(phone)
        headers = notify.headers
        assert headers.get("Event") == "check-sync;reboot=false"
        assert headers.get("Subscription-State") == "terminated"
        assert notify.body == b""
    assert heard(other) == []
    assert sync(world, carol, restart=True) == {"ok": {"told": 1, "over_iax2": 0}}
    world.run(1)
    assert heard(other)[0].headers.get("Event") == "check-sync;reboot=true"
    world.run(40)
    assert len(heard(first)) == 1, "once is enough where it was answered"
    world.finish()


def test_a_phone_that_is_away_ends_nothing(world: World) -> None:
    bob = world.account("bob")
    phone = Agent(world, ("192.0.2.1", 5060), "bob")
    phone.register()
    world.run(1)
    phone.mute = True
    assert sync(world, bob)["ok"]["told"] == 1
    world.run(40)
    phone.mute = False
    assert sync(world, bob)["ok"]["told"] == 1
    world.run(1)
    assert heard(phone)
    world.finish()


def test_over_iax2_there_is_nothing_to_tell_it_by(world: World) -> None:
    listener = replace(next(iter(world.listeners.values())), transport="iax2")
    flow = SimFlow(world, listener, ("192.0.2.7", 4569), False)
    binding = Binding(7, "a7", "iax2:192.0.2.7", "k", "c", 1, flow, True, world.now + 60)
    world.host.registrar.bind(binding, world.now)
    assert sync(world, 7) == {"ok": {"told": 0, "over_iax2": 1}}
    assert sync(world, 8) == {"ok": {"told": 0, "over_iax2": 0}}


@pytest.mark.parametrize("account", [None, "7", [], {}])
def test_what_is_no_account(world: World, account: object) -> None:
    assert sync(world, account) == {"error": "account_id is a number"}
