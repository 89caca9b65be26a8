"""What the transaction layer tells its user, and what it needs to know of a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from firmware.wire.sip.client import ClientTransaction
    from firmware.wire.sip.model import Request, Response
    from firmware.wire.sip.server import ServerTransaction


class Flow(Protocol):
    """Where messages come from and go to: a datagram socket with an address, or a connection.

    Opaque to the core but for this one property, and compared by equality only.
    """

    @property
    def reliable(self) -> bool:
        """True for TCP and TLS: nothing is retransmitted but the 2xx to an INVITE."""


class RequestReceived(NamedTuple):
    """A new request other than ACK and CANCEL. Answer it by `transaction.respond`."""

    transaction: ServerTransaction
    request: Request
    flow: Flow


class AckReceived(NamedTuple):
    """The ACK of a 2xx, once; or an ACK that matches nothing, with transaction None."""

    transaction: ServerTransaction | None
    request: Request
    flow: Flow


class CancelReceived(NamedTuple):
    """An INVITE still without final answer is cancelled. Answer `target` with 487.

    The CANCEL itself has been answered.
    """

    transaction: ServerTransaction
    target: ServerTransaction


class ResponseReceived(NamedTuple):
    """A response, each once: provisional ones as they come, and one final one.

    Further 2xx to an INVITE come only if they bear another To tag (another fork).
    """

    transaction: ClientTransaction
    response: Response
    flow: Flow


class TimedOut(NamedTuple):
    """No answer: timer B or F, a cancelled INVITE that nobody ended, or a flow that was lost.

    To be treated as a 408 (RFC 3261, 8.1.3.1).
    """

    transaction: ClientTransaction


class AckTimedOut(NamedTuple):
    """A final answer to an INVITE that no ACK came for within 64*T1 (timer H, 13.3.1.4).

    After a 2xx the dialog is to be ended by BYE. `transaction.accepted` tells which.
    """

    transaction: ServerTransaction


class StrayResponse(NamedTuple):
    """A response that matches no transaction, or that is not for us alone (8.1.3.3): drop it."""

    response: Response
    flow: Flow


Event = (
    RequestReceived
    | AckReceived
    | CancelReceived
    | ResponseReceived
    | TimedOut
    | AckTimedOut
    | StrayResponse
)
