"""What an update is told, what it wants done, and what it keeps: plain values."""

from __future__ import annotations

from dataclasses import dataclass

from boards.state import BootState, Slot
from firmware.wire.provisioning import Document, Firmware


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds."""

    first_ms: int = 30_000
    """After the start a device asks within this, so that a street whose power is back does not
    ask at once."""
    spread: float = 0.25
    """Of an interval: so much is added at random."""
    retry_ms: int = 60_000
    """After a question that failed; doubled up to the interval."""
    trial_ms: int = 60_000
    """So often a device asks while something is on trial."""
    registered_ms: int = 60_000
    """A version that has been registered for so long, without a restart, is good."""
    outage_ms: int = 600_000
    """So is one that has had a network for so long, and the host has not answered."""
    refused_ms: int = 900_000
    """One that is not registered, while the host has answered for so long, is not. Longer than the
    longest pause from one attempt to register to the next that a trial may come to."""
    hurry_ms: int = 10_000
    """The registrar may want the device to ask so often."""
    config_ms: int = 600_000
    """A configuration with which the device is not registered for so long is given back."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What outlives a restart, beside the board's own state."""

    trying: str = ""
    """SHA-256 of the firmware that was written last, until it is good or has failed."""
    trying_version: int = 0
    attempts: int = 0
    """So often it was written to be booted. Who pulls the plug while it is tried has it tried
    twice."""
    unproved: bool = False
    """The version that runs was held to be good while the host was away: it has never registered,
    and the one before stays until it has."""
    failed: str = ""
    """SHA-256 of one that did not work: it is not tried again before another is wanted."""
    failed_why: str = ""
    config: str = ""
    """SHA-256 of the provisioned configuration in use; empty: the device's own."""
    config_before: str = ""
    """Of the one that comes back if that one fails."""
    config_trial: bool = False
    """It is in use, and has not shown that the device registers with it."""
    config_failed: str = ""
    config_failed_why: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """A board's slots, as they are. Boards without slots have `running` None."""

    name: str
    running: Slot | None
    """The slot that this system runs from."""
    state: BootState | None
    versions: tuple[int | None, int | None] = (None, None)
    """In slot a and slot b; None: nothing that boots."""

    def version_in(self, slot: Slot) -> int | None:
        """The version in a slot."""
        return self.versions[0 if slot == "a" else 1]

    @property
    def version(self) -> int:
        """The version that runs; 0 where there are no slots."""
        return (self.version_in(self.running) or 0) if self.running is not None else 0


# --- events ---


@dataclass(frozen=True, slots=True)
class Told:
    """The host has answered."""

    document: Document


@dataclass(frozen=True, slots=True)
class NotTold:
    """The host was not reached, or has refused to answer."""

    why: str
    reached: bool = False
    """It has answered, if not as hoped for."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The image is in the slot, verified, and its table is written."""

    sha256: str


@dataclass(frozen=True, slots=True)
class NotFetched:
    """The image did not come whole.

    Args:
        final: it is not what it should be: to go on where it broke off is of no use.
    """

    sha256: str
    why: str
    final: bool


@dataclass(frozen=True, slots=True)
class Lines:
    """How the device's lines are."""

    registered: bool
    """All of them."""
    calls: bool
    """A receiver is off, it rings, or a leg is up, on any of them."""


@dataclass(frozen=True, slots=True)
class RegistrarAnswered:
    """The registrar has answered, whatever it said."""


@dataclass(frozen=True, slots=True)
class Network:
    """There is an address and a way out, or not."""

    up: bool


@dataclass(frozen=True, slots=True)
class CheckSync:
    """The registrar wants the device to ask now."""


Event = (
    Told | NotTold | Fetched | NotFetched | Lines | RegistrarAnswered | Network | CheckSync
)  # fmt: skip


# --- orders ---


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the host what to run; answered by Told or NotTold."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch an image into a slot, or go on with it; answered by Fetched or NotFetched."""

    firmware: Firmware
    slot: Slot
    floor: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Fetch no more for now; what came stays. Not answered."""


@dataclass(frozen=True, slots=True)
class WriteState:
    """Write the boot state; it is durable before the next order is carried out."""

    state: BootState


@dataclass(frozen=True, slots=True)
class Keep:
    """Write what outlives a restart; it is durable before the next order is carried out."""

    kept: Kept


@dataclass(frozen=True, slots=True)
class TakeConfig:
    """Put a checked configuration in the place of the one in use, which stays beside it; the
    lines start anew when nobody calls."""

    toml: str
    schema: int


@dataclass(frozen=True, slots=True)
class GiveBackConfig:
    """Put the configuration that was in use before in its place again; the lines start anew."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Restart the board; nobody calls."""


Order = Ask | Fetch | Pause | WriteState | Keep | TakeConfig | GiveBackConfig | Restart
