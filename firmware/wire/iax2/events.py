"""What an endpoint tells its user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware.wire.iax2.formats import Format

if TYPE_CHECKING:
    from firmware.wire.iax2.call import Call
    from firmware.wire.iax2.registration import Registration

Address = tuple[str, int]
"""Literal IP address and UDP port."""


@dataclass(frozen=True, slots=True)
class CallOffered:
    """A NEW that is authenticated, with a format in common: `call.format`. Answer or reject it."""

    call: Call


@dataclass(frozen=True, slots=True)
class Accepted:
    """The peer takes the call on (ACCEPT, RFC 5456, 6.2.3)."""

    call: Call
    format: Format


@dataclass(frozen=True, slots=True)
class Proceeding:
    """The call is being set up (6.3.2)."""

    call: Call


@dataclass(frozen=True, slots=True)
class Ringing:
    """The called party is alerted (6.3.3)."""

    call: Call


@dataclass(frozen=True, slots=True)
class Progress:
    """Audio before the answer is to be heard."""

    call: Call


@dataclass(frozen=True, slots=True)
class Answered:
    """The called party answered (6.3.4)."""

    call: Call


@dataclass(frozen=True, slots=True)
class Busy:
    """The called party is busy; `Ended` follows."""

    call: Call


@dataclass(frozen=True, slots=True)
class Congestion:
    """The network is; `Ended` follows."""

    call: Call


@dataclass(frozen=True, slots=True)
class Hold:
    """The peer put us on hold."""

    call: Call


@dataclass(frozen=True, slots=True)
class Unhold:
    """The peer took us off hold."""

    call: Call


@dataclass(frozen=True, slots=True)
class Quelched:
    """The peer wants no audio; none is sent until `Unquelched`."""

    call: Call


@dataclass(frozen=True, slots=True)
class Unquelched:
    """The peer wants audio again."""

    call: Call


@dataclass(frozen=True, slots=True)
class DigitBegan:
    """A key went down. Comes before each `DigitEnded`, whether the peer sent it or not."""

    call: Call
    digit: str


@dataclass(frozen=True, slots=True)
class DigitEnded:
    """A key went up."""

    call: Call
    digit: str
    duration_ms: int
    """0 where the peer did not tell."""


@dataclass(frozen=True, slots=True)
class Flash:
    """The peer flashed its hook."""

    call: Call


@dataclass(frozen=True, slots=True)
class Text:
    """A text message within the call (8.2)."""

    call: Call
    text: str


@dataclass(frozen=True, slots=True)
class TransferAsked:
    """The peer wants its far end to talk to a number instead of it (TRANSFER, 6.4). Hang up when
    that is done, or `Call.refuse_transfer`."""

    call: Call
    number: str


@dataclass(frozen=True, slots=True)
class JoinAsked:
    """The peer wants to leave this call and another one, whose far ends are to talk (TXREQ, 6.5).
    It asks the same of the other call. `Call.transfer_ready` or `Call.refuse_transfer`."""

    call: Call
    other_number: int
    """Of the other call, at whoever is asked."""
    transfer_id: int


@dataclass(frozen=True, slots=True)
class TransferReady:
    """The far ends are connected (TXREADY): leave the call by `Call.release`."""

    call: Call


@dataclass(frozen=True, slots=True)
class TransferRefused:
    """The peer does no such transfer, or it failed (TXREJ, UNSUPPORT)."""

    call: Call
    unsupported: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over: once a call, whoever ended it. It is inert from now on."""

    call: Call
    cause: int
    """ITU-T Q.850."""
    text: str
    by_peer: bool


@dataclass(frozen=True, slots=True)
class RegisterAccepted:
    """REGACK (6.1.4)."""

    registration: Registration
    refresh_s: int
    apparent_address: Address | None
    messages: tuple[int, int] | None
    """New and old ones."""


@dataclass(frozen=True, slots=True)
class RegisterRefused:
    """REGREJ, or no answer: cause 0."""

    registration: Registration
    cause: int
    text: str


@dataclass(frozen=True, slots=True)
class RegisterReleased:
    """Our REGREL was acknowledged."""

    registration: Registration


@dataclass(frozen=True, slots=True)
class Registering:
    """A user registered here, and has its REGACK."""

    username: str
    address: Address
    refresh_s: int


@dataclass(frozen=True, slots=True)
class Releasing:
    """A user released its registration here, and has its REGACK."""

    username: str
    address: Address


@dataclass(frozen=True, slots=True)
class Reachable:
    """A POKE was answered."""

    address: Address
    rtt_ms: int


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A POKE was not answered."""

    address: Address


Event = (
    CallOffered | Accepted | Proceeding | Ringing | Progress | Answered | Busy | Congestion
    | Hold | Unhold | Quelched | Unquelched | DigitBegan | DigitEnded | Flash | Text | Ended
    | TransferAsked | JoinAsked | TransferReady | TransferRefused
    | RegisterAccepted | RegisterRefused | RegisterReleased | Registering | Releasing
    | Reachable | Unreachable
)  # fmt: skip
