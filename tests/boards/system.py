"""A whole board from an image: a disk laid out as the flasher would, booted in QEMU.

`python3 -m tests.boards.system IMAGE` boots one beside a server outside (of IAX2 for qemu-arm64, of
SIP for qemu-x86_64), lifts the simulated handset and says how long it took, how much memory is in
use and what is heard; then once more on a processor whose time is counted in instructions, 2 ns
each, whatever else this computer does.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
import serial

from boards.board import Board, load_board
from boards.boot_part import boot_part, first_sector
from boards.slot import TABLE_OCTETS, decode_table, slot_octets
from boards.state import installed
from firmware.wire.image import HEADER
from tests.boards.machine import PC, Machine
from tests.boards.persistent import made
from tests.firmware import iax2_peer, peer

BOARD: Board = load_board("qemu-arm64")
assert BOARD.flash is not None
FLASH = BOARD.flash
NETWORK = ("-nic", "user,model=virtio-net-pci")
COUNTED = ("-icount", "shift=1,sleep=on")
"""QEMU's options for a processor of 500 million instructions a second; while it is idle, time goes
by as ever."""
CONFIG = """board = "qemu-arm64"
[iax2]
username = "100001"
password = "secret"
servers = ["10.0.2.2:{port}"]
[line]
country = "CA"
[provisioning]
url = "https://10.0.2.2:9"
"""
SIP_CONFIG = CONFIG.replace("qemu-arm64", "qemu-x86_64").replace("iax2", "sip")
PROBE = """
import base64, json, os, sys, time
sys.path.insert(0, "/usr/lib/loopstart")
from hal.drivers.sim_client import HandsetClient
handset = HandsetClient("/run/loopstart/handset", 60)
handset.wait("registered", True, 60)
handset.off_hook()
while handset.state()["ear_dbm0"] < -30:
    time.sleep(0.02)
up = float(open("/proc/uptime").read().split()[0])
handset.record("/tmp/ear.wav")
time.sleep(1.2)
handset.stop_record()
ear = open("/tmp/ear.wav", "rb").read()

def runs(what):
    for pid in os.listdir("/proc"):
        try:
            if pid.isdigit() and what in open(f"/proc/{pid}/cmdline").read():
                return True
        except OSError:
            pass
    return False

while not runs("firmware.update"):
    time.sleep(0.5)
time.sleep(35)  # it has asked, in vain, which needs TLS
memory = {line.split(":")[0]: int(line.split()[1]) for line in open("/proc/meminfo")}
print("PROBED", json.dumps({"up_s": up, "memory": memory, "ear": base64.b64encode(ear).decode()}))
"""


def lay_out(disk: Path, image: bytes, persistent: dict[str, str], board: Board = BOARD) -> None:
    """A disk as the flasher leaves it, with these files in the persistent part."""
    flash = board.flash
    assert flash is not None
    writes = [
        (0, first_sector(flash)),
        (flash.slot_a.offset, slot_octets(image, board.name)),
        (flash.state.offset, installed("a").to_bytes()),
    ]
    if board.boot is not None:
        writes.append((flash.boot.offset, boot_part(board)))
    with disk.open("wb") as stream, tempfile.TemporaryDirectory() as folder:
        stream.truncate(flash.octets)
        for offset, octets in writes:
            stream.seek(offset)
            stream.write(octets)
        if persistent:
            files = Path(folder) / "files"
            files.mkdir()
            for name, text in persistent.items():
                (files / name).write_text(text)
            part = made(Path(folder) / "part", "-d", str(files), octets=flash.persistent.octets)
            stream.seek(flash.persistent.offset)
            stream.write(part.read_bytes())
            stream.seek(FLASH.persistent.offset)
            stream.write(b"LOOPMADE")  # as the board leaves it: it need not be looked at again


def starts(folder: Path, image: bytes, board: Board, more: str = "") -> tuple[str, ...]:
    """QEMU's options to start the kernel of slot a, as `lay_out` leaves it.

    Args:
        folder: for kernel and initramfs.
        more: words for the kernel's command line.
    """
    assert board.flash is not None
    assert board.kernel is not None
    slot = slot_octets(image, board.name)
    table = decode_table(slot[:TABLE_OCTETS])
    assert table is not None
    version, parts = table
    at = {part.name: part for part in parts}
    for name in ("kernel", "initramfs"):
        octets = slot[at[name].offset : at[name].offset + at[name].octets]
        (folder / name).write_bytes(octets)
    root = (board.flash.slot_a.offset + at["root"].offset) // board.flash.block_octets
    words = f"loopstart.slot=a loopstart.root={root:x} loopstart.version={version:x} {more}"
    return (
        *("-kernel", str(folder / "kernel"), "-initrd", str(folder / "initramfs")),
        *("-append", f"{board.kernel.command_line} {words}"),
    )


class Console:
    """Somebody at the board's console."""

    def __init__(self, port: str) -> None:
        self._port = serial.serial_for_url(port, timeout=0.2)
        self.said = ""
        self._kept = ""

    def until(self, pattern: str, seconds: float) -> re.Match[str]:
        """Read until this is there; what follows it is kept for the next time.

        Raises:
            TimeoutError: it does not come; its text is the end of what came.
        """
        end, pending = time.monotonic() + seconds, self._kept
        while (found := re.search(pattern, pending)) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"no {pattern}: {pending[-1500:]}")
            octets = self._port.read(max(1, self._port.in_waiting))
            pending += octets.decode("ascii", "replace")
        self.said += pending[: found.end()]
        self._kept = pending[found.end() :]
        return found

    def type(self, text: str) -> None:
        """Press keys, and return."""
        self._port.write(text.encode() + b"\n")

    def key(self, key: str) -> None:
        """Press one key."""
        self._port.write(key.encode())

    def send(self, file: Path) -> None:
        """Send a file by YMODEM, with lrzsz."""
        descriptor = self._port.fileno()
        os.set_blocking(descriptor, True)  # pyserial reads after select alone, sb does not
        command = ["sb", "-k", "-q", str(file)]
        subprocess.run(command, stdin=descriptor, stdout=descriptor, timeout=300, check=True)
        os.set_blocking(descriptor, False)

    def shell(self) -> None:
        """From power-on to a shell of the system."""
        self.until("Hit any key", 30)
        self.key(" ")
        self.until("=> ", 10)
        self.type("setenv loopstart loopstart.shell; boot")

    def close(self) -> None:
        """Let go of the port."""
        self._port.close()


def loudest(ear: bytes) -> list[int]:
    """The two loudest frequencies in the second half of a recording, Hz."""
    with wave.open(io.BytesIO(ear)) as recording:
        samples = np.frombuffer(recording.readframes(recording.getnframes()), np.int16)
    samples = samples[-4000:].astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8000))
    first = int(np.argmax(spectrum))
    spectrum[max(0, first - 30) : first + 30] = 0
    return sorted([first, int(np.argmax(spectrum))])


def measure(image: Path, folder: Path, counted: bool = False) -> dict[str, Any]:
    """Boot, register, lift the handset: seconds, MiB in use, frequencies heard.

    Args:
        counted: seconds are those of counted instructions.
    """
    network = (*NETWORK, *COUNTED) if counted else NETWORK
    octets = image.read_bytes()
    board = load_board(HEADER.parse(octets).board)
    server: peer.Peer | iax2_peer.Peer
    if board.boot is not None:
        server = iax2_peer.Peer()
        config = CONFIG.format(port=server.where[1])
        machine = Machine(folder, folder / "disk", network=network)
    else:
        server = peer.Peer()
        config = SIP_CONFIG.format(port=server.port)
        begins = starts(folder, octets, board, "loopstart.shell")
        machine = Machine(folder, folder / "disk", network=network, platform=PC, starts=begins)
    lay_out(folder / "disk", octets, {"ata.toml": config, "probe.py": PROBE}, board)
    try:
        with machine:
            console = Console(machine.port)
            machine.power_on()
            if board.boot is not None:
                console.shell()
            console.until("runs from slot", 120)
            console.type("python3.11 -s -S /etc/loopstart/probe.py")
            console.until("event=registered", 120)
            probed = json.loads(console.until(r"PROBED (\{.*?\})\r?\n", 240)[1])
            console.close()
    finally:
        server.close()
    memory = probed["memory"]
    return {
        "image_mb": round(image.stat().st_size / 1e6, 1),
        "counted_s" if counted else "seconds": probed["up_s"],
        "memory_mb": round((memory["MemTotal"] - memory["MemAvailable"]) / 1024, 1),
        "heard_hz": loudest(base64.b64decode(probed["ear"])),
    }


LIMITS = {"image_mb": 40, "memory_mb": 96, "seconds": 15, "counted_s": 4}


def over_limits(found: dict[str, Any]) -> list[str]:
    """What is more than it may be, or missing; empty where all is well."""
    over = [
        f"{name}: {found[name]}, at most {most}"
        for name, most in LIMITS.items()
        if found.get(name, 0) > most
    ]
    return over if found["heard_hz"] == [350, 440] else [*over, "no dial tone"]


def main(words: list[str]) -> int:
    """Measure the image of this path; exit status 1 where it is over a limit."""
    image = Path(words[0])
    with tempfile.TemporaryDirectory() as place:
        found = measure(image, Path(place))
        if load_board(HEADER.parse(image.read_bytes()).board).boot is not None:
            counted = measure(image, Path(place), counted=True)
            found["counted_s"] = counted["counted_s"]
    print(json.dumps(found))
    over = over_limits(found)
    if over:
        print(f"over its limits: {'; '.join(over)}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
