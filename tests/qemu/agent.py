"""In the guest: does what it is told over TCP, one JSON object a line each way.

    python -m tests.qemu.agent

It runs programs, keeps processes, and holds the telephone. Commands are the methods of `Agent`
whose names do not begin with `_`; several may be under way.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hal.drivers.devicefile import KernelFiles
from tests.qemu.telephone import Telephone, longest_flash_ms

PORT = 7_070
_MOST_LINE = 1 << 20


class Agent:
    """The guest as the test sees it."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._telephone: Telephone | None = None
        self._watched = -1

    @property
    def _phone(self) -> Telephone:
        if self._telephone is None:
            raise LookupError("there is no telephone on the line")
        return self._telephone

    # Programs

    async def hello(self) -> str:
        """Answers the kernel's release."""
        return os.uname().release

    async def run(self, words: Sequence[str]) -> tuple[int, str]:
        """Run a program to its end: exit status, and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode("utf-8", "replace")

    async def write(self, path: str, text: str) -> None:
        """Write a file."""
        await asyncio.to_thread(Path(path).write_text, text)

    async def start(self, name: str, words: Sequence[str], log: str) -> int:
        """Start a program that goes on; its process id."""
        with Path(log).open("ab") as file:
            self._processes[name] = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        return self._processes[name].pid

    async def read(self, path: str, start: int = 0) -> str:
        """What a file holds from an octet on."""
        return Path(path).read_bytes()[start:].decode("utf-8", "replace")

    async def alive(self, name: str) -> bool:
        """Whether a program that was started is there."""
        return self._processes[name].poll() is None

    async def end(self, name: str) -> int:
        """End a program that was started; its exit status."""
        process = self._processes.pop(name)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(process.wait, 30)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    # The telephone

    async def connect(self, channel: int) -> None:
        """Put a telephone on a channel."""
        await self.disconnect()
        self._telephone = Telephone(KernelFiles(), channel, lambda: time.monotonic() * 1000)
        self._watched = self._telephone.descriptor()
        asyncio.get_running_loop().add_reader(self._watched, self._work)

    async def disconnect(self) -> None:
        """Take it away."""
        telephone, self._telephone = self._telephone, None
        if telephone is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            telephone.close()

    def _work(self) -> None:
        try:
            self._phone.work()
        except OSError as error:
            print(f"agent: the telephone's channel failed: {error}", flush=True)
            asyncio.get_running_loop().remove_reader(self._watched)

    async def longest_flash(self, channel: int) -> int:
        """What the kernel has for a channel, milliseconds."""
        return longest_flash_ms(KernelFiles(), channel)

    async def lift(self) -> None:
        """Take the receiver off."""
        self._phone.lift()

    async def hang_up(self) -> float:
        """Put it back; when that was, in seconds by the guest's own calendar."""
        self._phone.hang_up()
        return time.time()

    async def flash(self) -> None:
        """Press the flash key."""
        self._phone.flash()

    async def dial(self, digits: str, pulses: bool = False) -> None:
        """Dial, by keys or a rotary dial."""
        self._phone.dial(digits, pulses=pulses)

    async def say(self, hz: float, ms: float, dbm0: float) -> None:
        """Sound a tone at the mouthpiece."""
        self._phone.say(hz, ms, dbm0)

    async def listen(self, seconds: float) -> str:
        """What the ear hears from now on, so long: samples, as base64."""
        phone = self._phone
        phone.listen()
        octets = round(seconds * 8_000) * 2
        end = time.monotonic() + 20 + 3 * seconds
        while len(phone.recording) < octets:
            if time.monotonic() > end:
                raise TimeoutError(f"the ear heard {len(phone.recording) // 16} ms in all")
            await asyncio.sleep(0.05)
        return base64.b64encode(bytes(phone.recording[:octets])).decode()

    async def state(self) -> dict[str, Any]:
        """How it stands, and all that has happened on the line."""
        phone = self._phone
        return {
            "off_hook": phone.off_hook,
            "frames": phone.frames,
            "lost": phone.lost,
            "events": phone.events,
            "now_ms": time.monotonic() * 1000,
        }


class Door:
    """Where commands come in."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                task = asyncio.create_task(self._answer(json.loads(line), writer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        writer.close()

    async def _answer(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        name = str(asked["do"])
        answer: dict[str, Any] = {"id": asked["id"]}
        try:
            if name.startswith("_"):
                raise LookupError(f"there is no command {name}")
            answer["answer"] = await getattr(self._agent, name)(**asked["with"])
        except (OSError, LookupError, AttributeError, TypeError) as error:
            answer["error"] = f"{name}: {type(error).__name__}: {error}"
        writer.write(json.dumps(answer).encode() + b"\n")
        with contextlib.suppress(OSError):
            await writer.drain()


async def main() -> None:
    """Serve until the machine goes."""
    server = await asyncio.start_server(Door(Agent()).serve, "0.0.0.0", PORT, limit=_MOST_LINE)
    print("agent: ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
