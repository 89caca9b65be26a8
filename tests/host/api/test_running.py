"""`loopstart-host serve` as it is: calls, and the API beside them, each a process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.processes import tree
from tests.peers.values import until
from tests.scenarios.rig import HostProcess, Net
from tests.scenarios.world import World

FEES = "\n[fees]\nenabled = true"
GAUGES = ("loopstart_live_calls", "loopstart_registrations", "loopstart_up")


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as probe:
        return int(probe.getsockname()[1])


def children(host: HostProcess) -> dict[int, str]:
    """What runs beneath the process that carries calls, by its command line."""
    found = {}
    for pid in tree(host.pid)[1:]:
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        found[pid] = " ".join(command[1:4])
    return found


class Api:
    """Asks the host's API."""

    def __init__(self, address: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self.client = httpx.AsyncClient(base_url=address, headers=headers, timeout=5)

    async def get(self, path: str, **params: Any) -> Any:
        return (await self.client.get(path, params=params)).raise_for_status().json()

    async def answers(self) -> None:
        for _ in range(200):
            try:
                await self.get("/api/v2/pops")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.05)
        raise TimeoutError("the API does not answer")

    async def figures(self) -> dict[str, float]:
        text = (await self.client.get("/metrics")).raise_for_status().text
        return {
            sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.mark.interop
def test_calls_and_their_api(tmp_path: Path) -> None:
    """Given a call, an operator's program sees it, ends it, and reads its cost; the API's process
    is killed and comes back, the call process is, and everything ends."""
    net = Net()
    port = free_port(net[2])
    extra = f'[api]\naddress = "{net[2]}"\nport = {port}\n[sip]\nshutdown_grace_s = 2{FEES}'
    host = HostProcess(tmp_path, net, ("montreal",), extra=extra)

    async def scenario() -> None:
        await host.run("rates", "import")
        await host.run("account", "add", "alice", "--password", "alice-secret")
        await host.run("pay", "alice", "15")
        await host.run("carrier", "add", "only", net[11], "--port", "5070")
        password = (await host.run("api", "password", "alice"))["password"]
        await host.run("api", "enable", "alice", "127.0.0.0/8")
        token = (await host.run("api", "token", "add", "program"))["token"]
        await host.start()
        async with AsyncExitStack() as stack:
            api = Api(f"http://{net[2]}:{port}", token)
            stack.push_async_callback(api.client.aclose)
            await api.answers()
            world = World(host, net, stack)
            await world.carrier()
            alice = await world.phone("alice", register=False)
            assert (await alice.register(world.listener)).status == 200
            first, second = [
                await alice.call(f"1514555010{digit}", world.listener) for digit in range(2)
            ]
            await asyncio.gather(first.wait("answered"), second.wait("answered"))

            # What is live, by the operators' API, the customers' and Prometheus.
            live = (await api.get("/api/v2/calls"))["items"]
            assert [one["callee"] for one in live] == ["+15145550100", "+15145550101"]
            asked = {"api_username": "alice", "api_password": password, "account": "alice"}
            told = await api.get("/api/v1/rest.php", method="getRegistrationStatus", **asked)
            assert (told["status"], told["registered"]) == ("success", "yes")
            assert told["registrations"][0]["register_transport"] == "UDP"
            figures = await api.figures()
            assert [figures[name] for name in GAUGES] == [2, 1, 1]
            assert figures["loopstart_authorize_seconds_count"] == 2

            # One is ended by the API, the other by the command.
            await api.client.delete(f"/api/v2/calls/{live[0]['call_id']}")
            await first.wait("ended")
            await host.run("calls", "end", live[1]["call_id"])
            await second.wait("ended")
            assert await host.run("calls", "end", live[1]["call_id"], ok=False) == 1
            rows = await host.cdrs("alice", 2)
            assert [row["detail"] for row in rows] == ["ended by an operator"] * 2
            assert all(row["cost"] != "0.00" for row in rows)
            figures = await api.figures()
            assert figures["loopstart_calls_total answered "] == 2
            cdrs = (await api.get("/api/v2/cdrs", account="alice"))["items"]
            assert {one["ended_by"] for one in cdrs} == {"host"}

            # The API's process dies: calls do not notice, and it comes back.
            third = await alice.call("15145550102", world.listener)
            await third.wait("answered")
            (pid,) = [pid for pid, command in children(host).items() if "host.api" in command]
            os.kill(pid, signal.SIGKILL)
            await until(lambda: len(host.logged("companion started")) == 3, what="another API")
            await api.answers()
            assert (await api.get("/api/v2/calls"))["items"][0]["callee"] == "+15145550102"
            assert third.state == "answered"

            # The process that carries calls is killed: nothing is left.
            left = list(children(host))
            assert len(left) == 3
            host.kill()
            await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left),
                        what="the companions' end")  # fmt: skip

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_interrupting_serve_ends_all_of_it(tmp_path: Path) -> None:
    """Its status is that of the process that carries calls, which `serve` became."""
    net = Net()
    extra = f'[api]\naddress = "{net[2]}"\nport = {free_port(net[2])}{FEES}'
    host = HostProcess(tmp_path, net, ("montreal",), extra=extra)

    async def scenario() -> None:
        await host.start()
        await until(lambda: len(children(host)) == 3, what="API and fees")
        left = list(children(host))
        assert await asyncio.to_thread(host.stop) == 0
        await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), what="its end")
        assert host.logged("stopped")
        assert not host.logged("companion ended")

    asyncio.run(asyncio.wait_for(scenario(), 30))
