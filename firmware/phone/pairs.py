"""Two legs that have left the handset: transfers, and calls that are forwarded by the device.

A pair is joined here at once, so that both hear each other whatever the far end makes of a REFER
(RFC 3515, RFC 5589); where it carries the transfer out, the pair is let go, else it stays joined
until both have ended. A transfer that fails comes back to the owner of the telephone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from firmware.causes import NORMAL_CLEARING
from firmware.legs import (
    Alert,
    Answer,
    HangUp,
    Hold,
    Join,
    LegAnswered,
    LegEnded,
    LegEvent,
    Part,
    PlaceCall,
    Progress,
    Refer,
    TransferNews,
)
from firmware.phone.values import Note, PhoneOutput, Timeout

_OK = 200
_FAILED = 300


class Stage(Enum):
    """Where a pair can be."""

    NEW = "new"
    REFERRED = "referred"
    """The far end of the first has been asked to call the target; the first hears ringback."""
    EXTENDING = "extending"
    """The second is being called; the first hears ringback, or what the network says."""
    FORWARDING = "forwarding"
    """The same for a first leg that is still offered: it is answered when the second is."""
    JOINED = "joined"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Returned:
    """The transfer failed: its first leg is the owner's again, on hold or not."""

    leg: str
    on_hold: bool


@dataclass(frozen=True, slots=True)
class Attended:
    """Join a leg that is held to one that the owner has called."""

    answered: bool
    first_held: bool = True


@dataclass(frozen=True, slots=True)
class Blind:
    """Send the first leg, which is held, to a number."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Call a number for a leg that is offered."""


@dataclass(frozen=True, slots=True)
class GiveWay:
    """An emergency call needs a leg."""


PairEvent = LegEvent | Timeout | Attended | Blind | Forward | GiveWay
PairOutput = PhoneOutput | Returned


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what is done, and where that may lead."""

    action: Callable[[Pair, PairEvent, float], Stage]
    leads_to: frozenset[Stage]


class Pair:
    """Two legs, of which the second may still have to be called.

    Args:
        first: the leg that stays: transferee, or caller.
        second: the other one; its name even before it is called.
        number: whom the second calls, or is.
        limit_ms: how long a transfer may take.
    """

    def __init__(self, first: str, second: str, number: str, limit_ms: float) -> None:
        self.first = first
        self.second = second
        self.number = number
        self.stage = Stage.NEW
        self.deadline_ms: float | None = None
        self._limit_ms = limit_ms
        self._out: list[PairOutput] = []

    def handle(self, event: PairEvent, now_ms: float) -> list[PairOutput]:
        """Take one event; what follows from it, in order."""
        which = ""
        if isinstance(event, LegEvent):
            which = "first" if event.leg == self.first else "second"
        row = TRANSITIONS.get((self.stage, type(event), which))
        if row is None:
            return []
        self._out = []
        stage = row.action(self, event, now_ms)
        assert stage in row.leads_to, f"{self.stage} {event} must not lead to {stage}"
        self.stage = stage
        return self._out

    # What the rows do

    def attend(self, event: PairEvent, now_ms: float) -> Stage:
        assert isinstance(event, Attended), "the table says so"
        if event.first_held:
            self._out.append(Hold(self.first, False))
        if event.answered:
            return self._join()
        return self._ring_on(now_ms)

    def refer(self, _: PairEvent, now_ms: float) -> Stage:
        # He who waits is on hold no more, and hears that somebody is called for him.
        self._out += [Hold(self.first, False), Join(self.first, self.second, ringback=True)]
        self._out.append(Refer(self.first, self.number))
        self.deadline_ms = now_ms + self._limit_ms
        return Stage.REFERRED

    def forward(self, _: PairEvent, now_ms: float) -> Stage:
        self._out += [Alert(self.first), PlaceCall(self.second, self.number)]
        self.deadline_ms = now_ms + self._limit_ms
        return Stage.FORWARDING

    def _ring_on(self, now_ms: float) -> Stage:
        self._out.append(Join(self.first, self.second, ringback=True))
        self.deadline_ms = now_ms + self._limit_ms
        return Stage.EXTENDING

    def _join(self) -> Stage:
        self.deadline_ms = None
        self._out += [Join(self.first, self.second), Refer(self.first, replaces=self.second)]
        return Stage.JOINED

    def heard_of(self, event: PairEvent, now_ms: float) -> Stage:
        """News of a blind transfer: on its way, done, failed, or refused by the far end."""
        assert isinstance(event, TransferNews), "the table says so"
        if event.status < _OK and not event.refused:
            return Stage.REFERRED
        if event.refused:
            self._out += [Note("transfer is made here", self.first, f"SIP {event.status}")]
            self._out.append(PlaceCall(self.second, self.number))
            return self._ring_on(now_ms)
        if event.status >= _FAILED:
            return self._come_back(False, f"SIP {event.status}")
        self._out.append(Part(self.first, self.second))
        self._out += [HangUp(self.first, NORMAL_CLEARING), Note("transferred", self.first)]
        return self._end()

    def media(self, event: PairEvent, now_ms: float) -> Stage:
        assert isinstance(event, Progress), "the table says so"
        if event.media:
            self._out.append(Join(self.first, self.second))
        return Stage.EXTENDING

    def answered(self, _: PairEvent, now_ms: float) -> Stage:
        return self._join()

    def deliver(self, _: PairEvent, now_ms: float) -> Stage:
        """The number that a call is forwarded to has answered."""
        self.deadline_ms = None
        self._out += [Answer(self.first), Join(self.first, self.second)]
        return Stage.JOINED

    def settle(self, event: PairEvent, now_ms: float) -> Stage:
        """The far end has joined the two by itself, or not: then they stay joined here."""
        assert isinstance(event, TransferNews), "the table says so"
        if event.refused or event.status >= _FAILED:
            self._out.append(Note("transfer is made here", self.first, f"SIP {event.status}"))
        elif event.status >= _OK:
            self._out.append(Part(self.first, self.second))
            self._out += [HangUp(leg, NORMAL_CLEARING) for leg in (self.first, self.second)]
            self._out.append(Note("transferred", self.first))
            return self._end()
        return Stage.JOINED

    def first_gone(self, _: PairEvent, now_ms: float) -> Stage:
        self._out += [Part(self.first, self.second), HangUp(self.second, NORMAL_CLEARING)]
        return self._end()

    def second_gone(self, _: PairEvent, now_ms: float) -> Stage:
        self._out += [Part(self.first, self.second), HangUp(self.first, NORMAL_CLEARING)]
        return self._end()

    def refused(self, event: PairEvent, now_ms: float) -> Stage:
        """The number that a call is forwarded to has refused: its caller is told the same."""
        assert isinstance(event, LegEnded), "the table says so"
        self._out.append(HangUp(self.first, event.cause.q850))
        return self._end()

    def unreached(self, event: PairEvent, now_ms: float) -> Stage:
        assert isinstance(event, LegEnded), "the table says so"
        return self._come_back(False, f"Q.850 {event.cause.q850}")

    def transferee_gone(self, _: PairEvent, now_ms: float) -> Stage:
        """He has hung up, or his server has moved him away: in both cases that was all."""
        self._out.append(Part(self.first, self.second))
        return self._end()

    def too_long(self, _: PairEvent, now_ms: float) -> Stage:
        if self.stage is Stage.REFERRED:
            return self._come_back(False, "nothing was heard of it")
        self._out.append(HangUp(self.second, NORMAL_CLEARING))
        if self.stage is Stage.FORWARDING:
            self._out.append(HangUp(self.first, NORMAL_CLEARING))
            return self._end()
        return self._come_back(False, "no answer")

    def give_way(self, _: PairEvent, now_ms: float) -> Stage:
        self._out.append(Note("ended for an emergency call", self.first))
        if self.stage is not Stage.REFERRED:
            self._out += [Part(self.first, self.second), HangUp(self.second, NORMAL_CLEARING)]
        self._out.append(HangUp(self.first, NORMAL_CLEARING))
        return self._end()

    @property
    def legs(self) -> int:
        """How many it has."""
        return 1 if self.stage is Stage.REFERRED else 2

    def _come_back(self, on_hold: bool, why: str) -> Stage:
        self._out += [Part(self.first, self.second), Note("transfer failed", self.first, why)]
        self._out.append(Returned(self.first, on_hold))
        return self._end()

    def _end(self) -> Stage:
        self.deadline_ms = None
        return Stage.OVER


def _row(action: Callable[[Pair, PairEvent, float], Stage], *leads_to: Stage) -> Row:
    return Row(action, frozenset(leads_to))


_P, _S = Pair, Stage

TRANSITIONS: dict[tuple[Stage, type, str], Row] = {
    (_S.NEW, Attended, ""): _row(_P.attend, _S.JOINED, _S.EXTENDING),
    (_S.NEW, Blind, ""): _row(_P.refer, _S.REFERRED),
    (_S.NEW, Forward, ""): _row(_P.forward, _S.FORWARDING),
    (_S.REFERRED, TransferNews, "first"): _row(_P.heard_of, _S.REFERRED, _S.EXTENDING, _S.OVER),
    (_S.REFERRED, LegEnded, "first"): _row(_P.transferee_gone, _S.OVER),
    (_S.REFERRED, Timeout, ""): _row(_P.too_long, _S.OVER),
    (_S.EXTENDING, Progress, "second"): _row(_P.media, _S.EXTENDING),
    (_S.EXTENDING, LegAnswered, "second"): _row(_P.answered, _S.JOINED),
    (_S.EXTENDING, LegEnded, "first"): _row(_P.first_gone, _S.OVER),
    (_S.EXTENDING, LegEnded, "second"): _row(_P.unreached, _S.OVER),
    (_S.EXTENDING, Timeout, ""): _row(_P.too_long, _S.OVER),
    (_S.FORWARDING, LegAnswered, "second"): _row(_P.deliver, _S.JOINED),
    (_S.FORWARDING, LegEnded, "first"): _row(_P.first_gone, _S.OVER),
    (_S.FORWARDING, LegEnded, "second"): _row(_P.refused, _S.OVER),
    (_S.FORWARDING, Timeout, ""): _row(_P.too_long, _S.OVER),
    (_S.JOINED, TransferNews, "first"): _row(_P.settle, _S.JOINED, _S.OVER),
    (_S.JOINED, LegEnded, "first"): _row(_P.first_gone, _S.OVER),
    (_S.JOINED, LegEnded, "second"): _row(_P.second_gone, _S.OVER),
    **{
        (stage, GiveWay, ""): _row(_P.give_way, _S.OVER)
        for stage in (_S.REFERRED, _S.EXTENDING, _S.FORWARDING, _S.JOINED)
    },
}
"""All that can happen. Each row is also an edge of the diagram in the documentation."""
