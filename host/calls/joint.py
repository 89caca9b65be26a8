"""Calls whose far ends talk to each other since somebody who was in both has left: transfers.

Each call stays what it was to charging: its own legs, quota and settlement. What they share is
the session: one relay session, one change of the session at a time, one end.
"""

from __future__ import annotations

from enum import IntEnum, auto
from typing import TYPE_CHECKING

from host.calls.commands import MediaMode

if TYPE_CHECKING:
    from host.calls.call import Call, Leg


_JOINED = ".joined"


def session_of(call: Call) -> str:
    """The name of a relay session between the ends of calls of which this is the last one."""
    return call.id + _JOINED


def call_of(session_id: str) -> str:
    """The call that a relay session belongs to."""
    return session_id.removesuffix(_JOINED)


class Joint:
    """Two legs of different calls that are joined, and all calls that live as long as they do.

    To relay and session changes it is what a call is to its own two legs.
    """

    __slots__ = ("calls", "ends", "id", "media", "modifying", "relayed", "relaying")
    late_offer = False

    def __init__(
        self, name: str, calls: tuple[Call, ...], ends: tuple[Leg, Leg], media: MediaMode
    ) -> None:
        self.id = name
        """Of the relay session."""
        self.calls = calls
        self.ends = ends
        self.media = media
        self.relayed = False
        self.relaying = False
        self.modifying: Leg | None = None

    def other(self, leg: Leg) -> Leg | None:
        """The end that `leg` talks to; None for a leg that has left."""
        first, second = self.ends
        return second if leg is first else first if leg is second else None

    def leads(self, leg: Leg) -> bool:
        """True for the end that has the caller's side of the relay session."""
        return leg is self.ends[0]

    def left_by(self, call: Call) -> str:
        """On which side of a call somebody has left it: `caller` or `callee`."""
        return "callee" if call.caller in self.ends else "caller"


def together(call: Call) -> tuple[Call, ...]:
    """A call and those that it is joined to."""
    return call.joint.calls if call.joint is not None else (call,)


class Stage(IntEnum):
    """How far a transfer is."""

    WAITING = auto()
    """The second call rings, or one of the two is busy with a change of its session."""
    DESCRIBING = auto()
    """The first end was asked for its description."""
    OFFERED = auto()
    """The second end was offered the first one's description."""
    ANSWERED = auto()
    """The first end was offered what the second one answered."""


class Transfer:
    """A transfer that is on its way: somebody leaves two calls, whose far ends are to talk.

    Args:
        leaving: whoever asked for it, in the first call and in the second; of a blind transfer
            nobody stands behind the second one, the caller's leg of a call made for it.
        blind: the second call was made for it.
    """

    __slots__ = ("all_calls", "blind", "gone", "joint", "leaving", "moved", "stage", "tries")

    def __init__(self, leaving: tuple[Leg, Leg], blind: bool) -> None:
        self.leaving = leaving
        first, second = leaving[0].call, leaving[1].call
        self.all_calls = together(first) + together(second)
        """The two, and those that they were joined to before."""
        for call in self.all_calls:
            call.transfer = self
        self.blind = blind
        self.stage = Stage.WAITING
        self.joint: Joint | None = None
        """What the calls will have in common; once both can be joined."""
        self.gone: set[Leg] = set()
        """Legs of whoever asked that were hung up meanwhile."""
        self.moved = False
        """The second end has been told of the first one."""
        self.tries = 0

    @property
    def calls(self) -> tuple[Call, Call]:
        """The first call and the second."""
        return self.leaving[0].call, self.leaving[1].call

    @property
    def busy(self) -> bool:
        """True while the ends are being told of each other."""
        return self.stage is not Stage.WAITING
