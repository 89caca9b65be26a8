"""Repeat dialling of a busy number: a table of its own beside a telephone.

It calls while the telephone is idle. A number that is still busy is tried again; one that rings or
answers is handed over, and the telephone rings for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from firmware.causes import BUSY_CAUSES, NORMAL_CLEARING
from firmware.legs import HangUp, LegAnswered, LegEnded, LegEvent, PlaceCall, Progress
from firmware.phone.values import Note, PhoneOutput, PhoneTimes, Timeout

_FIRST_MS = 5_000
"""After the code was dialled: the receiver has to be put back first."""
_TRY_MS = 60_000
"""A call of which nothing is heard for so long is given up."""


class Trial(Enum):
    """Where repeat dialling can be."""

    OFF = "off"
    WAITING = "waiting"
    TRYING = "trying"


@dataclass(frozen=True, slots=True)
class Begin:
    """Try a number until it is free."""

    number: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Try no longer."""


@dataclass(frozen=True, slots=True)
class Free:
    """The number rings or has answered: its leg is the telephone's now."""

    leg: str
    number: str
    answered: bool
    media: bool


RedialEvent = LegEvent | Timeout | Begin | Cancel
RedialOutput = PhoneOutput | Free


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what is done, and where that may lead."""

    action: Callable[[Redial, RedialEvent, float], Trial]
    leads_to: frozenset[Trial]


class Redial:
    """Repeat dialling of one telephone.

    Args:
        name_leg: makes the name of a new leg.
        idle: says whether the telephone is.
    """

    def __init__(
        self, times: PhoneTimes, name_leg: Callable[[], str], idle: Callable[[], bool]
    ) -> None:
        self.trial = Trial.OFF
        self.leg = ""
        self.deadline_ms: float | None = None
        self._times = times
        self._name_leg = name_leg
        self._idle = idle
        self._number = ""
        self._until_ms = 0.0
        self._out: list[RedialOutput] = []

    def handle(self, event: RedialEvent, now_ms: float) -> list[RedialOutput]:
        """Take one event; what follows from it, in order."""
        row = TRANSITIONS.get((self.trial, type(event)))
        if row is None:
            return []
        self._out = []
        trial = row.action(self, event, now_ms)
        assert trial in row.leads_to, f"{self.trial} {event} must not lead to {trial}"
        self.trial = trial
        return self._out

    # What the rows do

    def begin(self, event: RedialEvent, now_ms: float) -> Trial:
        assert isinstance(event, Begin), "the table says so"
        self._number = event.number
        self._until_ms = now_ms + self._times.redial_for_ms
        self.deadline_ms = now_ms + _FIRST_MS
        return Trial.WAITING

    def attempt(self, _: RedialEvent, now_ms: float) -> Trial:
        if now_ms >= self._until_ms:
            self._out.append(Note("repeat dialling is over", "", self._number))
            return self._end()
        if not self._idle():
            self.deadline_ms = now_ms + _FIRST_MS
            return Trial.WAITING
        self.leg = self._name_leg()
        self._out.append(PlaceCall(self.leg, self._number))
        self.deadline_ms = now_ms + _TRY_MS
        return Trial.TRYING

    def ended(self, event: RedialEvent, now_ms: float) -> Trial:
        assert isinstance(event, LegEnded), "the table says so"
        self.leg = ""
        if event.cause.q850 not in BUSY_CAUSES:
            self._out.append(Note("repeat dialling failed", event.leg, event.cause.text))
            return self._end()
        self.deadline_ms = now_ms + self._times.redial_every_ms
        return Trial.WAITING

    def free(self, event: RedialEvent, now_ms: float) -> Trial:
        leg, self.leg = self.leg, ""
        if not self._idle():  # the owner has just begun something else
            self._out.append(HangUp(leg, NORMAL_CLEARING))
            self.deadline_ms = now_ms + self._times.redial_every_ms
            return Trial.WAITING
        media = isinstance(event, Progress) and event.media
        self._out.append(Free(leg, self._number, isinstance(event, LegAnswered), media))
        return self._end()

    def cancel(self, _: RedialEvent, now_ms: float) -> Trial:
        if self.leg:
            self._out.append(HangUp(self.leg, NORMAL_CLEARING))
        return self._end()

    def give_up(self, _: RedialEvent, now_ms: float) -> Trial:
        leg, self.leg = self.leg, ""
        self._out.append(HangUp(leg, NORMAL_CLEARING))
        self.deadline_ms = now_ms + self._times.redial_every_ms
        return Trial.WAITING

    def _end(self) -> Trial:
        self.leg = ""
        self.deadline_ms = None
        return Trial.OFF


def _row(action: Callable[[Redial, RedialEvent, float], Trial], *leads_to: Trial) -> Row:
    return Row(action, frozenset(leads_to))


_R, _T = Redial, Trial

TRANSITIONS: dict[tuple[Trial, type], Row] = {
    (_T.OFF, Begin): _row(_R.begin, _T.WAITING),
    (_T.WAITING, Begin): _row(_R.begin, _T.WAITING),
    (_T.WAITING, Cancel): _row(_R.cancel, _T.OFF),
    (_T.WAITING, Timeout): _row(_R.attempt, _T.WAITING, _T.TRYING, _T.OFF),
    (_T.TRYING, Cancel): _row(_R.cancel, _T.OFF),
    (_T.TRYING, LegEnded): _row(_R.ended, _T.WAITING, _T.OFF),
    (_T.TRYING, Progress): _row(_R.free, _T.OFF, _T.WAITING),
    (_T.TRYING, LegAnswered): _row(_R.free, _T.OFF, _T.WAITING),
    (_T.TRYING, Timeout): _row(_R.give_up, _T.WAITING),
}
"""All that can happen. Each row is also an edge of the diagram in the documentation."""
