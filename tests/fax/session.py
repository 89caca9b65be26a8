"""One fax session: a host, two devices with fax machines, a bad link, and the pages compared."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.fax.link import Link, LinkStatistics
from tests.fax.pages import Page, read_pages, write_pages
from tests.scenarios.rig import HostProcess, Net

Protocol = Literal["sip", "iax2"]
JITTER_MS = 40.0
POP, DID, DIALLED = "montreal", "+12125550100", "12125550100"
_PORTS: dict[Protocol, int] = {"sip": 5060, "iax2": 4569}
_OTHER_END_S = 15.0
"""Whose far end is done has so long to be done, too."""
_LOGGED = re.compile(r'event="data call".*detail="([^"]*)"')
_AUDIO = re.compile(r"event=audio (.*)")


@dataclass
class Report:
    """What a session came to."""

    protocol: Protocol
    sent: int
    equal: int = 0
    """Pages whose every pixel arrived."""
    seconds: float = 0.0
    ends: dict[str, Any] = field(default_factory=dict)
    """What each terminal says of the session, by `sender` and `receiver`."""
    switched: dict[str, list[str]] = field(default_factory=dict)
    """Why each device took the call for data, from its log."""
    audio: dict[str, str] = field(default_factory=dict)
    """How each device heard its far end, from its log."""
    link: LinkStatistics = field(default_factory=LinkStatistics)

    @property
    def good(self) -> bool:
        """True if every page is there and the same."""
        return self.equal == self.sent and all(
            end.get("result", {}).get("ok") for end in self.ends.values()
        )


@contextlib.contextmanager
def real_time() -> Iterator[None]:
    """What is started here goes before all else on the machine, where that is allowed (root).

    A machine at the other end of a line waits for nobody: a processor that is taken for 200 ms by
    a program beside this one is a hole in the page, and says nothing about ours.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        yield
    finally:
        os.sched_setscheduler(0, *before)


class Bench:
    """What a session is played with.

    Args:
        folder: of stores, logs and pages.
        line: more of the devices' `[line]`, for instance `fax = "off"`.
        account: more of their account's section.
    """

    def __init__(
        self,
        folder: Path,
        protocol: Protocol,
        pages: list[Page],
        *,
        jitter_ms: float = JITTER_MS,
        seed: int = 1,
        line: str = "",
        account: str = "",
    ) -> None:
        self.folder, self.protocol, self.pages = folder, protocol, pages
        self.net = Net()
        extra = ""
        if protocol == "iax2":
            extra = (
                f'[[listeners]]\npop = "{POP}"\ntransport = "iax2"\n'
                f'address = "{self.net[2]}"\nport = {_PORTS["iax2"]}\n'
            )
        self.host = HostProcess(folder, self.net, pops=(POP,), extra=extra)
        at = (self.net[2], _PORTS[protocol])
        self.link = Link(self.net[3], at, protocol == "sip", jitter_ms, seed)
        self._line, self._account = line, account
        self._machines: dict[str, asyncio.subprocess.Process] = {}

    async def play(self, told: Callable[[str], None], timeout_s: float) -> Report:
        """Send the pages; what came of it.

        Raises:
            TimeoutError: the session has not ended in time.
        """
        report = Report(self.protocol, len(self.pages))
        sent, received = self.folder / "sent.tif", self.folder / "received.tif"
        write_pages(sent, self.pages)
        await self._provision()
        await self.link.start()
        started = time.monotonic()
        try:
            ends = {
                "receiver": await self._machine("receiver", 31, received),
                "sender": await self._machine("sender", 30, sent, "--number", DIALLED),
            }
            follows = [
                asyncio.ensure_future(self._follow(name, one, report, told))
                for name, one in ends.items()
            ]
            first = asyncio.FIRST_COMPLETED
            done, left = await asyncio.wait(follows, timeout=timeout_s, return_when=first)
            if not done:
                raise TimeoutError(f"the fax has not ended in {timeout_s:.0f} s")
            await asyncio.wait(left or done, timeout=_OTHER_END_S)
        finally:
            await self._stop()
        report.seconds = time.monotonic() - started
        report.link = self.link.statistics
        self._compare(received, report)
        self._read_logs(report)
        return report

    async def _provision(self) -> None:
        run = self.host.run
        await run("rates", "import")
        await run("pop", "add", POP)
        await run("carrier", "add", "none", self.net[10])  # a route has to lead somewhere
        for name in ("sender", "receiver"):
            words = ("--iax2",) if self.protocol == "iax2" else ()
            await run("account", "add", name, "--password", f"{name}-secret", *words)
            await run("pay", name, "15")
        await run("did", "add", DID, "--account", "receiver", "--pop", POP)
        await self.host.start()

    async def _machine(
        self, name: str, number: int, pages: Path, *words: str
    ) -> asyncio.subprocess.Process:
        config = self.folder / f"{name}.toml"
        config.write_text(
            f'state_dir = "{self.folder}/{name}"\n'
            f'[{self.protocol}]\nusername = "{name}"\npassword = "{name}-secret"\n'
            f'address = "{self.net[number]}"\nservers = ["{self.net[3]}"]\n'
            f"retry_least_s = 1.0\n{self._account}\n[line]\n{self._line}\n"
        )
        with (self.folder / f"{name}.log").open("wb") as log:
            made = self._machines[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.fax.machine", "--config", str(config)),
                *("--pages", str(pages), *words),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        if name == "receiver":  # a call to a device that is not registered yet is refused
            await self._logged(name, "event=registered", 20)
        return made

    async def _logged(self, name: str, text: str, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while text not in self._log(name):
            if time.monotonic() > end:
                raise TimeoutError(f"{name} has not logged {text}:\n{self._log(name)[-1_500:]}")
            await asyncio.sleep(0.05)

    def _log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    async def _follow(
        self,
        name: str,
        machine: asyncio.subprocess.Process,
        report: Report,
        told: Callable[[str], None],
    ) -> None:
        assert machine.stdout is not None
        async for line in machine.stdout:
            said = json.loads(line)
            if "result" in said:
                report.ends[name] = said
            elif name == "receiver":
                told(f"{self.protocol}: page {said['page']} at {said['bit_rate']} bit/s")
        await machine.wait()

    async def _stop(self) -> None:
        for machine in self._machines.values():
            with contextlib.suppress(ProcessLookupError):
                machine.terminate()
            await machine.wait()
        self.link.close()
        await asyncio.to_thread(self.host.stop)

    def _compare(self, path: Path, report: Report) -> None:
        try:
            received = read_pages(path)
        except OSError:
            return
        report.equal = sum(
            mine.shape == theirs.shape and bool(np.array_equal(mine, theirs))
            for mine, theirs in zip(self.pages, received, strict=False)
        )

    def _read_logs(self, report: Report) -> None:
        for name in self._machines:
            log = self._log(name)
            report.switched[name] = _LOGGED.findall(log)
            report.audio[name] = " | ".join(_AUDIO.findall(log))
