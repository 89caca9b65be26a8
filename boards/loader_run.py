"""A run at a boot loader's prompt: octets and `now` in, octets and progress out; no I/O.

What is to be written goes in pieces, each checked in RAM by its CRC, written, read back and checked
again. A piece whose CRC the flash already has is not sent: a run that was broken off goes on where
it stopped.
"""

from __future__ import annotations

import binascii
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass

from boards.hardware import Flash, Loader
from boards.prompt import TRIES, FlashFailed, Network, Prompt, Silent, Steps, Wire

PIECE_OCTETS = 64 * 1024
FETCHED_OCTETS = 1024 * 1024
"""A piece that comes by TFTP: no board's RAM has less room, see [loader]."""


@dataclass(frozen=True, slots=True)
class Write:
    """Octets for a place of the flash that no slot is: the boot part, rescue."""

    offset: int
    octets: bytes
    blank_alone: bool = False
    """Only onto a board that has no boot state yet: what an update must never endanger."""


@dataclass(frozen=True, slots=True)
class Told:
    """A sentence for whoever watches."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    done: int
    """Octets that are in the flash, and proved to be."""
    total: int
    sent: int
    """Octets that went over the wire in this run; what was there already is not among them, nor is
    the boot state."""
    arriving: int = 0
    """Octets of the piece under way that have arrived; they are among those sent."""


Event = Told | Progress


class LoaderRun(ABC):
    """One run. `receive` and `tick` give what to send, `take_events` what to show."""

    def __init__(
        self,
        flash: Flash,
        loader: Loader,
        total: int,
        now: float,
        network: Network | None = None,
    ) -> None:
        """
        Args:
            flash, loader: of the board's file.
            total: octets that are to be in the flash at its end, the boot state aside.
            now: seconds of a monotonic clock.
            network: where the board fetches pieces by TFTP, from `offered`; None: they are sent
                over the console.
        """
        self.over = False
        self.failure = ""
        """Why it failed, and what to do; empty where it has not."""
        self.offered: dict[str, bytes] = {}
        """What the board may fetch now, by name."""
        self._network = network
        self._piece_octets = FETCHED_OCTETS if network else PIECE_OCTETS
        self._flash, self._loader = flash, loader
        self._wire = Wire(now)
        self._prompt = Prompt(loader, self._wire, self._tell)
        self._events: list[Event] = []
        self._done = self._sent = 0
        self._total = total
        self._steps = self._all()
        self._go_on()

    @property
    def deadline(self) -> float:
        """When `tick` is due next, if nothing comes before."""
        return self._wire.deadline

    @property
    def unheard(self) -> bytes:
        """What the board has said that was of no use here."""
        return bytes(self._wire.came)

    def receive(self, octets: bytes, now: float) -> bytes:
        """Take what the board has said; gives what to send."""
        self._wire.came += octets
        return self.tick(now)

    def tick(self, now: float) -> bytes:
        """Go on at `deadline`; gives what to send."""
        self._wire.now = now
        self._go_on()
        out = bytes(self._wire.out)
        self._wire.out.clear()
        return out

    def take_events(self) -> list[Event]:
        """What has happened since it was asked last."""
        events, self._events = self._events, []
        return events

    def _go_on(self) -> None:
        if self.over:
            return
        try:
            next(self._steps)
        except StopIteration:
            self.over = True
        except FlashFailed as failed:
            self.over, self.failure = True, str(failed)
        except Silent:
            self.over, self.failure = True, "the board has not taken the last command: try again"

    def _tell(self, text: str) -> None:
        self._events.append(Told(text))

    def _all(self) -> Steps:
        """From power-on to the boot."""
        prompt = self._prompt
        yield from prompt.catch()
        self._tell("at the prompt of the boot loader")
        for command in self._loader.prepare:
            yield from prompt.command(command)
        if self._network is not None:
            yield from prompt.join(self._network)
            self._tell("the board is in the network")
        yield from self._run()
        yield from prompt.boot()

    @abstractmethod
    def _run(self) -> Steps:
        """What is done at the prompt."""

    def _read(self, offset: int, octets: int) -> Steps:
        size = self._flash.block_octets
        yield from self._prompt.read(self._loader.check_address, offset // size, -(-octets // size))

    def _place(self, offset: int, octets: bytes, counted: bool = True) -> Steps:
        """Have these octets in the flash, piece by piece."""
        for at in range(0, len(octets), self._piece_octets):
            piece = octets[at : at + self._piece_octets]
            filled = piece + bytes(-len(piece) % self._flash.block_octets)
            yield from self._piece(offset + at, filled, counted)
            if counted:
                self._done += len(piece)
                self._progress(0)

    def _piece(self, offset: int, octets: bytes, counted: bool) -> Steps:
        """Have one piece there: sent only where the flash has another."""
        wanted, loader = binascii.crc32(octets), self._loader
        for attempt in range(TRIES):
            yield from self._read(offset, len(octets))
            if (yield from self._prompt.crc(loader.check_address, len(octets))) == wanted:
                return
            if attempt == TRIES - 1:
                break
            yield from self._load(octets, wanted, counted)
            size = self._flash.block_octets
            blocks = len(octets) // size
            yield from self._prompt.write(loader.load_address, offset // size, blocks)
        raise FlashFailed(
            f"the flash does not keep what is written at {offset:#x}: it is worn out, or [flash] "
            "of the board's file is wrong. The slot in use was not touched"
        )

    def _load(self, octets: bytes, wanted: int, counted: bool) -> Steps:
        """Have a piece in RAM, as it is."""
        for _ in range(TRIES):
            if not (yield from self._bring(octets, counted)):
                continue
            address = self._loader.load_address
            if (yield from self._prompt.crc(address, len(octets))) == wanted:
                self._sent += len(octets) if counted else 0
                return
        raise FlashFailed(
            f"the board cannot fetch from {self._network.server}: see that it is in that network, "
            "and that no firewall here keeps UDP port 69 from it; or use --via serial"
            if self._network
            else "pieces do not arrive as they are sent: use a shorter cable or a lower baud rate, "
            "then run the same command again; it goes on where it has stopped"
        )

    def _bring(self, octets: bytes, counted: bool) -> Generator[None, None, bool]:
        """Send a piece, or have it fetched; False if it has not arrived."""
        if self._network is None:
            went = self._progress if counted else _nothing
            return (yield from self._prompt.send(octets, went))
        name = f"piece-{binascii.crc32(octets):08x}"
        self.offered = {name: octets}
        return (yield from self._prompt.fetch(self._network, name))

    def _progress(self, within: int) -> None:
        self._events.append(Progress(self._done, self._total, self._sent + within, within))


def _nothing(_: int) -> None:
    """The boot state is not among what is counted."""
