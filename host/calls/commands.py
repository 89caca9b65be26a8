"""What call control asks of its shells: plain values, carried out in order.

A `Leg` is call control's handle on one side of a call. A shell (SIP, IAX2) hangs its own object
on `Leg.agent`; call control never looks inside it, nor into a session description (`sdp`), which
travels as the octets of RFC 4566 whatever the protocol of the leg. Named tuples, since a call
makes some dozen of them and they cost a third of a frozen dataclass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from host.charging.values import BilledLeg, CallFacts, CarrierCost, Ending, Reason, Refusal
from host.numbering.values import Carrier

if TYPE_CHECKING:
    from host.calls.call import Call, Leg
    from host.calls.joint import Joint

MediaMode = Literal["relay", "direct"]


class Contact(NamedTuple):
    """One registered place of an account, or the fixed address of a PBX trunk."""

    uri: str
    """Where to send the request (the binding's own Contact URI)."""
    pop: str
    flow: object
    """The shell's own handle on the flow that the registration came by; None: resolve `uri`."""
    codecs: tuple[str, ...] = ()
    """Those of its account; empty: all."""
    account: str = ""
    """Whose it is; empty: a stranger's, who may ask for nothing."""

    @property
    def bridged(self) -> bool:
        """True when its leg ends media on this host by itself, without the relay."""
        return self.uri.startswith("iax2:")


ECHO = "echo:"
"""The `uri` of a contact that is the host's own echo."""


class Failure(NamedTuple):
    """Why a leg came to nothing: ITU-T Q.850, with the protocol's own code beside it."""

    cause: int
    status: int = 0
    """SIP status as received; 0 when none came."""
    detail: str = ""


# --- towards a leg -----------------------------------------------------------------------------


class PlaceLeg(NamedTuple):
    """Call a carrier or a contact. Answers: progressed, answered, failed."""

    leg: Leg
    target: Carrier | Contact
    caller: str
    callee: str
    hops: int
    """Hops that are left (Max-Forwards)."""
    sdp: bytes


class ProgressLeg(NamedTuple):
    leg: Leg
    ringing: bool
    sdp: bytes
    """Early media; empty: none."""


class AnswerLeg(NamedTuple):
    leg: Leg
    sdp: bytes


class RejectLeg(NamedTuple):
    """Refuse or fail an unanswered caller."""

    leg: Leg
    reason: Reason | None
    failure: Failure | None = None


class EndLeg(NamedTuple):
    """Hang up or give up a leg, whatever its state (BYE, CANCEL or final answer)."""

    leg: Leg
    cause: int


class AcknowledgeLeg(NamedTuple):
    """The caller's answer to an offer that the callee made in its 200 (late offer)."""

    leg: Leg
    sdp: bytes


class ModifyLeg(NamedTuple):
    """Offer a changed session (hold, codec, address). Answers: modified, modify_failed."""

    leg: Leg
    sdp: bytes
    update: bool
    """True when the peer asked by UPDATE (RFC 3311)."""


class ModifiedLeg(NamedTuple):
    leg: Leg
    sdp: bytes


class RejectModifyLeg(NamedTuple):
    leg: Leg
    status: int


class SendInfo(NamedTuple):
    leg: Leg
    content_type: str
    body: bytes


class DescribeLeg(NamedTuple):
    """Say what a leg last said of its media, as one that sends and receives. Answer: described."""

    leg: Leg
    here: bool = False
    """It is for another leg whose media ends on this host by itself: no port is needed."""


class TellTransfer(NamedTuple):
    """How a transfer goes that this leg asked for."""

    leg: Leg
    status: int
    """SIP status; final from 200 on."""
    failure: Failure | None = None
    """Why whom it was to go to was not reached."""
    reason: Reason | None = None
    """Why the call to him was refused."""


# --- towards the store -------------------------------------------------------------------------


class Authorize(NamedTuple):
    call: Call
    facts: CallFacts
    legs: tuple[BilledLeg, ...]


class Amend(NamedTuple):
    """Charge the call for another way than its first. Answer: rerouted."""

    call: Call
    drop: tuple[int, ...]
    """Billed legs of the way that came to nothing."""
    legs: tuple[BilledLeg, ...]
    max_talk_ms: int
    """0: as before."""


class RecordRefusal(NamedTuple):
    facts: CallFacts
    refusal: Refusal


class MarkAnswered(NamedTuple):
    call: Call
    carrier: str
    cost: CarrierCost | None = None
    """What the carrier charges us, where that is known."""
    drop: tuple[int, ...] = ()
    """Billed legs of others who rang beside the one that answered."""


class Renew(NamedTuple):
    call: Call


class Settle(NamedTuple):
    call: Call
    talk_ms: int
    ending: Ending


# --- towards the relay -------------------------------------------------------------------------


class RelayStep(NamedTuple):
    """Which session description is being rewritten, and so what comes next."""

    kind: Literal[
        "offer",
        "progress",
        "answer",
        "late-answer",
        "reoffer",
        "reanswer",
        "update",
        "join-offer",
        "join-answer",
    ]
    leg: Leg
    """Whose description it is."""
    update: bool = False
    """A `reoffer` that came by UPDATE."""


class Relay(NamedTuple):
    """Give one side's address to the relay and rewrite its description. Answer: relayed."""

    session: Call | Joint
    step: RelayStep
    from_caller: bool
    sdp: bytes


class CloseRelay(NamedTuple):
    id: str
    """Of the call, or of the joint, that the relay session is for."""


Command = (
    PlaceLeg
    | ProgressLeg
    | AnswerLeg
    | RejectLeg
    | EndLeg
    | AcknowledgeLeg
    | ModifyLeg
    | ModifiedLeg
    | RejectModifyLeg
    | SendInfo
    | DescribeLeg
    | TellTransfer
    | Authorize
    | Amend
    | RecordRefusal
    | MarkAnswered
    | Renew
    | Settle
    | Relay
    | CloseRelay
)
