"""IAX2's sockets and clock: joins `Iax2Server` to the loop and to the rest of the host."""

from __future__ import annotations

import asyncio
import secrets
import socket
from dataclasses import replace
from typing import Protocol

from host.calls.control import CallControl
from host.calls.routing import Router
from host.charging.values import Rule
from host.iax2.server import Iax2Server
from host.iax2.sockets import BUFFER_OCTETS, RtpPorts, bind, drain_of
from host.media.bridge import Ground
from host.numbering.directory import Directory
from host.settings import Listener, Settings
from host.sip.guard import Guard
from host.sip.registrar import Registrar
from host.watch import Watch

LAST_WORDS_S = 0.2
"""A host that stops waits so long for acknowledgements of its HANGUPs."""


class Rest(Protocol):
    """What is needed of the rest of the host (`host.main.Host`)."""

    settings: Settings
    control: CallControl
    registrar: Registrar
    directory: Directory
    watch: Watch

    def enter(self) -> float:
        """Something happens: what time it is, for all protocols."""

    def flush(self) -> None:
        """Carry out what is to be done, and send it."""

    def new_call_id(self) -> str: ...
    def refuses_calls(self) -> bool: ...


class Iax2Shell:
    """The listeners of IAX2 and the ports of its bridges."""

    def __init__(self, rest: Rest, router: Router, guard: Guard) -> None:
        self._rest = rest
        settings = rest.settings
        self.ports = RtpPorts(settings.media, rest.watch)
        self._sockets: list[socket.socket] = []
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
        self._sockets.append(sock)
        self._rest.watch.add(sock, drain_of(sock, line.endpoint, self.server.ground))
        return listener

    async def close(self) -> None:
        """Hang up what is left, and close the sockets."""
        self.server.close(self._rest.enter())
        await asyncio.sleep(LAST_WORDS_S)
        for sock in self._sockets:
            self._rest.watch.remove(sock)
            sock.close()
