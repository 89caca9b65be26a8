"""The demo's stage: host, carrier, two devices and a scripted caller, made ready for its steps."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.peers.carrier import Carrier, Plan
from tests.peers.endpoint import Endpoint, Login, Where, until
from tests.peers.tones import Samples, read_wav
from tests.scenarios.report import Report
from tests.scenarios.rig import Device, HostProcess, Net

VALUE_PER_MINUTE = Decimal("0.0052")
PREMIUM_PER_MINUTE = Decimal("0.01")
DID_PER_MINUTE = Decimal("0.009")
"""Prices of the service's page: Canada by value and premium, New York's per-minute plan."""
INCREMENT_MS = 6_000
HOLD = VALUE_PER_MINUTE / 10
"""What six seconds to Canada cost, and so a first hold of `QUOTA_S`."""
QUOTA_S = 4
HEARTBEAT_MS = 500
CARRIER_HZ = 1_500
MOUTH_HZ = 700
DID = "+12125550100"
FRANK_DID = "+15145550177"
MONTREAL = "5145550123"
FIRST_POP, SECOND_POP = "montreal", "newyork"

SETTINGS = f"""
[charging]
quota_s = {QUOTA_S}
renew_before_s = 1
heartbeat_ms = {HEARTBEAT_MS}
[sip]
shutdown_grace_s = 1
"""

ACCOUNTS: dict[str, tuple[tuple[int, ...], tuple[str, ...], str]] = {
    "alice": ((1, 2, 6), ("--route", "value"), ""),
    "bob": ((3, 4), ("--route", "value"), "15"),
    "carol": ((5,), ("--route", "value"), "15"),
    "crowd": ((7,), ("--route", "value", "--channels", "40"), str(3 * HOLD)),
    "dave": ((8,), ("--route", "value"), str(HOLD)),
    "erin": ((9,), ("--route", "value"), "15"),
    "frank": ((10,), ("--route", "value"), "15"),
    "gina": ((10, 12), ("--route", "value", "--iax2"), "15"),
    "pbx": ((11,), ("--route", "value", "--iax2", "--trunk", "--channels", "20"), "15"),
}
"""Account: the steps it is for, its options, what is paid into it at first."""
DEVICES = {"alice": FIRST_POP, "bob": SECOND_POP, "frank": FIRST_POP, "gina": FIRST_POP}
OVER_IAX2 = ("gina", "pbx")
IAX2_PORT = 4_569


class Stage:
    """Everything that the steps play with.

    Args:
        report: told what goes on.
        steps: those that will be played.
        rules_off: rules that the host does not enforce.
        guest: True makes an account for a softphone besides.
    """

    def __init__(
        self, report: Report, steps: Iterable[int], rules_off: tuple[str, ...], guest: bool
    ) -> None:
        self.report = report
        self.steps = set(steps)
        self.guest = guest
        self.folder = Path(tempfile.mkdtemp(prefix="loopstart-demo-"))
        self.net = Net()
        self.iax2 = Where(self.net[2], IAX2_PORT)
        """The IAX2 listener, at the first POP."""
        extra = (
            f'{SETTINGS}[[listeners]]\npop = "{FIRST_POP}"\ntransport = "iax2"\n'
            f'address = "{self.iax2.host}"\nport = {self.iax2.port}\n'
        )
        self.host = HostProcess(self.folder, self.net, extra=extra, rules_off=rules_off)
        self.passwords: dict[str, str] = {}
        self.devices: dict[str, Device] = {}
        self.carrier = Carrier(self.net[10], 5070)
        self.callers: dict[str, Endpoint] = {}

    @property
    def montreal(self) -> Where:
        """The first POP's listener."""
        return self.host.listeners[FIRST_POP]

    @property
    def newyork(self) -> Where:
        """The second POP's listener."""
        return self.host.listeners[SECOND_POP]

    async def start(self) -> None:
        """Provision an empty store, start the host, and let the devices register."""
        self.report.setting_up("an empty store, rates, accounts, a carrier")
        run = self.host.run
        await run("rates", "import")
        await run("pop", "add", FIRST_POP, "Montreal, QC")
        await run("pop", "add", SECOND_POP, "New York, NY")
        await run("carrier", "add", "northern", self.carrier.address, "--port", "5070")
        wanted = [name for name, (steps, _, _) in ACCOUNTS.items() if self.steps & set(steps)]
        both = asyncio.Semaphore(2)

        async def provision(name: str) -> None:
            async with both:
                await self._provision(name)

        await asyncio.gather(*map(provision, [*wanted, *(["guest"] if self.guest else [])]))
        self.report.setting_up("the host, the carrier and the telephones start")
        await self.carrier.start()
        self.carrier.default = Plan(hz=CARRIER_HZ)
        await self.host.start()
        for number, name in enumerate(DEVICES, 30):
            if name in wanted:
                over_iax2 = name in OVER_IAX2
                server = self.iax2 if over_iax2 else self.host.listeners[DEVICES[name]]
                login = Login(name, self.passwords[name])
                self.devices[name] = Device(
                    self.folder, login, self.net[number], server, over_iax2=over_iax2
                )
        for name in wanted:
            if name not in DEVICES and name not in OVER_IAX2:
                login = Login(name, self.passwords[name])
                self.callers[name] = Endpoint(self.net[20], 0, login)
                await self.callers[name].start()
        for device in self.devices.values():
            await device.wait("registered", True, 30)
        self.report.setting_up("")

    async def _provision(self, name: str) -> None:
        _, options, paid = ACCOUNTS.get(name, ((), ("--route", "value"), "15"))
        self.passwords[name] = secrets.token_urlsafe(9)
        await self.host.run("account", "add", name, "--password", self.passwords[name], *options)
        if paid:
            await self.host.run("pay", name, paid)
        if name == "bob":
            await self.host.run("did", "add", DID, "--account", "bob", "--pop", SECOND_POP)
        if name == "frank":
            priced = ("--per-minute", str(DID_PER_MINUTE))
            of_frank = ("--account", "frank", "--pop", FIRST_POP, *priced)
            await self.host.run("did", "add", FRANK_DID, *of_frank)

    async def stop(self, keep_logs: bool = False) -> None:
        """End all of it, and remove its files unless somebody wants to read them."""
        ends = [asyncio.to_thread(device.stop) for device in self.devices.values()]
        await asyncio.gather(*ends)
        for endpoint in (*self.callers.values(), self.carrier):
            await endpoint.close()
        await asyncio.to_thread(self.host.stop)
        if not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- what several steps ask ---

    async def ear(self, device: Device, seconds: float, name: str) -> Samples:
        """Record what the ear of a handset hears from now on."""
        path = self.folder / f"{name}.wav"
        frames = (await device.do("state"))["ear_frames"] + int(seconds * 50)
        await device.do("record", str(path))
        end = asyncio.get_running_loop().time() + 10 + seconds
        while (await device.do("state"))["ear_frames"] < frames:
            if asyncio.get_running_loop().time() > end:
                raise TimeoutError(f"the ear of {device.name} gets no audio")
            await asyncio.sleep(0.03)
        await device.do("stop_record")
        return read_wav(path)

    async def funds(self, account: str) -> dict[str, Decimal]:
        """Funds, held, available; USD."""
        row: dict[str, Any] = await self.host.run("ledger", "balance", account)
        return {key: Decimal(value) for key, value in row.items() if key != "account"}

    async def carried(self, number: str, count: int = 1, timeout_s: float = 10.0) -> Any:
        """The latest call that reached the carrier for a number, when there are `count`."""
        calls = self.carrier.calls_to
        await until(
            lambda: len(calls(number)) >= count,
            timeout_s,
            f"call {count} to {number} at the carrier",
        )
        return calls(number)[-1]


def price(per_minute: Decimal, talk_ms: int) -> Decimal:
    """What a call costs in increments of six seconds, reckoned apart from the host."""
    return per_minute / 10 * (-(-talk_ms // INCREMENT_MS))


def usd(amount: Decimal) -> str:
    """An amount as people read it."""
    return f"${amount.normalize():f}"
