"""A board in QEMU: U-Boot on the machine `virt`, or a PC; a file as flash, a serial console.

The machine starts switched off (QEMU holds its processor), so that whoever listens hears its first
octet. Everything that the board prints also goes to a log, whoever has the console open.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import pytest


@dataclass(frozen=True, slots=True)
class Platform:
    """What QEMU is told of a board's hardware."""

    qemu: str
    machine: tuple[str, ...]
    disk: str
    """The device that is its flash."""
    watchdog: str


QEMU = "qemu-system-aarch64"
U_BOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
VIRT = Platform(
    QEMU,
    ("-M", "virt", "-cpu", "cortex-a53", "-m", "128", "-bios", str(U_BOOT)),
    "virtio-blk-device",
    "i6300esb,addr=1f",
)
PC = Platform(
    "qemu-system-x86_64", ("-M", "q35", "-m", "256"), "virtio-blk-pci", "i6300esb,addr=1e"
)
START_S = 20.0
LIFE_S = 900
"""No machine outlives this unless it is told to, even if whoever started it is killed."""

needs_qemu = pytest.mark.skipif(
    shutil.which(QEMU) is None or not U_BOOT.exists(),
    reason="needs qemu-system-arm and u-boot-qemu",
)

needs_pc = pytest.mark.skipif(shutil.which(PC.qemu) is None, reason="needs qemu-system-x86")


class MachineError(RuntimeError):
    """QEMU does not start, or has ended."""


class Machine:
    """One board.

    Args:
        folder: for the console's log and the control socket.
        disk: the file that is the board's flash; a raw image.
        console: `pty`, or `tcp` for a socket on this computer.
        network: QEMU's options for a network card, none if empty.
        drive: QEMU's options for the flash, in place of the plain file; its node is called `flash`.
        netns: the network namespace to run in.
        life_s: after so long it is ended.
        platform: its hardware.
        starts: QEMU's options for a kernel that it starts itself, none where a boot loader does.
    """

    def __init__(
        self,
        folder: Path,
        disk: Path,
        console: Literal["pty", "tcp"] = "pty",
        network: tuple[str, ...] = (),
        drive: tuple[str, ...] = (),
        netns: str = "",
        life_s: int = LIFE_S,
        platform: Platform = VIRT,
        starts: tuple[str, ...] = (),
    ) -> None:
        self.log = folder / "console.log"
        self.port = ""
        """The console, as pyserial's `serial_for_url` takes it."""
        self._said = folder / "qemu.log"
        self._control = folder / "qmp"
        self._disk, self._console, self._network, self._drive = disk, console, network, drive
        self._netns, self._life_s = netns, life_s
        self._platform, self._starts = platform, starts
        self._process: subprocess.Popen[bytes] | None = None
        self._qmp: socket.socket | None = None

    def __enter__(self) -> Machine:
        self.start()
        return self

    def __exit__(
        self, _1: type[BaseException] | None, _2: BaseException | None, _3: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Have the machine there, switched off.

        Raises:
            MachineError: it does not come up; the text has what QEMU said.
        """
        self._control.unlink(missing_ok=True)
        self._said.write_bytes(b"")
        chardev = f"{self._console},id=console,logfile={self.log},logappend=on"
        if self._console == "tcp":
            chardev = chardev.replace("tcp,", "socket,host=127.0.0.1,port=0,server=on,wait=off,")
        drive = self._drive or (
            *("-blockdev", f"driver=file,filename={self._disk},node-name=file"),
            *("-blockdev", "driver=raw,file=file,node-name=flash"),
        )
        space = ("ip", "netns", "exec", self._netns) if self._netns else ()
        watchdog = ("-device", self._platform.watchdog)
        command = [
            *("timeout", "--foreground", "--signal=KILL", str(self._life_s), *space),
            *(self._platform.qemu, *self._platform.machine, *self._starts, "-nodefaults"),
            *("-display", "none", "-S"),
            *("-chardev", chardev, "-serial", "chardev:console"),
            *("-qmp", f"unix:{self._control},server=on,wait=off"),
            *drive,
            *("-device", f"{self._platform.disk},drive=flash", *self._network),
            *(() if self._platform.watchdog in self._network else watchdog),
            *("-action", "watchdog=reset"),
        ]
        with self._said.open("ab") as said:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )
        self._reach()
        if self._console == "pty":
            found = re.search(r"/dev/pts/\d+", self._words())
            self.port = found[0] if found else ""
        else:
            chardevs = self.ask("query-chardev")
            named = next(one["filename"] for one in chardevs if one["label"] == "console")
            found = re.search(r"127\.0\.0\.1:(\d+)", named)
            self.port = f"socket://127.0.0.1:{found[1]}" if found else ""
        if not self.port:
            raise MachineError(f"QEMU has made no console: {self._words()}")

    def _reach(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.runs:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(START_S)
            try:
                sock.connect(str(self._control))
            except OSError:
                sock.close()
                time.sleep(0.02)
                continue
            self._qmp = sock
            self.ask("qmp_capabilities")
            return
        self.kill()
        raise MachineError(f"QEMU does not start: {self._words()}")

    @property
    def runs(self) -> bool:
        """Is its process there?"""
        return self._process is not None and self._process.poll() is None

    def ask(self, command: str, **arguments: object) -> Any:
        """Have QEMU do something (QEMU Machine Protocol); what it returns."""
        assert self._qmp is not None
        asked = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self._qmp.sendall(json.dumps(asked).encode() + b"\n")
        stream = self._qmp.makefile("rb")
        for line in stream:
            answer = json.loads(line)
            if "error" in answer:
                raise MachineError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise MachineError(f"QEMU has ended: {self._words()}")

    def power_on(self) -> None:
        """Let it run."""
        self.ask("cont")

    def power_cycle(self) -> None:
        """Off and on again; the console's port stays what it is."""
        self.ask("system_reset")

    def kill(self) -> None:
        """End it at once, as if its power were cut; what it has not written is lost."""
        if self._qmp is not None:
            self._qmp.close()
            self._qmp = None
        if self._process is not None:
            # The whole group: QEMU is a child of `timeout`, which would die alone.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def console(self) -> str:
        """All that the board has printed so far."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def wait_for(self, words: str, seconds: float) -> str:
        """Wait until the board has printed `words`; all that it has printed.

        Raises:
            MachineError: it has not, in time.
        """
        end = time.monotonic() + seconds
        while words not in self.console():
            if time.monotonic() > end or not self.runs:
                raise MachineError(f'no "{words}" within {seconds} s: {self.console()[-2000:]}')
            time.sleep(0.05)
        return self.console()

    def _words(self) -> str:
        return self._said.read_text("utf-8", "replace") if self._said.exists() else ""


def blank(path: Path, octets: int) -> Path:
    """A file of zeros, which takes no room until it is written."""
    with path.open("wb") as stream:
        stream.truncate(octets)
    return path
