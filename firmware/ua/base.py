"""What every user agent offers, whatever protocol it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from firmware.legs import LegCommand, LegEvent

_TIMED_OUT = 408
"""What a user agent makes of no answer (RFC 3261, 8.1.3.1)."""
_FAILURES = 500
"""From here on it is the server's failure, or that of the way to it."""


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """The device is reachable, or no longer."""

    registered: bool
    server: str
    """The point of presence at hand, or the one that failed."""
    status: int = 0
    """The protocol's answer, 0 for none."""
    text: str = ""

    @property
    def answered(self) -> bool:
        """The server itself has spoken: it is there, and is not only busy or restarting."""
        return self.registered or (0 < self.status < _FAILURES and self.status != _TIMED_OUT)


@dataclass(frozen=True, slots=True)
class MessagesWaiting:
    """The voice mail of the account says whether messages wait (RFC 3842)."""

    waiting: bool
    new: int = 0
    """How many are new, where that is told."""


@dataclass(frozen=True, slots=True)
class SyncWanted:
    """The registrar wants the device to ask for its configuration now."""


AgentEvent = RegistrationChanged | MessagesWaiting | SyncWanted | LegEvent


class UserAgent(Protocol):
    """Registers one account and makes its legs. No call waits for the network.

    Audio of a leg is 16-bit linear, 8000 samples a second, in frames of 320 octets.
    """

    def start(self, now_ms: float) -> None:
        """Begin to register.

        Raises:
            AgentError: the local address or port cannot be had; says what to do.
        """

    def carry_out(self, command: LegCommand) -> None:
        """Do what the telephone wants of a leg. A leg that is gone already is no error."""

    def take_events(self, now_ms: float, wait_ms: int) -> list[AgentEvent]:
        """Let the protocol run, waiting at most `wait_ms` for something; what happened."""

    def descriptors(self) -> tuple[int, ...]:
        """File descriptors whose readability means: call `take_events`. None where it polls."""

    @property
    def deadline_ms(self) -> float | None:
        """When `take_events` has something to do at the latest."""

    def hear(self, leg: str) -> bytes | None:
        """The next frame from the far end; None when none is there (yet)."""

    def speak(self, leg: str, frame: bytes) -> None:
        """One frame for the far end. Without a call in time it hears silence."""

    def digits_out_of_band(self, leg: str) -> bool:
        """True if digits of this leg travel as events, so must be kept out of its audio."""

    def stop(self, timeout_s: float) -> None:
        """End all legs, remove this device's own binding, give everything back. Blocks."""


class AgentError(Exception):
    """The user agent cannot start; the message names the cause and the remedy."""
