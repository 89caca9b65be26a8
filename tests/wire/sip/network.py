"""Two transaction layers with their users, joined by a link that a seed makes bad."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from firmware.wire.sip.dialog import Dialog
from firmware.wire.sip.message import Headers, Request, Response, parse, response_to
from firmware.wire.sip.transaction import (
    AckReceived,
    AckTimedOut,
    CancelReceived,
    ClientTransaction,
    Event,
    RequestReceived,
    ResponseReceived,
    ServerTransaction,
    StrayResponse,
    TimedOut,
    TransactionLayer,
)


@dataclass(frozen=True)
class Path:
    """A flow to the other end."""

    name: str
    reliable: bool = False


@dataclass
class Link:
    """What happens to a message: chances, and delay in seconds."""

    loss: float = 0.0
    twice: float = 0.0
    delay_s: tuple[float, float] = (0.001, 0.001)
    reliable: bool = False


LINKS = {
    "clean": Link(),
    "lossy": Link(loss=0.3),
    "doubled": Link(twice=0.5),
    "reordered": Link(delay_s=(0.001, 0.4)),
    "late": Link(delay_s=(0.5, 3.0)),
    "dreadful": Link(loss=0.4, twice=0.3, delay_s=(0.001, 2.0)),
    "stream": Link(reliable=True),
}


@dataclass
class End:
    """One element: its layer and what its user was told."""

    name: str
    layer: TransactionLayer
    user: Callable[[Event, float], None] = lambda event, now: None
    events: list[Event] = field(default_factory=list)


class Network:
    """Simulated time, a link, and what was sent over it."""

    def __init__(self, seed: int, link: Link) -> None:
        self.random = random.Random(seed)
        self.link = link
        self.now = 100.0
        self.sent: list[tuple[float, str, bytes]] = []
        self._queue: list[tuple[float, int, End, bytes | None, Callable[[], None] | None]] = []
        self._order = itertools.count()
        self._last = {"a": 0.0, "b": 0.0}
        counter = itertools.count()

        def branch() -> str:
            return f"z9hG4bK{seed:x}x{next(counter):x}"

        self.a = End("a", TransactionLayer(branch=branch))
        self.b = End("b", TransactionLayer(branch=branch))
        self.path = Path("path", link.reliable)

    def at(self, delay_s: float, do: Callable[[], None]) -> None:
        """Do something later, as a user would."""
        heappush(self._queue, (self.now + delay_s, next(self._order), self.a, None, do))

    def flush(self) -> None:
        """Carry what both layers want to send."""
        for end, other in ((self.a, self.b), (self.b, self.a)):
            out, end.layer.out = end.layer.out, []
            for data, _ in out:
                self.sent.append((self.now, end.name, data))
                copies = 2 if self.random.random() < self.link.twice else 1
                for _ in range(copies):
                    if self.random.random() < self.link.loss:
                        continue
                    arrival = self.now + self.random.uniform(*self.link.delay_s)
                    if self.link.reliable:
                        arrival = self._last[end.name] = max(arrival, self._last[end.name])
                    heappush(self._queue, (arrival, next(self._order), other, data, None))

    def run(self, until_s: float = 1e9) -> None:
        """Run until nothing is left to happen."""
        steps = 0
        self.flush()
        while True:
            steps += 1
            assert steps < 200_000, "never quiet"
            deadlines = [
                end.layer.next_deadline
                for end in (self.a, self.b)
                if end.layer.next_deadline is not None
            ]
            first = self._queue[0][0] if self._queue else None
            moment = min([*deadlines, *([first] if first is not None else [])], default=None)
            if moment is None or moment > until_s:
                return
            self.now = max(self.now, moment)
            while self._queue and self._queue[0][0] <= self.now:
                _, _, end, data, do = heappop(self._queue)
                if do is not None:
                    do()
                elif data is not None:
                    event = end.layer.receive(parse(data), self.path, self.now)
                    self._tell(end, event)
                self.flush()
            for end in (self.a, self.b):
                for event in end.layer.handle_timers(self.now):
                    self._tell(end, event)
                self.flush()

    def _tell(self, end: End, event: Event | None) -> None:
        if event is not None:
            end.events.append(event)
            end.user(event, self.now)


class Caller:
    """Places one call, acknowledges, and ends it; counts the outcomes that it was told."""

    def __init__(self, network: Network, number: int, cancel_after_s: float | None = None) -> None:
        self.network = network
        self.call_id = f"call{number}"
        self.outcomes: list[str] = []
        self.bye_outcomes: list[str] = []
        request = Request(
            "INVITE",
            f"sip:{number}@b.example",
            Headers(
                [
                    ("Via", f"SIP/2.0/UDP a.example;branch={network.a.layer.branch()}"),
                    ("From", f"<sip:a@a.example>;tag=f{number}"),
                    ("To", f"<sip:{number}@b.example>"),
                    ("Call-ID", self.call_id),
                    ("CSeq", "1 INVITE"),
                    ("Contact", "<sip:a@a.example>"),
                    ("Max-Forwards", "70"),
                ]
            ),
            b"v=0\r\n",
        )
        self.invite = network.a.layer.request(request, network.path, network.now, self)
        self.bye: ClientTransaction | None = None
        if cancel_after_s is not None:
            network.at(cancel_after_s, self.cancel)

    def cancel(self) -> None:
        self.invite.cancel(self.network.now, [("Reason", "Q.850;cause=16")])

    def told(self, event: Event, now: float) -> None:
        if isinstance(event, TimedOut):
            (self.outcomes if event.transaction is self.invite else self.bye_outcomes).append(
                "time-out"
            )
        elif isinstance(event, ResponseReceived) and event.response.status >= 200:
            status = event.response.status
            if event.transaction is not self.invite:
                self.bye_outcomes.append(str(status))
                return
            self.outcomes.append(str(status))
            if status < 300:
                layer, path = self.network.a.layer, self.network.path
                dialog = Dialog.uac(event.transaction.request, event.response)
                via = "SIP/2.0/UDP a.example;branch="
                ack = dialog.ack(1, via=via + layer.branch())
                layer.send(ack, path)
                event.transaction.acknowledge(ack)
                bye = dialog.request("BYE", via=via + layer.branch())
                self.bye = layer.request(bye, path, now, self)


class Callee:
    """Answers each call by what its number says: 486, or 180 and 200, after a while."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.offered: Counter[str] = Counter()
        self.finals: Counter[str] = Counter()
        self.acks: Counter[str] = Counter()
        self.lost_acks: Counter[str] = Counter()
        self.byes: Counter[str] = Counter()

    def told(self, event: Event, now: float) -> None:
        if isinstance(event, RequestReceived):
            transaction, call_id = event.transaction, event.request.call_id
            if event.request.method == "BYE":
                self.byes[call_id] += 1
                transaction.respond(response_to(event.request, 200), now)
                return
            self.offered[call_id] += 1
            transaction.user = call_id
            transaction.respond(response_to(event.request, 100), now)
            wait_s = self.network.random.uniform(0.0, 3.0)
            busy = int(call_id[4:]) % 3 == 0
            self.network.at(
                wait_s, lambda: self.answer(transaction, event.request, 486 if busy else 180)
            )
        elif isinstance(event, CancelReceived):
            self.answer(event.target, event.target.request, 487)
        elif isinstance(event, AckReceived) and event.transaction is not None:
            self.acks[event.request.call_id] += 1
        elif isinstance(event, AckTimedOut):
            self.lost_acks[str(event.transaction.user)] += 1

    def answer(self, transaction: ServerTransaction, request: Request, status: int) -> None:
        if not transaction.open:
            return
        response: Response = response_to(request, status, to_tag="t" + request.call_id)
        response.headers.set("Contact", "<sip:b@b.example>")
        transaction.respond(response, self.network.now)
        if status == 180:
            wait_s = self.network.random.uniform(0.0, 1.0)
            self.network.at(wait_s, lambda: self.answer(transaction, request, 200))
        else:
            self.finals[request.call_id] += 1


def strays(end: End) -> list[StrayResponse]:
    return [event for event in end.events if isinstance(event, StrayResponse)]
