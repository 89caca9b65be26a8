"""A telephone: joins its line to legs. A table without I/O.

`PhoneMachine` takes news of the line (`firmware.line`) and events of legs (`firmware.legs`), and
answers commands for both. One leg at a time: whoever calls meanwhile hears busy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from firmware.causes import (
    NO_ANSWER,
    NORMAL_CLEARING,
    USER_BUSY,
    Cause,
    tone_of,
)
from firmware.legs import (
    Alert,
    Answer,
    Connect,
    HangUp,
    LegAnswered,
    LegCommand,
    LegEnded,
    LegEvent,
    Offered,
    PlaceCall,
    Progress,
    SendDigit,
)
from firmware.line import (
    DialFailed,
    Dialled,
    Event,
    Flashed,
    HungUp,
    KeyPressed,
    Lifted,
    LineNews,
    Seized,
    Stimulus,
)
from hal.caller_id.message import Caller


class Call(Enum):
    """Where a telephone can be."""

    IDLE = "idle"
    SEIZED = "seized"
    """The receiver is off, and no leg is there: dialling, or the call is over."""
    CALLING = "calling"
    ALERTING = "alerting"
    """The far end rings; ringback is made here."""
    EARLY_MEDIA = "early_media"
    """The network's own audio is heard before an answer."""
    RINGING = "ringing"
    ANSWERING = "answering"
    TALKING = "talking"


@dataclass(frozen=True, slots=True)
class PhoneTimes:
    """Time-outs of a telephone."""

    ring_ms: int = 180_000
    """An offered call that nobody answers is refused (Q.850 19)."""
    setup_ms: int = 240_000
    """A call that brings neither answer nor end is given up (RFC 3261, 13.2.1: at least 180 s)."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the log should say."""

    text: str
    leg: str = ""
    detail: str = ""


PhoneOutput = LegCommand | Stimulus | Note
PhoneInput = LineNews | LegEvent


@dataclass(frozen=True, slots=True)
class Timeout:
    """`PhoneMachine.deadline_ms` has come."""


Action = Callable[["PhoneMachine", "PhoneInput | Timeout", float], Call]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what is done, and where that may lead."""

    action: Action
    leads_to: frozenset[Call]


class PhoneMachine:
    """One telephone on one line."""

    def __init__(self, times: PhoneTimes | None = None) -> None:
        self.state = Call.IDLE
        self.leg = ""
        """The leg at hand; empty when there is none."""
        self.deadline_ms: float | None = None
        self.ignored = 0
        """Events that meant nothing: of other legs, or in the wrong state."""
        self._times = times or PhoneTimes()
        self._placed = 0
        self._out: list[PhoneOutput] = []

    def handle(self, event: PhoneInput | Timeout, now_ms: float) -> list[PhoneOutput]:
        """Take one event; what follows from it, in order."""
        self._out = []
        if isinstance(event, Offered):
            if self.state is not Call.IDLE:
                self._out += [HangUp(event.leg, USER_BUSY), Note("refused busy", event.leg)]
                return self._out
        elif isinstance(event, LegEvent) and event.leg != self.leg:
            self.ignored += 1
            return []
        row = TRANSITIONS.get((self.state, type(event)))
        if row is None:
            self.ignored += 1
            return []
        state = row.action(self, event, now_ms)
        assert state in row.leads_to, f"{self.state} {event} must not lead to {state}"
        self.state = state
        return self._out

    def handle_timer(self, now_ms: float) -> list[PhoneOutput]:
        """Call when `deadline_ms` has come."""
        if self.deadline_ms is None or now_ms < self.deadline_ms:
            return []
        self.deadline_ms = None
        return self.handle(Timeout(), now_ms)

    # What the rows do

    def seize(self, _: PhoneInput | Timeout, now_ms: float) -> Call:
        return Call.SEIZED

    def failed(self, event: PhoneInput | Timeout, now_ms: float) -> Call:
        assert isinstance(event, DialFailed), "the table says so"
        self._out.append(Note("dial failed", "", f"{event.reason}: {event.digits}"))
        return Call.SEIZED

    def place(self, event: PhoneInput | Timeout, now_ms: float) -> Call:
        assert isinstance(event, Dialled), "the table says so"
        self._placed += 1
        self.leg = f"out{self._placed}"
        self._out.append(PlaceCall(self.leg, event.number))
        self.deadline_ms = now_ms + self._times.setup_ms
        return Call.CALLING

    def offered(self, event: PhoneInput | Timeout, now_ms: float) -> Call:
        assert isinstance(event, Offered), "the table says so"
        self.leg = event.leg
        self.deadline_ms = now_ms + self._times.ring_ms
        caller = Caller(event.caller, event.name, event.withheld)
        self._out += [Alert(event.leg), Stimulus(Event.RING, caller=caller)]
        self._out.append(Note("ringing", event.leg, event.caller))
        return Call.RINGING

    def progress(self, event: PhoneInput | Timeout, now_ms: float) -> Call:
        assert isinstance(event, Progress), "the table says so"
        if event.media:
            self._out += [Connect(self.leg), Stimulus(Event.SOUND, tone="")]
            return Call.EARLY_MEDIA
        if self.state is Call.EARLY_MEDIA:
            return Call.EARLY_MEDIA
        if self.state is Call.CALLING:
            self._out.append(Stimulus(Event.SOUND, tone="ringback"))
        return Call.ALERTING

    def talk(self, _: PhoneInput | Timeout, now_ms: float) -> Call:
        self.deadline_ms = None
        self._out += [Connect(self.leg), Stimulus(Event.SOUND, tone="")]
        self._out.append(Note("talking", self.leg))
        return Call.TALKING

    def answer(self, _: PhoneInput | Timeout, now_ms: float) -> Call:
        self.deadline_ms = None
        self._out.append(Answer(self.leg))
        return Call.ANSWERING

    def abandon(self, _: PhoneInput | Timeout, now_ms: float) -> Call:
        """The receiver is put back with a leg at hand."""
        self._out += [Connect(None), HangUp(self._forget(), NORMAL_CLEARING)]
        return Call.IDLE

    def rest(self, _: PhoneInput | Timeout, now_ms: float) -> Call:
        return Call.IDLE

    def caller_gone(self, event: PhoneInput | Timeout, now_ms: float) -> Call:
        self._forget()
        self._out.append(Stimulus(Event.STOP_RING))
        return Call.IDLE

    def nobody_home(self, _: PhoneInput | Timeout, now_ms: float) -> Call:
        self._out += [HangUp(self._forget(), NO_ANSWER), Stimulus(Event.STOP_RING)]
        return Call.IDLE

    def give_up(self, _: PhoneInput | Timeout, now_ms: float) -> Call:
        self._out += [Connect(None), HangUp(self._forget(), NORMAL_CLEARING)]
        self._out.append(Stimulus(Event.END, tone="reorder"))
        return Call.SEIZED

    def call_failed(self, event: PhoneInput | Timeout, now_ms: float) -> Call:
        assert isinstance(event, LegEnded), "the table says so"
        tone = tone_of(event.cause)
        self._out += [Connect(None), Stimulus(Event.END, tone=tone)]
        self._out.append(Note("call failed", self._forget(), _say(event.cause)))
        return Call.SEIZED

    def far_end_gone(self, event: PhoneInput | Timeout, now_ms: float) -> Call:
        assert isinstance(event, LegEnded), "the table says so"
        self._out.append(Connect(None))
        normal = event.cause.q850 == NORMAL_CLEARING
        tone = "" if normal else tone_of(event.cause)
        self._out.append(Stimulus(Event.END, tone=tone, by_far_end=normal))
        self._out.append(Note("far end hung up", self._forget(), _say(event.cause)))
        return Call.SEIZED

    def key(self, event: PhoneInput | Timeout, now_ms: float) -> Call:
        assert isinstance(event, KeyPressed), "the table says so"
        self._out.append(SendDigit(self.leg, event.digit, event.audible))
        return self.state

    def flashed(self, _: PhoneInput | Timeout, now_ms: float) -> Call:
        self._out.append(Note("flash", self.leg))
        return self.state

    def _forget(self) -> str:
        leg, self.leg = self.leg, ""
        self.deadline_ms = None
        return leg


def _say(cause: Cause) -> str:
    status = f" SIP {cause.status}" if cause.status else ""
    return f"Q.850 {cause.q850}{status} {cause.text}".rstrip()


def _row(action: Action, *leads_to: Call) -> Row:
    return Row(action, frozenset(leads_to))


_P, _C = PhoneMachine, Call
_PROGRESS = (_C.ALERTING, _C.EARLY_MEDIA)

TRANSITIONS: dict[tuple[Call, type], Row] = {
    (_C.IDLE, Seized): _row(_P.seize, _C.SEIZED),
    (_C.IDLE, Offered): _row(_P.offered, _C.RINGING),
    (_C.SEIZED, Seized): _row(_P.seize, _C.SEIZED),
    (_C.SEIZED, DialFailed): _row(_P.failed, _C.SEIZED),
    (_C.SEIZED, Dialled): _row(_P.place, _C.CALLING),
    (_C.SEIZED, HungUp): _row(_P.rest, _C.IDLE),
    (_C.RINGING, Lifted): _row(_P.answer, _C.ANSWERING),
    (_C.RINGING, LegEnded): _row(_P.caller_gone, _C.IDLE),
    (_C.RINGING, Timeout): _row(_P.nobody_home, _C.IDLE),
    (_C.ANSWERING, LegAnswered): _row(_P.talk, _C.TALKING),
    (_C.ANSWERING, LegEnded): _row(_P.far_end_gone, _C.SEIZED),
    (_C.ANSWERING, HungUp): _row(_P.abandon, _C.IDLE),
    (_C.CALLING, Progress): _row(_P.progress, *_PROGRESS),
    (_C.ALERTING, Progress): _row(_P.progress, *_PROGRESS),
    (_C.EARLY_MEDIA, Progress): _row(_P.progress, *_PROGRESS),
    (_C.EARLY_MEDIA, KeyPressed): _row(_P.key, _C.EARLY_MEDIA),
    (_C.TALKING, KeyPressed): _row(_P.key, _C.TALKING),
    (_C.TALKING, Flashed): _row(_P.flashed, _C.TALKING),
    (_C.TALKING, LegEnded): _row(_P.far_end_gone, _C.SEIZED),
    (_C.TALKING, HungUp): _row(_P.abandon, _C.IDLE),
    **{
        (state, event): row
        for state in (_C.CALLING, _C.ALERTING, _C.EARLY_MEDIA)
        for event, row in {
            LegAnswered: _row(_P.talk, _C.TALKING),
            LegEnded: _row(_P.call_failed, _C.SEIZED),
            HungUp: _row(_P.abandon, _C.IDLE),
            Timeout: _row(_P.give_up, _C.SEIZED),
        }.items()
    },
}
"""All that can happen. Each row is also an edge of the diagram in the documentation."""
