"""What a telephone and its user agents say to each other about legs, whatever the protocol.

A leg is named by a string: `out1`, `out2`... by the telephone, `in1`... by the user agent.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware.causes import Cause

MOST_LEGS = 4
"""A user agent has no more at once: pjsua2 is built for so many."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A call comes in."""

    leg: str
    caller: str
    """Number or user part of who calls; empty when there is none."""
    name: str = ""
    withheld: bool = False
    """The caller wants neither shown: a display says `private`, not `unavailable`."""
    alert: str = ""
    """How it is to be announced: Alert-Info's `Bellcore-drN` or `urn:alert:` (RFC 7462)."""


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


@dataclass(frozen=True, slots=True)
class TransferNews:
    """How a transfer goes that we have asked the far end for (REFER, RFC 3515)."""

    leg: str
    """The leg that was asked."""
    status: int
    """SIP status of the call to the target: 1xx on its way, 2xx done, else failed."""
    refused: bool = False
    """The far end does no transfers: nobody has been called."""


LegEvent = Offered | Progress | LegAnswered | LegEnded | FarDigit | TransferNews


@dataclass(frozen=True, slots=True)
class PlaceCall:
    """Call a number."""

    leg: str
    number: str
    withheld: bool = False
    """The called party may not be shown who calls (RFC 3323)."""
    emergency: bool = False
    """To be tried even while no server has registered us."""


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
class SendFlash:
    """Tell the far end of a flash: as RFC 4733 event 16, or by INFO."""

    leg: str
    by_info: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """Put an answered leg on hold, or take it off (RFC 3264, 8.4)."""

    leg: str
    on: bool


@dataclass(frozen=True, slots=True)
class Refer:
    """Ask the far end of a leg to call somebody in our place (RFC 3515)."""

    leg: str
    number: str = ""
    """Whom; empty with `replaces`."""
    replaces: str = ""
    """An answered leg, whose far end it shall be joined to (RFC 3891)."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send an offered call to another number (302; RFC 3261, 21.3.3)."""

    leg: str
    number: str


@dataclass(frozen=True, slots=True)
class Connect:
    """Join these legs' audio to ear and mouthpiece, and to each other; none joins nothing."""

    legs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """Join two legs' audio to each other, without the handset."""

    first: str
    second: str
    ringback: bool = False
    """The first hears ringback in place of the second."""


@dataclass(frozen=True, slots=True)
class Part:
    """Undo a `Join`."""

    first: str
    second: str


@dataclass(frozen=True, slots=True)
class CarryData:
    """A fax machine or modem is on this leg: G.711 alone, a jitter buffer of one length."""

    leg: str
    jitter_ms: int
    """How long every frame waits for the late ones."""
    ours: bool
    """The telephone here was the first to show it: it is we who ask the far end for G.711."""


LegCommand = (
    PlaceCall | Alert | Answer | HangUp | SendDigit | SendFlash | Hold | Refer | Redirect
    | CarryData
)  # fmt: skip
AudioCommand = Connect | Join | Part
"""What becomes of the audio of legs: the device's own matter, not a user agent's."""
