"""A receiver of YMODEM, as U-Boot's `loady` is one, written apart from the sender."""

from __future__ import annotations

_SIZES = {0x01: 128, 0x02: 1024}


def _remainder(octet: int) -> int:
    """What one octet leaves, divided by x^16 + x^12 + x^5 + 1, bit by bit."""
    crc = octet << 8
    for _ in range(8):
        crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


_TABLE = [_remainder(octet) for octet in range(256)]


def crc16(octets: bytes) -> int:
    """The CRC of XMODEM."""
    crc = 0
    for octet in octets:
        crc = (crc << 8 & 0xFFFF) ^ _TABLE[crc >> 8 ^ octet]
    return crc


class Receiver:
    """Takes one file."""

    def __init__(self) -> None:
        self.name = ""
        self.file = b""
        self.done = False
        self.cancelled = False
        self._size = 0
        self._wanted = 0
        self._ended = False
        self._held = b""
        self._asked_at = 0.0

    def begin(self) -> bytes:
        """The first question."""
        return b"C"

    def asks_at(self, now: float) -> float:
        """When it repeats its question, or refuses what does not come to an end."""
        return self._asked_at + 3.0

    def tick(self, now: float) -> bytes:
        """After three silent seconds: the question again, or a refusal of half a block."""
        if self.done or now < self._asked_at + 3.0:
            return b""
        self._asked_at, self._held = now, b""
        return b"C" if self._wanted == 0 else b"\x15"

    def receive(self, octets: bytes) -> bytes:
        """What is answered."""
        self._held += octets
        answer = b""
        while self._held and not self.done:
            if self._held.startswith(b"\x18\x18"):
                self.cancelled = self.done = True
                break
            size = _SIZES.get(self._held[0])
            if self._held[0] == 0x04 and self._wanted > 0:
                self._held = self._held[1:]
                self._ended, self._wanted = True, 0
                answer += b"\x06C"
            elif size is None:
                self._held = self._held[1:]
            elif len(self._held) < size + 5:
                break
            else:
                frame, self._held = self._held[: size + 5], self._held[size + 5 :]
                answer += self._block(frame)
        return answer

    def _block(self, frame: bytes) -> bytes:
        number, inverse, payload = frame[1], frame[2], frame[3:-2]
        if number ^ inverse != 0xFF or crc16(payload) != int.from_bytes(frame[-2:], "big"):
            self._held = b""
            return b"\x15"
        if number == 0 and self._wanted in (0, 1) and not self.file:
            name, _, rest = payload.partition(b"\0")
            if not name:
                self.done = True
                return b"\x06"
            self.name, self._size = name.decode(), int(rest.split(b"\0")[0].split(b" ")[0])
            self._wanted = 1
            return b"\x06C"
        if number == 0 and self._ended:
            self.done = True
            return b"\x06"
        if number == self._wanted & 0xFF and not self._ended:
            self.file += payload[: self._size - len(self.file)]
            self._wanted += 1
        return b"\x06"  # also to one that came twice, because the answer to it was lost
