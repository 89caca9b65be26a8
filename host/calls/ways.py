"""The ways that a call may go: whom it rings first, and whom instead when that is in vain."""

from __future__ import annotations

from typing import NamedTuple

from host.calls.commands import Contact, Failure
from host.charging.values import BilledLeg
from host.numbering.values import Carrier

BUSY = frozenset((17, 21))
"""Q.850 of a callee who is busy, or declines."""
SILENT = frozenset((18, 19))
"""Of one who does not answer."""


class Branch(NamedTuple):
    """One target of a call that is sent otherwise than the call came, or later than others."""

    target: Carrier | Contact
    caller: str
    """What it is shown."""
    callee: str
    bills: tuple[int, ...] = ()
    """Billed legs that are due if this one answers."""
    delay_s: int = 0
    """It begins to ring so long after the others."""
    others: tuple[Branch, ...] = ()
    """Carriers that are tried in its place, in order, where others ring beside it."""

    @property
    def bridged(self) -> bool:
        """As of its target."""
        return self.target.bridged


Target = Carrier | Contact | Branch


class Way(NamedTuple):
    """Whom a call rings."""

    targets: tuple[Target, ...]
    parallel: bool
    """True: all targets ring at once; False: one after the other (carriers)."""
    legs: tuple[BilledLeg, ...] = ()
    """Due on this way, besides those that every way has."""
    ring_s: int = 0
    """So long nobody need answer; 0: as long as any call rings."""
    max_talk_ms: int = 0
    """0: no bound of its own."""

    @property
    def bills(self) -> tuple[int, ...]:
        """The numbers of its billed legs."""
        return tuple(leg.leg for leg in self.legs)


class Failovers(NamedTuple):
    """Where a call goes instead, by what came of its first way."""

    busy: Way | None
    unreachable: Way | None
    no_answer: Way | None

    def after(self, failure: Failure) -> Way | None:
        """The way that is left when the first one ended so."""
        if failure.cause in BUSY:
            return self.busy
        return self.no_answer if failure.cause in SILENT else self.unreachable
