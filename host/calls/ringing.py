"""Whom a call rings, in turn or at once, and whom instead when that comes to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from host.calls.call import Call, Leg, State
from host.calls.commands import (
    Amend,
    Command,
    EndLeg,
    Failure,
    PlaceLeg,
)
from host.calls.timers import CallTimers
from host.calls.ways import Branch, Target, Way
from host.charging.values import Grant, Reason, Refusal
from host.numbering.values import Carrier

NO_ANSWER = 19
RECOVERY_ON_TIMER = 102
TEMPORARY_FAILURE = 41
USER_BUSY = 17


class Ringing:
    """The part of call control before anybody answers; `CallControl` has the rest."""

    commands: list[Command]
    _timers: CallTimers

    if TYPE_CHECKING:

        def _arm(self, call: Call, at: float) -> None: ...
        def _disarm(self, call: Call) -> None: ...
        def _reject(self, call: Call, failure: Failure, now: float) -> None: ...
        def _fail_whole(self, call: Call, failure: Failure, now: float) -> None: ...

    def _place(self, call: Call, now: float) -> None:
        """Try the next carrier, or all contacts at once."""
        way = call.way
        count = len(call.targets) if way.parallel else 1
        for target in call.targets[:count]:
            if isinstance(target, Branch) and target.delay_s:
                call.delayed.append((now + target.delay_s, target))
            elif isinstance(target, Branch):
                self._place_branch(call, target, now)
            else:
                self._place_one(call, target)
        del call.targets[:count]
        wait_s = self._ring_s(call) if way.parallel else self._timers.carrier_timeout_s
        if call.delayed:
            call.delayed.sort(key=lambda one: one[0])
            call.ring_until = now + wait_s
            self._arm(call, min(call.delayed[0][0], call.ring_until))
        else:
            call.ring_until = 0.0
            self._arm(call, now + wait_s)

    def _place_one(self, call: Call, target: Target) -> Leg:
        offered = call.offered
        caller, callee = offered.caller, offered.callee
        bills: tuple[int, ...] = ()
        if isinstance(target, Branch):
            caller, callee, bills = target.caller, target.callee, target.bills
            target = target.target
        if isinstance(target, Carrier):
            leg = Leg(call, False, None, target.name, target.cost, bills, target.bridged)
        else:
            leg = Leg(call, False, bills=bills, bridged=target.bridged)
        call.attempts.append(leg)
        self.commands.append(PlaceLeg(leg, target, caller, callee, offered.hops, call.placed_sdp))
        return leg

    def _place_branch(self, call: Call, branch: Branch, now: float) -> None:
        """One of several that ring at once, whose carrier is not the only one there is."""
        leg = self._place_one(call, branch)
        if branch.others:
            leg.others = branch.others
            call.delayed.append((now + self._timers.carrier_timeout_s, leg))
            call.delayed.sort(key=lambda one: one[0])

    def _place_other(self, call: Call, leg: Leg, now: float) -> None:
        """By the next carrier what this leg did not reach; others ring beside it."""
        following, *rest = leg.others
        leg.others = ()
        self._place_branch(call, following._replace(others=tuple(rest), delay_s=0), now)

    def _place_delayed(self, call: Call, now: float) -> None:
        """Those whose time has come; where nobody rings any more, the next ones at once."""
        if not call.attempts and call.delayed:
            now = max(now, call.delayed[0][0])
        while call.delayed and call.delayed[0][0] <= now:
            _, which = call.delayed.pop(0)
            if isinstance(which, Branch):
                self._place_branch(call, which, now)
            elif which in call.attempts and not which.progressed:
                self.commands.append(EndLeg(which, RECOVERY_ON_TIMER))
                call.attempts.remove(which)
                self._place_other(call, which, now)
        at = call.ring_until
        self._arm(call, min(call.delayed[0][0], at) if call.delayed else at)

    def _ring_s(self, call: Call) -> float:
        return min(call.way.ring_s or self._timers.ring_s, self._timers.ring_s)

    def _on_failed(self, call: Call, leg: Leg, failure: Failure, now: float) -> None:
        if leg not in call.attempts:
            return
        call.attempts.remove(leg)
        leg.agent = None
        if call.best_failure is None or _worth(failure) > _worth(call.best_failure):
            call.best_failure = failure
        call.delayed = [one for one in call.delayed if one[1] is not leg]
        if leg.others and may_fail_over(failure):
            self._place_other(call, leg, now)
            self._place_delayed(call, now)
            return
        if call.attempts:
            return
        if call.delayed:
            self._place_delayed(call, now)
        elif call.targets and (
            may_fail_over(failure)
            or (call.offered.emergency and failure.cause != USER_BUSY and failure.status < 600)
        ):
            self._place(call, now)
        else:
            self._give_up(call, call.best_failure, now)

    def _on_no_answer(self, call: Call, now: float) -> None:
        """A carrier said nothing in time, or nobody picked up."""
        if now < call.ring_until:
            self._place_delayed(call, now)
            return
        rang = any(leg.progressed for leg in call.attempts)
        cause = NO_ANSWER if rang else RECOVERY_ON_TIMER
        for leg in call.attempts:
            self.commands.append(EndLeg(leg, cause))
        call.attempts.clear()
        if not rang and call.targets and not call.way.parallel:
            self._place(call, now)
        else:
            failure = Failure(cause, 480 if rang else 408, "no answer")
            if call.best_failure is not None and _worth(call.best_failure) > _worth(failure):
                failure = call.best_failure
            self._give_up(call, failure, now)

    def _give_up(self, call: Call, failure: Failure, now: float) -> None:
        """The call's way came to nothing: it goes another one, once, or is over."""
        instead = call.failovers.after(failure) if call.failovers is not None else None
        if instead is None:
            self._reject(call, failure, now)
            return
        call.failovers = None
        call.best_failure = failure
        drop = call.way.bills
        call.way = instead
        call.delayed.clear()
        if drop or instead.legs:
            call.state = State.REROUTING
            self._disarm(call)
            self.commands.append(Amend(call, drop, instead.legs, instead.max_talk_ms))
        else:
            self._go(call, instead, now)

    def rerouted(self, call: Call, answer: Grant | Refusal, now: float) -> None:
        """What charging says of the call's other way."""
        if call.state is not State.REROUTING:
            return  # the caller has left; what was added is settled with the rest
        if isinstance(answer, Grant):
            call.grant = answer
            assert isinstance(call.way, Way)
            self._go(call, call.way, now)
        elif answer.reason is Reason.STORE:
            self._fail_whole(call, Failure(TEMPORARY_FAILURE, 503, answer.detail), now)
        else:
            failure = call.best_failure
            assert failure is not None
            told = f"not sent elsewhere: {answer.reason.value}, {answer.detail}"
            self._reject(call, failure._replace(detail=told), now)

    def _go(self, call: Call, way: Way, now: float) -> None:
        call.best_failure = None
        call.targets = list(way.targets)
        call.state = State.RINGING
        self._place(call, now)


def may_fail_over(failure: Failure) -> bool:
    """True when another carrier may succeed: 5xx, 408 and time-outs; not what the callee said."""
    return failure.status in (0, 408) or 500 <= failure.status < 600


def _worth(failure: Failure) -> int:
    """Which of several failures tells the caller most (RFC 3261, 16.7 step 6)."""
    if failure.status >= 600:
        return 5
    if failure.cause == USER_BUSY:
        return 4
    if 400 <= failure.status < 500 and failure.status != 408:
        return 3
    return 2 if failure.status else 1
