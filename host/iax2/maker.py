"""How legs come about: calls that peers offer go to routing, those of call control go out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from firmware.wire.iax2 import Call, CallOffered, Credentials, Format, NewCall
from host.calls import blind
from host.calls.call import Leg
from host.calls.commands import Contact, Failure, PlaceLeg, TellTransfer
from host.calls.control import CallControl
from host.calls.routing import Refused, Router, Source
from host.calls.ways import Target
from host.charging.values import Reason, Refusal
from host.iax2.authority import HostAuthority, Peers
from host.iax2.causes import REFUSALS
from host.iax2.leg import CalleeLeg, CallerLeg, Iax2Leg, formats_of
from host.iax2.line import Iax2Flow, Line, address_of, number_of
from host.iax2.sockets import Address
from host.media.bridge import LAWS, Ground
from host.numbering.values import Account, Carrier
from host.settings import Settings
from host.sip.registrar import Binding

if TYPE_CHECKING:
    from host.iax2.server import Iax2Server

_FORMATS = {"PCMU": Format.ULAW, "PCMA": Format.ALAW, "G722": Format.G722}
"""By the names that an account's codecs have."""
FORMATS = (Format.ULAW, Format.ALAW, Format.G722, Format.GSM, Format.ILBC, Format.G729)
"""Of calls; between two IAX2 legs any of these goes through, to RTP only the first two."""
HOPS = 70
"""IAX2 counts none: a call that comes over it has as many as a fresh one over SIP."""
RESTRICTED = 0x20
"""Presentation (RFC 5456, 8.6.30): the number is not to be shown."""


class LegMaker:
    """The part of `Iax2Server` that makes legs."""

    settings: Settings
    control: CallControl
    clock: Callable[[], float]
    ground: Ground
    lines: list[Line]
    counts: Counter[str]
    authority: HostAuthority
    _peers: Peers
    _router: Router
    _new_call_id: Callable[[], str]
    _refuses: Callable[[], bool]
    _legs: dict[int, Iax2Leg]

    @property
    def _server(self) -> Iax2Server:
        """Itself, as legs know it."""
        raise NotImplementedError

    # --- calls that come ---

    def _on_offered(self, line: Line, event: CallOffered, now: float) -> None:
        """An authenticated NEW: to routing and call control, in the order that SIP keeps."""
        call = event.call
        who = self.authority.who(call.username, call.address)
        if who is None:  # deleted a moment ago
            call.reject(now, *REFUSALS[Reason.CREDENTIALS])
            return
        self.authority.succeeded(call.address)
        number = number_of(call.new.called)
        urgent = not isinstance(who, Carrier) and self._router.passes(who, number)
        if not urgent and self._refuses():
            self.counts["overload"] += 1
            call.reject(now, *REFUSALS[Reason.OVERLOAD])
            return
        call.trunk = call.trunk and self.ground.trunks
        said = call.new
        caller = number_of(said.calling) or call.username
        call_id = self._new_call_id()
        leg = CallerLeg(self._server, call)
        leg.account = "" if isinstance(who, Carrier) else who.username
        plan: Any
        if isinstance(who, Carrier):
            plan = self._router.from_carrier(who, call_id, number, caller, HOPS - 1, b"")
        else:
            source = Source(call.address[0], line.listener.pop, "iax2")
            plan = self._router.from_account(who, call_id, number, caller, HOPS - 1, b"", source)
        if not isinstance(plan, Refused):
            codecs = () if isinstance(who, Carrier) else who.bounds.codecs
            refusal = self._prepare(leg, plan.every_target, codecs)
            plan = Refused(plan.facts, refusal) if refusal is not None else plan
        if isinstance(plan, Refused):
            self.control.refused(plan.facts, plan.refusal)
            leg.reject(plan.refusal.reason, None)
            return
        self._legs[id(leg)] = leg
        # Media ends here, whoever is called: the relay has no part in it.
        plan = plan._replace(sdp=leg.bridge.offer(), media="direct", bridged=True)
        leg.bridge.pinned = not plan.parallel  # carriers are called in turn
        leg.leg = self.control.offered(plan, leg, now)

    def _prepare(
        self, leg: CallerLeg, targets: tuple[Target, ...], codecs: tuple[str, ...]
    ) -> Refusal | None:
        """Settle what is spoken, of what the account may use, and have a port if a leg of SIP may
        be placed."""
        said = leg.call.new
        capable = said.capability | (said.format or 0)
        needs_port = not all(target.bridged for target in targets)
        wanted = tuple(LAWS) if needs_port else FORMATS
        order = [f for f in said.formats_preferred if f in wanted and f in LAWS]
        order += [f for f in wanted if f not in order]
        if codecs:
            order = _of(codecs, wanted)
        chosen = next((f for f in order if capable & f), None)
        if chosen is None:
            return Refusal(Reason.CODEC, f"the caller speaks {capable:#x}")
        leg.call.format = chosen  # ACCEPT says so as soon as charging agrees
        if needs_port and not leg.bridge.open():
            return Refusal(Reason.OVERLOAD, "no port for media")
        return None

    @staticmethod
    def proceed(caller: Leg) -> None:
        """A call was granted: its caller is accepted, once."""
        agent = caller.agent
        if isinstance(agent, CallerLeg) and not agent.proceeding:
            agent.proceeding = True
            agent.proceed()

    # --- calls that go ---

    def place(self, command: PlaceLeg) -> None:
        """Send the NEW for a callee leg."""
        now, target = self.clock(), command.target
        where = self._way(target)
        if where is None or command.hops <= 0:
            failure = (
                Failure(38, 503, "no way there") if where is None else Failure(25, 483, "loop")
            )
            self.control.failed(command.leg, failure, now)
            return
        line, address, peer = where
        if len(line.endpoint) >= self.settings.iax2.max_calls:
            self.control.failed(command.leg, Failure(34, 503, "too many calls"), now)
            return
        formats = self._formats(command)
        if isinstance(target, Contact) and target.codecs:
            formats = tuple(_of(target.codecs, formats))
        if not formats:
            failure = Failure(65, 488, "no common codec")
            self.control.failed(command.leg, failure, now)
            return
        number = command.callee
        credentials = None
        if isinstance(peer, Carrier):
            if peer.prefix:
                number = peer.prefix + number.lstrip("+")
            if peer.username:
                credentials = Credentials(peer.username, peer.secret, self._encryption(peer))
        elif peer is not None and peer.iax2_secret and self._encryption(peer) != "no":
            # A device takes calls of its registrar by address, but keys come of a challenge.
            credentials = Credentials(peer.username, peer.iax2_secret, self._encryption(peer))
        new = NewCall(
            called=number,
            calling=command.caller,
            presentation=0 if command.caller else RESTRICTED,
            username=peer.username if isinstance(peer, Carrier) else "",
            formats_preferred=formats,
        )
        trunk = peer is not None and peer.trunk and self.ground.trunks
        call = line.endpoint.place(address, new, now, credentials, None, trunk)
        leg = CalleeLeg(self._server, call, command.leg, command.sdp)
        leg.account = peer.username if isinstance(peer, Account) else ""
        leg.bridge.pinned = command.leg.call.facts.direction == "in"  # a carrier calls
        self._legs[id(leg)] = leg
        if leg.needs_port and not leg.bridge.open():
            leg.end(34)
            self.control.failed(command.leg, Failure(34, 503, "no port for media"), now)

    # --- transfers ---

    def leg_of(self, call: Call, number: int) -> Iax2Leg | None:
        """Another live leg with the same peer, by our number of its call."""
        other = call.endpoint.calls.get(number)
        leg = other.tag if other is not None and other.address == call.address else None
        return leg if isinstance(leg, Iax2Leg) and not leg.over else None

    def transfer_to(self, leg: Iax2Leg, number: str) -> TellTransfer | None:
        """A blind transfer: a call of the leg's customer to that number, for his far end. What
        became of it at once where there is no such call."""
        line = next((x for x in self.lines if x.endpoint is leg.call.endpoint), None)
        if line is None:
            return TellTransfer(leg.leg, 488)
        account = self._peers.account_by_username(leg.account)
        source = Source(leg.call.address[0], line.listener.pop, "iax2")
        asked = blind.Asked(leg.leg, number_of(number), leg.account, HOPS - 1, source)
        now = self.clock()
        return blind.transfer(self.control, self._router, account, asked, self._new_call_id, now)

    def _way(
        self, target: Carrier | Contact
    ) -> tuple[Line, Address, Carrier | Account | None] | None:
        """By which listener, where to, and whom."""
        if not self.lines:
            return None
        if isinstance(target, Carrier):
            return self.lines[0], (target.address, target.port), target
        binding = target.flow
        if isinstance(binding, Binding):
            flow = binding.flow
            account = self._peers.account_by_username(binding.username)
            if isinstance(flow, Iax2Flow):
                return flow.line, (flow.address, flow.port), account
            return None
        address = address_of(target.uri)
        line = next((x for x in self.lines if x.listener.pop == target.pop), self.lines[0])
        return line, address, self._peers.account_by_address(*address)

    def _formats(self, command: PlaceLeg) -> tuple[Format, ...]:
        """What the callee may choose from, the caller's own first."""
        caller = command.leg.call.caller.agent
        if isinstance(caller, Iax2Leg):
            law = caller.call.format
            return (law, *(f for f in LAWS if f is not law)) if law in LAWS else (law,)
        return formats_of(command.sdp)

    def _encryption(self, peer: Carrier | Account) -> Any:
        return peer.encryption if self.settings.iax2.encryption else "no"


def _of(codecs: tuple[str, ...], formats: tuple[Format, ...]) -> list[Format]:
    """Those formats that an account may use, in its order."""
    return [_FORMATS[name] for name in codecs if _FORMATS.get(name) in formats]
