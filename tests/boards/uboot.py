"""A board with U-Boot on its console: countdown, prompt, RAM and a flash that may lose power.

What it prints has the form of U-Boot 2023.01's own messages.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable

from tests.boards.receiver import Receiver

RAM_START = 0x42000000
RAM_OCTETS = 0x1100000
BANNER = b"\r\nU-Boot 2023.01 (simulated)\r\n\r\nDRAM:  128 MiB\r\n"


class FakeBoard:
    """Powered off until `power_on`. Octets go in by `feed`, what it prints comes out of it."""

    def __init__(self, flash: bytearray, countdown_s: float = 2.0) -> None:
        self.flash = flash
        self.ram = bytearray(RAM_OCTETS)
        self.mode = "off"
        self.countdown_s = countdown_s
        self.commands: list[str] = []
        self.unknown: set[str] = set()
        self.write_budget: int | None = None
        """Octets that still reach the flash; then the power is gone, in the middle of a write."""
        self.keeps: Callable[[int], bool] = lambda block: True
        """Does a block of the flash keep what is written?"""
        self._line = b""
        self._boots_at = 0.0
        self._receiver: Receiver | None = None
        self._receive_to = 0

    def power_on(self, now: float) -> bytes:
        """What it prints first."""
        self.mode, self._boots_at, self._line = "countdown", now + self.countdown_s, b""
        return BANNER + b"Hit any key to stop autoboot:  2 "

    def at_prompt(self) -> None:
        """Somebody has stopped it before."""
        self.mode = "prompt"

    def tick(self, now: float) -> bytes:
        """Time goes by."""
        if self.mode == "countdown" and now >= self._boots_at:
            self.mode = "booted"
            return b"\b\b\b 0 \r\nStarting kernel ...\r\n"
        return self._receiver.tick(now) if self.mode == "ymodem" and self._receiver else b""

    def feed(self, octets: bytes, now: float) -> bytes:
        """What it prints when it is sent this."""
        said = self.tick(now)
        for at, octet in enumerate(octets):
            if self.mode == "ymodem":
                return said + self._transfer(octets[at:])
            if self.mode == "countdown":
                self.mode = "prompt"
                said += b"\b\b\b 0 \r\n=> "
            elif self.mode == "prompt":
                said += self._key(octet)
        return said if self.mode != "off" else b""

    def _key(self, octet: int) -> bytes:
        if octet == 0x03:
            self._line = b""
            return b"<INTERRUPT>\r\n=> "
        if octet != 0x0D:
            if not 32 <= octet < 127:
                return b""
            self._line += bytes((octet,))
            return bytes((octet,))
        line, self._line = self._line.decode().strip(), b""
        printed = self._command(line) if line else b""
        return b"\r\n" + printed + (b"=> " if self.mode == "prompt" else b"")

    def _transfer(self, octets: bytes) -> bytes:
        receiver = self._receiver
        assert receiver is not None
        answer = receiver.receive(octets)
        if not receiver.done:
            return answer
        self.mode = "prompt"
        at = self._receive_to - RAM_START
        self.ram[at : at + len(receiver.file)] = receiver.file
        size = len(receiver.file)
        return answer + f"## Total Size      = 0x{size:08x} = {size} Bytes\r\n=> ".encode()

    def _command(self, line: str) -> bytes:
        self.commands.append(line)
        name, *words = line.split()
        if name in self.unknown or name not in ("virtio", "crc32", "md.b", "loady", "reset"):
            return f"Unknown command '{name}' - try 'help'\r\n".encode()
        if name == "reset":
            self.mode = "booted"
            return b"resetting ...\r\n" + BANNER
        if name == "virtio":
            return (
                b""
                if words == ["scan"]
                else self._virtio(words[0], [int(w, 16) for w in words[1:]])
            )
        address = int(words[0], 16)
        if name == "loady":
            self.mode, self._receiver, self._receive_to = "ymodem", Receiver(), address
            ready = f"## Ready for binary (ymodem) download to 0x{address:08X} at 115200 bps...\r\n"
            return ready.encode() + self._receiver.begin()
        octets = self.ram[address - RAM_START :][: int(words[1], 16)]
        if name == "crc32":
            crc, end = binascii.crc32(octets), address + len(octets) - 1
            return f"crc32 for {address:08x} ... {end:08x} ==> {crc:08x}\r\n".encode()
        return b"".join(
            f"{address + at:08x}: {octets[at : at + 16].hex(' ')}  ".encode()
            + bytes(one if 32 <= one < 127 else 46 for one in octets[at : at + 16])
            + b"\r\n"
            for at in range(0, len(octets), 16)
        )

    def _virtio(self, verb: str, numbers: list[int]) -> bytes:
        address, block, blocks = numbers
        at, start, size = address - RAM_START, block * 512, blocks * 512
        head = f"\r\nvirtio {verb}: device 0 block # {block}, count {blocks} ... "
        if start + size > len(self.flash):
            return f"{head}0 blocks {verb}: ERROR\r\n".encode()
        if verb == "read":
            self.ram[at : at + size] = self.flash[start : start + size]
        else:
            self._store(start, bytes(self.ram[at : at + size]))
        return f"{head}{blocks} blocks {verb}: OK\r\n".encode()

    def _store(self, start: int, octets: bytes) -> None:
        if self.write_budget is not None:
            octets = octets[: self.write_budget]
            self.write_budget -= len(octets)
            if self.write_budget == 0:
                self.mode = "off"
        for at in range(0, len(octets), 512):
            sector = octets[at : at + 512]
            if self.keeps((start + at) // 512):
                self.flash[start + at : start + at + len(sector)] = sector
