"""The words of charging: money, tariffs, limits, grants, refusals.

Plain values without behaviour, shared by `host.calls`, `host.numbering` and `host.charging`.
Terms are those of RFC 8506 (grant, quota, validity). What each call makes anew is a named tuple,
which costs a third of a frozen dataclass to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple, NewType

Money = NewType("Money", int)
"""An amount in units of 10^-8 USD."""

USD = 100_000_000
"""Units in one dollar."""

Direction = Literal["out", "in"]


class Reason(Enum):
    """Why a call was refused. The value is what a CDR and the logs say."""

    CREDENTIALS = "bad credentials"
    BLOCKED = "account blocked"
    NO_DESTINATION = "no such destination"
    NO_CARRIER = "no carrier"
    ACCOUNT_CHANNELS = "account channels full"
    ONE_NUMBER = "calls to one number full"
    DID_CHANNELS = "DID channels full"
    POP_MISMATCH = "POP mismatch"
    NOT_REGISTERED = "not registered"
    NO_MONEY = "no money"
    CODEC = "no common codec"
    OVERLOAD = "overload"
    STORE = "store unavailable"
    RESTRICTED = "not from there"
    """The account is tied to other networks, POPs or another protocol."""
    RATE = "rate above the limit"
    DAY_CALLS = "calls a day to one number used"
    DAY_SPEND = "spend of the day used"
    SUSPENDED = "DID suspended"
    LOOP = "forwarding loop"
    SYSTEM_BUSY = "routed to busy"
    SYSTEM_HANGUP = "routed to hang-up"
    SYSTEM_NO_SERVICE = "routed to no service"
    SYSTEM_DISCONNECTED = "routed to disconnected"


class Rule(Enum):
    """Rules that a test may switch off to show that its check can fail (`Settings.rules_off`)."""

    CHARGE_OUT = "charge-out"
    """Outgoing calls cost money."""
    ROUTE_CHOICE = "route-choice"
    """The account's route decides the rate; off: always the value rate."""
    CHARGE_DID = "charge-did"
    """Incoming calls are charged to the DID's plan."""
    POP_MATCH = "pop-match"
    ACCOUNT_CHANNELS = "account-channels"
    ONE_NUMBER = "one-number"
    BALANCE = "balance"
    """An account without money is refused."""
    HOLDS = "holds"
    """Money in use by live calls is not available to others."""
    CUT_OFF = "cut-off"
    """A call ends when its last quota is used."""
    RECOVERY = "recovery"
    """A host settles its open calls when it starts."""
    BRIDGE = "iax2-bridge"
    """Frames of an IAX2 leg become packets for a SIP leg."""
    TRUNK = "iax2-trunk"
    """Voice goes to a trunk in meta frames."""
    DIGITS = "iax2-digits"
    """Digits of an IAX2 leg reach the other side."""


class Now(NamedTuple):
    """One instant, read once by a shell and passed in."""

    utc_ms: int
    """Milliseconds since 1970-01-01 UTC; may step."""
    mono_ms: int
    """Milliseconds of this boot's monotonic clock; never steps back."""


class Tariff(NamedTuple):
    """Price of talk time."""

    per_minute: Money
    first_s: int = 6
    """The first increment, seconds, charged as soon as the call is answered."""
    step_s: int = 6
    """Each further increment, seconds."""
    connect_fee: Money = Money(0)
    """Charged once a call that is answered."""


class Limit(NamedTuple):
    """At most `most` live legs bear `key` at once."""

    key: str
    """For example `account:7:out`, `account:7:to:+15145550100`, `did:+12125550100`."""
    most: int
    reason: Reason
    """What a leg over the limit is refused with."""


class DayLimit(NamedTuple):
    """What an account, or all of a customer's, may do in one day (UTC, of the call's start)."""

    account_id: int
    """Main or sub-account that the limit is set on."""
    most: int
    """Money, or calls."""


class BilledLeg(NamedTuple):
    """One leg of a call that somebody pays for (or that costs nothing but takes a channel)."""

    leg: int
    """0, 1...: unique within the call."""
    direction: Direction
    account_id: int
    """The main account that pays."""
    tariff: Tariff
    tariff_ref: str
    """Which rate it was, for the CDR: `value 1514`, `did per-minute`."""
    route: str
    """`value`, `premium` or the DID's plan."""
    limits: tuple[Limit, ...] = ()
    deck: int = 0
    """The deck that the rate stands in, for the CDR; 0: in none."""
    callee: str = ""
    """Of a leg that a DID's call is forwarded by: the number, for the CDR; empty: the call's."""
    day_spend: tuple[DayLimit, ...] = ()
    """What this leg may spend at most, with all others of the day."""
    day_calls: tuple[DayLimit, ...] = ()
    """How many calls of the day may go to its number."""
    number: str = ""
    """Whom `day_calls` counts; set where there are such limits."""


class CarrierCost(NamedTuple):
    """What a carrier charges us for a call."""

    deck: int
    """The carrier's deck that it stands in."""
    ref: str
    """Which rate of it: `north 1514`."""
    tariff: Tariff


class CallFacts(NamedTuple):
    """What the CDR says of a call from its first message on."""

    call_id: str
    """Our own id of the call, unique for ever; all its CDRs and logs bear it."""
    account: str
    """User name of the account or sub-account, or of the carrier that brought it."""
    account_id: int
    """Main account; 0 if there is none (never charged)."""
    direction: Direction
    caller: str
    callee: str
    """The dialled number in E.164 with `+` where it has one, else as dialled."""


class Grant(NamedTuple):
    """What a call may use before it must ask again (RFC 8506, 5.1.1)."""

    quota_ms: int
    """Talk time from answer on that all holds of the call cover, milliseconds, in total."""
    renew_at_ms: int
    """Talk time at which to ask for more; equals `quota_ms` when there is nothing to ask for."""
    final: bool
    """True when no more money or time is behind it."""


class Refusal(NamedTuple):
    """A call that business says no to. A value, never an exception."""

    reason: Reason
    detail: str = ""
    """For the log, the CDR and the operator: which limit, which POP."""


class Ending(NamedTuple):
    """How a call ended, for its CDR."""

    disposition: Literal["answered", "busy", "no answer", "cancelled", "failed", "refused"]
    cause: int
    """ITU-T Q.850 cause."""
    ended_by: Literal["caller", "callee", "money", "media", "limit", "host", "crash"]
    carrier: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LegSettlement:
    """What one billed leg cost."""

    leg: int
    billed_ms: int
    cost: Money
