"""The transaction layer (RFC 3261, 17; RFC 6026; RFC 4320 in that 100 is never sent unasked).

Without I/O: octets to send stand in `out`, deadlines in `next_deadline`, time is passed in, and
branches come from a function that is passed in. What the peer gets wrong never raises here.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from firmware.wire.sip.client import ClientTransaction
from firmware.wire.sip.clock import Clock
from firmware.wire.sip.events import (
    AckReceived,
    AckTimedOut,
    CancelReceived,
    Event,
    Flow,
    RequestReceived,
    ResponseReceived,
    StrayResponse,
    TimedOut,
)
from firmware.wire.sip.model import Message, Request, Response, response_to
from firmware.wire.sip.params import TOKEN
from firmware.wire.sip.parser import parse
from firmware.wire.sip.server import ServerTransaction
from firmware.wire.sip.states import State
from firmware.wire.sip.timers import Timers

__all__ = [
    "AckReceived",
    "AckTimedOut",
    "CancelReceived",
    "ClientTransaction",
    "Event",
    "Flow",
    "RequestReceived",
    "ResponseReceived",
    "ServerTransaction",
    "State",
    "StrayResponse",
    "TimedOut",
    "Timers",
    "TransactionLayer",
]

COOKIE = "z9hG4bK"
"""Begins every branch of RFC 3261, 8.1.1.7."""


class TransactionLayer:
    """All transactions of one element.

    `branch` gives a new branch each time, cookie and at least 64 random bits (8.1.1.7).
    `max_transactions` bounds what strangers can make us keep: requests beyond it get 503.
    The shell sends what stands in `out` after each call and puts an empty list in its place.
    """

    def __init__(
        self,
        *,
        branch: Callable[[], str],
        timers: Timers | None = None,
        max_transactions: int = 200_000,
    ) -> None:
        self.branch = branch
        self.timers = timers = Timers() if timers is None else timers
        self.max_transactions = max_transactions
        self.out: list[tuple[bytes, Flow]] = []
        self.clock: Clock[ServerTransaction | ClientTransaction] = Clock(timers.timeout_s)
        """For the transactions, not for the user."""
        self.refused = 0
        """Requests that got 503 because too many transactions were there."""
        # A transaction that needs nothing but repeating is its octets: the final answer, b"" for
        # silence; an ACK with its flow, None for silence.
        self._server: dict[str, ServerTransaction | bytes] = {}
        self._client: dict[str, ClientTransaction | tuple[bytes, Flow] | None] = {}
        self._awaiting_ack: dict[str, ServerTransaction] = {}
        self._merged: dict[int, str] = {}
        self._timeout_s = timers.timeout_s

    def __len__(self) -> int:
        """Transactions that exist or linger."""
        return len(self._server) + len(self._client)

    @property
    def next_deadline(self) -> float | None:
        """When `handle_timers` wants to be called, monotonic seconds; None: not at all.

        It may be early (a timer was stopped since), never late.
        """
        deadline = self.clock.next_deadline_s
        return None if deadline == inf else deadline

    # Sending.

    def send(self, message: Message, flow: Flow) -> None:
        """Send outside any transaction: the ACK of a 2xx, a stateless answer."""
        self.out.append((message.to_bytes(), flow))

    def request(
        self, request: Request, flow: Flow, now: float, user: object = None
    ) -> ClientTransaction:
        """Send a request whose top Via bears a branch made by `branch`; not for ACK and CANCEL."""
        assert request.method not in ("ACK", "CANCEL"), request.method
        return self.start(request, flow, now, user, False)

    def start(
        self, request: Request, flow: Flow, now: float, user: object, internal: bool
    ) -> ClientTransaction:
        """Start a client transaction; `internal` ones (CANCEL) tell the user nothing."""
        # Ours, so that it need not be parsed to be read.
        branch = request.headers.fields["Via"][0].partition(";branch=")[2].partition(";")[0]
        assert branch, "a request without branch"
        assert not branch.strip(TOKEN), "a branch that is no token"
        assert branch.startswith(COOKIE), "a branch without cookie"
        key = f"{branch}\n{request.method}"
        assert key not in self._client, "a branch used twice"
        transaction = ClientTransaction(self, key, request, flow, user, internal)
        self._client[key] = transaction
        transaction.start(now)
        return transaction

    # Receiving.

    def receive(self, message: Request | Response, flow: Flow, now: float) -> Event | None:
        """Take a message that `parse` gave; None if the layer has dealt with it."""
        if isinstance(message, Response):
            return self._response(message, flow, now)
        method = message.method
        number = message.cseq[0]
        prefix = _key_prefix(message)
        key = prefix + ("INVITE" if method == "ACK" else method)
        known = self._server.get(key)
        if method == "ACK":
            return self._ack(message, known, number, flow, now)
        if known is not None:
            if known.__class__ is bytes:
                if known:
                    self.out.append((known, flow))
            elif isinstance(known, ServerTransaction):
                known.repeat(flow)
            return None
        if len(self._server) >= self.max_transactions:
            self.refused += 1
            busy = response_to(message, 503, to_tag=self._new_tag())
            busy.headers.set("Retry-After", "5")
            self.send(busy, flow)
            return None
        if method == "CANCEL":
            return self._cancel(message, key, self._server.get(prefix + "INVITE"), flow, now)
        if message.to.tag is None and self._is_merged(message, number, key, now):
            self.send(response_to(message, 482, to_tag=self._new_tag()), flow)
            return None
        transaction = ServerTransaction(self, key, message, flow)
        self._server[key] = transaction
        return RequestReceived(transaction, message, flow)

    def knows(self, request: Request, method: str = "") -> bool:
        """Whether this request, or one of `method` on its branch, came before (17.2.3).

        Lets a user turn strangers away without state and still tell repetitions apart.
        """
        return _key_prefix(request) + (method or request.method) in self._server

    def _response(self, response: Response, flow: Flow, now: float) -> Event | None:
        vias = response.headers.fields["Via"]
        key = f"{response.top_via.branch}\n{response.cseq[1]}"
        client = self._client
        if key not in client or len(vias) > 1 or "," in vias[0]:
            return StrayResponse(response, flow)
        known = client[key]
        if isinstance(known, ClientTransaction):
            return known.received(response, flow, now)
        if known is not None and response.status >= 300:
            self.out.append(known)
        return None

    def _ack(
        self,
        ack: Request,
        known: ServerTransaction | bytes | None,
        number: int,
        flow: Flow,
        now: float,
    ) -> Event | None:
        if known is None:
            known = self._awaiting_ack.get(f"{ack.call_id}\n{ack.to.tag}\n{number}")
            if known is None:
                return AckReceived(None, ack, flow)
        if isinstance(known, ServerTransaction) and known.acknowledged(now):
            return AckReceived(known, ack, flow)
        return None

    def _cancel(
        self,
        cancel: Request,
        key: str,
        target: ServerTransaction | bytes | None,
        flow: Flow,
        now: float,
    ) -> Event | None:
        """Answer a CANCEL (9.2): 200 if its INVITE is known, whatever its state, else 481."""
        transaction = ServerTransaction(self, key, cancel, flow)
        self._server[key] = transaction
        tag = None
        if isinstance(target, ServerTransaction) and target.answer:
            tag = parse(target.answer).to.tag
        status = 481 if target is None else 200
        response = response_to(cancel, status, to_tag=tag or self._new_tag())
        transaction.respond(response, now)
        if isinstance(target, ServerTransaction) and target.open:
            return CancelReceived(transaction, target)
        return None

    def _is_merged(self, request: Request, number: int, key: str, now: float) -> bool:
        """Whether the same request came by another path before (8.2.2.2).

        Remembered by a keyed hash for as long as its client may repeat it.
        """
        mark = hash((request.from_.tag, request.call_id, number, request.method))
        first = self._merged.setdefault(mark, key)
        if first is key:
            self.clock.bucket(self._timeout_s, now).merged.append(mark)
        return first != key

    def _new_tag(self) -> str:
        return self.branch()[len(COOKIE) :]

    # Time.

    def handle_timers(self, now: float) -> list[Event]:
        """Carry out what is due: repeat, give up, forget."""
        clock = self.clock
        events: list[Event] = []
        if now < clock.next_deadline_s:
            return events
        retries, limits, buckets = clock.due(now)
        for item in limits:
            event = item.on_limit(now)
            if event is not None:
                events.append(event)
        for item, interval_s in retries:
            item.on_retry(interval_s, now)
        for bucket in buckets:
            for key in bucket.server:
                self._server.pop(key, None)
            for key in bucket.client:
                gone = self._client.pop(key, None)
                if isinstance(gone, ClientTransaction):
                    gone.state = State.TERMINATED
            for mark in bucket.merged:
                self._merged.pop(mark, None)
        clock.settle()
        return events

    def flow_lost(self, flow: Flow, now: float) -> list[Event]:
        """A connection broke or could not be made: what waits on it has timed out (17.1.4).

        Looks at every client transaction: for connections, not for each datagram.
        """
        lost = [
            item
            for item in self._client.values()
            if isinstance(item, ClientTransaction) and item.waiting and item.flow == flow
        ]
        events = [item.on_limit(now) for item in lost]
        return [event for event in events if event is not None]

    # For the transactions.

    def await_ack(self, transaction: ServerTransaction, call_id: str, tag: str, number: int) -> str:
        """Expect the ACK of a 2xx, which comes in a transaction of its own (13.3.1.4)."""
        key = f"{call_id}\n{tag}\n{number}"
        self._awaiting_ack[key] = transaction
        return key

    def forget_ack(self, key: str) -> None:
        """No ACK is expected any more."""
        self._awaiting_ack.pop(key, None)

    def linger_server(
        self, key: str, answer: bytes, now: float, duration_s: float | None = None
    ) -> None:
        """Keep only the answer to repetitions, for 64*T1 unless said otherwise."""
        self._server[key] = answer
        self.clock.bucket(duration_s or self._timeout_s, now).server.append(key)

    def linger_client(
        self,
        key: str,
        left: ClientTransaction | tuple[bytes, Flow] | None,
        now: float,
        duration_s: float,
    ) -> None:
        """Keep only what repeated answers need."""
        self._client[key] = left
        self.clock.bucket(duration_s, now).client.append(key)

    def drop_server(self, key: str) -> None:
        """Forget at once."""
        self._server.pop(key, None)

    def drop_client(self, key: str) -> None:
        """Forget at once."""
        self._client.pop(key, None)


def _key_prefix(request: Request) -> str:
    """What requests of one transaction share (17.2.3), ACK and CANCEL included."""
    via = request.top_via
    branch = via.branch
    if branch is not None and len(branch) > 7 and branch[:7] == COOKIE:
        return f"{branch}\n{via.host}\n{via.port}\n"
    # RFC 2543 peers: the tuple instead. To tags are left out, for the ACK has one that its
    # INVITE had not; the CSeq tells requests of a dialog apart.
    tag, number = request.from_.tag, request.cseq[0]
    return f"{request.uri}\n{tag}\n{request.call_id}\n{number}\n{via}\n"
