"""From a DID to whom its calls ring: its account's devices in its POP, or where it is routed to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import NamedTuple, Protocol

from host.calls.commands import ECHO, Contact
from host.calls.ways import Branch, Failovers, Target, Way
from host.charging.values import BilledLeg, Reason, Refusal
from host.numbering.routings import Routing
from host.numbering.values import (
    Account,
    Carrier,
    Forward,
    GroupMember,
    IncomingPlan,
    OutgoingPlan,
)

Locate = Callable[[Account], Sequence[Contact]]
"""All live contacts of an account, whatever their POP."""

SYSTEM = {
    "busy": Reason.SYSTEM_BUSY,
    "hangup": Reason.SYSTEM_HANGUP,
    "noservice": Reason.SYSTEM_NO_SERVICE,
    "disconnected": Reason.SYSTEM_DISCONNECTED,
}
"""What the host answers by itself, beside its echo. Who calls from the network hears its
announcement of the cause."""
LONGEST_ECHO_MS = 600_000
"""Nobody talks to oneself for longer."""
_UNREACHABLE = frozenset(
    (Reason.NOT_REGISTERED, Reason.POP_MISMATCH, Reason.NO_CARRIER, Reason.NO_DESTINATION)
)


class Places(Protocol):
    """What delivery asks of `host.numbering`."""

    def route_outgoing(self, account: Account, dialled: str) -> OutgoingPlan | Refusal: ...
    def route_incoming(
        self, number: str, carrier: str, caller: str = ""
    ) -> IncomingPlan | Refusal | None: ...
    def account(self, account_id: int) -> Account | None: ...
    def account_by_username(self, username: str) -> Account | None: ...
    def forward(self, id: int) -> Forward | None: ...
    def sip_uri(self, id: int) -> str | None: ...
    def group(self, id: int) -> tuple[GroupMember, ...]: ...


class Delivery(NamedTuple):
    """Whom a call to a DID rings."""

    way: Way
    failovers: Failovers | None
    direct: bool
    """Both descriptions go through untouched, as far as those called are concerned."""


class _Asked(NamedTuple):
    """One call to a DID, while its ways are looked for."""

    plan: IncomingPlan
    caller: str
    legs: Iterator[int]
    """Numbers for more billed legs."""
    passed: tuple[str, ...]
    """DIDs that the call has come by: a forward to one of them is a loop."""


class Deliverer:
    """Finds whom a DID's call rings.

    Args:
        places: what DIDs' calls may go to.
        locate: the registrar's contacts of an account.
        match_pop: whether contacts in other POPs than the DID's are left alone.
    """

    def __init__(self, places: Places, locate: Locate, match_pop: bool) -> None:
        self._places = places
        self._locate = locate
        self._match_pop = match_pop

    def deliver(self, plan: IncomingPlan, caller: str, legs: int) -> Delivery | Refusal:
        """The ways of a call to a DID, or why none is left.

        Args:
            caller: as whoever called showed it.
            legs: billed legs that the call has whatever way it goes.
        """
        if plan.routing is None and plan.failovers == (None, None, None):
            contacts = self._contacts(plan.account, plan)
            if isinstance(contacts, Refusal):
                return contacts
            return Delivery(
                Way(contacts, True, (), plan.ring_s), None, plan.account.media == "direct"
            )
        asked = _Asked(plan, caller, count(legs), (plan.number,))
        way = self._first(asked)
        if isinstance(way, Refusal):
            return way
        busy, unreachable, no_answer = (
            self._way(asked, failover) if failover is not None else None
            for failover in plan.failovers
        )
        failovers = Failovers(_kept(busy), _kept(unreachable), _kept(no_answer))
        every = [way, *(other for other in failovers if other is not None)]
        direct = all(
            self._direct(plan, each)
            for one in every
            for target in one.targets
            for each in (target, *(target.others if isinstance(target, Branch) else ()))
        )
        return Delivery(way, failovers if any(failovers) else None, direct)

    def _first(self, asked: _Asked) -> Way | Refusal:
        """The DID's routing, or what it has instead where that cannot be reached at all."""
        way = self._way(asked, asked.plan.routing)
        instead = asked.plan.failovers[1]
        if isinstance(way, Refusal) and way.reason in _UNREACHABLE and instead is not None:
            way = self._way(asked, instead)
        if isinstance(way, Way) and not way.ring_s:
            way = way._replace(ring_s=asked.plan.ring_s)
        return way

    def _way(self, asked: _Asked, routing: Routing | None) -> Way | Refusal:
        plan, places = asked.plan, self._places
        if routing is None or routing.kind == "account":
            account = plan.account
            if routing is not None:
                found = places.account_by_username(routing.value)
                if found is None:
                    return Refusal(Reason.NO_DESTINATION, f"{routing} is gone")
                account = found
            contacts = self._contacts(account, plan)
            if isinstance(contacts, Refusal):
                return contacts
            targets: tuple[Target, ...] = contacts
            if len(asked.passed) > 1:
                targets = tuple(Branch(one, asked.caller, plan.number) for one in contacts)
            return Way(targets, True)
        if routing.kind == "fwd":
            return self._forward(asked, routing)
        if routing.kind == "sip":
            uri = places.sip_uri(int(routing.value))
            if uri is None:
                return Refusal(Reason.NO_DESTINATION, f"{routing} is gone")
            return Way((Contact(uri, "", None),), True)
        if routing.kind == "grp":
            return self._group(asked, routing)
        if routing.kind == "sys" and routing.value == "echo":
            return Way((Contact(ECHO, plan.pop, None),), True, max_talk_ms=LONGEST_ECHO_MS)
        if routing.kind == "sys":
            return Refusal(SYSTEM[routing.value], f"{plan.number} goes to {routing}")
        return Refusal(Reason.NO_DESTINATION, f"{plan.number} is routed nowhere")

    def _forward(self, asked: _Asked, routing: Routing) -> Way | Refusal:
        """A call of the DID's owner to the outside, or to another DID."""
        places = self._places
        forward = places.forward(int(routing.value))
        owner = places.account(asked.plan.account.billing_id)
        if forward is None or owner is None:
            return Refusal(Reason.NO_DESTINATION, f"{routing} is gone")
        caller = forward.caller_id or asked.caller
        if forward.number in asked.passed:
            return Refusal(Reason.LOOP, f"{forward.number} is forwarded to itself")
        plan = places.route_outgoing(owner, forward.number)
        if isinstance(plan, Refusal):
            return plan
        legs = tuple(leg._replace(leg=next(asked.legs), callee=plan.number) for leg in plan.legs)
        own = places.route_incoming(plan.number, "", caller)
        if isinstance(own, Refusal):
            return own
        if own is not None:
            passed = (*asked.passed, own.number)
            further = _Asked(own, caller, asked.legs, passed)
            legs += tuple(leg._replace(leg=next(asked.legs), callee=own.number) for leg in own.legs)
            way = self._first(further)
            if isinstance(way, Refusal):
                return way
            return _beyond(way, legs, plan.max_talk_ms)
        if not plan.carriers:
            return Refusal(Reason.NO_CARRIER)
        bills = tuple(leg.leg for leg in legs)
        targets = tuple(Branch(one, caller, plan.number, bills) for one in plan.carriers)
        return Way(targets, False, legs, 0, plan.max_talk_ms)

    def _group(self, asked: _Asked, routing: Routing) -> Way | Refusal:
        """All that can be reached ring, each after its delay; of a forward one carrier after the
        other, until one takes the call."""
        targets: list[Target] = []
        legs: tuple[BilledLeg, ...] = ()
        longest = 0
        refusal = Refusal(Reason.NO_DESTINATION, f"{routing} is gone")
        for member in self._places.group(int(routing.value)):
            way = self._way(asked, member.routing)
            if isinstance(way, Refusal):
                refusal = way
                continue
            legs += way.legs
            longest = shorter(longest, way.max_talk_ms)
            branches = [
                target
                if isinstance(target, Branch)
                else Branch(target, asked.caller, asked.plan.number)
                for target in way.targets
            ]
            if not way.parallel:
                branches = [branches[0]._replace(others=tuple(branches[1:]))]
            targets += (
                branch._replace(delay_s=branch.delay_s + member.delay_s) for branch in branches
            )
        if not targets:
            return refusal
        first = min(target.delay_s for target in targets if isinstance(target, Branch))
        if first:  # those before it cannot be reached: nobody waits for them
            targets = [
                target._replace(delay_s=target.delay_s - first)
                for target in targets
                if isinstance(target, Branch)
            ]
        return Way(tuple(targets), True, legs, 0, longest)

    def _contacts(self, account: Account, plan: IncomingPlan) -> tuple[Contact, ...] | Refusal:
        """Contacts in the DID's POP, or why none may ring."""
        if account.status != "active":
            return Refusal(Reason.BLOCKED, f"account {account.username} is {account.status}")
        if account.contact:  # a PBX with a fixed address is at no POP
            codecs = account.bounds.codecs
            return (Contact(account.contact, plan.pop, None, codecs, account.username),)
        every = self._locate(account)
        if not every:
            return Refusal(Reason.NOT_REGISTERED, account.username)
        here = tuple(c for c in every if c.pop == plan.pop or not self._match_pop)
        if not here:
            pops = ", ".join(sorted({c.pop for c in every}))
            return Refusal(
                Reason.POP_MISMATCH, f"{plan.number} is at {plan.pop}, registered at {pops}"
            )
        codecs = account.bounds.codecs
        return tuple(c._replace(codecs=codecs) for c in here) if codecs else here

    @staticmethod
    def _direct(plan: IncomingPlan, target: Target) -> bool:
        if isinstance(target, Branch):
            target = target.target
        if isinstance(target, Carrier):
            return target.media == "direct"
        return plan.account.media == "direct"


def _kept(way: Way | Refusal | None) -> Way | None:
    """What cannot be reached at all is no way to fail over to."""
    return way if isinstance(way, Way) else None


def _beyond(way: Way, legs: tuple[BilledLeg, ...], max_talk_ms: int) -> Way:
    """The way of another DID, which these legs lead to: they are due whoever answers there."""
    bills = tuple(leg.leg for leg in legs)

    def due(branch: Branch) -> Branch:
        others = tuple(due(other) for other in branch.others)
        return branch._replace(bills=bills + branch.bills, others=others)

    targets = tuple(due(target) if isinstance(target, Branch) else target for target in way.targets)
    return way._replace(
        targets=targets,
        legs=legs + way.legs,
        max_talk_ms=shorter(way.max_talk_ms, max_talk_ms),
    )


def shorter(one: int, other: int) -> int:
    """The shorter of two bounds, where 0 is none."""
    return min(one, other) if one and other else one or other
