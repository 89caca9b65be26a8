"""Tells a device to ask for its configuration and firmware now: NOTIFY of the event `check-sync`.

No standard has it; telephones and adapters of all makers know it. It is a NOTIFY outside of any
subscription (RFC 6665, 4.1.3 forbids what everybody does), without a body. IAX2 has no message for
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware.wire.sip.headers import Headers
from firmware.wire.sip.message import Request, Response
from firmware.wire.sip.transaction import ClientTransaction
from host.sip.registrar import Binding

if TYPE_CHECKING:
    import structlog

    from host.sip.server import SipServer


class Asked:
    """One contact that was told; what it answers goes to the log and no further."""

    def __init__(self, binding: Binding, log: structlog.stdlib.BoundLogger) -> None:
        self._binding, self._log = binding, log

    def receive_response(self, _transaction: ClientTransaction, response: Response) -> None:
        """Whatever it says, it has heard."""
        if response.status >= 200:
            self._say(response.status)

    def timed_out(self, _transaction: ClientTransaction) -> None:
        """It is away, or drops what it does not know."""
        self._say(408)

    def _say(self, status: int) -> None:
        one = self._binding
        self._log.info("check-sync", account=one.username, contact=one.uri, status=status)


def send(
    server: SipServer, account_id: int, restart: bool, log: structlog.stdlib.BoundLogger
) -> tuple[int, int]:
    """Tell all contacts of an account, each by the way that its registration came.

    Args:
        restart: devices that start anew for it may do so, even if nothing has changed.
    Returns:
        How many were told; how many are registered over IAX2 and cannot be.
    """
    now = server.now
    mine = [
        one
        for one in server.registrar.bindings()
        if one.account_id == account_id and one.expires_at > now
    ]
    told = [one for one in mine if not one.uri.startswith("iax2:")]
    for one in told:
        server.layer.request(_notify(server, one, restart), one.flow, now, Asked(one, log))
    return len(told), len(mine) - len(told)


def _notify(server: SipServer, binding: Binding, restart: bool) -> Request:
    own = server.host_port(binding.flow)
    fields = {
        "Via": [server.via(binding.flow)],
        "Max-Forwards": ["70"],
        "From": [f"<sip:{own}>;tag={server.random_token()}"],
        "To": [f"<{binding.uri}>"],
        "Call-ID": [server.random_token()],
        "CSeq": ["1 NOTIFY"],
        "Contact": [server.contact(binding.flow)],
        "Event": [f"check-sync;reboot={'true' if restart else 'false'}"],
        "Subscription-State": ["terminated"],
    }
    return Request("NOTIFY", binding.uri, Headers.adopt(fields), b"")
