"""Emergency calls: tried at one server after another, as soon as a leg is free.

The user agent lends what makes a call (`Dialler`); when to try what is decided here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from firmware.causes import NETWORK_OUT_OF_ORDER, NORMAL_CLEARING, USER_BUSY, Cause
from firmware.legs import LegAnswered, LegEnded, LegEvent, PlaceCall

PATIENCE_S = 4.0
"""A server that says nothing for so long is left for the next one. An INVITE has been repeated
three times by then (RFC 3261, 17.1.1.2), and its timer B would wait for 32 s."""
_DECIDED = frozenset({486, 487, 600, 603})
"""Busy, cancelled or declined, by SIP: another server would say the same."""


class CannotDial(Exception):
    """A call cannot even be tried by way of a server; says why."""


class NoneFree(Exception):
    """The library has no call to give yet: one that has ended is let go of by and by."""


class Dialler(Protocol):
    """What is lent."""

    def dial(self, command: PlaceCall, server: int) -> None:
        """Call by way of a server; what happens to the leg comes to `EmergencyCalls.news`.

        Raises:
            CannotDial, NoneFree: it does not.
        """

    def silent(self, leg: str) -> bool | None:
        """Whether the server of a leg has said nothing yet; None: there is no such leg."""

    def abandon(self, leg: str) -> None:
        """End a leg, and hear no more of it."""

    def tell(self, event: LegEvent) -> None:
        """Something happened that the telephone has to know."""


@dataclass(slots=True)
class _Call:
    command: PlaceCall
    servers: list[int]
    """Those that it has not been tried at, in order."""
    due_s: float = 0.0
    """Monotonic; then the server that it is tried at has been silent for too long."""
    failed: LegEnded | None = None
    """What the last server said."""


class EmergencyCalls:
    """At most one that nobody has answered yet."""

    def __init__(self, dialler: Dialler) -> None:
        self._dialler = dialler
        self._call: _Call | None = None

    def place(self, command: PlaceCall, servers: list[int]) -> None:
        """Begin one.

        Args:
            servers: where it is tried, in order; one at least.
        """
        assert servers, "an account has a server"
        self._call = _Call(command, servers)
        self.step()

    def hung_up(self, leg: str) -> None:
        """The owner gives it up."""
        if self._is(leg):
            self._call = None
            if self._dialler.silent(leg) is None:
                self._dialler.tell(LegEnded(leg, Cause(NORMAL_CLEARING)))

    def news(self, event: LegEvent) -> None:
        """From its leg: a failure may be followed by another attempt."""
        call = self._call
        if call is not None and self._is(event.leg):
            if isinstance(event, LegEnded):
                call.failed = event
                if call.servers and not _is_decided(event.cause):
                    return
            if isinstance(event, LegEnded | LegAnswered):
                self._call = None
        self._dialler.tell(event)

    def step(self) -> None:
        """Try the next server if the last one has failed, or says nothing."""
        call = self._call
        if call is None:
            return
        silent = self._dialler.silent(call.command.leg)
        if silent is not None:
            if not silent or time.monotonic() < call.due_s or not call.servers:
                return
            self._dialler.abandon(call.command.leg)
        while call.servers:
            try:
                self._dialler.dial(call.command, call.servers[0])
            except NoneFree:
                return
            except CannotDial as error:
                cause = Cause(NETWORK_OUT_OF_ORDER, 0, str(error))
                call.failed = LegEnded(call.command.leg, cause)
                del call.servers[0]
            else:
                call.due_s = time.monotonic() + PATIENCE_S
                del call.servers[0]
                return
        assert call.failed is not None, "it was tried at one server at least"
        self._call = None
        self._dialler.tell(call.failed)

    def _is(self, leg: str) -> bool:
        return self._call is not None and self._call.command.leg == leg


def _is_decided(cause: Cause) -> bool:
    return cause.status in _DECIDED or cause.q850 == USER_BUSY
