"""From an authenticated call to the plan that call control follows, or to a refusal.

The channels and the money are checked later, by charging, in one transaction; here are the rules
that come before them: blocked or locked, route, and for a DID its POP and who is registered there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from host.calls.call import Offered
from host.calls.commands import MediaMode
from host.calls.delivering import Deliverer, Delivery, Locate, Places, shorter
from host.calls.ways import Branch, Target
from host.charging.values import BilledLeg, CallFacts, Reason, Refusal, Rule
from host.numbering.values import FREELY, Account, Carrier, IncomingPlan, OutgoingPlan


class Numbering(Places, Protocol):
    """What routing asks of `host.numbering`."""

    def emergency(self, account: Account, dialled: str) -> OutgoingPlan | None: ...
    def like_emergency(self, dialled: str) -> bool: ...
    def shown_caller(self, account: Account, caller: str) -> str: ...


class Source(NamedTuple):
    """Where an account's call came from."""

    address: str
    pop: str
    protocol: Literal["sip", "iax2"]


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
        self._deliverer = Deliverer(numbering, locate, Rule.POP_MATCH not in rules_off)

    def from_account(
        self,
        account: Account,
        call_id: str,
        number: str,
        caller: str,
        hops: int,
        sdp: bytes,
        source: Source | None = None,
    ) -> Offered | Refused:
        """A call that an account makes: to the outside, to a DID of this host, to an emergency
        number. Without a `source` it may come from anywhere.

        What cannot be looked up, as the store is away, is refused."""
        try:
            return self._from_account(account, call_id, number, caller, hops, sdp, source)
        except sqlite3.OperationalError as error:
            facts = CallFacts(call_id, account.username, account.billing_id, "out", caller, number)
            return Refused(facts, Refusal(Reason.STORE, str(error)))

    def _from_account(
        self,
        account: Account,
        call_id: str,
        number: str,
        caller: str,
        hops: int,
        sdp: bytes,
        source: Source | None,
    ) -> Offered | Refused:
        shown = self._numbering.shown_caller(account, caller)
        says = shown or caller  # what the CDR has of a caller that is not shown
        plan: OutgoingPlan | Refusal | None = self._numbering.emergency(account, number)
        if plan is None:
            plan = _from_there(account, source) or self._numbering.route_outgoing(account, number)
        if isinstance(plan, Refusal):
            facts = CallFacts(call_id, account.username, account.billing_id, "out", says, number)
            return Refused(facts, plan)
        facts = CallFacts(call_id, account.username, account.billing_id, "out", says, plan.number)
        # An emergency number may look like anything, but like no DID.
        own = None if plan.send else self._numbering.route_incoming(plan.number, "", says)
        if own is not None:
            if isinstance(own, Refusal):
                return Refused(facts, own)
            legs = plan.legs + tuple(_renumbered(own, len(plan.legs)))
            delivery = self._deliverer.deliver(own, shown, len(legs))
            if isinstance(delivery, Refusal):
                return Refused(facts, delivery)
            direct = account.media == "direct" and delivery.direct
            offered = _offered(facts, legs, delivery, shown, own.number, hops, sdp, direct)
            longest = shorter(offered.max_talk_ms, plan.max_talk_ms)
            return offered._replace(max_talk_ms=longest) if longest else offered
        if not plan.carriers:
            return Refused(facts, Refusal(Reason.NO_CARRIER))
        direct = account.media == "direct" and all(c.media == "direct" for c in plan.carriers)
        targets: tuple[Target, ...] = plan.carriers
        if plan.send:
            # How its own carrier wants an emergency number is not what others know it by.
            first, *others = plan.carriers
            targets = (first, *(Branch(one, shown, plan.number) for one in others))
        return Offered(
            facts,
            plan.legs,
            targets,
            False,
            shown,
            plan.send or plan.number,
            hops,
            sdp,
            _media(direct, plan.carriers),
            max_talk_ms=plan.max_talk_ms,
            emergency=bool(plan.send),
        )

    def passes(self, account: Account | None, number: str) -> bool:
        """True for an emergency call, which is taken where all others are refused. Of somebody
        who is not known yet: for what may be one."""
        if account is None:
            return self._numbering.like_emergency(number)
        return self._numbering.emergency(account, number) is not None

    def from_carrier(
        self, carrier: Carrier, call_id: str, number: str, caller: str, hops: int, sdp: bytes
    ) -> Offered | Refused:
        """A call that a carrier brings for a DID; refused as well when the store is away."""
        try:
            return self._from_carrier(carrier, call_id, number, caller, hops, sdp)
        except sqlite3.OperationalError as error:
            facts = CallFacts(call_id, carrier.name, 0, "in", caller, number)
            return Refused(facts, Refusal(Reason.STORE, str(error)))

    def _from_carrier(
        self, carrier: Carrier, call_id: str, number: str, caller: str, hops: int, sdp: bytes
    ) -> Offered | Refused:
        plan = self._numbering.route_incoming(number, carrier.name, caller)
        if plan is None:
            plan = Refusal(Reason.NO_DESTINATION, "not a DID of this host")
        if isinstance(plan, Refusal):
            facts = CallFacts(call_id, carrier.name, 0, "in", caller, number)
            return Refused(facts, plan)
        account = plan.account
        facts = CallFacts(call_id, account.username, account.billing_id, "in", caller, plan.number)
        delivery = self._deliverer.deliver(plan, caller, len(plan.legs))
        if isinstance(delivery, Refusal):
            return Refused(facts, delivery)
        direct = carrier.media == "direct" and delivery.direct
        return _offered(facts, plan.legs, delivery, caller, plan.number, hops, sdp, direct)


def _from_there(account: Account, source: Source | None) -> Refusal | None:
    """Why the account may not call from where it does; None: it may."""
    if source is None or account.bounds is FREELY:
        return None
    why = account.bounds.believes(*source)
    return Refusal(Reason.RESTRICTED, f"account {account.username}: {why}") if why else None


def _offered(
    facts: CallFacts,
    legs: tuple[BilledLeg, ...],
    delivery: Delivery,
    caller: str,
    callee: str,
    hops: int,
    sdp: bytes,
    direct: bool,
) -> Offered:
    way, failovers = delivery.way, delivery.failovers
    every = list(way.targets)
    for other in failovers or ():
        if other is not None:
            every += other.targets
    return Offered(
        facts,
        legs + way.legs,
        way.targets,
        way.parallel,
        caller,
        callee,
        hops,
        sdp,
        _media(direct, every),
        way.ring_s,
        way.max_talk_ms,
        way.bills,
        failovers,
    )


def _media(direct: bool, targets: Sequence[Target]) -> MediaMode:
    """Descriptions go through untouched where both sides want it, and where every leg that may be
    placed ends media on this host anyhow: a relay before it would add nothing."""
    return "direct" if direct or all(target.bridged for target in targets) else "relay"


def _renumbered(plan: IncomingPlan, first: int) -> list[BilledLeg]:
    return [leg._replace(leg=first + i) for i, leg in enumerate(plan.legs)]
