"""What call control asks for, carried out: on legs of either protocol, relay and store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from host.calls.commands import (
    ECHO,
    AcknowledgeLeg,
    Amend,
    AnswerLeg,
    Authorize,
    CloseRelay,
    Contact,
    DescribeLeg,
    EndLeg,
    Failure,
    MarkAnswered,
    ModifiedLeg,
    ModifyLeg,
    PlaceLeg,
    ProgressLeg,
    RecordRefusal,
    RejectLeg,
    RejectModifyLeg,
    Relay,
    Renew,
    SendInfo,
    Settle,
    TellTransfer,
)
from host.media.echo import Echoes
from host.media.session import MediaSessions
from host.stored import StoredCalls

if TYPE_CHECKING:
    from host.iax2.server import Iax2Server


class Carrying(StoredCalls):
    """The part of a host that carries out commands; `host.main.Host` has the rest."""

    sessions: MediaSessions
    iax2: Iax2Server | None
    echoes: Echoes
    _sends: dict[type, Callable[[Any], None]]

    def _table(self) -> dict[type, Callable[[Any], None]]:
        """What is done for each command."""
        return {
            Authorize: self._authorize,
            Amend: self._amend,
            PlaceLeg: self._place,
            ProgressLeg: _to_agent(lambda agent, c: agent.progress(c.ringing, c.sdp)),
            AnswerLeg: _to_agent(lambda agent, c: agent.answer(c.sdp)),
            RejectLeg: self._reject_leg,
            EndLeg: self._end_leg,
            AcknowledgeLeg: _to_agent(lambda agent, c: agent.acknowledge(c.sdp)),
            ModifyLeg: _to_agent(lambda agent, c: agent.modify(c.sdp, c.update)),
            ModifiedLeg: _to_agent(lambda agent, c: agent.modified(c.sdp)),
            RejectModifyLeg: _to_agent(lambda agent, c: agent.reject_modify(c.status)),
            SendInfo: _to_agent(lambda agent, c: agent.send_info(c.content_type, c.body)),
            DescribeLeg: self._describe,
            TellTransfer: _to_agent(lambda agent, c: agent.tell_transfer(c)),
            RecordRefusal: self._record_refusal,
            MarkAnswered: self._mark_answered,
            Renew: self._renew,
            Settle: self._settle,
            Relay: lambda c: self.sessions.rewrite(c.session, c.step, c.from_caller, c.sdp),
            CloseRelay: lambda c: self.sessions.close(c.id),
        }

    def _carry_out(self) -> None:
        """Carry out commands until there are none, and nothing comes of them any more."""
        control, sends, iax2 = self.control, self._sends, self.iax2
        while control.commands or (iax2 is not None and iax2.take_events()):
            commands, control.commands = control.commands, []
            for command in commands:
                sends[type(command)](command)
        if iax2 is not None:
            iax2.send()

    def _place(self, command: PlaceLeg) -> None:
        """By the protocol that the target speaks; a caller on IAX2 is told, as SIP's 100 tells."""
        if self.iax2 is not None:
            self.iax2.proceed(command.leg.call.caller)
        target = command.target
        if isinstance(target, Contact) and target.uri == ECHO:
            self.echoes.place(command)
        elif not target.bridged:
            self.sip.place(command)
        elif self.iax2 is not None:
            self.iax2.place(command)
        else:
            failure = Failure(38, 503, "no listener for IAX2")
            self.control.failed(command.leg, failure, self.sip.now)

    def _end_leg(self, command: EndLeg) -> None:
        """The last word to a leg: its agent and it point at each other no more."""
        agent: Any = command.leg.agent
        if agent is not None:
            command.leg.agent = None
            agent.end(command.cause)

    def _describe(self, command: DescribeLeg) -> None:
        agent: Any = command.leg.agent
        body = agent.restate(command.here) if agent is not None else b""
        self.control.described(command.leg, body, self.sip.now)

    def _reject_leg(self, command: RejectLeg) -> None:
        agent: Any = command.leg.agent
        if agent is not None:
            command.leg.agent = None
            agent.reject(command.reason, command.failure)


def _to_agent(tell: Callable[[Any, Any], None]) -> Callable[[Any], None]:
    """Carries out a command on the leg's agent; a leg whose agent has gone hears nothing."""

    def send(command: Any) -> None:
        agent = command.leg.agent
        if agent is not None:
            tell(agent, command)

    return send
