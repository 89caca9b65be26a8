"""One host for all tests of whole calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.scenarios.rig import HostProcess, Net
from tests.scenarios.world import (
    ALICE_DID,
    BOB_DID,
    FLAT_DID,
    FORKED_DID,
    IAX2_PORT,
    SETTINGS,
    Play,
    World,
)


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """One host for all tests of this folder."""
    net = Net()
    extra = SETTINGS.format(relay=net[2])
    extra += f'[[listeners]]\npop = "montreal"\ntransport = "iax2"\naddress = "{net[2]}"\n'
    extra += f"port = {IAX2_PORT}\n"
    host = HostProcess(tmp_path_factory.mktemp("host"), net, extra=extra)

    async def prepare() -> None:
        await host.run("rates", "import")
        for pop in host.pops:
            await host.run("pop", "add", pop)
        for number in (1, 2, 3):
            address = net[10 + number]
            words = ("--port", "5070", "--priority", str(number))
            await host.run("carrier", "add", f"carrier{number}", address, *words)
        for name in ("alice", "bob", "gina"):
            given = ("--iax2",) if name == "gina" else ()
            await host.run("account", "add", name, "--password", f"{name}-secret", *given)
            await host.run("pay", name, "15")
        dids = {ALICE_DID: "alice", BOB_DID: "bob", FLAT_DID: "bob", FORKED_DID: "bob"}
        for did, name in dids.items():
            plan = "flat" if did == FLAT_DID else "per-minute"
            given = ("--account", name, "--plan", plan, "--pop", "montreal")
            await host.run("did", "add", did, *given)
        await host.start()

    asyncio.run(prepare())
    yield host
    assert host.stop() == 0
    assert not host.logged("stopped")[-1]["unsettled"]
    faults = asyncio.run(host.run("ledger", "check"))
    assert faults == {"sound": True, "faults": []}


@pytest.fixture
def play(host: HostProcess) -> Play:
    """Runs one scenario, bounded in time, and takes its peers down."""

    def run(scenario: Callable[[World], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with AsyncExitStack() as stack:
                await asyncio.wait_for(scenario(World(host, host.net, stack)), 30)

        asyncio.run(bounded())

    return run
