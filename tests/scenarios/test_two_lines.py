"""A device of two lines: one supervisor, a process a line, and a host that charges their calls."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from hal.drivers.sim_client import HandsetClient, HandsetError
from tests.firmware.measure_device import resident_mb
from tests.peers.endpoint import until
from tests.peers.tones import Spectrum, loudest, read_wav
from tests.scenarios.rig import ROOT
from tests.scenarios.world import (
    ALICE_HZ,
    BOB_DID,
    BOB_HZ,
    CARRIER_HZ,
    NUMBER,
    Play,
    World,
    hears,
)

LINES = {"kitchen": "alice", "study": "bob"}
BOARD = 'name = "two"\n' + "".join(
    f'[[lines]]\ndriver = "sim"\nname = "fxs{number}"\n' for number in (1, 2)
)
MOST_MB = 40.0


class TwoLines:
    """`loopstart-ata` with two lines, alice's and bob's."""

    def __init__(self, folder: Path, world: World, extra: str = "") -> None:
        self.folder, self.log = folder, folder / "device.log"
        (folder / "board.toml").write_text(BOARD)
        text = f'board = "board.toml"\nstate_dir = "{folder}/state"\n'
        for name, account in LINES.items():
            text += (
                f'[[lines]]\nname = "{name}"\n[lines.sip]\nusername = "{account}"\n'
                f'password = "{account}-secret"\naddress = "{world.net[40]}"\n'
                f'servers = ["{world.listener}"]\nretry_least_s = 1.0\n{extra}\n'
                f'[lines.line]\ncontrol = "{folder}/{name}.sock"\n'
            )
        (folder / "ata.toml").write_text(text)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "firmware.app", "--config", str(folder / "ata.toml")],
                cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log,
            )  # fmt: skip
        self._handsets: dict[str, HandsetClient] = {}

    async def do(self, name: str, what: str, *values: Any) -> Any:
        """Move the handset of a line."""

        def act() -> Any:
            if name not in self._handsets:
                self._handsets[name] = HandsetClient(f"{self.folder}/{name}.sock", 20)
            return getattr(self._handsets[name], what)(*values)

        try:
            return await asyncio.to_thread(act)
        except HandsetError as error:
            raise TimeoutError(f"{name}: {error}; {self.text()[-2_000:]}") from None

    async def registered(self, name: str) -> None:
        await self.do(name, "wait", "registered", True, 20)

    async def dial(self, name: str, number: str) -> None:
        await self.do(name, "off_hook")
        await self.do(name, "wait", "tone", "dial")
        await self.do(name, "dtmf", number, 60, 60)

    async def ear(self, name: str) -> Spectrum:
        """What a handset's ear hears from now on."""
        path = str(self.folder / f"{name}.wav")
        await asyncio.sleep(0.3)
        await self.do(name, "record", path)
        await asyncio.sleep(0.8)
        await self.do(name, "stop_record")
        return Spectrum(loudest(read_wav(Path(path)), 0.4))

    def text(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def pids(self, name: str) -> list[int]:
        """Of each process that a line has had."""
        found = re.findall(rf'event="line started" port={name} pid=(\d+)', self.text())
        return [int(one) for one in found]

    def forget(self) -> None:
        """Let go of handsets whose processes have ended."""
        while self._handsets:
            self._handsets.popitem()[1].close()

    def kill(self, name: str) -> None:
        os.kill(self.pids(name)[-1], signal.SIGKILL)
        self._handsets.pop(name).close()

    def stop(self) -> int:
        self.forget()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        finally:
            self.process.kill()
            self.process.wait()


async def started(world: World, folder: Path) -> TwoLines:
    device = TwoLines(folder, world)
    world.stack.push_async_callback(asyncio.to_thread, device.stop)
    await asyncio.gather(*(device.registered(name) for name in LINES))
    return device


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_one_line_calls_the_other_through_the_host(play: Play, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        before = world.mark()
        device = await started(world, tmp_path)
        await device.dial("kitchen", BOB_DID.lstrip("+"))
        await device.do("study", "wait", "ringing")
        await device.do("study", "off_hook")
        await device.do("kitchen", "wait", "call", "talking")
        await device.do("kitchen", "tone", [ALICE_HZ], 6_000, -10)
        await device.do("study", "tone", [BOB_HZ], 6_000, -10)
        kitchen, study = await asyncio.gather(device.ear("kitchen"), device.ear("study"))
        assert kitchen.has(BOB_HZ, -10)
        assert study.has(ALICE_HZ, -10)
        pids = [device.process.pid, *(device.pids(name)[-1] for name in LINES)]
        assert len(set(pids)) == 3
        assert all(resident_mb(pid) < MOST_MB for pid in pids)
        assert "pjsua" not in Path(f"/proc/{pids[0]}/maps").read_text()
        await device.do("kitchen", "on_hook")
        await device.do("study", "on_hook")
        rows = await world.cdrs_since(before)
        assert rows[0]["disposition"] == "answered"
        assert await asyncio.to_thread(device.stop) == 0
        assert all(gone(pid) for pid in pids)
        for line in device.text().splitlines():
            assert "event=" in line, line
            named = re.search(r" port=(kitchen|study)\b", line)
            assert named or "stopping" in line or "all lines have ended" in line, line

    play(scenario)


def test_a_line_that_is_killed_comes_back_while_the_other_talks(play: Play, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        carrier = await world.carrier()
        device = await started(world, tmp_path)
        await device.dial("kitchen", NUMBER)
        await device.do("kitchen", "wait", "call", "talking")
        call = carrier.calls_to(f"+{NUMBER}")[0]
        (before,) = device.pids("study")
        device.kill("study")
        await until(lambda: len(device.pids("study")) == 2, 10, what="a new process")
        await device.registered("study")
        assert gone(before)
        assert len(device.pids("kitchen")) == 1
        await device.do("kitchen", "tone", [ALICE_HZ], 6_000, -10)
        ear, _ = await asyncio.gather(device.ear("kitchen"), hears(call, ALICE_HZ))
        assert ear.has(CARRIER_HZ, -10)
        assert re.search(r'event="line ended" port=study status=-9 again_s=1\b', device.text())
        await device.do("kitchen", "on_hook")
        await call.wait("ended")

    play(scenario)


def test_signals_test_the_lines_and_start_them_anew_unless_the_configuration_is_wrong(
    play: Play, tmp_path: Path
) -> None:
    async def scenario(world: World) -> None:
        device = await started(world, tmp_path)
        device.process.send_signal(signal.SIGUSR1)
        for name in LINES:
            passed = f'event="line test" port={name} test=ringers verdict=pass'
            await until(lambda passed=passed: passed in device.text(), 10, what=passed)  # type: ignore[misc]
        config = tmp_path / "ata.toml"
        good = config.read_text()
        config.write_text(good.replace("retry_least_s", "retry_lest_s"))
        device.process.send_signal(signal.SIGHUP)
        await until(lambda: "nothing was changed" in device.text(), 5, what="a refusal")
        assert "lines[0].sip.retry_lest_s: no such setting" in device.text()
        assert len(device.pids("study")) == 1
        config.write_text(good)
        device.process.send_signal(signal.SIGHUP)
        await until(
            lambda: all(len(device.pids(name)) == 2 for name in LINES), 10, what="new processes"
        )
        device.forget()
        await asyncio.gather(*(device.registered(name) for name in LINES))

    play(scenario)


def test_lines_end_with_a_supervisor_that_is_killed(play: Play, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        device = await started(world, tmp_path)
        pids = [device.pids(name)[-1] for name in LINES]
        device.process.kill()
        await until(lambda: all(gone(pid) for pid in pids), 10, what="the end of the lines")

    play(scenario)
