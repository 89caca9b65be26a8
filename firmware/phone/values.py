"""What a telephone can be in, what it is told and what it wants: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from firmware.legs import AudioCommand, LegCommand, LegEvent
from firmware.line_values import LineNews, Stimulus
from firmware.phone.features import Features
from hal.caller_id.message import Caller


class Call(Enum):
    """Where a telephone can be, by the leg that its ear is at."""

    IDLE = "idle"
    SEIZED = "seized"
    """The receiver is off, and no leg is heard: dialling, or the call is over."""
    CALLING = "calling"
    ALERTING = "alerting"
    """The far end rings; ringback is made here."""
    EARLY_MEDIA = "early_media"
    """The network's own audio is heard before an answer."""
    RINGING = "ringing"
    RECALLING = "recalling"
    """It rings for a leg of its own: one that was held, or a busy number that is free now."""
    ANSWERING = "answering"
    TALKING = "talking"
    THREE_WAY = "three_way"
    MENU = "menu"
    """The voice menu speaks."""


class Role(Enum):
    """What a leg is to its telephone."""

    FOREGROUND = "foreground"
    """Heard, or about to be."""
    HELD = "held"
    WAITING = "waiting"
    """It calls while another call is on."""
    JOINED = "joined"
    """The second of a three-way call, which was added last."""


@dataclass(frozen=True, slots=True)
class PhoneTimes:
    """Time-outs of a telephone."""

    ring_ms: int = 180_000
    """An offered call that nobody answers is refused (Q.850 19)."""
    setup_ms: int = 240_000
    """A call that brings neither answer nor end is given up (RFC 3261, 13.2.1: at least 180 s)."""
    no_answer_ms: int = 20_000
    """So long it rings before a call is forwarded for want of an answer."""
    recall_ms: int = 60_000
    """So long it rings for a leg that is held; then that one is ended."""
    transfer_ms: int = 240_000
    """A transfer of whose end nothing is heard is taken back."""
    redial_every_ms: int = 30_000
    redial_for_ms: int = 1_800_000
    """A busy number is tried again for so long."""
    redial_ring_ms: int = 30_000
    callback_ms: int = 3_600_000
    """So long after an emergency call nothing keeps the emergency service from calling back."""


@dataclass(frozen=True, slots=True)
class PhoneOptions:
    """What an owner may choose."""

    call_waiting: bool = True
    transfer_on_hang_up: bool = True
    """Whoever hangs up on two legs of his own joins them."""
    flash: Literal["local", "event", "info"] = "local"
    """What a flash in a call does: hold and three-way here, or it is told to the far end."""
    withheld: bool = False
    """Calls do not show who calls, unless a code says otherwise."""
    redirect: bool = False
    """Forwarded calls are sent away (302); else they are joined here to a call of our own."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the log should say."""

    text: str
    leg: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep the owner's settings, beyond a restart."""

    features: Features


@dataclass(frozen=True, slots=True)
class Speak:
    """Say something to the ear: `all`, `address`, `registration` or `balance`."""

    what: str


@dataclass(frozen=True, slots=True)
class WaitingCaller:
    """The beep of call waiting begins: its caller may be shown after it."""

    caller: Caller


@dataclass(frozen=True, slots=True)
class WaitingOver:
    """Nobody is to be shown any more."""


@dataclass(frozen=True, slots=True)
class Supervise:
    """The far end has answered a call that was made here, or that call is over."""

    answered: bool


@dataclass(frozen=True, slots=True)
class Timeout:
    """The deadline of the leg at hand has come."""


@dataclass(frozen=True, slots=True)
class OutOfOrder:
    """The line can no longer ring."""


PhoneOutput = (
    LegCommand | AudioCommand | Stimulus | Note | Remember | Speak
    | WaitingCaller | WaitingOver | Supervise
)  # fmt: skip
PhoneInput = LineNews | LegEvent
PhoneEvent = LineNews | LegEvent | Timeout | OutOfOrder
