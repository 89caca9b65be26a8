"""One transfer, from the first octet to the reboot: by YMODEM on the console, or by TFTP.

The shell gives what has come and the time, sends what it is given, and shows the words. Runs under
MicroPython, too.
"""

from boards.rescue.filler import SlotFiller
from boards.rescue.tftp import PORT, TftpReader
from boards.rescue.ymodem import YmodemReceiver
from firmware.wire.image_check import ImageError


class Transfer:
    """What both ways have in common.

    Attributes:
        over: nothing more comes.
        failure: why it was refused or broke off, in words.
        version: of the image that is in the slot now; 0 until then.
    """

    def __init__(self, way, filler: SlotFiller) -> None:  # type: ignore[no-untyped-def]
        self._way = way
        self._filler = filler
        self.over = False
        self.failure = ""
        self.version = 0

    @property
    def deadline(self) -> float:
        """When `tick` is due, seconds of the clock that is passed in."""
        return float(self._way.deadline)

    @property
    def taken(self) -> int:
        """Octets in the flash."""
        return self._filler.taken

    @property
    def length(self) -> int | None:
        """Of the file, where it was told."""
        return self._way.length  # type: ignore[no-any-return]

    def settle(self) -> bool:
        """Take what the way has received; False: the image or the flash has refused it."""
        octets = self._way.take()
        try:
            if octets:
                self._filler.feed(octets)
            if self._way.over and not self._way.failure:
                self.version = self._filler.finish()
        except ImageError as refused:
            self.failure = str(refused)
        except OSError as error:
            self.failure = f"the flash refuses: {error}"
        if self._way.failure:
            self.failure = self._way.failure
        self.over = bool(self._way.over or self.failure)
        return not self.failure


class SerialTransfer(Transfer):
    """By YMODEM."""

    def __init__(self, filler: SlotFiller, now: float) -> None:
        self._ymodem = YmodemReceiver(now)
        super().__init__(self._ymodem, filler)

    def receive(self, octets: bytes, now: float) -> bytes:
        """Take what came on the console; gives what to send."""
        out = self._ymodem.receive(octets, now)
        return self._with_refusal(out)

    def tick(self, now: float) -> bytes:
        """Go on at `deadline`; gives what to send."""
        return self._with_refusal(self._ymodem.tick(now))

    def _with_refusal(self, out: bytes) -> bytes:
        if not self.settle() and not self._ymodem.over:
            out += self._ymodem.stop(self.failure)
        return out


class NetworkTransfer(Transfer):
    """By TFTP."""

    def __init__(self, filler, server, name, now, port=PORT) -> None:  # type: ignore[no-untyped-def]
        self._server = server, port
        self._tftp = TftpReader(name, now)
        super().__init__(self._tftp, filler)

    def receive(
        self, datagram: bytes, source: "tuple[str, int]", now: float
    ) -> "list[tuple[bytes, tuple[str, int]]]":
        """Take a datagram of the server's; gives datagrams with their addresses."""
        out = self._tftp.receive(datagram, source, now)
        return self._with_refusal([(one, source) for one in out])

    def tick(self, now: float) -> "list[tuple[bytes, tuple[str, int]]]":
        """Go on at `deadline`; gives datagrams with their addresses."""
        where = self._tftp.peer or self._server
        return self._with_refusal([(one, where) for one in self._tftp.tick(now)])

    def _with_refusal(
        self, out: "list[tuple[bytes, tuple[str, int]]]"
    ) -> "list[tuple[bytes, tuple[str, int]]]":
        if not self.settle() and not self._tftp.over and self._tftp.peer is not None:
            self._tftp.over = True
            out.append((b"\0\5\0\0the image is refused\0", self._tftp.peer))
        return out
