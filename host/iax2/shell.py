"""IAX2's sockets and clock: joins `Iax2Server` to the loop and to the rest of the host."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import Protocol

from host.calls.control import CallControl
from host.calls.routing import Router
from host.charging.values import Rule
from host.iax2.server import Iax2Server
from host.iax2.sockets import BUFFER_OCTETS, Gatherer, RtpPorts, bind, drain_of
from host.media.bridge import Ground
from host.numbering.directory import Directory
from host.settings import Listener, Settings
from host.sip.guard import Guard
from host.sip.registrar import Registrar

LAST_WORDS_S = 0.2
"""A host that stops waits so long for acknowledgements of its HANGUPs."""


class Rest(Protocol):
    """What is needed of the rest of the host (`host.main.Host`)."""

    settings: Settings
    control: CallControl
    registrar: Registrar
    directory: Directory
    armed_at: float | None
    """When the one timer of the host goes off."""

    def enter(self) -> float:
        """Something happens: what time it is, for all protocols."""

    def flush(self) -> None:
        """Carry out what is to be done, and send it."""

    def rearm(self) -> None:
        """A deadline may have moved."""

    def pace(self) -> None:
        """A batch of IAX2 is over: the store may work now, if there is time."""

    def take_deliveries(self) -> None:
        """The store's answers that have come."""

    def new_call_id(self) -> str: ...
    def refuses_calls(self) -> bool: ...


class Iax2Shell:
    """The listeners of IAX2 and the ports of its bridges."""

    def __init__(self, rest: Rest, router: Router, guard: Guard) -> None:
        self._rest = rest
        settings = rest.settings
        self._gatherer = Gatherer(
            settings.iax2.batch_ms / 1000, self._begin, self._over, lambda: self.server.lively()
        )
        self.ports = RtpPorts(settings.media, self._gatherer)
        ground = Ground(
            settings.media.address,
            lambda bridge: self.ports.open(bridge.receive),
            secrets.token_bytes,
            frozenset(Rule(name) for name in settings.rules_off),
        )
        self.server = Iax2Server(
            settings,
            peers=rest.directory,
            router=router,
            control=rest.control,
            registrar=rest.registrar,
            guard=guard,
            ground=ground,
            new_call_id=rest.new_call_id,
            random=secrets.token_bytes,
            clock=rest.enter,
            flush=rest.flush,
            refuses=rest.refuses_calls,
        )

    def open(self, listener: Listener) -> Listener:
        """Bind a listener; answers it with the port that was bound (for port 0).

        Raises:
            OSError: the address is taken or not ours.
        """
        sock = bind(listener.address, listener.port, BUFFER_OCTETS)
        listener = replace(listener, port=sock.getsockname()[1])
        line = self.server.add_line(listener, sock)
        self._gatherer.add(sock, drain_of(sock, line.endpoint, self.server.ground))
        return listener

    @property
    def ticking(self) -> bool:
        """True while it looks by itself at every tick, for the store's answers, too."""
        return self._gatherer.ticking

    @property
    def slow(self) -> bool:
        """True while its batches are far apart: the store can work between them."""
        return self._gatherer.slow

    async def close(self) -> None:
        """Hang up what is left, and close the sockets."""
        self.server.close(self._rest.enter())
        await asyncio.sleep(LAST_WORDS_S)
        self._gatherer.close()
        for line in self.server.lines:
            line.socket.close()

    def _begin(self) -> None:
        self.server.begin()

    def _over(self) -> None:
        """After a batch; the timer may have to go off earlier now."""
        self._rest.take_deliveries()
        self.server.over()
        at = self.server.next_deadline
        armed_at = self._rest.armed_at
        if at is not None and (armed_at is None or at < armed_at):
            self._rest.rearm()
        self._rest.pace()
