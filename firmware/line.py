"""One line as its user knows it: dial tone, digits, ringing, the tones after a call.

A table of states without I/O. `LineMachine` takes what the hook and the keys say and what
`firmware.phone` wants, each with `now_ms`, and answers commands for the hardware and news for the
telephone. What has no row in `TRANSITIONS` means nothing in that state, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from firmware.digitmap import MOST_DIGITS, DigitMap
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
    ON_HOOK = "on_hook"
    FLASH = "flash"
    PULSE = "pulse"
    """A pulse digit has begun."""
    DIGIT = "digit"
    TIMER = "timer"
    RING = "ring"
    STOP_RING = "stop_ring"
    SOUND = "sound"
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


AfterHangUp = Literal["reorder", "dial", "silence"]


@dataclass(frozen=True, slots=True)
class Ring:
    """Make the telephone ring, and say who calls."""

    caller: Caller = NOBODY


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


@dataclass(frozen=True, slots=True)
class HungUp:
    """The receiver was put back."""


@dataclass(frozen=True, slots=True)
class Flashed:
    """A flash during a call."""


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
LineNews = Seized | Lifted | Dialled | HungUp | Flashed | KeyPressed | DialFailed
LineOutput = LineCommand | LineNews


@dataclass(frozen=True, slots=True)
class Stimulus:
    """An event with what comes with it."""

    event: Event
    digit: str = ""
    audible: bool = True
    tone: str = ""
    caller: Caller = NOBODY
    by_far_end: bool = False
    """END: the far end hung up an answered call, so hang-up supervision applies."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what is done, and where that may lead."""

    action: Callable[[LineMachine, Stimulus, float], State]
    leads_to: frozenset[State]


class LineMachine:
    """One line.

    Args:
        digit_map: which numbers there are.
        times: the time-outs.
        after_hang_up: what is heard when the far end has hung up.
        terminator: key that ends a number at once; empty for none.
    """

    def __init__(
        self,
        digit_map: DigitMap,
        times: LineTimes,
        after_hang_up: AfterHangUp = "reorder",
        terminator: str = "#",
    ) -> None:
        self.state = State.ON_HOOK
        self.deadline_ms: float | None = None
        self.messages_wait = False
        """Then dial tone stutters at first."""
        self.ignored = 0
        """Events that meant nothing in the state they came in."""
        self._map = digit_map
        self._times = times
        self._after = after_hang_up
        self._terminator = terminator
        self._digits = ""
        self._out: list[LineOutput] = []
        self._cpc_open = False
        self._ended_ms = 0.0

    def handle(self, stimulus: Stimulus, now_ms: float) -> list[LineOutput]:
        """Take one event; the commands and news that follow from it, in order."""
        row = TRANSITIONS.get((self.state, stimulus.event))
        if row is None:
            self.ignored += 1
            return []
        self._out = []
        state = row.action(self, stimulus, now_ms)
        assert state in row.leads_to, f"{self.state} {stimulus.event} must not lead to {state}"
        self.state = state
        return self._out

    def handle_timer(self, now_ms: float) -> list[LineOutput]:
        """Call when `deadline_ms` has come."""
        if self.deadline_ms is None or now_ms < self.deadline_ms:
            return []
        self.deadline_ms = None
        return self.handle(Stimulus(Event.TIMER), now_ms)

    # What the rows do

    def _wait(self, now_ms: float, ms: int) -> None:
        self.deadline_ms = now_ms + ms

    def lift_to_dial(self, _: Stimulus, now_ms: float) -> State:
        self._out.append(Audio(True))
        self._out.append(Seized())
        return self.dial_tone(now_ms)

    def dial_tone(self, now_ms: float) -> State:
        self._digits = ""
        self._out.append(Sound("stutter" if self.messages_wait else "dial"))
        self._wait(now_ms, self._times.dial_tone_ms)
        return State.DIAL_TONE

    def lift_to_answer(self, _: Stimulus, now_ms: float) -> State:
        self._out += [StopRing(), Audio(True), Sound(""), Lifted()]
        self.deadline_ms = None
        return State.IN_CALL

    def ring(self, stimulus: Stimulus, now_ms: float) -> State:
        self._out.append(Ring(stimulus.caller))
        return State.RINGING

    def stop_ring(self, _: Stimulus, now_ms: float) -> State:
        self._out.append(StopRing())
        return State.ON_HOOK

    def put_back(self, _: Stimulus, now_ms: float) -> State:
        self._out += [Sound(""), Audio(False), HungUp()]
        self.deadline_ms = None
        self._digits = ""
        return State.ON_HOOK

    def pulse(self, _: Stimulus, now_ms: float) -> State:
        self._out.append(Sound(""))
        self._wait(now_ms, self._times.interdigit_long_ms)
        return State.COLLECTING

    def digit(self, stimulus: Stimulus, now_ms: float) -> State:
        if self._ends_number(stimulus.digit):
            return self.finish(now_ms)
        if not self._digits:
            self._out.append(Sound(""))
        self._digits = (self._digits + stimulus.digit)[: MOST_DIGITS + 1]
        match = self._map.match(self._digits)
        if not match.live:
            return self.fail("unknown", now_ms)
        if match.final:
            return self.finish(now_ms)
        if match.outside_tone:
            self._out.append(Sound("outside"))
        elif len(self._digits) > 1:
            self._out.append(Sound(""))
        times = self._times
        self._wait(
            now_ms, times.interdigit_short_ms if match.complete else times.interdigit_long_ms
        )
        return State.COLLECTING

    def _ends_number(self, key: str) -> bool:
        return key == self._terminator != "" and not self._map.accepts(self._digits, key)

    def pause(self, _: Stimulus, now_ms: float) -> State:
        return self.finish(now_ms)

    def finish(self, now_ms: float) -> State:
        """The digits are all: send them, or say what is wrong with them."""
        match = self._map.match(self._digits)
        if not self._digits:
            return self.fail("nothing dialled", now_ms)
        if not match.complete:
            return self.fail("incomplete", now_ms)
        if match.barred:
            return self.fail("barred", now_ms)
        self._out += [Sound(""), Dialled(match.number)]
        self.deadline_ms = None
        return State.IN_CALL

    def fail(self, reason: str, now_ms: float) -> State:
        self._out.append(DialFailed(reason, self._digits))
        return self.play_end("reorder", now_ms)

    def nothing_dialled(self, _: Stimulus, now_ms: float) -> State:
        return self.fail("nothing dialled", now_ms)

    def start_over(self, _: Stimulus, now_ms: float) -> State:
        self._out.append(Seized())
        return self.dial_tone(now_ms)

    def sound(self, stimulus: Stimulus, now_ms: float) -> State:
        self._out.append(Sound(stimulus.tone))
        return State.IN_CALL

    def key(self, stimulus: Stimulus, now_ms: float) -> State:
        self._out.append(KeyPressed(stimulus.digit, stimulus.audible))
        return State.IN_CALL

    def flashed(self, _: Stimulus, now_ms: float) -> State:
        self._out.append(Flashed())
        return State.IN_CALL

    def end(self, stimulus: Stimulus, now_ms: float) -> State:
        if not stimulus.by_far_end:
            return self.play_end(stimulus.tone, now_ms)
        if self._times.cpc_ms:
            self._out.append(Sound(""))
            self._cpc_open = False
            self._wait(now_ms, self._times.cpc_delay_ms)
            return State.CLEARING
        return self.supervise(now_ms)

    def clear(self, _: Stimulus, now_ms: float) -> State:
        if not self._cpc_open:
            self._cpc_open = True
            self._out.append(OpenLoop(self._times.cpc_ms))
            self._wait(now_ms, self._times.cpc_ms)
            return State.CLEARING
        return self.supervise(now_ms)

    def supervise(self, now_ms: float) -> State:
        """The far end has hung up an answered call."""
        if self._after == "dial":
            self._out.append(Seized())
            return self.dial_tone(now_ms)
        return self.play_end("reorder" if self._after == "reorder" else "", now_ms)

    def play_end(self, tone: str, now_ms: float) -> State:
        self._out.append(Sound(tone))
        self._wait(now_ms, self._times.warning_ms)
        return State.ENDED

    def howl(self, _: Stimulus, now_ms: float) -> State:
        self._out.append(Sound("howler"))
        self._wait(now_ms, self._times.howler_ms)
        return State.HOWLER

    def park(self, _: Stimulus, now_ms: float) -> State:
        self._out.append(Sound(""))
        return State.PARKED


def _row(action: Callable[[LineMachine, Stimulus, float], State], *leads_to: State) -> Row:
    return Row(action, frozenset(leads_to))


_M, _S, _E = LineMachine, State, Event
_DIALLING = (_S.COLLECTING, _S.IN_CALL, _S.ENDED)

TRANSITIONS: dict[tuple[State, Event], Row] = {
    (_S.ON_HOOK, _E.OFF_HOOK): _row(_M.lift_to_dial, _S.DIAL_TONE),
    (_S.ON_HOOK, _E.RING): _row(_M.ring, _S.RINGING),
    (_S.RINGING, _E.OFF_HOOK): _row(_M.lift_to_answer, _S.IN_CALL),
    (_S.RINGING, _E.STOP_RING): _row(_M.stop_ring, _S.ON_HOOK),
    (_S.DIAL_TONE, _E.PULSE): _row(_M.pulse, _S.COLLECTING),
    (_S.DIAL_TONE, _E.DIGIT): _row(_M.digit, *_DIALLING),
    (_S.DIAL_TONE, _E.TIMER): _row(_M.nothing_dialled, _S.ENDED),
    (_S.DIAL_TONE, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    (_S.COLLECTING, _E.PULSE): _row(_M.pulse, _S.COLLECTING),
    (_S.COLLECTING, _E.DIGIT): _row(_M.digit, *_DIALLING),
    (_S.COLLECTING, _E.FLASH): _row(_M.start_over, _S.DIAL_TONE),
    (_S.COLLECTING, _E.TIMER): _row(_M.pause, _S.IN_CALL, _S.ENDED),
    (_S.COLLECTING, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    (_S.IN_CALL, _E.SOUND): _row(_M.sound, _S.IN_CALL),
    (_S.IN_CALL, _E.DIGIT): _row(_M.key, _S.IN_CALL),
    (_S.IN_CALL, _E.FLASH): _row(_M.flashed, _S.IN_CALL),
    (_S.IN_CALL, _E.END): _row(_M.end, _S.ENDED, _S.CLEARING, _S.DIAL_TONE),
    (_S.IN_CALL, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    (_S.CLEARING, _E.TIMER): _row(_M.clear, _S.CLEARING, _S.ENDED, _S.DIAL_TONE),
    (_S.CLEARING, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    (_S.ENDED, _E.TIMER): _row(_M.howl, _S.HOWLER),
    (_S.ENDED, _E.FLASH): _row(_M.start_over, _S.DIAL_TONE),
    (_S.ENDED, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    (_S.HOWLER, _E.TIMER): _row(_M.park, _S.PARKED),
    (_S.HOWLER, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    (_S.PARKED, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
}
"""All that can happen. Each row is also an edge of the diagram in the documentation."""
