"""Caller ID on the line: rings, reverses and sends at the moments that a scheme wants.

A table of states without I/O, between `firmware.line`, which wants the bell to ring, and the
hardware. It answers commands; what it is told, it is told with `now_ms`. The same steps without a
bell light the message-waiting lamp. A receiver that is lifted ends everything at once (`stop`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from hal.caller_id.message import Caller
from hal.caller_id.schemes import Scheme
from hal.values import RingCadence

STOP_RING_AFTER_MS = 100
"""After the end of a ring, so that a driver that began late does not cut it short; each scheme
waits at least 500 ms there (GR-30, 2.3; EN 300 659-1, 6.2)."""
LONGEST_SEND_MS = 6_000
"""A clip that has not been sent by then never will be, and the telephone has to ring."""


class State(Enum):
    """Where an announcement can be."""

    IDLE = "idle"
    FIRST_RING = "first_ring"
    """The first ring, or the ringing pulse that only alerts."""
    WAITING = "waiting"
    """Silence between alert and data."""
    SENDING = "sending"
    SETTLING = "settling"
    """Silence between data and ring."""
    RINGING = "ringing"


class Event(Enum):
    """What can happen to it."""

    START = "start"
    TIMER = "timer"
    SENT = "sent"
    """The last frame of the clip has been handed over."""
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class StartRing:
    """Ring in a cadence."""

    cadence: RingCadence


@dataclass(frozen=True, slots=True)
class RingPulse:
    """Ring once, for so long (RP-AS)."""

    ms: int


@dataclass(frozen=True, slots=True)
class EndRing:
    """Take ringing voltage off the line."""


@dataclass(frozen=True, slots=True)
class Reverse:
    """Feed the line the other way round, or as usual again."""

    on: bool


@dataclass(frozen=True, slots=True)
class SendCaller:
    """Send who calls to a receiver that is down; say `sent` when the last frame is handed over."""

    caller: Caller


@dataclass(frozen=True, slots=True)
class SendWaiting:
    """Send that messages wait, or none any more; say `sent` as above."""

    waiting: bool


@dataclass(frozen=True, slots=True)
class EndSend:
    """Send no more, and let no audio reach the line."""


Announcement = SendCaller | SendWaiting
Command = StartRing | RingPulse | EndRing | Reverse | SendCaller | SendWaiting | EndSend


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what is done, and where that may lead."""

    action: Callable[[CallerIdMachine, float], State]
    leads_to: frozenset[State]


class CallerIdMachine:
    """One line's caller ID.

    Args:
        scheme: of the country; None rings and says nothing.
        ring: the country's cadence.
        transmits: audio reaches a receiver that is down; else nothing is sent.
        reverses: the line can be reversed; else that part is left out.
    """

    def __init__(
        self, scheme: Scheme | None, ring: RingCadence, transmits: bool, reverses: bool
    ) -> None:
        self.state = State.IDLE
        self.deadline_ms: float | None = None
        self._scheme = scheme if transmits else None
        self._reverses = reverses
        self._usual = self._ring = ring
        self._say: Announcement | None = None
        self._rings = False
        self._reversed = False
        self._began_ms = 0.0
        self._next_ring_ms = 0.0
        self._out: list[Command] = []

    @property
    def lights_lamp(self) -> bool:
        """True if the scheme knows a message-waiting lamp."""
        return self._scheme is not None and self._scheme.lamp != "none"

    @property
    def announces_waiting(self) -> bool:
        """True while it sends that messages wait."""
        return self.state is not State.IDLE and isinstance(self._say, SendWaiting)

    @property
    def sends(self) -> bool:
        """True between the first and the last moment at which audio may reach the line."""
        return self.state in (State.SENDING, State.SETTLING)

    def call(
        self, caller: Caller, now_ms: float, cadence: RingCadence | None = None
    ) -> list[Command]:
        """Announce a call and ring, in the country's cadence or in another. The line is idle."""
        self._ring = cadence or self._usual
        return self._start(SendCaller(caller), True, now_ms)

    def waiting(self, waiting: bool, now_ms: float) -> list[Command]:
        """Announce that messages wait, or none any more, without ringing. The line is idle."""
        assert self.lights_lamp, "asked before"
        return self._start(SendWaiting(waiting), False, now_ms)

    def sent(self, now_ms: float) -> list[Command]:
        """The last frame of the clip has been handed over."""
        return self._handle(Event.SENT, now_ms)

    def stop(self, now_ms: float) -> list[Command]:
        """The receiver was lifted, or the caller has gone: all ends at once."""
        return self._handle(Event.STOP, now_ms)

    def handle_timer(self, now_ms: float) -> list[Command]:
        """Call when `deadline_ms` has come."""
        if self.deadline_ms is None or now_ms < self.deadline_ms:
            return []
        self.deadline_ms = None
        return self._handle(Event.TIMER, now_ms)

    def _start(self, say: Announcement, rings: bool, now_ms: float) -> list[Command]:
        assert self.state is State.IDLE, "one announcement at a time"
        self._say, self._rings = say, rings
        return self._handle(Event.START, now_ms)

    def _handle(self, event: Event, now_ms: float) -> list[Command]:
        row = TRANSITIONS.get((self.state, event))
        if row is None:
            return []
        self._out = []
        state = row.action(self, now_ms)
        assert state in row.leads_to, f"{self.state} {event} must not lead to {state}"
        self.state = state
        return self._out

    # What the rows do

    def begin(self, now_ms: float) -> State:
        scheme = self._scheme
        self._began_ms = self._next_ring_ms = now_ms
        if scheme is None:
            self._out.append(StartRing(self._ring))
            return State.RINGING
        first_ms, pause_ms = first_ring_ms(self._ring)
        if self._rings and scheme.after_ring:
            self._out.append(StartRing(self._ring))
            self.deadline_ms = now_ms + first_ms + STOP_RING_AFTER_MS
            self._next_ring_ms = now_ms + first_ms + pause_ms
            return State.FIRST_RING
        if self._rings and scheme.pulse_ms:
            self._out.append(RingPulse(scheme.pulse_ms))
            self.deadline_ms = now_ms + scheme.pulse_ms + STOP_RING_AFTER_MS
            return State.FIRST_RING
        if scheme.reversal and self._reverses:
            self._reversed = True
            self._out.append(Reverse(True))
        self.deadline_ms = now_ms + scheme.wait_ms
        return State.WAITING

    def end_first_ring(self, now_ms: float) -> State:
        scheme = self._scheme
        assert scheme is not None, "it rings once for a scheme"
        first_ms, _ = first_ring_ms(self._ring)
        length_ms = first_ms if scheme.after_ring else scheme.pulse_ms
        self._out.append(EndRing())
        self.deadline_ms = self._began_ms + length_ms + scheme.wait_ms
        return State.WAITING

    def send(self, now_ms: float) -> State:
        assert self._say is not None, "there is something to say"
        self._out.append(self._say)
        self.deadline_ms = now_ms + LONGEST_SEND_MS
        return State.SENDING

    def settle(self, now_ms: float) -> State:
        assert self._scheme is not None, "something was sent"
        self.deadline_ms = max(now_ms + self._scheme.rest_ms, self._next_ring_ms)
        return State.SETTLING

    def go_on(self, now_ms: float) -> State:
        self._out.append(EndSend())
        if self._rings:
            self._out.append(StartRing(self._ring))
            return State.RINGING
        self._reverse_back()
        return State.IDLE

    def end(self, now_ms: float) -> State:
        self.deadline_ms = None
        if self.sends:
            self._out.append(EndSend())
        self._out.append(EndRing())
        self._reverse_back()
        return State.IDLE

    def _reverse_back(self) -> None:
        if self._reversed:
            self._reversed = False
            self._out.append(Reverse(False))


def first_ring_ms(ring: RingCadence) -> tuple[int, int]:
    """Length of the first ring up to the longest pause of the cadence, and of that pause.

    >>> first_ring_ms(RingCadence((400, 200, 400, 2000)))
    (1000, 2000)
    """
    parts = ring.pattern_ms
    longest = max(range(1, len(parts), 2), key=lambda index: parts[index])
    return sum(parts[:longest]), parts[longest]


def _row(action: Callable[[CallerIdMachine, float], State], *leads_to: State) -> Row:
    return Row(action, frozenset(leads_to))


_M, _S, _E = CallerIdMachine, State, Event

TRANSITIONS: dict[tuple[State, Event], Row] = {
    (_S.IDLE, _E.START): _row(_M.begin, _S.FIRST_RING, _S.WAITING, _S.RINGING),
    (_S.FIRST_RING, _E.TIMER): _row(_M.end_first_ring, _S.WAITING),
    (_S.WAITING, _E.TIMER): _row(_M.send, _S.SENDING),
    (_S.SENDING, _E.SENT): _row(_M.settle, _S.SETTLING),
    (_S.SENDING, _E.TIMER): _row(_M.settle, _S.SETTLING),
    (_S.SETTLING, _E.TIMER): _row(_M.go_on, _S.RINGING, _S.IDLE),
    **{
        (state, _E.STOP): _row(_M.end, _S.IDLE)
        for state in (_S.FIRST_RING, _S.WAITING, _S.SENDING, _S.SETTLING, _S.RINGING)
    },
}
"""All that can happen. Each row is also an edge of the diagram in the documentation."""
