"""One line as its user knows it: dial tone, digits, ringing, the tones after a call.

A table of states without I/O. `LineMachine` takes what the hook and the keys say and what
`firmware.phone` wants, each with `now_ms`, and answers commands for the hardware and news for the
telephone. What has no row in `TRANSITIONS` means nothing in that state, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from firmware.dialplan import DialPlan
from firmware.digitmap import MOST_DIGITS
from firmware.line_values import (
    AfterHangUp,
    Audio,
    DialFailed,
    Dialled,
    Event,
    FeatureDialled,
    Flashed,
    HungUp,
    KeyPressed,
    Lifted,
    LineOutput,
    LineTimes,
    OpenLoop,
    Ring,
    Seized,
    Sound,
    State,
    Stimulus,
    StopRing,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what is done, and where that may lead."""

    action: Callable[[LineMachine, Stimulus, float], State]
    leads_to: frozenset[State]


class LineMachine:
    """One line.

    Args:
        plan: which numbers and service codes there are.
        times: the time-outs.
        after_hang_up: what is heard when the far end has hung up.
        terminator: key that ends a number at once; empty for none.
        hotline: number that is dialled for whoever lifts the receiver; empty for none.
    """

    def __init__(
        self,
        plan: DialPlan,
        times: LineTimes,
        after_hang_up: AfterHangUp = "reorder",
        terminator: str = "#",
        hotline: str = "",
    ) -> None:
        self.state = State.ON_HOOK
        self.deadline_ms: float | None = None
        self.messages_wait = False
        """Then dial tone stutters at first."""
        self.reminds = False
        """Calls are forwarded or not to disturb: it stutters, too."""
        self.plan = plan
        self.ignored = 0
        """Events that meant nothing in the state they came in."""
        self._times = times
        self._after = after_hang_up
        self._terminator = terminator
        self._hotline = hotline
        self._registered = False
        self._digits = ""
        self._fresh = True
        """The receiver was lifted for this number: a hotline may dial."""
        self._speed_dial = False
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

    def registered(self, registered: bool) -> list[LineOutput]:
        """The device can be called, or no longer: a line without service has no dial tone."""
        self._registered = registered
        if self.state is not State.DIAL_TONE or not self._fresh:
            return []
        tone = "stutter" if self.messages_wait or self.reminds else "dial"
        return [Sound(tone if registered else "")]

    # What the rows do

    def _wait(self, now_ms: float, ms: int) -> None:
        self.deadline_ms = now_ms + ms

    def lift_to_dial(self, _: Stimulus, now_ms: float) -> State:
        self._out.append(Audio(True))
        self._out.append(Seized())
        if self._hotline and not self._times.hotline_ms:
            return self._dial_hotline(now_ms)
        return self.dial_tone(now_ms)

    def find_off(self, stimulus: Stimulus, now_ms: float) -> State:
        """After a reboot, or a fault of the line, with the receiver off: no hotline may call, and
        nobody is invited to dial. Who may have it at his ear, in a call that a fault has ended,
        hears reorder before the howler."""
        self._out += [Audio(True), Seized()]
        if stimulus.tone != "howler":
            return self.play_end(stimulus.tone, now_ms)
        return self.howl(stimulus, now_ms)

    def dial_tone(self, now_ms: float) -> State:
        """Invite to dial: steady, stuttering where something is to be told, or not at all."""
        tone = "stutter" if self.messages_wait or self.reminds else "dial"
        self._fresh = True
        return self._await_digits(tone if self._registered else "", now_ms)

    def _await_digits(self, tone: str, now_ms: float) -> State:
        self._digits, self._speed_dial = "", False
        self._out.append(Sound(tone))
        warm = self._hotline and self._fresh and self._times.hotline_ms
        self._wait(now_ms, self._times.hotline_ms if warm else self._times.dial_tone_ms)
        return State.DIAL_TONE

    def recall(self, stimulus: Stimulus, now_ms: float) -> State:
        """The telephone wants a number: after a flash, or for a service code."""
        if not stimulus.tone:
            return self.dial_tone(now_ms)
        self._fresh = False
        state = self._await_digits(stimulus.tone, now_ms)
        self._speed_dial = stimulus.speed_dial
        return state

    def _dial_hotline(self, now_ms: float) -> State:
        self._digits = self._hotline
        emergency = self.plan.is_emergency(self._hotline)
        self._out += [Sound(""), Dialled(self._hotline, emergency)]
        self.deadline_ms = None
        return State.IN_CALL

    def lift_to_answer(self, _: Stimulus, now_ms: float) -> State:
        self._out += [StopRing(), Audio(True), Sound(""), Lifted()]
        self.deadline_ms = None
        return State.IN_CALL

    def ring(self, stimulus: Stimulus, now_ms: float) -> State:
        self._out.append(Ring(stimulus.caller, stimulus.cadence))
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
        match = self.plan.match(self._digits, self._speed_dial)
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
        return key == self._terminator != "" and not self.plan.accepts(
            self._digits, key, self._speed_dial
        )

    def pause(self, _: Stimulus, now_ms: float) -> State:
        return self.finish(now_ms)

    def finish(self, now_ms: float) -> State:
        """The digits are all: send them, or say what is wrong with them."""
        match = self.plan.match(self._digits, self._speed_dial)
        if not self._digits:
            return self.fail("nothing dialled", now_ms)
        if not match.complete:
            return self.fail("incomplete", now_ms)
        if match.barred:
            return self.fail("barred", now_ms)
        self._out.append(Sound(""))
        if self._speed_dial:
            self._out.append(FeatureDialled("set_speed_dial", match.argument + match.number))
        elif match.feature:
            self._out.append(FeatureDialled(match.feature, match.argument))
        else:
            self._out.append(Dialled(match.number, match.emergency))
        self.deadline_ms = None
        return State.IN_CALL

    def fail(self, reason: str, now_ms: float) -> State:
        self._out.append(DialFailed(reason, self._digits))
        return self.play_end("reorder", now_ms)

    def nothing_dialled(self, _: Stimulus, now_ms: float) -> State:
        if self._hotline and self._fresh and self._times.hotline_ms:
            return self._dial_hotline(now_ms)
        return self.fail("nothing dialled", now_ms)

    def sound(self, stimulus: Stimulus, now_ms: float) -> State:
        self.deadline_ms = None
        self._out.append(Sound(stimulus.tone))
        return State.IN_CALL

    def key(self, stimulus: Stimulus, now_ms: float) -> State:
        self._out.append(KeyPressed(stimulus.digit, stimulus.audible))
        return State.IN_CALL

    def flashed(self, _: Stimulus, now_ms: float) -> State:
        self._out.append(Flashed())
        return self.state

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
_LIFTED = tuple(state for state in State if state not in (State.ON_HOOK, State.RINGING))
_DIALLING = (_S.COLLECTING, _S.IN_CALL, _S.ENDED)

TRANSITIONS: dict[tuple[State, Event], Row] = {
    (_S.ON_HOOK, _E.OFF_HOOK): _row(_M.lift_to_dial, _S.DIAL_TONE, _S.IN_CALL),
    (_S.ON_HOOK, _E.FOUND_OFF): _row(_M.find_off, _S.HOWLER, _S.ENDED),
    (_S.ON_HOOK, _E.RING): _row(_M.ring, _S.RINGING),
    (_S.RINGING, _E.OFF_HOOK): _row(_M.lift_to_answer, _S.IN_CALL),
    (_S.RINGING, _E.STOP_RING): _row(_M.stop_ring, _S.ON_HOOK),
    (_S.DIAL_TONE, _E.PULSE): _row(_M.pulse, _S.COLLECTING),
    (_S.DIAL_TONE, _E.DIGIT): _row(_M.digit, *_DIALLING),
    (_S.DIAL_TONE, _E.TIMER): _row(_M.nothing_dialled, _S.ENDED, _S.IN_CALL),
    (_S.DIAL_TONE, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    (_S.COLLECTING, _E.PULSE): _row(_M.pulse, _S.COLLECTING),
    (_S.COLLECTING, _E.DIGIT): _row(_M.digit, *_DIALLING),
    (_S.COLLECTING, _E.TIMER): _row(_M.pause, _S.IN_CALL, _S.ENDED),
    (_S.COLLECTING, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    (_S.IN_CALL, _E.DIGIT): _row(_M.key, _S.IN_CALL),
    (_S.IN_CALL, _E.END): _row(_M.end, _S.ENDED, _S.CLEARING, _S.DIAL_TONE),
    (_S.IN_CALL, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    (_S.CLEARING, _E.TIMER): _row(_M.clear, _S.CLEARING, _S.ENDED, _S.DIAL_TONE),
    (_S.CLEARING, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    (_S.ENDED, _E.TIMER): _row(_M.howl, _S.HOWLER),
    (_S.ENDED, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    (_S.HOWLER, _E.TIMER): _row(_M.park, _S.PARKED),
    (_S.HOWLER, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    (_S.PARKED, _E.ON_HOOK): _row(_M.put_back, _S.ON_HOOK),
    **{(state, _E.SOUND): _row(_M.sound, _S.IN_CALL) for state in _LIFTED},
    **{(state, _E.DIAL): _row(_M.recall, _S.DIAL_TONE) for state in _LIFTED},
    **{(state, _E.FLASH): _row(_M.flashed, state) for state in _LIFTED if state is not _S.CLEARING},
}
"""All that can happen. Each row is also an edge of the diagram in the documentation."""
