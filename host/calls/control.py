"""Call control between a caller's leg and its callees', whatever their protocol.

No I/O: shells report what happened (methods below, `now` in monotonic seconds) and carry out
`commands`. Charging decides whether and how long, the relay rewrites session descriptions, and
this module keeps the order of things: money before a carrier is asked, a durable answer before
the caller hears of it, one settlement however the call ends.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum, auto

from host.calls.call import Call, Leg, Offered, State
from host.calls.commands import (
    AcknowledgeLeg,
    AnswerLeg,
    Authorize,
    CloseRelay,
    Command,
    EndLeg,
    Failure,
    MarkAnswered,
    ModifyLeg,
    ProgressLeg,
    RecordRefusal,
    RejectLeg,
    Relay,
    RelayStep,
    Renew,
    Settle,
)
from host.calls.joint import Joint
from host.calls.modifying import Modifying
from host.calls.ringing import NO_ANSWER, TEMPORARY_FAILURE, USER_BUSY, Ringing
from host.calls.ringing import may_fail_over as may_fail_over
from host.calls.timers import RENEW_RETRY_S, SETTLE_RETRY_S, CallTimers
from host.calls.transferring import Transferring
from host.charging.values import CallFacts, Ending, Grant, Refusal, Rule
from host.deadlines import Deadlines

NORMAL_CLEARING = 16
INCOMPATIBLE = 88


class Event(IntEnum):
    """What can happen to a call."""

    GRANTED = auto()
    REFUSED = auto()
    PLACED_SDP = auto()
    """The caller's offer was rewritten for the callees."""
    PROGRESSED = auto()
    PROGRESS_SDP = auto()
    ANSWERED = auto()
    ANSWER_SDP = auto()
    DURABLE = auto()
    FAILED = auto()
    CALLER_GONE = auto()
    CALLEE_GONE = auto()
    TIMER = auto()


TRANSITIONS: dict[tuple[State, Event], str] = {
    (State.AUTHORIZING, Event.GRANTED): "_on_granted",
    (State.AUTHORIZING, Event.REFUSED): "_on_refused",
    (State.AUTHORIZING, Event.CALLER_GONE): "_on_abandoned",
    (State.OPENING, Event.PLACED_SDP): "_on_opened",
    (State.OPENING, Event.CALLER_GONE): "_on_abandoned",
    (State.REROUTING, Event.CALLER_GONE): "_on_abandoned",
    (State.RINGING, Event.PROGRESSED): "_on_progressed",
    (State.RINGING, Event.PROGRESS_SDP): "_on_progress_sdp",
    (State.RINGING, Event.ANSWERED): "_on_answered",
    (State.RINGING, Event.FAILED): "_on_failed",
    (State.RINGING, Event.CALLER_GONE): "_on_abandoned",
    (State.RINGING, Event.TIMER): "_on_no_answer",
    (State.ANSWERING, Event.ANSWER_SDP): "_on_answer_sdp",
    (State.ANSWERING, Event.DURABLE): "_on_durable",
    (State.ANSWERING, Event.CALLER_GONE): "_on_abandoned",
    (State.ANSWERING, Event.CALLEE_GONE): "_on_callee_gone",
    (State.ANSWERING, Event.TIMER): "_on_quota",
    (State.TALKING, Event.CALLER_GONE): "_on_caller_gone",
    (State.TALKING, Event.CALLEE_GONE): "_on_callee_gone",
    (State.TALKING, Event.TIMER): "_on_quota",
    (State.TALKING, Event.DURABLE): "_on_durable",
}
"""State and event to what is done; a pair that is not here came too late and is counted."""


class CallControl(Ringing, Modifying, Transferring):
    """All calls of one host.

    Args:
        timers: how long to ring, to wait for a carrier, before a renewal.
        rules_off: rules that a test switched off.
    """

    def __init__(self, timers: CallTimers, rules_off: frozenset[Rule] = frozenset()) -> None:
        self.commands: list[Command] = []
        """To be carried out in order by the shell, which empties the list."""
        self.calls: dict[str, Call] = {}
        """Live calls and calls whose settlement is on its way, by call id."""
        self.late_events = 0
        self.waiting = 0
        """Calls that wait for their first quota."""
        self._timers = timers
        self._cut_off = Rule.CUT_OFF not in rules_off
        self._deadlines = Deadlines()
        self._retries = Deadlines()
        """Transfers that are tried again, by the first call's id."""
        self._handlers: dict[tuple[State, Event], Callable[..., None]] = {
            key: getattr(self, name) for key, name in TRANSITIONS.items()
        }

    # --- what shells report --------------------------------------------------------------------

    def offered(self, offered: Offered, agent: object, now: float) -> Leg:
        """A call from an authenticated sender; answers the caller's leg."""
        call = Call(offered, agent)
        assert call.id not in self.calls, "a call id is unique for ever"
        self.calls[call.id] = call
        self.waiting += 1
        self.commands.append(Authorize(call, offered.facts, offered.legs))
        return call.caller

    def refused(self, facts: CallFacts, refusal: Refusal) -> None:
        """A call that was refused before anything was asked of charging: it gets its CDR."""
        self.commands.append(RecordRefusal(facts, refusal))

    def authorized(self, call: Call, answer: Grant | Refusal, now: float) -> None:
        self.waiting -= 1
        if isinstance(answer, Grant):
            if call.state is State.ENDED:  # the caller left meanwhile: give the hold back
                self._settle(call)
                return
            self._feed(call, Event.GRANTED, answer, now)
        else:
            if call.state is State.ENDED:  # its CDR was written with the refusal
                self.calls.pop(call.id, None)
                call.release()
                return
            self._feed(call, Event.REFUSED, answer, now)

    def relayed(self, step: RelayStep, sdp: bytes | None, now: float) -> None:
        """The relay rewrote a description, could not (None), or could not use it (empty)."""
        kind, call = step.kind, step.leg.call
        if kind in ("join-offer", "join-answer"):
            self._join_relayed(step.leg, kind, sdp, now)
            return
        if not sdp and not (sdp == b"" and self._may_lack(call, kind)):
            self._not_relayed(call, step, sdp is None, now)
            return
        assert sdp is not None
        if kind == "offer":
            self._feed(call, Event.PLACED_SDP, sdp, now)
        elif kind == "progress":
            self._feed(call, Event.PROGRESS_SDP, step.leg, sdp, now)
        elif kind == "answer":
            self._feed(call, Event.ANSWER_SDP, sdp, now)
        elif kind == "late-answer":
            if call.winner is not None and call.state is not State.ENDED:
                self.commands.append(AcknowledgeLeg(call.winner, sdp))
        elif kind == "reoffer":
            other = call.other(step.leg)
            if call.session.modifying is step.leg and other is not None:
                self.commands.append(ModifyLeg(other, sdp, step.update))
        elif kind == "reanswer":
            self._modify_done(call, sdp, 0, now)

    @staticmethod
    def _may_lack(call: Call, kind: str) -> bool:
        """True where there need not be a description: an offer that the callee is to make, and
        the answer of a callee that has none."""
        return (kind == "offer" and call.late_offer) or (kind == "answer" and not call.relaying)

    def _not_relayed(self, call: Call, step: RelayStep, ours: bool, now: float) -> None:
        """No port was free (ours), or a peer's description says nothing that can be used."""
        kind = step.kind
        if call.state is State.ENDED:
            return
        if kind in ("reoffer", "reanswer"):
            self._modify_done(call, None, 500 if ours else 488, now)
        elif ours and kind != "update":
            self._fail_whole(call, Failure(TEMPORARY_FAILURE, 500, "no relay port"), now)
        elif kind in ("offer", "late-answer"):
            failure = Failure(INCOMPATIBLE, 488, "the caller's session description is no use")
            self._fail_whole(call, failure, now, "caller")
        elif kind == "answer":
            failure = Failure(INCOMPATIBLE, 502, "the callee's session description is no use")
            self._fail_whole(call, failure, now, "callee")

    def progressed(self, leg: Leg, ringing: bool, sdp: bytes, now: float) -> None:
        """A callee gave a provisional answer (100 included: `ringing` False, no `sdp`)."""
        self._feed(leg.call, Event.PROGRESSED, leg, ringing, sdp, now)

    def answered(self, leg: Leg, sdp: bytes, now: float) -> None:
        """A callee answered. A second winner is hung up."""
        call = leg.call
        if call.state is State.RINGING and leg in call.attempts:
            self._feed(call, Event.ANSWERED, leg, sdp, now)
        elif leg is not call.winner:
            self.commands.append(EndLeg(leg, NORMAL_CLEARING))

    def failed(self, leg: Leg, failure: Failure, now: float) -> None:
        """A callee refused, or could not be reached."""
        self._feed(leg.call, Event.FAILED, leg, failure, now)

    def ended(self, leg: Leg, cause: int, now: float, detail: str = "") -> None:
        """A leg went away by itself: CANCEL, BYE, session expiry, a lost ACK."""
        if self._hung_up(leg):
            pass
        elif leg.is_caller:
            self._feed(leg.call, Event.CALLER_GONE, leg, cause, detail, now)
        elif leg is leg.call.winner:
            self._feed(leg.call, Event.CALLEE_GONE, leg, cause, detail, now)
        leg.agent = None

    def media_silent(self, call: Call, now: float) -> None:
        """No media has come for the configured time."""
        if call.state is State.TALKING:
            self._finish(call, now, NORMAL_CLEARING, "media", "media silent")

    def acknowledged(self, leg: Leg, sdp: bytes, now: float) -> None:
        """The caller's ACK brought an answer to the callee's offer (late offer)."""
        call = leg.call
        if call.state is State.ENDED or call.winner is None:
            return
        if call.late_offer and leg.is_caller:
            self._through_relay(call, RelayStep("late-answer", leg), True, sdp, now)

    def stored_answer(self, call: Call, ok: bool, now: float) -> None:
        """The answer is durable, or the store failed."""
        if ok:
            call.durable = True
            self._feed(call, Event.DURABLE, now)
        elif call.state is not State.ENDED:
            self._fail_whole(call, Failure(TEMPORARY_FAILURE, 503, "store unavailable"), now)

    def renewed(self, call: Call, grant: Grant | None, now: float) -> None:
        """More quota; None when the store is away: the call lives to the end of what it has."""
        if call.state not in (State.ANSWERING, State.TALKING) or not self._cut_off:
            return
        if grant is None:
            quota = call.grant
            assert quota is not None
            ends_at = call.answered_at + quota.quota_ms / 1000
            self._arm(call, min(now + RENEW_RETRY_S, ends_at))
            return
        call.grant = grant
        self._arm_quota(call, now)

    def settled(self, call: Call, ok: bool, now: float) -> None:
        """The settlement is durable, or must be tried again."""
        if ok:
            self.calls.pop(call.id, None)
            call.release()
        else:
            call.settle_tries += 1
            self._arm(call, now + SETTLE_RETRY_S * min(call.settle_tries, 30))

    # --- time ------------------------------------------------------------------------------------

    @property
    def next_deadline(self) -> float | None:
        """When `handle_timers` wants to be called next, monotonic seconds."""
        at, other = self._deadlines.next, self._retries.next
        return other if at is None or (other is not None and other < at) else at

    def handle_timers(self, now: float) -> None:
        if self._retries.next is not None:
            self._try_again(now)
        for call_id in self._deadlines.due(now):
            call = self.calls.get(call_id)
            if call is None:
                continue
            if call.state is State.ENDED:
                self._settle(call)
            else:
                self._feed(call, Event.TIMER, now)

    def _arm(self, call: Call, at: float) -> None:
        self._deadlines.arm(call.id, at)

    def _disarm(self, call: Call) -> None:
        self._deadlines.disarm(call.id)

    def _arm_quota(self, call: Call, now: float) -> None:
        grant = call.grant
        assert grant is not None
        if not self._cut_off:
            return
        talk_ms = (now - call.answered_at) * 1000
        at_ms = grant.renew_at_ms if grant.renew_at_ms > talk_ms else grant.quota_ms
        self._arm(call, call.answered_at + at_ms / 1000)

    # --- transitions -----------------------------------------------------------------------------

    def _feed(self, call: Call, event: Event, *details: object) -> None:
        handler = self._handlers.get((call.state, event))
        if handler is None:
            self.late_events += 1
            return
        handler(call, *details)

    def _through_relay(
        self, session: Call | Joint, step: RelayStep, from_caller: bool, sdp: bytes, now: float
    ) -> None:
        if session.media == "direct" or not sdp:
            session.relaying = False
            self.relayed(step, sdp, now)
        else:
            session.relayed = session.relaying = True
            self.commands.append(Relay(session, step, from_caller, sdp))

    def _on_granted(self, call: Call, grant: Grant, now: float) -> None:
        call.grant = grant
        call.state = State.OPENING
        self._through_relay(call, RelayStep("offer", call.caller), True, call.offer_sdp, now)

    def _on_refused(self, call: Call, refusal: Refusal, now: float) -> None:
        call.state = State.ENDED
        self.calls.pop(call.id, None)
        self._deadlines.disarm(call.id)
        self.commands.append(RejectLeg(call.caller, refusal.reason))
        self._transfer_lost(call, now, reason=refusal.reason)
        call.release()

    def _on_opened(self, call: Call, sdp: bytes, now: float) -> None:
        call.placed_sdp = sdp
        call.state = State.RINGING
        self._place(call, now)

    def _on_progressed(self, call: Call, leg: Leg, ringing: bool, sdp: bytes, now: float) -> None:
        if leg not in call.attempts:
            return
        if not leg.progressed:
            leg.progressed = True
            if not call.way.parallel:
                self._arm(call, now + self._ring_s(call))
        # An answer without an offer is none: what a callee says of its media before its 200
        # does not count when the offer is to be in that (RFC 3261, 13.2.1).
        if sdp and not call.late_offer:
            self._through_relay(call, RelayStep("progress", leg), False, sdp, now)
        elif ringing:
            self.commands.append(ProgressLeg(call.caller, True, b""))
        if sdp or ringing:
            self._transfer_rings(call)

    def _on_progress_sdp(self, call: Call, leg: Leg, sdp: bytes, now: float) -> None:
        if leg in call.attempts:
            self.commands.append(ProgressLeg(call.caller, False, sdp))

    def _on_answered(self, call: Call, leg: Leg, sdp: bytes, now: float) -> None:
        call.state = State.ANSWERING
        call.winner = leg
        call.answered_at = now
        for loser in call.attempts:
            if loser is not leg:
                self.commands.append(EndLeg(loser, NORMAL_CLEARING))
        call.attempts.clear()
        call.delayed.clear()
        way = call.way
        drop: tuple[int, ...] = ()
        if way.parallel and way.bills:
            drop = tuple(bill for bill in way.bills if bill not in leg.bills)
        self.commands.append(MarkAnswered(call, leg.carrier, leg.cost, drop))
        self._arm_quota(call, now)
        self._through_relay(call, RelayStep("answer", leg), False, sdp, now)

    def _on_answer_sdp(self, call: Call, sdp: bytes, now: float) -> None:
        call.answer_sdp = sdp
        call.held_ready = True
        self._on_durable(call, now)

    def _on_durable(self, call: Call, now: float) -> None:
        """The caller hears of the answer once it is durable and its description is ready."""
        if call.state is State.ANSWERING and call.durable and call.held_ready:
            call.state = State.TALKING
            self.commands.append(AnswerLeg(call.caller, call.answer_sdp))
            self._transfer_free(call, now)

    def _reject(self, call: Call, failure: Failure, now: float) -> None:
        busy = failure.cause == USER_BUSY
        silent = failure.cause in (NO_ANSWER, 18)
        call.ending = Ending(
            "busy" if busy else "no answer" if silent else "failed",
            failure.cause,
            "callee",
            detail=failure.detail,
        )
        call.state = State.ENDED
        self.commands.append(RejectLeg(call.caller, None, failure))
        self._settle(call)
        self._transfer_lost(call, now, failure)

    def _on_abandoned(self, call: Call, leg: Leg, cause: int, detail: str, now: float) -> None:
        """The caller left before it was told of an answer: nothing to pay."""
        waiting = call.state is State.AUTHORIZING
        call.state = State.ENDED
        for attempt in call.attempts:
            self.commands.append(EndLeg(attempt, NORMAL_CLEARING))
        call.attempts.clear()
        if call.winner is not None:
            self.commands.append(EndLeg(call.winner, NORMAL_CLEARING))
        call.ending = Ending("cancelled", cause, "caller", detail=detail)
        if not waiting:  # else the grant is on its way and is settled when it comes
            self._settle(call)
        self._transfer_lost(call, now)

    def _on_caller_gone(self, call: Call, leg: Leg, cause: int, detail: str, now: float) -> None:
        self._finish(call, now, cause, "caller", detail)

    def _on_callee_gone(self, call: Call, leg: Leg, cause: int, detail: str, now: float) -> None:
        self._finish(call, now, cause, "callee", detail)

    def _on_quota(self, call: Call, now: float) -> None:
        """Time to ask for more, or the end of the money."""
        grant = call.grant
        assert grant is not None
        talk_ms = round((now - call.answered_at) * 1000)
        if talk_ms >= grant.quota_ms:
            most_ms = self._timers.max_call_s * 1000
            for own_ms in (call.offered.max_talk_ms, call.way.max_talk_ms):
                most_ms = min(most_ms, own_ms or most_ms)
            longest = talk_ms >= most_ms
            final = "money" if grant.final and not longest else "limit"
            self._finish(call, now, NORMAL_CLEARING, final, "quota used")
            return
        self._arm(call, call.answered_at + grant.quota_ms / 1000)
        self.commands.append(Renew(call))

    # --- endings ---------------------------------------------------------------------------------

    def end(self, call: Call, now: float, detail: str) -> None:
        """End a call from this side (operator, shutdown)."""
        if call.state in (State.TALKING, State.ANSWERING):
            self._finish(call, now, NORMAL_CLEARING, "host", detail)
        elif call.state is not State.ENDED:
            self._fail_whole(call, Failure(TEMPORARY_FAILURE, 503, detail), now)

    def _finish(self, call: Call, now: float, cause: int, ended_by: str, detail: str) -> None:
        """End an answered call: both legs that still stand are told, then it is settled once.

        Before the caller has heard of the answer there was no talk, and nothing to pay.
        """
        assert call.winner is not None
        answering = call.state is State.ANSWERING
        if not answering:
            call.talk_ms = max(0, round((now - call.answered_at) * 1000))
        call.state = State.ENDED
        if ended_by != "callee":
            self.commands.append(EndLeg(call.winner, cause))
        if ended_by != "caller":
            if answering:
                self.commands.append(RejectLeg(call.caller, None, Failure(cause, 480, detail)))
            else:
                self.commands.append(EndLeg(call.caller, cause))
        carrier = call.winner.carrier
        disposition = "failed" if answering else "answered"
        call.ending = Ending(disposition, cause, ended_by, carrier, detail)  # type: ignore[arg-type]
        self._settle(call)
        self._transfer_lost(call, now)
        self._finish_joined(call, now, cause)

    def _fail_whole(self, call: Call, failure: Failure, now: float, ended_by: str = "host") -> None:
        """The call can't go on: everything is taken down, nothing is charged."""
        waiting = call.state is State.AUTHORIZING
        legs = list(call.attempts)
        if call.winner is not None:
            legs.append(call.winner)
        for leg in legs:
            self.commands.append(EndLeg(leg, failure.cause))
        if call.state is State.TALKING:
            self.commands.append(EndLeg(call.caller, failure.cause))
        else:
            self.commands.append(RejectLeg(call.caller, None, failure))
        call.attempts.clear()
        call.state = State.ENDED
        call.ending = Ending("failed", failure.cause, ended_by, detail=failure.detail)  # type: ignore[arg-type]
        if not waiting:
            self._settle(call)
        self._transfer_lost(call, now, failure)

    def _settle(self, call: Call) -> None:
        assert call.ending is not None, "an ended call has an ending"
        self._deadlines.disarm(call.id)
        session = call.session
        if session.relayed:
            session.relayed = False
            self.commands.append(CloseRelay(session.id))
        self.commands.append(Settle(call, call.talk_ms, call.ending))
