"""The real programs on loopback: a host in a process of its own, devices, and their commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hal.drivers.sim_client import HandsetClient, HandsetError
from tests.peers.endpoint import Endpoint, Login, Where

HOST_PORT = 5060
ROOT = Path(__file__).resolve().parents[2]


class Net:
    """Some addresses of 127.0.0.0/8 that nobody else uses: every run has a network of its own.

    Ports on them are free, whatever else runs on the machine.
    """

    def __init__(self) -> None:
        for _ in range(50):
            high, low = os.urandom(2)
            self._base = f"127.{max(high, 1)}.{low}"
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind((self[2], HOST_PORT))
                    return
                except OSError:
                    continue
        raise OSError("no loopback address is free")

    def __getitem__(self, number: int) -> str:
        """Address `number`, 1 to 254."""
        return f"{self._base}.{number}"


@dataclass
class HostProcess:
    """`loopstart-host serve` with an empty store in a folder, and its other commands."""

    folder: Path
    net: Net
    pops: tuple[str, ...] = ("montreal", "newyork")
    """One UDP listener each: `net[2]` and on, port 5060."""
    extra: str = ""
    """More of the configuration file: tables."""
    rules_off: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    listeners: dict[str, Where] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = self.folder / "host.toml"
        self.database = self.folder / "host.sqlite"
        self.log = self.folder / "host.log"
        lines = [f'database = "{self.database}"', f"rules_off = {json.dumps(self.rules_off)}"]
        for number, pop in enumerate(self.pops, 2):
            where = self.listeners[pop] = Where(self.net[number], HOST_PORT)
            lines += ["[[listeners]]", f'pop = "{pop}"', f'address = "{where.host}"']
            lines.append(f"port = {where.port}")
        if "[api]" not in self.extra:  # all runs would want the one port
            lines += ["[api]", "enabled = false"]
        if "[fees]" not in self.extra:
            lines += ["[fees]", "enabled = false"]
        lines += ["[media]", f'address = "{self.net[2]}"'] if "[media]" not in self.extra else []
        self.config.write_text("\n".join([*lines, self.extra, ""]))

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "host.cli.main", "--config", str(self.config), *words]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    async def run(self, *words: str, ok: bool = True) -> Any:
        """Run one command of `loopstart-host` with --json; what it printed.

        Raises:
            RuntimeError: it failed (unless `ok` is False: then its exit status is returned).
        """
        process = await asyncio.create_subprocess_exec(
            *self._command("--json", *words),
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 30)
        if not ok:
            return process.returncode
        if process.returncode:
            raise RuntimeError(f"loopstart-host {' '.join(words)}: {err.decode().strip()}")
        return json.loads(out)

    async def start(self, timeout_s: float = 20.0) -> None:
        """Start the host, and wait until all its listeners answer.

        Raises:
            RuntimeError: it ended, or did not answer; the text has the end of its log.
        """
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command("serve"),
                cwd=self.folder,
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + timeout_s
        async with Endpoint(self.net[254]) as probe:
            for where in self.listeners.values():
                while not await probe.ping(where, 0.5):
                    if self.process.poll() is not None or time.monotonic() > end:
                        text = self.log.read_text("utf-8", "replace")[-2_000:]
                        raise RuntimeError(f"the host does not answer at {where}:\n{text}")

    @property
    def pid(self) -> int:
        """Of the process that carries calls."""
        assert self.process is not None
        return self.process.pid

    def kill(self) -> float:
        """`kill -9`; the time at which it was done, UTC seconds."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        at = time.time()
        self.process.wait(10)
        return at

    def stop(self, timeout_s: float = 20.0) -> int | None:
        """Ask the host to end; calls have `shutdown_grace_s`. Its exit status."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return process.returncode if process is not None else None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(10)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The store, read only."""
        conn = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)
        conn.row_factory = sqlite3.Row
        try:
            yield conn
        finally:
            conn.close()

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a query on the store."""
        with self.reading() as conn:
            return [dict(row) for row in conn.execute(query, values)]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Lines of the host's log with this event."""
        found = []
        for line in self.log.read_text("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == event:
                    found.append(entry)
        return found

    async def cdrs(self, account: str, least: int = 1, timeout_s: float = 10.0) -> Any:
        """CDRs of an account, oldest first, as the command prints them.

        Raises:
            TimeoutError: there are still fewer than `least`.
        """
        await self.settled(account, least, timeout_s)
        rows = await self.run("cdr", "list", "--account", account, "--limit", "1000")
        return rows[::-1]

    async def settled(self, account: str, least: int, timeout_s: float = 10.0) -> None:
        """Wait until so many calls of an account are over.

        Raises:
            TimeoutError: there are fewer.
        """
        query = "SELECT count(*) AS n FROM call WHERE account = ? AND state <> 'open'"
        end, count = time.monotonic() + timeout_s, 0
        while (count := self.rows(query, account)[0]["n"]) < least:
            if time.monotonic() > end:
                raise TimeoutError(f"{account} has {count} CDRs, {least} are due")
            await asyncio.sleep(0.03)


class Device:
    """`loopstart-ata` with a simulated handset."""

    def __init__(
        self,
        folder: Path,
        login: Login,
        address: str,
        server: Where | str,
        *,
        over_iax2: bool = False,
        account: str = "",
        line: str = "",
    ) -> None:
        self.name = name = login.username
        protocol = "iax2" if over_iax2 else "sip"
        self.folder = folder
        socket_path = folder / f"{name}.sock"
        config = folder / f"{name}.toml"
        config.write_text(
            f'state_dir = "{folder}/state"\n'
            f'[{protocol}]\nusername = "{name}"\npassword = "{login.password}"\n'
            f'address = "{address}"\n'
            f'servers = ["{server}"]\nretry_least_s = 1.0\n{account}'
            f'[line]\ncontrol = "{socket_path}"\n{line}\n'
        )
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "firmware.app", "--config", str(config)],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._socket_path = str(socket_path)
        self._handset: HandsetClient | None = None

    @property
    def handset(self) -> HandsetClient:
        """Its telephone; calls of it block."""
        if self._handset is None:
            self._handset = HandsetClient(self._socket_path, 20)
        return self._handset

    async def do(self, name: str, *values: Any, **named: Any) -> Any:
        """Call a method of the handset without blocking the loop.

        Raises:
            TimeoutError: the handset waited in vain, or the device is gone.
        """

        def act() -> Any:
            return getattr(self.handset, name)(*values, **named)

        try:
            return await asyncio.to_thread(act)
        except HandsetError as error:
            said = ""
            if self.process.poll() is not None:
                said = f"; the device has ended: {self.log.read_text('utf-8', 'replace')[-500:]}"
            raise TimeoutError(f"handset {self.name}: {error}{said}") from None

    async def wait(self, key: str, value: Any = True, timeout_s: float = 10.0) -> dict[str, Any]:
        """Wait until the handset's state has a value."""
        state: dict[str, Any] = await self.do("wait", key, value, timeout_s)
        return state

    async def dial(self, digits: str) -> None:
        """Lift the receiver, wait for the dial tone, press the keys."""
        await self.do("off_hook")
        await self.wait("tone", "dial")
        await self.do("dtmf", digits, 60, 60)

    async def hang_up(self) -> None:
        """Put the receiver back."""
        await self.do("on_hook")
        await self.wait("line", "on_hook")

    def stop(self) -> None:
        """End the device."""
        if self._handset is not None:
            self._handset.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(8)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
