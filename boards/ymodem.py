"""Sends one file by YMODEM, as U-Boot's `loady` and `rb` receive it; without I/O.

Blocks of 1024 octets with a CRC-16, each acknowledged before the next is sent (Forsberg,
"XMODEM/YMODEM Protocol Reference", 1988). Octets of the receiver and `now` go in, octets for it
come out.
"""

from __future__ import annotations

import binascii
from enum import Enum, auto

SOH, STX, EOT, ACK, NAK, CAN = 0x01, 0x02, 0x04, 0x06, 0x15, 0x18
ASK = ord("C")
"""The receiver wants the first block, with a CRC."""
BLOCK_OCTETS = 1024
SHORT_OCTETS = 128
FILLER = b"\x1a"

ANSWER_S = 10.0
"""The receiver answers a block within this, or it is sent again (7.3.2)."""
CLOSE_S = 3.0
"""It asks for another file within this after the end of one, or is taken to want none."""
TRIES = 10
"""Of one block (7.3.2)."""


class State(Enum):
    """What is waited for."""

    START = auto()  # to be asked for the name
    NAME = auto()  # its acknowledgement
    READY = auto()  # to be asked for data
    DATA = auto()  # the acknowledgement of a block
    END = auto()  # that of EOT
    CLOSE = auto()  # to be asked for another file
    CLOSED = auto()  # the acknowledgement that there is none
    DONE = auto()
    FAILED = auto()


def block(number: int, payload: bytes) -> bytes:
    """A block of 128 or 1024 octets, as it is sent; shorter ones are filled up."""
    size = SHORT_OCTETS if len(payload) <= SHORT_OCTETS else BLOCK_OCTETS
    kind = SOH if size == SHORT_OCTETS else STX
    filled = payload + FILLER * (size - len(payload))
    crc = binascii.crc_hqx(filled, 0)
    return bytes((kind, number & 0xFF, ~number & 0xFF)) + filled + crc.to_bytes(2, "big")


class YmodemSender:
    """Sends `octets` under a name, once."""

    def __init__(self, name: str, octets: bytes, now: float) -> None:
        self.state = State.START
        self.acknowledged = 0
        """Octets of the file that have arrived."""
        self.failure = ""
        """Why it failed, in words; empty as long as it did not."""
        self.deadline = now + ANSWER_S
        """When `tick` is due next."""
        self._octets = octets
        self._tries = 0
        self._cancels = 0
        self._number = 0
        head = name.encode("ascii") + b"\0" + str(len(octets)).encode() + b"\0"
        assert len(head) <= SHORT_OCTETS, "a name of a hundred letters at most"
        self._head = block(0, head + bytes(SHORT_OCTETS - len(head)))

    @property
    def over(self) -> bool:
        """Has it ended, well or not?"""
        return self.state in (State.DONE, State.FAILED)

    def receive(self, octets: bytes, now: float) -> tuple[bytes, bytes]:
        """Take octets of the receiver.

        Returns:
            What to send, and what came behind the end of the transfer.
        """
        out = b""
        for at, octet in enumerate(octets):
            out += self._on(octet, now)
            if self.over:
                return out, octets[at + 1 :]
        return out, b""

    def tick(self, now: float) -> bytes:
        """Called when `deadline` has come: what is to be sent again."""
        if self.over or now < self.deadline:
            return b""
        if self.state is State.CLOSE:
            self.state = State.DONE  # it got the whole file, and does not speak YMODEM to the end
            return b""
        if self.state is State.START or self.state is State.READY:
            return self._again(b"", now)
        return self._again(self._last(), now)

    def _on(self, octet: int, now: float) -> bytes:
        self._cancels = self._cancels + 1 if octet == CAN else 0
        if self._cancels == 2:
            return self._fail("the board has cancelled the transfer")
        step = _STEPS.get((self.state, octet))
        if step is None:
            return b""  # text, or the receiver asking once more than it needed to
        return step(self, now)

    def _go(self, state: State, out: bytes, now: float, within_s: float = ANSWER_S) -> bytes:
        self.state, self._tries, self.deadline = state, 0, now + within_s
        return out

    def _name(self, now: float) -> bytes:
        return self._go(State.NAME, self._head, now)

    def _named(self, now: float) -> bytes:
        return self._go(State.READY, b"", now)

    def _next(self, now: float) -> bytes:
        """The first block, or, as the last one has arrived, the next."""
        if self.state is State.DATA:
            left = len(self._octets) - self.acknowledged
            self.acknowledged += min(BLOCK_OCTETS, left)
        self._number += 1
        if self.acknowledged == len(self._octets):
            return self._go(State.END, bytes((EOT,)), now)
        return self._go(State.DATA, self._data(), now)

    def _data(self) -> bytes:
        return block(self._number, self._octets[self.acknowledged :][:BLOCK_OCTETS])

    def _ended(self, now: float) -> bytes:
        return self._go(State.CLOSE, b"", now, CLOSE_S)

    def _close(self, now: float) -> bytes:
        return self._go(State.CLOSED, block(0, bytes(SHORT_OCTETS)), now)

    def _closed(self, now: float) -> bytes:
        return self._go(State.DONE, b"", now)

    def _resend(self, now: float) -> bytes:
        return self._again(self._last(), now)

    def _last(self) -> bytes:
        """What was sent last."""
        if self.state is State.NAME:
            return self._head
        if self.state is State.DATA:
            return self._data()
        return bytes((EOT,)) if self.state is State.END else block(0, bytes(SHORT_OCTETS))

    def _again(self, out: bytes, now: float) -> bytes:
        self._tries += 1
        if self._tries >= TRIES:
            if self.state is State.CLOSED:
                return self._closed(now)
            return self._fail("the board does not take what is sent, or not without errors")
        self.deadline = now + ANSWER_S
        return out

    def _fail(self, why: str) -> bytes:
        self.state, self.failure = State.FAILED, why
        return bytes((CAN,)) * 5


_STEPS = {
    (State.START, ASK): YmodemSender._name,
    (State.NAME, ACK): YmodemSender._named,
    (State.NAME, NAK): YmodemSender._resend,
    (State.READY, ASK): YmodemSender._next,
    (State.DATA, ACK): YmodemSender._next,
    (State.DATA, NAK): YmodemSender._resend,
    (State.END, ACK): YmodemSender._ended,
    (State.END, NAK): YmodemSender._resend,
    (State.CLOSE, ASK): YmodemSender._close,
    (State.CLOSED, ACK): YmodemSender._closed,
    (State.CLOSED, NAK): YmodemSender._resend,
}
"""All that the receiver may say, by what is waited for."""
