"""What call control asks of its shells: plain values, carried out in order.

A `Leg` is call control's handle on one side of a call. A shell (SIP, IAX2) hangs its own object
on `Leg.agent`; call control never looks inside it, nor into a session description (`sdp`), which
travels as the octets of RFC 4566 whatever the protocol of the leg.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from host.charging.values import BilledLeg, CallFacts, Ending, Reason, Refusal
from host.numbering.values import Carrier

if TYPE_CHECKING:
    from host.calls.call import Call, Leg

MediaMode = Literal["relay", "direct"]


@dataclass(frozen=True, slots=True)
class Contact:
    """One registered place of an account, or the fixed address of a PBX trunk."""

    uri: str
    """Where to send the request (the binding's own Contact URI)."""
    pop: str
    flow: object
    """The shell's own handle on the flow that the registration came by; None: resolve `uri`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a leg came to nothing: ITU-T Q.850, with the protocol's own code beside it."""

    cause: int
    status: int = 0
    """SIP status as received; 0 when none came."""
    detail: str = ""


# --- towards a leg -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlaceLeg:
    """Call a carrier or a contact. Answers: progressed, answered, failed."""

    leg: Leg
    target: Carrier | Contact
    caller: str
    callee: str
    hops: int
    """Hops that are left (Max-Forwards)."""
    sdp: bytes


@dataclass(frozen=True, slots=True)
class ProgressLeg:
    leg: Leg
    ringing: bool
    sdp: bytes
    """Early media; empty: none."""


@dataclass(frozen=True, slots=True)
class AnswerLeg:
    leg: Leg
    sdp: bytes


@dataclass(frozen=True, slots=True)
class RejectLeg:
    """Refuse or fail an unanswered caller."""

    leg: Leg
    reason: Reason | None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class EndLeg:
    """Hang up or give up a leg, whatever its state (BYE, CANCEL or final answer)."""

    leg: Leg
    cause: int


@dataclass(frozen=True, slots=True)
class AcknowledgeLeg:
    """The caller's answer to an offer that the callee made in its 200 (late offer)."""

    leg: Leg
    sdp: bytes


@dataclass(frozen=True, slots=True)
class ModifyLeg:
    """Offer a changed session (hold, codec, address). Answers: modified, modify_failed."""

    leg: Leg
    sdp: bytes
    update: bool
    """True when the peer asked by UPDATE (RFC 3311)."""


@dataclass(frozen=True, slots=True)
class ModifiedLeg:
    leg: Leg
    sdp: bytes


@dataclass(frozen=True, slots=True)
class RejectModifyLeg:
    leg: Leg
    status: int


@dataclass(frozen=True, slots=True)
class SendInfo:
    leg: Leg
    content_type: str
    body: bytes


# --- towards the store -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authorize:
    call: Call
    facts: CallFacts
    legs: tuple[BilledLeg, ...]


@dataclass(frozen=True, slots=True)
class RecordRefusal:
    facts: CallFacts
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class MarkAnswered:
    call: Call
    carrier: str


@dataclass(frozen=True, slots=True)
class Renew:
    call: Call


@dataclass(frozen=True, slots=True)
class Settle:
    call: Call
    talk_ms: int
    ending: Ending


# --- towards the relay -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RelayStep:
    """Which session description is being rewritten, and so what comes next."""

    kind: Literal["offer", "progress", "answer", "late-answer", "reoffer", "reanswer", "update"]
    leg: Leg


@dataclass(frozen=True, slots=True)
class Relay:
    """Give one side's address to the relay and rewrite its description. Answer: relayed."""

    call: Call
    step: RelayStep
    from_caller: bool
    sdp: bytes


@dataclass(frozen=True, slots=True)
class CloseRelay:
    call: Call


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
    | Authorize
    | RecordRefusal
    | MarkAnswered
    | Renew
    | Settle
    | Relay
    | CloseRelay
)
