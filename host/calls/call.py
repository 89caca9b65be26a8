"""One call and its legs: the state that call control keeps."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import NamedTuple

from host.calls.commands import Failure, MediaMode
from host.calls.joint import Joint, Transfer
from host.calls.ways import Branch, Failovers, Target, Way
from host.charging.values import BilledLeg, CallFacts, CarrierCost, Ending, Grant


class State(IntEnum):
    """Where a call stands (see `host.calls.control.TRANSITIONS`)."""

    AUTHORIZING = auto()
    """Charging was asked for the first quota."""
    OPENING = auto()
    """The relay was asked for a port."""
    REROUTING = auto()
    """Its first way came to nothing; charging was asked for what the other one costs."""
    RINGING = auto()
    """Callee legs are out."""
    ANSWERING = auto()
    """A callee answered; the answer is being made durable."""
    TALKING = auto()
    ENDED = auto()
    """All legs are told; the settlement may still be on its way."""


class Leg:
    """One side of a call."""

    __slots__ = (
        "agent",
        "bills",
        "bridged",
        "call",
        "carrier",
        "cost",
        "is_caller",
        "others",
        "progressed",
    )

    def __init__(
        self,
        call: Call,
        is_caller: bool,
        agent: object = None,
        carrier: str = "",
        cost: CarrierCost | None = None,
        bills: tuple[int, ...] = (),
        bridged: bool = False,
    ) -> None:
        self.call = call
        self.is_caller = is_caller
        self.agent = agent
        """The protocol shell's own object; call control never looks inside."""
        self.carrier = carrier
        self.cost = cost
        """What that carrier charges us, where it is known."""
        self.bills = bills
        """Billed legs that are due if it answers, where others ring beside it."""
        self.bridged = bridged
        """Its media ends on this host by itself, without the relay."""
        self.progressed = False
        self.others: tuple[Branch, ...] = ()
        """Carriers that are left to be tried in its place, while others ring beside it."""

    @property
    def of_carrier(self) -> bool:
        """True where a carrier is at the other end."""
        return self.call.facts.direction == "in" if self.is_caller else bool(self.carrier)


class Offered(NamedTuple):
    """A call as a protocol shell hands it over, its sender authenticated."""

    facts: CallFacts
    legs: tuple[BilledLeg, ...]
    targets: tuple[Target, ...]
    parallel: bool
    """True: all targets ring at once (contacts); False: one after the other (carriers)."""
    caller: str
    """What the callee is shown."""
    callee: str
    hops: int
    sdp: bytes
    """The caller's offer; empty: the callee makes it (late offer)."""
    media: MediaMode
    ring_s: int = 0
    """So long nobody need answer; 0: as long as any call rings."""
    max_talk_ms: int = 0
    """0: no bound of its own."""
    bills: tuple[int, ...] = ()
    """Those of `legs` that are due on this way alone."""
    failovers: Failovers | None = None
    bridged: bool = False
    """The caller's media ends on this host by itself."""
    emergency: bool = False
    """It waits for nothing: what the store has of it is written when the store can."""

    @property
    def every_target(self) -> tuple[Target, ...]:
        """All that may be called, on whichever way."""
        others = [way.targets for way in self.failovers or () if way is not None]
        every: tuple[Target, ...] = sum(others, self.targets)
        for target in every:
            if isinstance(target, Branch):
                every += target.others
        return every


class Call:
    """Everything that is known of one call. Times are monotonic seconds."""

    __slots__ = (
        "answer_sdp",
        "answered_at",
        "attempts",
        "best_failure",
        "caller",
        "delayed",
        "durable",
        "ending",
        "facts",
        "failovers",
        "grant",
        "held_ready",
        "id",
        "joint",
        "modifying",
        "offer_sdp",
        "offered",
        "placed_sdp",
        "relayed",
        "relaying",
        "ring_until",
        "settle_tries",
        "state",
        "talk_ms",
        "targets",
        "transfer",
        "way",
        "winner",
    )

    def __init__(self, offered: Offered, agent: object) -> None:
        self.id = offered.facts.call_id
        self.facts = offered.facts
        self.offered: Offered = offered
        self.caller = Leg(self, True, agent, bridged=offered.bridged)
        self.state = State.AUTHORIZING
        self.way: Offered | Way = offered
        """Whom it rings."""
        self.failovers = offered.failovers
        """None too when the call has gone one of them."""
        self.targets: list[Target] = list(offered.targets)
        self.delayed: list[tuple[float, Branch | Leg]] = []
        """Who begins to ring later, and when, or whose carrier has so long to say something; the
        first one first."""
        self.ring_until = 0.0
        """When nobody has answered, where some ring later; 0: the timer says."""
        self.attempts: list[Leg] = []
        self.winner: Leg | None = None
        self.grant: Grant | None = None
        self.answered_at = 0.0
        self.durable = False
        """The answer is on disk."""
        self.held_ready = False
        """The answer's session description is ready for the caller."""
        self.answer_sdp = b""
        self.offer_sdp = offered.sdp
        self.placed_sdp = b""
        """The caller's offer as callees see it (the relay's address in it)."""
        self.relayed = False
        """The relay holds a session for this call."""
        self.relaying = False
        """The description at hand went to the relay, which must give one back."""
        self.best_failure: Failure | None = None
        self.modifying: Leg | None = None
        """The leg whose offer is on its way through; one at a time (491 otherwise)."""
        self.joint: Joint | None = None
        """What it shares with others that it was joined to."""
        self.transfer: Transfer | None = None
        """One that is on its way."""
        self.talk_ms = 0
        self.ending: Ending | None = None
        self.settle_tries = 0

    @property
    def late_offer(self) -> bool:
        """True when the caller sent no offer (RFC 3261, 13.2.1)."""
        return not self.offered.sdp

    @property
    def media(self) -> MediaMode:
        """Whether descriptions go through the relay."""
        return self.offered.media

    @property
    def session(self) -> Call | Joint:
        """What holds the relay session and the change that is under way."""
        return self.joint or self

    def leads(self, leg: Leg) -> bool:
        """True for the leg that has the caller's side of the relay session."""
        return leg.is_caller

    def other(self, leg: Leg) -> Leg | None:
        """The leg on the far side of `leg`; None while nobody has answered."""
        if self.joint is not None:
            return self.joint.other(leg)
        return self.winner if leg.is_caller else self.caller

    def release(self) -> None:
        """Let go of the legs, each of which points back here: nothing then waits for the
        collector. What a leg still says is said of `GONE`."""
        self.joint = None
        self.caller.call = GONE
        for leg in self.attempts:
            leg.call = GONE
        if self.winner is not None:
            self.winner.call = GONE


def _gone() -> Call:
    facts = CallFacts("", "", 0, "out", "", "")
    call = Call(Offered(facts, (), (), True, "", "", 0, b"", "direct"), None)
    call.state = State.ENDED
    return call


GONE = _gone()
"""Stands for every call that is over and settled; it takes no events."""
