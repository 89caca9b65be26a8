"""The machine of a telephone: which leg is what, whose event it is, when something is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from firmware.causes import USER_BUSY
from firmware.dialplan import DialPlan
from firmware.legs import MOST_LEGS, Connect, HangUp, LegEnded, LegEvent, Offered, PlaceCall
from firmware.phone.features import Features
from firmware.phone.incoming import screen, take_back, take_free
from firmware.phone.pairs import (
    Attended,
    Blind,
    Forward,
    GiveWay,
    Pair,
    PairOutput,
    Returned,
    Stage,
)
from firmware.phone.redial import Begin, Cancel, Free, Redial, RedialOutput
from firmware.phone.rows import Row
from firmware.phone.table import BACKGROUND, TRANSITIONS
from firmware.phone.values import (
    Call,
    Note,
    OutOfOrder,
    PhoneEvent,
    PhoneInput,
    PhoneOptions,
    PhoneOutput,
    PhoneTimes,
    Remember,
    Role,
    Timeout,
    WaitingOver,
)
from hal.caller_id.message import NOBODY, Caller

_MOST_PAIRS = 2


class PhoneMachine:
    """One telephone on one line.

    Args:
        plan: of the line; what is called back goes through its digit map.
        rings: how a call is announced (`Offered.alert`) to the name of a distinctive ring.
    """

    def __init__(
        self,
        times: PhoneTimes | None = None,
        options: PhoneOptions | None = None,
        features: Features | None = None,
        plan: DialPlan | None = None,
        rings: Callable[[str], str] = lambda _: "",
    ) -> None:
        self.state = Call.IDLE
        self.leg = ""
        """The leg at hand; empty when there is none."""
        self.held = ""
        self.waiting = ""
        self.joined = ""
        self.consulting = False
        """The leg at hand, or the last one, was called while another was on hold."""
        self.emergency = False
        """The leg at hand is an emergency call."""
        self.withheld = False
        self.no_waiting = False
        """Call waiting is off for this call."""
        self.pending = ""
        """The feature that the next number is for."""
        self.recalls = Call.TALKING
        """What lifting the receiver leads to while it rings for a leg of its own."""
        self.out_of_order = False
        """The line cannot ring, or bears a voltage that may be dangerous, and must not."""
        self.callback_until_ms = 0.0
        self.due_ms: float | None = None
        """Deadline of the leg at hand."""
        self.waiting_due_ms: float | None = None
        self.callers: dict[str, Caller] = {}
        """Who is at the other end of each leg."""
        self.times = times or PhoneTimes()
        self.options = options or PhoneOptions()
        self.features = features or Features()
        self.plan = plan
        self.ring_of = rings
        self.out: list[PhoneOutput] = []
        self.pairs: list[Pair] = []
        self.redial = Redial(self.times, self.new_leg, lambda: self.state is Call.IDLE)
        self.ignored = 0
        """Events that meant nothing: of other legs, or in the wrong state."""
        self._placed = 0
        self.forget_call()

    def handle(self, event: PhoneInput, now_ms: float) -> list[PhoneOutput]:
        """Take one event; what follows from it, in order."""
        self.out = []
        if isinstance(event, LegEvent):
            self._leg_event(event, now_ms)
        else:
            self._step(event, now_ms)
        return self.out

    @property
    def deadline_ms(self) -> float | None:
        """When to call `handle_timer` if nothing happens before."""
        pairs = (pair.deadline_ms for pair in self.pairs)
        own = (self.due_ms, self.waiting_due_ms, self.redial.deadline_ms)
        return min((one for one in chain(own, pairs) if one is not None), default=None)

    def set_out_of_order(self, out: bool, now_ms: float) -> list[PhoneOutput]:
        """The line cannot ring any more, or can again; whoever it rings for is told at once."""
        self.out = []
        began = out and not self.out_of_order
        self.out_of_order = out
        if began:
            self._step(OutOfOrder(), now_ms)
        return self.out

    def handle_timer(self, now_ms: float) -> list[PhoneOutput]:
        """Call when `deadline_ms` has come; earlier does no harm."""
        self.out = []
        if self.due_ms is not None and now_ms >= self.due_ms:
            self.due_ms = None
            self._step(Timeout(), now_ms)
        if self.waiting_due_ms is not None and now_ms >= self.waiting_due_ms:
            self.waiting_due_ms = None
            self._beside(Role.WAITING, Timeout(), now_ms)
        for pair in list(self.pairs):
            if pair.deadline_ms is not None and now_ms >= pair.deadline_ms:
                self._pair(pair, pair.handle(Timeout(), now_ms), now_ms)
        due_ms = self.redial.deadline_ms
        if due_ms is not None and now_ms >= due_ms:
            self._redialled(self.redial.handle(Timeout(), now_ms), now_ms)
        return self.out

    # Whose event it is

    def role(self, leg: str) -> Role | None:
        """What a leg is to this telephone; None for one that it does not know."""
        roles = {
            self.leg: Role.FOREGROUND,
            self.held: Role.HELD,
            self.waiting: Role.WAITING,
            self.joined: Role.JOINED,
        }
        return roles.get(leg) if leg else None

    def _leg_event(self, event: LegEvent, now_ms: float) -> None:
        if isinstance(event, Offered):
            self.callers[event.leg] = Caller(event.caller, event.name, event.withheld)
            screen(self, event, now_ms)
            return
        pair = next((one for one in self.pairs if event.leg in (one.first, one.second)), None)
        role = self.role(event.leg)
        if pair is not None:
            self._pair(pair, pair.handle(event, now_ms), now_ms)
        elif self.redial.leg and event.leg == self.redial.leg:
            self._redialled(self.redial.handle(event, now_ms), now_ms)
        elif role is Role.FOREGROUND:
            self._step(event, now_ms)
        elif role is not None:
            self._beside(role, event, now_ms)
        else:
            self.ignored += 1
        if isinstance(event, LegEnded):
            self.callers.pop(event.leg, None)

    def _step(self, event: PhoneEvent, now_ms: float) -> None:
        row = TRANSITIONS.get((self.state, type(event)))
        if row is None:
            self.ignored += 1
            return
        self._follow(row, event, now_ms)

    def _beside(self, role: Role, event: PhoneEvent, now_ms: float) -> None:
        row = BACKGROUND.get((role, type(event)))
        if row is None:
            self.ignored += 1
            return
        self._follow(row, event, now_ms)

    def _follow(self, row: Row, event: PhoneEvent, now_ms: float) -> None:
        state = row.action(self, event, now_ms)
        assert state in row.leads_to, f"{self.state} {event} must not lead to {state}"
        self.state = state

    # What several rows do

    def say(self, *outputs: PhoneOutput) -> None:
        """Want these things done, in order."""
        self.out.extend(outputs)

    def new_leg(self) -> str:
        """A name for a leg that is begun here."""
        self._placed += 1
        return f"out{self._placed}"

    def call(self, number: str, emergency: bool, now_ms: float) -> Call:
        """Begin a call of the owner's. An emergency call finds a leg whatever is on the others."""
        if emergency:
            self._make_room(now_ms)
        self.leg = self.new_leg()
        self.callers[self.leg] = Caller(number)
        self.consulting = bool(self.held)
        self.emergency = emergency
        withheld = self.withheld and not emergency
        self.say(PlaceCall(self.leg, number, withheld, emergency))
        self.due_ms = now_ms + self.times.setup_ms
        if emergency:
            self.callback_until_ms = now_ms + self.times.callback_ms
        else:
            self.remember(last_dialled=number)
        return Call.CALLING

    def _make_room(self, now_ms: float) -> None:
        """What the owner has given away ends for an emergency call, the latest first."""
        if self._legs >= MOST_LEGS and self.redial.leg:
            self.repeat(Cancel(), now_ms)
        while self._legs >= MOST_LEGS and self.pairs:
            pair = self.pairs[-1]
            self._pair(pair, pair.handle(GiveWay(), now_ms), now_ms)
        if self._legs >= MOST_LEGS and self.waiting:
            self.say(HangUp(self.drop_waiting(), USER_BUSY))

    @property
    def _legs(self) -> int:
        """How many there are, beside the one at hand."""
        own = sum(1 for leg in (self.held, self.waiting, self.joined, self.redial.leg) if leg)
        return own + sum(pair.legs for pair in self.pairs)

    def remember(self, **changes: object) -> None:
        """Change what outlives a restart."""
        try:
            features = Features.from_row({**self.features.to_row(), **changes})
        except ValueError as error:  # a digit map can make a number of any length
            self.say(Note("not kept", "", str(error)))
            return
        if features != self.features:
            self.features = features
            self.say(Remember(features))

    def caller(self, leg: str) -> Caller:
        """Who is at the other end of a leg."""
        return self.callers.get(leg, NOBODY)

    def connect(self, *legs: str) -> None:
        """Join these legs to the handset, and nobody else."""
        self.say(Connect(legs))

    def drop(self) -> str:
        """Forget the leg at hand; its name."""
        leg, self.leg = self.leg, ""
        self.due_ms = None
        self.emergency = False
        return leg

    def drop_waiting(self) -> str:
        """Forget the leg that waits; its name."""
        leg, self.waiting = self.waiting, ""
        self.waiting_due_ms = None
        self.say(WaitingOver())
        return leg

    def forget_call(self) -> None:
        """What was asked for one call alone holds no longer; *70 holds while a leg is left."""
        self.withheld = self.options.withheld
        self.pending = ""
        if not (self.leg or self.held):
            self.no_waiting = False

    def carry_data(self, leg: str, why: str) -> list[PhoneOutput]:
        """A fax machine or modem is on a leg: no beep may disturb it, so nobody waits."""
        self.out = []
        self.no_waiting = True
        self.say(Note("data call", leg, why))
        return self.out

    # Pairs and repeat dialling

    def pair(
        self, first: str, second: str, how: Attended | Blind | Forward, number: str, now_ms: float
    ) -> None:
        """Give two legs away."""
        pair = Pair(first, second or self.new_leg(), number, self.times.transfer_ms)
        self.pairs.append(pair)
        self._pair(pair, pair.handle(how, now_ms), now_ms)

    @property
    def may_pair(self) -> bool:
        """False when so many legs have been given away that none more can be."""
        return len(self.pairs) < _MOST_PAIRS

    def _pair(self, pair: Pair, outputs: Iterable[PairOutput], now_ms: float) -> None:
        if pair.stage is Stage.OVER:
            self.pairs.remove(pair)
        for output in outputs:
            if isinstance(output, Returned):
                self.state = take_back(self, output, now_ms)
            else:
                self.out.append(output)

    def repeat(self, event: Begin | Cancel, now_ms: float) -> None:
        """Begin or end repeat dialling."""
        self._redialled(self.redial.handle(event, now_ms), now_ms)

    def _redialled(self, outputs: Iterable[RedialOutput], now_ms: float) -> None:
        for output in outputs:
            if isinstance(output, Free):
                self.state = take_free(self, output, now_ms)
            else:
                self.out.append(output)
