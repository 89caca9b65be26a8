"""Processes under measurement: what they use, by /proc, and that they end with the benchmark."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
GRACE_S = 3.0


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on: state, ppid, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """A process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, ())
    return found


def processor_s(root: int) -> float:
    """Processor time of a process tree so far, seconds: user and system, of all threads, and of
    children that have ended and were waited for."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += sum(int(field) for field in _stat(pid)[11:15])
    return total * TICK_S


def resident_mb(pid: int) -> float:
    """Resident memory of one process, MB of 2^20 octets."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"process {pid} has ended")


def machine_busy_s() -> float:
    """Processor time that all processes of this machine, and its hypervisor, have used, seconds.

    Interrupts are left out: those of the load itself are among them, and belong to nobody.
    """
    user, nice, system, _idle, _iowait, _irq, _softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + steal) * TICK_S


def is_bound(address: str, port: int) -> bool:
    """True when somebody has bound that UDP address."""
    (word,) = struct.unpack("=I", socket.inet_aton(address))
    return f" {word:08X}:{port:04X} " in Path("/proc/net/udp").read_text()


def wait_bound(
    process: subprocess.Popen[bytes], address: str, port: int, log: Path, timeout_s: float = 15.0
) -> None:
    """Wait until a process that was just started has bound its UDP address.

    Raises:
        RuntimeError: it ended, or did not in time; the text has the end of its log.
    """
    end = time.monotonic() + timeout_s
    while not is_bound(address, port):
        if process.poll() is not None or time.monotonic() > end:
            said = log.read_text("utf-8", "replace")[-1_500:]
            raise RuntimeError(f"{process.args!r} does not listen at {address}:{port}:\n{said}")
        time.sleep(0.02)


@contextlib.contextmanager
def running(
    command: list[str], log: Path, folder: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is over when the block is; what it says goes to `log`."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes], grace_s: float = GRACE_S) -> None:
    """Ask a process to end, and make it after a while."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    if process.poll() is None:
        process.kill()
    process.wait()
