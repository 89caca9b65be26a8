"""What the store keeps of a host's calls and registrations: the commands of call control that go to
it, and what is done with its answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from host.calls.call import Call
from host.calls.commands import Amend, Authorize, MarkAnswered, RecordRefusal, Renew, Settle
from host.calls.control import CallControl
from host.calls.ringing import TEMPORARY_FAILURE
from host.charging.service import Charging
from host.charging.values import CallFacts, Ending, Grant, Now, Reason, Refusal
from host.figures import Faults
from host.settings import Settings
from host.sip import bindings
from host.sip.registrar import Binding, Registrar
from host.sip.server import SipServer
from host.store.writer import AUTHORIZE, SETTLE, GroupCommitWriter

_IN_DOUBT = Ending("failed", TEMPORARY_FAILURE, "host", detail="the store did not answer")
_MOST_IN_DOUBT = 10_000
"""Beyond these, supervision gives back what the store granted and could not say."""


class StoredCalls:
    """The part of a host that talks to its store; `host.main.Host` has the rest."""

    settings: Settings
    log: Any
    writer: GroupCommitWriter
    charging: Charging
    control: CallControl
    registrar: Registrar
    sip: SipServer
    in_doubt: dict[str, CallFacts]
    """Calls that were refused since the store did not answer: it may have granted them."""
    owed: dict[str, list[Callable[[Any], object]]]
    """What the store does not have yet of emergency calls, in order."""
    unwritten: Faults
    """Failed writes that nobody waits for, by operation."""
    outcomes: dict[str, int]
    """Calls that are over, by disposition, and refused ones by `refused` and the reason."""

    def _now(self) -> Now:
        raise NotImplementedError

    def _authorize(self, command: Authorize) -> None:
        now, call = self._now(), command.call
        most_ms = call.offered.max_talk_ms or self.settings.charging.max_call_s * 1000
        if call.offered.emergency:
            self._owe(
                call,
                lambda conn: self.charging.authorize(
                    conn, now, command.facts, command.legs, most_ms
                ),
            )
            self.control.authorized(call, Grant(most_ms, most_ms, True), self.sip.now)
            return
        self.writer.submit(
            lambda conn: self.charging.authorize(conn, now, command.facts, command.legs, most_ms),
            lambda answer: self._authorized(call, answer),
            AUTHORIZE,
        )

    def _owe(self, call: Call, note: Callable[[Any], object]) -> None:
        """Write what is to be known of an emergency call, which waits for nothing: now if the store
        takes it, else with a heartbeat, or before its settlement."""
        self.owed.setdefault(call.id, []).append(note)
        self._write_owed(call.id)

    def _write_owed(self, call_id: str) -> None:
        notes = tuple(self.owed[call_id])

        def write(conn: Any) -> None:
            for note in notes:
                note(conn)

        def written(result: object) -> None:
            left = self.owed.pop(call_id, [])
            if isinstance(result, BaseException):
                self.log.error("store", call=call_id, operation="emergency", error=str(result))
            else:
                left = [note for note in left if note not in notes]
            if left:
                self.owed[call_id] = left

        self.writer.submit(write, written)

    def _authorized(self, call: Call, answer: object) -> None:
        if isinstance(answer, BaseException):
            self.log.error("store", call=call.id, operation="authorize", error=str(answer))
            answer = Refusal(Reason.STORE, str(answer))
            if len(self.in_doubt) < _MOST_IN_DOUBT:
                self.in_doubt[call.id] = call.facts
        assert isinstance(answer, Grant | Refusal)
        if isinstance(answer, Refusal):
            self._log_refusal(call.facts, answer)
        self.control.authorized(call, answer, self.sip.now)

    def _amend(self, command: Amend) -> None:
        now, call = self._now(), command.call
        self.writer.submit(
            lambda conn: self.charging.amend(
                conn, now, call.id, command.drop, command.legs, command.max_talk_ms
            ),
            lambda answer: self.control.rerouted(
                call,
                Refusal(Reason.STORE, str(answer)) if isinstance(answer, BaseException) else answer,
                self.sip.now,
            ),
        )

    def _give_back(self) -> None:
        """With each heartbeat: void what the store may have granted without our knowing, and
        write the CDR of the refusal where it did not."""
        for call_id in tuple(self.owed):
            self._write_owed(call_id)
        if not self.in_doubt:
            return
        now, doubtful = self._now(), dict(self.in_doubt)
        refusal = Refusal(Reason.STORE, _IN_DOUBT.detail)

        def give_back(conn: Any) -> None:
            for call_id, facts in doubtful.items():
                self.charging.settle(conn, now, call_id, 0, _IN_DOUBT)
                self.charging.refuse(conn, now, facts, refusal)

        self.writer.submit(give_back, partial(self._given_back, tuple(doubtful)))

    def _given_back(self, call_ids: tuple[str, ...], result: object) -> None:
        if not self._unattended("give back", result):
            for call_id in call_ids:
                self.in_doubt.pop(call_id, None)

    def _record_refusal(self, command: RecordRefusal) -> None:
        now = self._now()
        self._log_refusal(command.facts, command.refusal)
        self.writer.submit(
            lambda conn: self.charging.refuse(conn, now, command.facts, command.refusal),
            lambda result: self._recorded(command, result),
        )

    def _recorded(self, command: RecordRefusal, result: object) -> None:
        """The record of a refusal is written later if the store is why there was one."""
        lost = self._unattended("refuse", result)
        if lost and command.refusal.reason is Reason.STORE and len(self.in_doubt) < _MOST_IN_DOUBT:
            self.in_doubt[command.facts.call_id] = command.facts

    def _log_refusal(self, facts: Any, refusal: Refusal) -> None:
        self._count(f"refused {refusal.reason.value}")
        self.log.info(
            "refused",
            call=facts.call_id,
            account=facts.account,
            caller=facts.caller,
            callee=facts.callee,
            reason=refusal.reason.value,
            detail=refusal.detail,
        )

    def _mark_answered(self, command: MarkAnswered) -> None:
        now, call = self._now(), command.call
        if call.offered.emergency:
            self._owe(
                call,
                lambda conn: self.charging.answered(
                    conn, now, call.id, command.carrier, command.cost, command.drop
                ),
            )
            self.control.stored_answer(call, True, self.sip.now)
            return
        self.writer.submit(
            lambda conn: self.charging.answered(
                conn, now, call.id, command.carrier, command.cost, command.drop
            ),
            lambda result: self.control.stored_answer(
                call, not isinstance(result, BaseException), self.sip.now
            ),
        )

    def _renew(self, command: Renew) -> None:
        now, call = self._now(), command.call
        self.writer.submit(
            lambda conn: self.charging.renew(conn, now, call.id),
            lambda result: self.control.renewed(
                call, result if isinstance(result, Grant) else None, self.sip.now
            ),
        )

    def _settle(self, command: Settle) -> None:
        now, call = self._now(), command.call
        owed = tuple(self.owed.get(call.id, ()))

        def settle(conn: Any) -> Any:
            for note in owed:
                note(conn)
            return self.charging.settle(conn, now, call.id, command.talk_ms, command.ending)

        self.writer.submit(
            settle,
            lambda result: self._settled(command, result),
            SETTLE,
        )

    def _settled(self, command: Settle, result: Any) -> None:
        call, ending, facts = command.call, command.ending, command.call.facts
        if isinstance(result, BaseException):
            self.log.error("store", call=call.id, operation="settle", error=str(result))
            self.control.settled(call, False, self.sip.now)
            return
        self.owed.pop(call.id, None)
        self.control.settled(call, True, self.sip.now)
        self._count(ending.disposition)
        self.log.info(
            "call",
            call=call.id,
            account=facts.account,
            direction=facts.direction,
            caller=facts.caller,
            callee=facts.callee,
            disposition=ending.disposition,
            cause=ending.cause,
            ended_by=ending.ended_by,
            talk_ms=command.talk_ms,
            cost=sum(leg.cost for leg in result),
        )

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def _save_bindings(self, stamp: Now) -> None:
        """Registrations go to the store once a heartbeat, with its commit."""
        changes = self.registrar.unsaved
        if not changes:
            return
        self.registrar.unsaved = {}
        saved, dropped = bindings.rows_of(self.settings.host_id, changes, stamp)
        self.writer.submit(
            lambda conn: bindings.save(conn, saved, dropped), partial(self._bound, changes)
        )

    def _bound(self, changes: dict[tuple[int, str], Binding | None], result: object) -> None:
        if self._unattended("registrations", result):
            # With the next heartbeat, but for those that have changed again since.
            self.registrar.unsaved = {**changes, **self.registrar.unsaved}

    def _unheard(self, operation: str) -> Callable[[object], None]:
        """Takes the answer to a write that nobody waits for."""

        def done(result: object) -> None:
            self._unattended(operation, result)

        return done

    def _unattended(self, operation: str, result: object) -> bool:
        """What became of a write that nobody waits for; True when it failed."""
        if not isinstance(result, BaseException):
            return False
        if self.unwritten.add(operation, self._now().mono_ms / 1000):
            count = self.unwritten.counts[operation]
            self.log.error("store", operation=operation, error=str(result), failed=count)
        return True
