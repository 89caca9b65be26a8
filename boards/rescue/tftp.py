"""TFTP's reading side (RFC 1350), with the options that make it fast; without I/O.

blksize (RFC 2348), tsize (RFC 2349) and windowsize (RFC 7440) are asked for by RFC 2347; a server
that knows none of them sends blocks of 512 octets. Datagrams and `now` go in, datagrams come out,
and what is of the file is taken piece by piece. Runs under MicroPython, too.
"""

import struct

PORT = 69
BLOCK_OCTETS = 1468
"""What Ethernet carries whole: 1500 less 20 of IP, 8 of UDP, 4 of TFTP."""
PLAIN_OCTETS = 512
WINDOW = 16
AGAIN_S = 1.0
TRIES = 8
_READ, _DATA, _ACK, _ERROR, _OPTIONS = 1, 3, 4, 5, 6
_UNKNOWN_TID = b"\0\5\0\5this is not your transfer\0"
_OPTIONS_NOT_TAKEN = b"\0\5\0\x08these options were not asked for\0"


class TftpReader:
    """Reads one file.

    Attributes:
        length: of the file, where the server tells it, else None.
        over: nothing more comes; `failure` says why, in words, where it went wrong.
        deadline: when `tick` is due.
    """

    def __init__(self, name: str, now: float) -> None:
        self.length: int | None = None
        self.over = False
        self.failure = ""
        self.deadline = now
        self._name = name
        self._peer: tuple[str, int] | None = None
        """Address and port that the server answers from (its TID, RFC 1350, 4)."""
        self._octets = PLAIN_OCTETS
        self._window = 1
        self._next = 1
        """Number of the block that is wanted; 16 bits of it travel."""
        self._unacknowledged = 0
        self._told_gap = False
        self._taken: list[bytes] = []
        self._last = self._request()
        self._tries = 0

    def take(self) -> bytes:
        """What has come of the file since it was asked last."""
        octets = b"".join(self._taken)
        self._taken = []
        return octets

    def tick(self, now: float) -> list[bytes]:
        """Go on at `deadline`; gives datagrams, the first to port 69, the others to `peer`."""
        if self.over or now < self.deadline:
            return []
        if self._tries >= TRIES:
            self._fail(
                "the server does not answer: look at its address and at the cable"
                if self._peer is None
                else "the server has stopped answering: try again"
            )
            return []
        self._tries += 1
        self.deadline = now + AGAIN_S
        return [self._last]

    @property
    def peer(self) -> tuple[str, int] | None:
        """Where datagrams go to; None: to port 69 of the server."""
        return self._peer

    def receive(self, datagram: bytes, source: tuple[str, int], now: float) -> list[bytes]:
        """Take a datagram of the server's address; gives what to send back to `source`."""
        if self.over or len(datagram) < 4:
            return []
        if self._peer is not None and source != self._peer:
            return [_UNKNOWN_TID]
        kind = datagram[0] << 8 | datagram[1]
        if kind == _ERROR:
            words = "".join(chr(one) for one in datagram[4:].split(b"\0")[0] if 32 <= one < 127)
            self._fail("the server says: " + (words or f"error {datagram[3]}"))
            return []
        if kind == _OPTIONS and self._next == 1 and not self._unacknowledged:
            return self._options(datagram[2:], source, now)
        if kind == _DATA:
            return self._data(datagram, source, now)
        return []

    def _request(self) -> bytes:
        options = ["tsize", "0", "blksize", str(BLOCK_OCTETS), "windowsize", str(WINDOW)]
        words = "\0".join([self._name, "octet"] + options)  # noqa: RUF005 - MicroPython
        return struct.pack(">H", _READ) + words.encode() + b"\0"

    def _options(self, octets: bytes, source: tuple[str, int], now: float) -> list[bytes]:
        words = octets.split(b"\0")
        for at in range(0, len(words) - 2, 2):
            name, value = words[at].lower(), words[at + 1]
            if not value or any(not 48 <= one <= 57 for one in value):
                return self._no_options()
            number = int(value)
            if name == b"tsize":
                self.length = number
            elif name == b"blksize" and 8 <= number <= BLOCK_OCTETS:
                self._octets = number
            elif name == b"windowsize" and 1 <= number <= WINDOW:
                self._window = number
            else:
                return self._no_options()
        self._peer = source
        return self._acknowledge(0, now)

    def _no_options(self) -> list[bytes]:
        self._fail("the server grants options that were not asked for")
        return [_OPTIONS_NOT_TAKEN]

    def _data(self, datagram: bytes, source: tuple[str, int], now: float) -> list[bytes]:
        self._peer = source
        number = datagram[2] << 8 | datagram[3]
        if number != self._next & 0xFFFF or len(datagram) - 4 > self._octets:
            # One was lost on the way, or came twice: the server begins anew behind what we have,
            # and is told so once a window (RFC 7440, 4).
            if self._told_gap:
                return []
            self._told_gap = True
            return self._acknowledge(self._next - 1, now)
        self._taken.append(datagram[4:])
        self._next += 1
        self._told_gap = False
        self._unacknowledged += 1
        if len(datagram) - 4 < self._octets:
            self.over = True
            return self._acknowledge(number, now)
        if self._unacknowledged >= self._window:
            return self._acknowledge(number, now)
        self.deadline, self._tries = now + AGAIN_S, 0
        self._last = struct.pack(">HH", _ACK, number)
        return []

    def _acknowledge(self, number: int, now: float) -> list[bytes]:
        self._unacknowledged = 0
        self._last = struct.pack(">HH", _ACK, number & 0xFFFF)
        self.deadline, self._tries = now + AGAIN_S, 0
        return [self._last]

    def _fail(self, why: str) -> None:
        self.over, self.failure = True, why
