"""Caller ID on call waiting (type II): alert, acknowledgement, data, while a call is on.

A table of states without I/O. It begins when the beep of call waiting has been heard: the talk is
muted, CAS sounds, a telephone that understands answers with DTMF D (or A), and is sent who calls.
One that does not answer gets its talk back. What is sent goes through buffers, so all waiting
starts from when the last frame was handed over, and allows for them (`Times`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from hal.caller_id.message import NOBODY, Caller

ACKNOWLEDGEMENTS = frozenset("DA")
"""DTMF digits of a telephone that is ready (GR-30, 2.5; EN 300 659-2)."""


@dataclass(frozen=True, slots=True)
class Times:
    """All times of caller ID on call waiting, milliseconds."""

    acknowledge_ms: int = 160
    """A telephone answers CAS within so long (GR-30, 2.5.1)."""
    buffered_ms: int = 60
    """What has been handed over is in the ear so much later, at most."""
    detection_ms: int = 80
    """From the beginning of a digit in the mouthpiece until it is told, at most."""
    data_after_ms: int = 100
    """From when an acknowledgement is told to the data. It lasts for 60 ms and is told after 25
    to 80, and the data are 20 to 60 ms on their way: so 55 to 200 ms lie between the two
    (EN 300 659-2)."""
    restore_after_ms: int = 60
    """From the last frame of the data to the talk: at most 120 ms after it (GR-30, 2.5.2)."""
    longest_ms: int = 6_000
    """A clip that has not been sent by then never will be."""


class State(Enum):
    """Where an announcement can be."""

    IDLE = "idle"
    ALERTING = "alerting"
    """CAS sounds."""
    LISTENING = "listening"
    """The telephone may acknowledge."""
    ACKNOWLEDGED = "acknowledged"
    SENDING = "sending"
    RESTORING = "restoring"
    """The data are on their way to the ear still."""


class Event(Enum):
    """What can happen to it."""

    START = "start"
    SENT = "sent"
    ACKNOWLEDGE = "acknowledge"
    TIMER = "timer"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Mute:
    """Keep the talk from both ends, or let it through again."""

    on: bool


@dataclass(frozen=True, slots=True)
class SendAlert:
    """Play CAS to the ear; say `sent` when the last frame is handed over."""


@dataclass(frozen=True, slots=True)
class SendData:
    """Play who calls to the ear; say `sent` when the last frame is handed over."""

    caller: Caller


@dataclass(frozen=True, slots=True)
class StopSending:
    """Play no more of it."""


Command = Mute | SendAlert | SendData | StopSending


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what is done, and where that may lead."""

    action: Callable[[CallWaitingIdMachine, float], State]
    leads_to: frozenset[State]


class CallWaitingIdMachine:
    """One line's caller ID on call waiting."""

    def __init__(self, times: Times | None = None) -> None:
        self.state = State.IDLE
        self.deadline_ms: float | None = None
        self.acknowledged = 0
        """Times that a telephone has answered CAS."""
        self._times = times or Times()
        self._caller = NOBODY
        self._out: list[Command] = []

    def start(self, caller: Caller, now_ms: float) -> list[Command]:
        """A second call waits; its beep is over."""
        assert self.state is State.IDLE, "one announcement at a time"
        self._caller = caller
        return self._handle(Event.START, now_ms)

    def sent(self, now_ms: float) -> list[Command]:
        """The last frame of a clip has been handed over."""
        return self._handle(Event.SENT, now_ms)

    def takes(self, digit: str) -> bool:
        """True if a digit that begins now is an acknowledgement, and no key of the user's."""
        return self.state is State.LISTENING and digit in ACKNOWLEDGEMENTS

    def acknowledge(self, now_ms: float) -> list[Command]:
        """A digit that it `takes` was heard."""
        return self._handle(Event.ACKNOWLEDGE, now_ms)

    def stop(self, now_ms: float) -> list[Command]:
        """The waiting caller has gone, or the receiver is down, or there was a flash."""
        return self._handle(Event.STOP, now_ms)

    def handle_timer(self, now_ms: float) -> list[Command]:
        """Call when `deadline_ms` has come."""
        if self.deadline_ms is None or now_ms < self.deadline_ms:
            return []
        self.deadline_ms = None
        return self._handle(Event.TIMER, now_ms)

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

    def alert(self, now_ms: float) -> State:
        self._out += [Mute(True), SendAlert()]
        self.deadline_ms = now_ms + self._times.longest_ms
        return State.ALERTING

    def listen(self, now_ms: float) -> State:
        times = self._times
        wait_ms = times.buffered_ms + times.acknowledge_ms + times.detection_ms
        self.deadline_ms = now_ms + wait_ms
        return State.LISTENING

    def prepare(self, now_ms: float) -> State:
        self.acknowledged += 1
        self.deadline_ms = now_ms + self._times.data_after_ms
        return State.ACKNOWLEDGED

    def send(self, now_ms: float) -> State:
        self._out.append(SendData(self._caller))
        self.deadline_ms = now_ms + self._times.longest_ms
        return State.SENDING

    def drain(self, now_ms: float) -> State:
        self.deadline_ms = now_ms + self._times.restore_after_ms
        return State.RESTORING

    def restore(self, now_ms: float) -> State:
        self.deadline_ms = None
        self._out.append(Mute(False))
        return State.IDLE

    def give_up(self, now_ms: float) -> State:
        self._out.append(StopSending())
        return self.restore(now_ms)


def _row(action: Callable[[CallWaitingIdMachine, float], State], *leads_to: State) -> Row:
    return Row(action, frozenset(leads_to))


_M, _S, _E = CallWaitingIdMachine, State, Event

TRANSITIONS: dict[tuple[State, Event], Row] = {
    (_S.IDLE, _E.START): _row(_M.alert, _S.ALERTING),
    (_S.ALERTING, _E.SENT): _row(_M.listen, _S.LISTENING),
    (_S.ALERTING, _E.TIMER): _row(_M.give_up, _S.IDLE),
    (_S.LISTENING, _E.ACKNOWLEDGE): _row(_M.prepare, _S.ACKNOWLEDGED),
    (_S.LISTENING, _E.TIMER): _row(_M.restore, _S.IDLE),
    (_S.ACKNOWLEDGED, _E.TIMER): _row(_M.send, _S.SENDING),
    (_S.SENDING, _E.SENT): _row(_M.drain, _S.RESTORING),
    (_S.SENDING, _E.TIMER): _row(_M.give_up, _S.IDLE),
    (_S.RESTORING, _E.TIMER): _row(_M.restore, _S.IDLE),
    **{
        (state, _E.STOP): _row(_M.give_up, _S.IDLE)
        for state in (_S.ALERTING, _S.LISTENING, _S.ACKNOWLEDGED, _S.SENDING, _S.RESTORING)
    },
}
"""All that can happen. Each row is also an edge of the diagram in the documentation."""
