"""The guest: a QEMU process that boots Debian's kernel, and what is asked of the agent within."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.qemu.agent import PORT
from tests.qemu.build import Built, write_initramfs

GUEST = "10.0.2.15"
"""The guest's address in QEMU's own network, as `guest.sh` sets it."""
_KVM_BOOT_S = 12.0
"""A guest under KVM is up after two seconds; one that shows nothing for so long never will be."""
_TCG_BOOT_S = 150.0
_FIRST_WORD = "guest: the kernel is up"
_MOST_LINE = 1 << 24


class GuestError(RuntimeError):
    """The guest does not start, has ended, or could not do what it was asked."""


class Machine:
    """A guest, and the way to its agent.

    Args:
        folder: for its initramfs and the log of its console.
        python: the interpreter that the guest runs, as the host has it.
        port: where the agent is reached from outside.
    """

    def __init__(self, built: Built, folder: Path, python: Path, port: int = PORT) -> None:
        self._port = port
        self.built = built
        self._initramfs = folder / "initramfs.gz"
        self.log = folder / "console.log"
        self.accelerator = ""
        """How it runs, for people."""
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        write_initramfs(built, python, self._initramfs)

    async def start(self) -> None:
        """Boot, by KVM if the machine lets it, and reach the agent.

        Raises:
            GuestError: it does not come up; the text has the end of its console.
        """
        why = _why_no_kvm()
        if not why:
            self._boot("kvm", "host")
            if await self._said(_FIRST_WORD, _KVM_BOOT_S):
                self.accelerator = "KVM"
            else:
                why = f"/dev/kvm opens, but no kernel shows itself within {_KVM_BOOT_S:.0f} s"
                self._end()
        if why:
            self.accelerator = f"TCG, for {why}"
            self._boot("tcg,thread=multi", "max")
        end = time.monotonic() + _TCG_BOOT_S
        while self.runs and time.monotonic() < end:
            with contextlib.suppress(OSError, GuestError, TimeoutError):
                await self.connect()
                return
            await self._disconnect()
            await asyncio.sleep(0.5)
        said = self._console()[-1_500:]
        raise GuestError(f"the guest does not come up; its console ends:\n{said}")

    def _boot(self, accelerator: str, processor: str) -> None:
        command = [
            *("qemu-system-x86_64", "-accel", accelerator, "-cpu", processor, "-smp", "2"),
            *("-m", "1024", "-nodefaults", "-display", "none", "-no-reboot"),
            *("-serial", f"file:{self.log}", "-kernel", str(self.built.kernel)),
            *("-initrd", str(self._initramfs)),
            *("-append", "console=ttyS0 panic=-1 mitigations=off loglevel=5 edd=off"),
            *("-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,"
              "multidevs=remap"),
            *("-netdev", f"user,id=net0,hostfwd=tcp:127.0.0.1:{self._port}-{GUEST}:{PORT}"),
            *("-device", "virtio-net-pci,netdev=net0,romfile="),
        ]  # fmt: skip
        with self.log.with_suffix(".qemu").open("ab") as said:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )

    @property
    def root(self) -> Path:
        """Where packages lie that are only unpacked, in the guest as outside."""
        return self.built.root

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def _console(self) -> str:
        text = ""
        for path in (self.log.with_suffix(".qemu"), self.log):
            with contextlib.suppress(FileNotFoundError):
                text += path.read_text("utf-8", "replace")
        return text

    async def _said(self, word: str, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.runs:
            if word in self._console():
                return True
            await asyncio.sleep(0.1)
        return False

    async def connect(self) -> None:
        """Reach the agent.

        Raises:
            OSError, GuestError, TimeoutError: it is not there, or not yet.
        """
        reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, limit=_MOST_LINE
        )
        self._reading = asyncio.create_task(self._read(reader))
        await self.do("hello", 10)

    async def _disconnect(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                answer = json.loads(line)
                waiting = self._waiting.pop(answer["id"], None)
                if waiting is None or waiting.done():
                    continue
                if "error" in answer:
                    waiting.set_exception(GuestError(answer["error"]))
                else:
                    waiting.set_result(answer["answer"])
        except OSError:
            pass
        finally:
            waits, self._waiting = self._waiting, {}
            for one in waits.values():
                if not one.done():
                    one.set_exception(GuestError("the guest's agent is gone"))

    async def do(self, what: str, timeout_s: float = 60.0, **named: Any) -> Any:
        """Have the agent do something; what it answers.

        Raises:
            GuestError: it could not, or it is gone.
            TimeoutError: it has not answered.
        """
        if self._writer is None:
            raise GuestError("the guest's agent is not there")
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": number, "do": what, "with": named})
        self._writer.write(line.encode() + b"\n")
        try:
            return await asyncio.wait_for(waiting, timeout_s)
        except TimeoutError:
            raise TimeoutError(f"the guest did not {what} within {timeout_s:.0f} s") from None
        finally:
            self._waiting.pop(number, None)

    async def run(self, *words: str, timeout_s: float = 60.0) -> str:
        """Run a program in the guest; what it printed.

        Raises:
            GuestError: it failed.
        """
        status, said = await self.do("run", timeout_s, words=list(words))
        if status:
            raise GuestError(f"`{' '.join(words)}` failed in the guest: {said[-800:].strip()}")
        return str(said)

    async def stop(self) -> None:
        """End the guest."""
        await self._disconnect()
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _why_no_kvm() -> str:
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/kvm does not open ({error.strerror})"
    return ""
