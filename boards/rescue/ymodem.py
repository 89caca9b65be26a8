"""YMODEM's receiving side, as `sb -k` and terminal programs send; without I/O.

One file in blocks of 128 or 1024 octets with a CRC-16 (Forsberg, "XMODEM/YMODEM Protocol
Reference", 1988). Octets of the sender and `now` go in, octets for it come out, and what is of the
file is taken piece by piece. Runs under MicroPython, too.
"""

SOH, STX, EOT, ACK, NAK, CAN = 0x01, 0x02, 0x04, 0x06, 0x15, 0x18
ASK = b"C"
"""Wants the next file, with a CRC-16."""
GIVE_UP = b"\x18\x18\x18\x08\x08\x08"

ASK_S = 3.0
START_S = 120.0
"""Who sends by hand has to find the file first."""
SILENCE_S = 1.0
"""A block that broke off is asked for again when the line has been quiet for so long."""
BLOCK_S = 10.0
TRIES = 10
"""Of one block (7.3.2)."""


def crc16(octets: bytes) -> int:
    """CRC-16 of XMODEM: polynomial 0x1021, initial value 0 (8.2)."""
    crc = 0
    for octet in octets:
        crc = (crc << 8 & 0xFFFF) ^ _TABLE[crc >> 8 ^ octet]
    return crc


def _entry(octet: int) -> int:
    crc = octet << 8
    for _ in range(8):
        crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


_TABLE = [_entry(octet) for octet in range(256)]


class YmodemReceiver:
    """Receives one file.

    Attributes:
        name, length: of the file, as the sender tells them; empty and None until then, and None
            where it does not tell the length.
        over: nothing more comes; `failure` says why, in words, where it went wrong.
        deadline: when `tick` is due.
    """

    def __init__(self, now: float) -> None:
        self.name = ""
        self.length: int | None = None
        self.over = False
        self.failure = ""
        self.deadline = now
        self._give_up_at = now + START_S
        self._came = bytearray()
        self._taken = bytearray()
        self._received = 0
        self._started = False
        self._ended = False
        self._next = 0
        """Number of the block that is wanted."""
        self._tries = 0

    def take(self) -> bytes:
        """What has come of the file since it was asked last."""
        octets = bytes(self._taken)
        self._taken = bytearray()
        return octets

    def receive(self, octets: bytes, now: float) -> bytes:
        """Take what the sender has sent; gives what to answer."""
        if self.over:
            return b""
        self._came += octets
        out = b""
        while self._came and not self.over:
            answer = self._one(now)
            if answer is None:
                self.deadline = now + SILENCE_S
                break
            out += answer
        return out

    def tick(self, now: float) -> bytes:
        """Go on at `deadline`; gives what to send."""
        if self.over or now < self.deadline:
            return b""
        if self._ended:  # the sender has gone without saying that there is no other file
            self.over = True
            return b""
        if not self._started:
            self._came = bytearray()
            if now >= self._give_up_at:
                return self._fail("nobody has sent anything: start the transfer, then choose again")
            self.deadline = now + ASK_S
            return ASK
        return self._again(now)

    def stop(self, why: str) -> bytes:
        """End it from our side; gives what tells the sender."""
        return self._fail(why)

    # --- one thing after another ---

    def _one(self, now: float) -> bytes | None:
        """Deal with what stands at the front; None: not all of it is here."""
        kind = self._came[0]
        if kind in (SOH, STX):
            size = 128 if kind == SOH else 1024
            if len(self._came) < size + 5:
                return None
            block = bytes(self._came[: size + 5])
            return self._block(block, now)
        if kind == CAN:
            if len(self._came) < 2:
                return None
            if self._came[1] == CAN:
                return self._fail("the sender has given up")
        self._came = self._came[1:]
        if kind == EOT and self._started:
            return self._end(now)
        return b""

    def _block(self, block: bytes, now: float) -> bytes:
        payload, number = block[3:-2], block[1]
        crc = block[-2] << 8 | block[-1]
        if number ^ block[2] != 0xFF or crc16(payload) != crc:
            # Octets are missing or others: wait until the line is quiet, then ask again.
            self._came = bytearray()
            self.deadline = now + SILENCE_S
            return b""
        self._came = self._came[len(block) :]
        if self._ended:
            return self._last(payload)
        if not self._started:
            return self._header(number, payload, now)
        if number == (self._next - 1) & 0xFF:  # our answer was lost
            return self._answered(now, bytes((ACK,)))
        if number != self._next & 0xFF:
            return self._fail("blocks do not come in their order: send the file again")
        self._next += 1
        if self.length is not None:
            payload = payload[: max(0, self.length - self._received)]
        self._received += len(payload)
        self._taken += payload
        return self._answered(now, bytes((ACK,)))

    def _header(self, number: int, payload: bytes, now: float) -> bytes:
        """Block 0: the name, and behind its NUL the length in decimal."""
        if number:
            return self._fail("this is XMODEM, which tells no length: send by YMODEM")
        name, _, rest = payload.partition(b"\0")
        if not name:
            return self._fail("the sender has no file")
        words = rest.split(b"\0")[0].split()
        if words and all(48 <= one <= 57 for one in words[0]):
            self.length = int(words[0])
        self.name = "".join(chr(one) for one in name if 32 < one < 127)
        self._started = True
        self._next = 1
        return self._answered(now, bytes((ACK,)) + ASK)

    def _end(self, now: float) -> bytes:
        if self.length is not None and self._received < self.length:
            return self._fail("the file has ended before its length: send it again")
        self._ended = True
        return self._answered(now, bytes((ACK,)) + ASK)

    def _last(self, payload: bytes) -> bytes:
        self.over = True
        if payload[0]:
            return GIVE_UP  # one file is all that we want
        return bytes((ACK,))

    def _answered(self, now: float, answer: bytes) -> bytes:
        self._tries = 0
        self.deadline = now + (ASK_S if self._ended else BLOCK_S)
        return answer

    def _again(self, now: float) -> bytes:
        self._tries += 1
        if self._tries >= TRIES:
            return self._fail("nothing comes any more, or nothing whole: look at the cable")
        self._came = bytearray()
        self.deadline = now + BLOCK_S
        return bytes((NAK,))

    def _fail(self, why: str) -> bytes:
        self.over, self.failure = True, why
        return GIVE_UP
