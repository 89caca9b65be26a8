"""TFTP's sending side (RFC 1350): one file to one client; without I/O.

With the options of RFC 2347 that make it fast: blksize (RFC 2348), timeout and tsize (RFC 2349),
windowsize (RFC 7440). Own code, since the libraries there are either know no windowsize, without
which a fetch over a slow link takes ten times as long, or are servers for a folder that cannot be
driven by a clock and octets of ours.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

PORT = 69
PLAIN_OCTETS = 512
MOST_OCTETS = 1468
"""What Ethernet carries whole: 1500 less 20 of IP, 8 of UDP, 4 of TFTP. Boot loaders reassemble
nothing."""
MOST_WINDOW = 64
AGAIN_S = 1.0
TRIES = 8
_READ, _WRITE, _DATA, _ACK, _ERROR, _OPTIONS = 1, 2, 3, 4, 5, 6
NOT_DEFINED, NOT_FOUND, DENIED, ILLEGAL = 0, 1, 2, 4


@dataclass(frozen=True, slots=True)
class Request:
    """A client wants to read a file."""

    name: str
    options: dict[str, str]
    """Those that it asks for, names in small letters."""


def error(code: int, text: str) -> bytes:
    """A datagram that ends a transfer (RFC 1350, 5)."""
    return struct.pack(">HH", _ERROR, code) + text.encode("ascii", "replace") + b"\0"


def parse_request(datagram: bytes) -> Request | bytes:
    """What a datagram to port 69 asks for, or the error to answer with; empty: no answer."""
    if len(datagram) < 2:
        return b""
    (opcode,) = struct.unpack(">H", datagram[:2])
    if opcode == _ERROR:
        return b""
    if opcode == _WRITE:
        return error(DENIED, "nothing is taken here")
    words = datagram[2:].split(b"\0")
    if opcode != _READ or len(words) < 3 or words[-1] or len(words) % 2 == 0:
        return error(ILLEGAL, "not a request")
    texts = [word.decode("ascii", "replace") for word in words[:-1]]
    if texts[1].lower() != "octet":
        return error(NOT_DEFINED, "files are sent as they are: ask for mode octet")
    options = dict(zip((one.lower() for one in texts[2::2]), texts[3::2], strict=True))
    return Request(texts[0], options)


class Transfer:
    """One file on its way. Datagrams of the client and `now` go in, datagrams come out."""

    def __init__(self, octets: bytes, request: Request, now: float) -> None:
        """
        Args:
            octets: the file.
            now: seconds of a monotonic clock.
        """
        self.over = False
        self.failure = ""
        """Why it broke off; empty where it did not."""
        self.deadline = now + AGAIN_S
        """When `tick` is due."""
        self._octets = octets
        self._size, self._window, self._again_s = PLAIN_OCTETS, 1, AGAIN_S
        self._agreed = self._agree(request.options)
        self._last = len(octets) // self._size + 1
        """Number of the last block, which is shorter than the others, and may be empty."""
        self._acknowledged = -1 if self._agreed else 0
        self._sent = 0
        self._resent_for = -1
        self._tries = 0

    @property
    def acknowledged(self) -> int:
        """Octets that have arrived."""
        return min(len(self._octets), max(0, self._acknowledged) * self._size)

    def begin(self) -> list[bytes]:
        """The first datagrams: the options that were agreed, else data."""
        return self._go_on()

    def receive(self, datagram: bytes, now: float) -> list[bytes]:
        """Take a datagram of this client; gives what to send."""
        if self.over or len(datagram) < 4:
            return []
        opcode, number = struct.unpack(">HH", datagram[:4])
        if opcode == _ERROR:
            said = datagram[4:].split(b"\0")[0].decode("ascii", "replace")
            self._end(f"the board has broken it off: {said or f'error {number}'}")
            return []
        if opcode != _ACK:
            self._end("the board has sent what does not belong there")
            return [error(ILLEGAL, "an acknowledgement is wanted")]
        return self._on_ack(number, now)

    def tick(self, now: float) -> list[bytes]:
        """Send again what has not been acknowledged at `deadline`."""
        if self.over or now < self.deadline:
            return []
        self._tries += 1
        if self._tries >= TRIES:
            self._end("the board does not acknowledge any more")
            return []
        self.deadline = now + self._again_s
        return self._go_on()

    def _on_ack(self, number: int, now: float) -> list[bytes]:
        if self._acknowledged < 0:
            if number:
                return []
            return self._arrived(0, now)
        block = self._acknowledged + (number - self._acknowledged & 0xFFFF)
        if block > self._sent:
            return []  # of long ago
        if block == self._acknowledged:
            # One that comes twice says, of a window, that its first block was lost; of single
            # blocks it says nothing (RFC 1123, 4.2.3.1).
            if self._window == 1 or self._resent_for == block:
                return []
            self._resent_for = block
            return self._go_on()
        return self._arrived(block, now)

    def _arrived(self, block: int, now: float) -> list[bytes]:
        self._acknowledged, self._tries = block, 0
        self.deadline = now + self._again_s
        if block == self._last:
            self._end("")
            return []
        return self._go_on()

    def _go_on(self) -> list[bytes]:
        """The window behind what has been acknowledged (RFC 7440, 4)."""
        if self._acknowledged < 0:
            return [self._agreed]
        first = self._acknowledged + 1
        self._sent = min(self._acknowledged + self._window, self._last)
        return [self._block(number) for number in range(first, self._sent + 1)]

    def _block(self, number: int) -> bytes:
        payload = self._octets[(number - 1) * self._size : number * self._size]
        return struct.pack(">HH", _DATA, number & 0xFFFF) + payload

    def _agree(self, asked: dict[str, str]) -> bytes:
        """Take the options that are known; gives the answer, empty where there is none."""
        taken: dict[str, int] = {}
        size = _number(asked.get("blksize", ""), 8, 65_464)
        if size is not None:
            taken["blksize"] = self._size = min(size, MOST_OCTETS)
        seconds = _number(asked.get("timeout", ""), 1, 255)
        if seconds is not None:
            taken["timeout"], self._again_s = seconds, float(seconds)
        if _number(asked.get("tsize", ""), 0, 0) is not None:
            taken["tsize"] = len(self._octets)
        window = _number(asked.get("windowsize", ""), 1, 65_535)
        if window is not None:
            taken["windowsize"] = self._window = min(window, MOST_WINDOW)
        if not taken:
            return b""
        words = b"".join(f"{name}\0{value}\0".encode() for name, value in taken.items())
        return struct.pack(">H", _OPTIONS) + words

    def _end(self, failure: str) -> None:
        self.over, self.failure = True, failure


Files = Callable[[str], bytes | None]
"""The file of a name, None where there is none."""


def answer(datagram: bytes, files: Files, now: float) -> Transfer | bytes:
    """What a datagram to port 69 brings about: a transfer, or an error to answer with."""
    request = parse_request(datagram)
    if isinstance(request, bytes):
        return request
    octets = files(request.name)
    return error(NOT_FOUND, "no such file") if octets is None else Transfer(octets, request, now)


def _number(text: str, least: int, most: int) -> int | None:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        return None
    return int(text) if least <= int(text) <= most else None
