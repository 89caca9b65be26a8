"""The control socket: an operator ends a call, and asks for registrations and figures."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from host.control import MAX_REQUEST, PAGE, ControlError, ControlSocket
from host.control_client import Refused, Unreachable, ask
from host.sip.registrar import Binding
from tests.host.sip.agents import cast, rings
from tests.host.sip.world import SimFlow, World


def say(world: World, do: str, **values: Any) -> Any:
    answer = json.loads(ControlSocket(world.host).answer(json.dumps({"do": do, **values}).encode()))
    if "error" in answer:
        raise ControlError(answer["error"])
    return answer["ok"]


def test_an_operator_ends_one_call_and_it_is_charged_for_its_talk(world: World) -> None:
    alice, north = cast(world)
    first, second = alice.call(), alice.call()
    world.run(32)
    one, other = list(world.host.control.calls)
    assert say(world, "end", call_id=one) == {"call_id": one}
    world.run(1)
    assert first.ended_by_host is not None
    assert north.sides[0].ended_by_host is not None
    assert second.ended_by_host is None
    cdr = world.cdr()
    assert (cdr["call_id"], cdr["ended_by"], cdr["detail"]) == (one, "host", "ended by an operator")
    assert 28_000 < cdr["talk_ms"] < 32_500
    assert list(world.host.control.calls) == [other]
    with pytest.raises(ControlError, match="no live call"):
        say(world, "end", call_id=one)
    second.bye()
    world.finish()


def test_a_call_that_rings_is_ended_and_costs_nothing(world: World) -> None:
    alice, north = cast(world)
    north.plan = rings()
    caller = alice.call()
    world.run(2)
    (call_id,) = world.host.control.calls
    say(world, "end", call_id=call_id)
    world.finish()
    assert caller.outcome == 503
    assert (world.cdr()["cost"], world.cdr()["disposition"]) == (0, "failed")


def test_figures_count_outcomes_and_waits(world: World) -> None:
    alice, _ = cast(world)
    caller = alice.call()
    world.run(8)
    world.account("poor", 0)
    before = say(world, "figures")
    assert (before["live_calls"], before["outcomes"]) == (1, {})
    caller.bye()
    world.run(1)
    refused = alice.call("5550")  # no such destination
    world.finish()
    assert refused.outcome == 404
    told = say(world, "figures")
    assert (told["live_calls"], told["host_id"]) == (0, "host1")
    assert told["outcomes"] == {"answered": 1, "refused no such destination": 1}
    assert len(told["waits"]["settle"]["within"]) == len(told["waits"]["settle"]["bounds"]) + 1


def test_registrations_over_every_transport_are_told_in_pages_of_whole_accounts(
    world: World,
) -> None:
    host, listener = world.host, next(iter(world.listeners.values()))
    for account in range(1, 400):
        for port, stream in ((5060, False), (5061, True)):
            flow = SimFlow(world, replace(listener, transport="tcp" if stream else "udp"),
                           ("192.0.2.7", port), stream)  # fmt: skip
            binding = Binding(account, f"a{account}", "sip:x@192.0.2.7", f"k{port}", "c", 1, flow,
                              True, world.now + 60, "", "phone")  # fmt: skip
            host.registrar.bind(binding, world.now)
    mine = say(world, "registrations", account_id=7)
    assert [(b["transport"], b["port"], b["expires_s"]) for b in mine] == [
        ("udp", 5060, 60),
        ("tcp", 5061, 60),
    ]
    assert mine[0]["pop"] == "default"
    pages, after = [], 0
    while page := say(world, "registrations", after=after):
        assert len(page) <= PAGE
        pages += page
        after = page[-1]["account_id"]
    assert len(pages) == 2 * 399
    assert [b["account_id"] for b in pages[::2]] == list(range(1, 400))


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"null", b'{"do": []}', b'{"do": "stop"}', b"\xff\xfe", b"[" * 4000]
)
def test_what_is_no_request_is_an_error_in_a_sentence(world: World, line: bytes) -> None:
    assert set(json.loads(ControlSocket(world.host).answer(line))) == {"error"}


def test_the_socket_is_for_this_user_alone_and_takes_the_place_of_a_dead_one(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "host1.control"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    world.host.settings = replace(world.host.settings, control=str(path))

    async def story() -> None:
        server = ControlSocket(world.host)
        await server.open()
        assert stat.S_IMODE(path.stat().st_mode) & 0o177 == 0
        assert path.stat().st_uid == os.geteuid()
        figures = await asyncio.to_thread(ask, str(path), "figures")
        assert figures["live_calls"] == 0
        with pytest.raises(Refused, match="no live call"):
            await asyncio.to_thread(ask, str(path), "end", call_id="x")
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"x" * (MAX_REQUEST + 1))
        assert await _rest(reader) == b""  # one that never ends its line is cut off
        writer.close()
        server.close()

    asyncio.run(story())
    assert not path.exists()
    with pytest.raises(Unreachable, match="is `serve` running"):
        ask(str(path), "figures")


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return b""
