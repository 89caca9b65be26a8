"""A boot loader's prompt on a serial console: commands in, what they print out; without I/O.

Each step is a generator that yields while it waits; who drives it puts what has come into
`Wire.came`, and sends what is in `Wire.out`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass

from boards.hardware import Loader
from boards.ymodem import YmodemSender

Steps = Generator[None, None, None]

CATCH_S = 120.0
"""A board is switched off and on again within this."""
NUDGE_S = 5.0
"""A board that has said nothing for so long has to be switched off and on."""
ECHO_S = 3.0
ANSWER_S = 10.0
FLASH_S = 60.0
"""Slow flash takes its time for a piece."""
FETCH_S = 30.0
"""A megabyte comes over a network within this, or the way there is too bad."""
LEASE_S = 60.0
TRIES = 4
INTERRUPT = b"\x03"


@dataclass(frozen=True, slots=True)
class Network:
    """How a board fetches files by TFTP."""

    server: str
    """Address of the computer that serves them."""
    board: str = ""
    """The board's own address; empty: by DHCP."""
    mask: str = "255.255.255.0"


class FlashFailed(Exception):
    """The board cannot be flashed as things are: what happened, and what to do next."""


class Silent(Exception):
    """What was waited for has not come."""


class Wire:
    """The two ends of the serial line, and the time."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.deadline = now
        """When the step that waits wants to go on although nothing comes."""
        self.came = bytearray()
        self.out = bytearray()

    def until(self, marker: bytes, seconds: float) -> Generator[None, None, bytes]:
        """Wait for `marker`; gives what came before it.

        Raises:
            Silent: it has not come in time.
        """
        end = self.now + seconds
        while True:
            at = self.came.find(marker)
            if at >= 0:
                before = bytes(self.came[:at])
                del self.came[: at + len(marker)]
                return before
            if self.now >= end:
                raise Silent
            self.deadline = end
            yield


class Prompt:
    """The boot loader of a board."""

    def __init__(self, loader: Loader, wire: Wire, tell: Callable[[str], None]) -> None:
        self._loader = loader
        self._wire = wire
        self._tell = tell
        self._prompt = b"\n" + loader.prompt.encode()
        """At the start of a line: within one it may be part of what a command says."""

    def catch(self) -> Steps:
        """Come to the prompt: at once where the board waits there, else when it is switched on.

        Raises:
            FlashFailed: it has not come there in two minutes.
        """
        wire, countdown = self._wire, self._loader.countdown.encode()
        wire.out += b"\r"
        end, nudge, heard = wire.now + CATCH_S, wire.now + NUDGE_S, False
        while wire.now < end:
            heard = heard or bool(wire.came)
            if countdown in wire.came:
                # What is behind it is kept: a key of ours that came early has stopped it already.
                del wire.came[: wire.came.index(countdown) + len(countdown)]
                wire.out += self._loader.stop.encode()
                try:
                    yield from wire.until(self._prompt, ANSWER_S)
                except Silent:
                    self._tell("the countdown was missed: switch the board off and on again")
                    continue
                return
            if self._prompt in wire.came:
                return
            if nudge <= wire.now:
                self._tell("switch the board off and on: its boot loader is waited for")
                nudge = end
            wire.deadline = min(end, nudge)
            yield
        if heard:
            raise FlashFailed(
                f'the board talks, but its boot loader never said "{self._loader.countdown}": '
                "is it the board that was named, and does its file say what its boot loader says?"
            )
        raise FlashFailed(
            "the board has said nothing for two minutes: is it switched on, are the wires to "
            "send and to receive the right way round, and is it this port?"
        )

    def command(self, text: str, seconds: float = ANSWER_S) -> Generator[None, None, str]:
        """Give a command, and return what it prints.

        It is carried out only when the board has echoed it as it is: a wire that changes a digit
        makes no command write elsewhere.

        Raises:
            FlashFailed: the board does not know it, or does not answer any more.
        """
        for _ in range(TRIES):
            try:
                yield from self._type(text)
                said = yield from self._wire.until(self._prompt, seconds)
            except Silent:
                self._wire.out += INTERRUPT
                continue
            printed = said.decode("ascii", "replace").strip()
            if printed.startswith("Unknown command"):
                raise FlashFailed(
                    f"the boot loader does not know `{text.split()[0]}`: correct [loader] of the "
                    "board's file, or use a boot loader that has it"
                )
            return printed
        raise self._gone()

    def _type(self, text: str) -> Steps:
        self._wire.came.clear()
        self._wire.out += text.encode()
        yield from self._wire.until(text.encode(), ECHO_S)
        self._wire.out += b"\r"

    def _gone(self) -> FlashFailed:
        return FlashFailed(
            "the board does not answer any more: see that the cable is in and the board switched "
            "on, then run the same command again; it goes on where it has stopped"
        )

    def crc(self, address: int, octets: int) -> Generator[None, None, int]:
        """The CRC-32 of so many octets of the board's RAM."""
        text = self._loader.crc.format(address=address, octets=octets)
        for _ in range(TRIES):
            printed = yield from self.command(text, FLASH_S)
            found = re.search(r"==> ([0-9a-f]{8})\b", printed)
            if found:
                return int(found[1], 16)
        raise FlashFailed(f"the boot loader answers `{text}` with {printed[:60]!r}, not with a CRC")

    def dump(self, address: int, octets: int) -> Generator[None, None, bytes]:
        """Octets of the board's RAM."""
        text = self._loader.dump.format(address=address, octets=octets)
        for _ in range(TRIES):
            printed = yield from self.command(text, FLASH_S)
            lines = re.findall(r"^([0-9a-f]{8}): ((?:[0-9a-f]{2} ){1,16})", printed, re.MULTILINE)
            found = b"".join(bytes.fromhex(line) for _, line in lines)
            places = [int(place, 16) for place, _ in lines]
            if len(found) == octets and places == list(range(address, address + octets, 16)):
                return found
        raise FlashFailed(f"the boot loader answers `{text}` with something else than octets")

    def read(self, address: int, block: int, blocks: int) -> Steps:
        """Read from the flash to RAM."""
        yield from self._flash(self._loader.read, address, block, blocks)

    def write(self, address: int, block: int, blocks: int) -> Steps:
        """Write RAM to the flash."""
        yield from self._flash(self._loader.write, address, block, blocks)

    def _flash(self, form: str, address: int, block: int, blocks: int) -> Steps:
        text = form.format(address=address, block=block, blocks=blocks)
        printed = yield from self.command(text, FLASH_S)
        if re.search(r"\berror\b|\bfail", printed, re.IGNORECASE):
            raise FlashFailed(f"`{text}` has failed on the board: {printed.splitlines()[-1]}")

    def send(self, octets: bytes, went: Callable[[int], None]) -> Generator[None, None, bool]:
        """Put octets into the board's RAM, at its load address; False if they have not arrived.

        Args:
            octets: at most as many as there is room for.
            went: told how many have arrived so far.
        """
        wire = self._wire
        try:
            yield from self._type(self._loader.load.format(address=self._loader.load_address))
        except Silent:
            wire.out += INTERRUPT
            return False
        sender = YmodemSender("piece", octets, wire.now)
        while not sender.over:
            out, rest = sender.receive(bytes(wire.came), wire.now)
            wire.came[:] = rest
            wire.out += out + sender.tick(wire.now)
            went(sender.acknowledged)
            if not sender.over:
                wire.deadline = sender.deadline
                yield
        try:
            yield from wire.until(self._prompt, ANSWER_S)
        except Silent:
            wire.out += INTERRUPT
        return not sender.failure

    def join(self, network: Network) -> Steps:
        """Have the board in a network.

        Raises:
            FlashFailed: it gets no address.
        """
        for command in self._loader.fetch_prepare:
            yield from self.command(command)
        if network.board:
            for form in self._loader.address:
                yield from self.command(form.format(address=network.board, mask=network.mask))
            return
        for command in self._loader.lease:
            yield from self._type(command)
            try:
                yield from self._wire.until(self._prompt, LEASE_S)
            except Silent:
                self._wire.out += INTERRUPT
                raise FlashFailed(
                    "the board gets no address by DHCP: see that its network cable is in, or give "
                    "it an address with --address"
                ) from None

    def fetch(self, network: Network, name: str) -> Generator[None, None, bool]:
        """Have a file in the board's RAM, at its load address; False if it has not arrived."""
        address = self._loader.load_address
        text = self._loader.fetch.format(address=address, server=network.server, name=name)
        try:
            yield from self._type(text)
            said = yield from self._wire.until(self._prompt, FETCH_S)
        except Silent:
            self._wire.out += INTERRUPT
            return False
        return b"Bytes transferred" in said

    def boot(self) -> Steps:
        """Leave the prompt."""
        yield from self._type(self._loader.boot)
