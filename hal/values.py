"""What happens on a line, and what a line can be asked to do: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

RATE_HZ = 8_000
"""Samples a second of all line audio."""
FRAME_MS = 20
FRAME_SAMPLES = 160
FRAME_OCTETS = 320
"""One frame: 160 samples of 16-bit linear audio, little-endian."""
SILENCE = bytes(FRAME_OCTETS)


def check_frame(frame: bytes) -> None:
    """Refuse what is no frame.

    Raises:
        ValueError: it is not 320 octets long.
    """
    if len(frame) != FRAME_OCTETS:
        raise ValueError(f"a frame has {FRAME_OCTETS} octets, not {len(frame)}")


def check_transfer(ms: int) -> None:
    """Refuse an on-hook transfer of less than no time.

    Raises:
        ValueError: `ms` is negative.
    """
    if ms < 0:
        raise ValueError(f"on-hook transfer cannot last {ms} ms; give 0 or more")


class LineFault(Exception):
    """The hardware did not do what it was told; says what to do next."""


@dataclass(frozen=True, slots=True)
class LoopCurrent:
    """Loop current began or ceased to flow: a raw edge, with all the bounce of the contacts."""

    at_ms: float
    flowing: bool


@dataclass(frozen=True, slots=True)
class HookChanged:
    """A driver that debounces by itself saw the hook switch move."""

    at_ms: float
    off_hook: bool


@dataclass(frozen=True, slots=True)
class FlashSeen:
    """A driver that times the flash by itself saw one."""

    at_ms: float


@dataclass(frozen=True, slots=True)
class ShortBreak:
    """A driver that counts pulses, and does not time them, saw a single one, where a flash is as
    short: the digit 1 to whoever dials, a flash to whoever talks."""

    at_ms: float


@dataclass(frozen=True, slots=True)
class PulseDigit:
    """A driver that counts pulses by itself saw a digit, `0` to `9`."""

    at_ms: float
    digit: str


@dataclass(frozen=True, slots=True)
class DtmfDigit:
    """A driver that detects DTMF by itself saw a digit begin: `0-9 A-D * #`."""

    at_ms: float
    digit: str


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """Something that the driver has no name for: counted, never fatal."""

    at_ms: float
    code: int


LineEvent = (
    LoopCurrent | HookChanged | FlashSeen | ShortBreak | PulseDigit | DtmfDigit | UnknownEvent
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver does itself; what it does not, `firmware` and `hal.dsp` do, or nobody."""

    debounces_hook: bool = False
    counts_pulses: bool = False
    detects_dtmf: bool = False
    makes_tones: bool = False
    sends_caller_id: bool = False
    reverses_feed: bool = False
    """`Line.feed` takes REVERSED."""
    opens_loop: bool = False
    """`Line.feed` takes OPEN."""
    transfers_on_hook: bool = False
    """`Line.on_hook_transfer` is there."""
    lights_lamp: bool = False
    """It puts message-waiting voltage on the line, for the neon lamp of a telephone."""
    sets_gain: bool = False
    sets_impedance: bool = False
    """Its impedance towards the telephone is as `open_line` was told."""
    cancels_echo: bool = False
    measures_line: bool = False
    """It measures voltage, current and leakage of the loop (GR-909)."""


class Feed(Enum):
    """The direct current that a line is fed with."""

    FORWARD = "forward"
    REVERSED = "reversed"
    OPEN = "open"
    """No current at all: tells an answering machine that the far end is gone (CPC)."""


@dataclass(frozen=True, slots=True)
class RingCadence:
    """How to ring. The pattern repeats until it is stopped."""

    pattern_ms: tuple[int, ...]
    """On, off, on, off...: an even count of milliseconds."""
    hz: int = 20
    vrms: int = 65
    """Ringing voltage at the telephone; bells want at least 40."""

    def __post_init__(self) -> None:
        assert self.pattern_ms, "a cadence has parts"
        assert len(self.pattern_ms) % 2 == 0, "on and off alternate"
        assert all(part > 0 for part in self.pattern_ms), "each part lasts"


@dataclass(frozen=True, slots=True)
class LineStatus:
    """What a line's lamp shows; a driver without lamps ignores it."""

    registered: bool = False
    server: str = ""
    """The point of presence that it is registered at."""
    state: str = "on_hook"
    """The state of `firmware.line`."""
    call: str = "idle"
    """The state of `firmware.phone`."""
    tone: str = ""
    """Name of the tone that is played to the ear."""
