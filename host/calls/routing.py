"""From an authenticated call to the plan that call control follows, or to a refusal.

The channels and the money are checked later, by charging, in one transaction; here are the rules
that come before them: blocked or locked, route, and for a DID its POP and who is registered there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from host.calls.call import Offered
from host.calls.commands import Contact, MediaMode
from host.charging.values import BilledLeg, CallFacts, Reason, Refusal, Rule
from host.numbering.values import Account, Carrier, IncomingPlan, OutgoingPlan


class Numbering(Protocol):
    """What routing asks of `host.numbering`."""

    def route_outgoing(self, account: Account, dialled: str) -> OutgoingPlan | Refusal: ...
    def route_incoming(self, number: str, carrier: str) -> IncomingPlan | Refusal | None: ...
    def shown_caller(self, account: Account, caller: str) -> str: ...


Locate = Callable[[Account], Sequence[Contact]]
"""All live contacts of an account, whatever their POP."""


class Refused(NamedTuple):
    """A refusal and what its CDR says of the call."""

    facts: CallFacts
    refusal: Refusal


class Router:
    """Finds who is called and who pays.

    Args:
        numbering: accounts, rates, DIDs.
        locate: the registrar's contacts of an account.
        rules_off: rules that a test switched off.
    """

    def __init__(
        self, numbering: Numbering, locate: Locate, rules_off: frozenset[Rule] = frozenset()
    ) -> None:
        self._numbering = numbering
        self._locate = locate
        self._match_pop = Rule.POP_MATCH not in rules_off

    def from_account(
        self, account: Account, call_id: str, number: str, caller: str, hops: int, sdp: bytes
    ) -> Offered | Refused:
        """A call that an account makes: to the outside, or to a DID of this host."""
        shown = self._numbering.shown_caller(account, caller)
        says = shown or caller  # what the CDR has of a caller that is not shown
        plan = self._numbering.route_outgoing(account, number)
        if isinstance(plan, Refusal):
            facts = CallFacts(call_id, account.username, account.billing_id, "out", says, number)
            return Refused(facts, plan)
        facts = CallFacts(call_id, account.username, account.billing_id, "out", says, plan.number)
        own = self._numbering.route_incoming(plan.number, "")
        if own is not None:
            contacts = self._contacts(own)
            if isinstance(contacts, Refusal):
                return Refused(facts, contacts)
            assert isinstance(own, IncomingPlan)
            legs = plan.legs + tuple(_renumbered(own, len(plan.legs)))
            media = _media(account.media == own.account.media == "direct", contacts)
            return Offered(facts, legs, contacts, True, shown, own.number, hops, sdp, media)
        if not plan.carriers:
            return Refused(facts, Refusal(Reason.NO_CARRIER))
        direct = account.media == "direct" and all(c.media == "direct" for c in plan.carriers)
        return Offered(
            facts,
            plan.legs,
            plan.carriers,
            False,
            shown,
            plan.number,
            hops,
            sdp,
            _media(direct, plan.carriers),
        )

    def from_carrier(
        self, carrier: Carrier, call_id: str, number: str, caller: str, hops: int, sdp: bytes
    ) -> Offered | Refused:
        """A call that a carrier brings for a DID."""
        plan = self._numbering.route_incoming(number, carrier.name)
        if plan is None:
            plan = Refusal(Reason.NO_DESTINATION, "not a DID of this host")
        if isinstance(plan, Refusal):
            facts = CallFacts(call_id, carrier.name, 0, "in", caller, number)
            return Refused(facts, plan)
        account = plan.account
        facts = CallFacts(call_id, account.username, account.billing_id, "in", caller, plan.number)
        contacts = self._contacts(plan)
        if isinstance(contacts, Refusal):
            return Refused(facts, contacts)
        direct = carrier.media == "direct" and account.media == "direct"
        return Offered(
            facts,
            plan.legs,
            contacts,
            True,
            caller,
            plan.number,
            hops,
            sdp,
            _media(direct, contacts),
        )

    def _contacts(self, plan: IncomingPlan | Refusal) -> tuple[Contact, ...] | Refusal:
        """Contacts in the DID's POP, or why none may ring."""
        if isinstance(plan, Refusal):
            return plan
        if plan.account.contact:  # a PBX with a fixed address is at no POP
            return (Contact(plan.account.contact, plan.pop, None),)
        every = self._locate(plan.account)
        if not every:
            return Refusal(Reason.NOT_REGISTERED, plan.account.username)
        here = tuple(c for c in every if c.pop == plan.pop or not self._match_pop)
        if not here:
            pops = ", ".join(sorted({c.pop for c in every}))
            return Refusal(
                Reason.POP_MISMATCH, f"{plan.number} is at {plan.pop}, registered at {pops}"
            )
        return here


def _media(direct: bool, targets: Sequence[Carrier | Contact]) -> MediaMode:
    """Descriptions go through untouched where both sides want it, and where every leg that may be
    placed ends media on this host anyhow: a relay before it would add nothing."""
    return "direct" if direct or all(target.bridged for target in targets) else "relay"


def _renumbered(plan: IncomingPlan, first: int) -> list[BilledLeg]:
    return [leg._replace(leg=first + i) for i, leg in enumerate(plan.legs)]
