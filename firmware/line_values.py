"""What a line is told, what it tells, and what it wants of the hardware: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from hal.caller_id.message import NOBODY, Caller


class State(Enum):
    """Where a line can be."""

    ON_HOOK = "on_hook"
    RINGING = "ringing"
    DIAL_TONE = "dial_tone"
    COLLECTING = "collecting"
    IN_CALL = "in_call"
    """The telephone decides what is heard."""
    CLEARING = "clearing"
    """The far end has gone; the loop is opened for a moment, so that machines notice."""
    ENDED = "ended"
    """A tone says that the call is over or failed."""
    HOWLER = "howler"
    PARKED = "parked"
    """Nobody minds the howler: silence, until the receiver is put back."""


class Event(Enum):
    """What can happen to a line."""

    OFF_HOOK = "off_hook"
    FOUND_OFF = "found_off"
    """The receiver was off when the device began, or when a fault of the line was over: nobody has
    lifted it to make a call."""
    ON_HOOK = "on_hook"
    FLASH = "flash"
    PULSE = "pulse"
    """A pulse digit has begun."""
    DIGIT = "digit"
    TIMER = "timer"
    RING = "ring"
    STOP_RING = "stop_ring"
    SOUND = "sound"
    """The telephone has a leg or a sound for the ear."""
    DIAL = "dial"
    """The telephone wants a number: recall dial tone, or the argument of a service code."""
    END = "end"


@dataclass(frozen=True, slots=True)
class LineTimes:
    """All time-outs of a line. Defaults as in the adapters of the field."""

    dial_tone_ms: int = 15_000
    """Dial tone without a digit ends in reorder."""
    interdigit_long_ms: int = 10_000
    """Pause after which an incomplete number fails."""
    interdigit_short_ms: int = 3_000
    """Pause after which a complete number that could go on is sent."""
    warning_ms: int = 60_000
    """Off-hook with nothing to hear but reorder for so long: howler."""
    howler_ms: int = 50_000
    cpc_delay_ms: int = 2_000
    """From the far end's hang-up to the open loop."""
    cpc_ms: int = 0
    """How long the loop opens (calling party control); 0 never."""
    hotline_ms: int = 0
    """Dial tone without a digit for so long dials the hotline's number; 0: at once."""


AfterHangUp = Literal["reorder", "dial", "silence"]


@dataclass(frozen=True, slots=True)
class Ring:
    """Make the telephone ring, and say who calls."""

    caller: Caller = NOBODY
    cadence: str = ""
    """Name of a distinctive ring (`hal.rings`); empty: the country's."""


@dataclass(frozen=True, slots=True)
class StopRing:
    """Take it off."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Play this tone to the ear; empty: none (the leg's audio, or silence)."""

    tone: str


@dataclass(frozen=True, slots=True)
class Audio:
    """Let audio frames run, or not. Off as long as the receiver is on the hook."""

    on: bool


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Take the feed off the line for so long."""

    ms: int


@dataclass(frozen=True, slots=True)
class Seized:
    """The receiver was lifted to make a call."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """The receiver was lifted while it rang: an answer."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """A number is complete."""

    number: str
    emergency: bool = False
    """It is one of the emergency numbers, whatever the digit map says of it."""


@dataclass(frozen=True, slots=True)
class FeatureDialled:
    """A service code is complete: the name of its feature, and what was dialled with it."""

    feature: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class HungUp:
    """The receiver was put back."""


@dataclass(frozen=True, slots=True)
class Flashed:
    """A flash, wherever it means something to the telephone."""


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A digit during a call."""

    digit: str
    audible: bool
    """True: by keypad, so the mouthpiece carries it; False: by dial."""


@dataclass(frozen=True, slots=True)
class DialFailed:
    """The number cannot be: `incomplete`, `barred`, `unknown` or `nothing dialled`."""

    reason: str
    digits: str


LineCommand = Ring | StopRing | Sound | Audio | OpenLoop
LineNews = Seized | Lifted | Dialled | FeatureDialled | HungUp | Flashed | KeyPressed | DialFailed
LineOutput = LineCommand | LineNews


@dataclass(frozen=True, slots=True)
class Stimulus:
    """An event with what comes with it."""

    event: Event
    digit: str = ""
    audible: bool = True
    tone: str = ""
    caller: Caller = NOBODY
    cadence: str = ""
    """RING: name of a distinctive ring."""
    by_far_end: bool = False
    """END: the far end hung up an answered call, so hang-up supervision applies."""
    speed_dial: bool = False
    """DIAL: two digits of a speed dial come before the number."""
