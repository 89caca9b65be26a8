"""What a telephone and its user agents say to each other about legs, whatever the protocol.

A leg is named by a string: `out1`, `out2`... by the telephone, `in1`... by the user agent.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware.causes import Cause


@dataclass(frozen=True, slots=True)
class Offered:
    """A call comes in."""

    leg: str
    caller: str
    """Number or user part of who calls; empty when there is none."""
    name: str = ""
    withheld: bool = False
    """The caller wants neither shown: a display says `private`, not `unavailable`."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The far end is alerted, or sends audio before it answers."""

    leg: str
    media: bool
    """True: audio comes from the network (early media); False: make ringback here."""


@dataclass(frozen=True, slots=True)
class LegAnswered:
    """The far end answered, or our answer is confirmed."""

    leg: str


@dataclass(frozen=True, slots=True)
class LegEnded:
    """The leg is gone. Said exactly once a leg, whoever ended it."""

    leg: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class FarDigit:
    """The far end sent a digit out of band (RFC 4733): it is made audible."""

    leg: str
    digit: str


LegEvent = Offered | Progress | LegAnswered | LegEnded | FarDigit


@dataclass(frozen=True, slots=True)
class PlaceCall:
    """Call a number."""

    leg: str
    number: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Say that the telephone rings."""

    leg: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Accept an offered leg."""

    leg: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End a leg, or refuse it, for a Q.850 cause."""

    leg: str
    q850: int


@dataclass(frozen=True, slots=True)
class SendDigit:
    """Send a digit to the far end."""

    leg: str
    digit: str
    audible: bool
    """True: the mouthpiece carries it as DTMF already; False: it was dialled by pulses."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Join the leg's audio to ear and mouthpiece; None joins nothing."""

    leg: str | None


LegCommand = PlaceCall | Alert | Answer | HangUp | SendDigit | Connect
