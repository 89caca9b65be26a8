"""Simulated phones and carriers: user agents on our transaction layer, scripted by each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from firmware.wire.sip import digest
from firmware.wire.sip.dialog import Dialog
from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import Headers, Request, Response, parse, response_to
from firmware.wire.sip.transaction import (
    AckReceived,
    AckTimedOut,
    CancelReceived,
    ClientTransaction,
    RequestReceived,
    ResponseReceived,
    ServerTransaction,
    TimedOut,
    TransactionLayer,
)
from tests.host.sip.world import CALLED, DID, HOST, Where, World

ALLOW = "INVITE, ACK, CANCEL, BYE, UPDATE, INFO, OPTIONS"
NO_UPDATE = "INVITE, ACK, CANCEL, BYE"
_TAGS = itertools.count(1)


@dataclass(frozen=True)
class Hop:
    """Where an agent sends to."""

    where: Where
    reliable: bool = False


def sdp(
    where: Where, port: int = 4000, *, direction: str = "sendrecv", formats: str = "0", version=1
) -> bytes:
    return (
        f"v=0\r\no=- 1 {version} IN IP4 {where[0]}\r\ns=-\r\nc=IN IP4 {where[0]}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP {formats}\r\na={direction}\r\n"
    ).encode()


Plan = Callable[["Side"], None]


class Agent:
    """A phone or a carrier at one address."""

    def __init__(
        self, world: World, where: Where, user: str = "", password: str = "secret"
    ) -> None:
        self.world = world
        self.where = where
        self.user = user
        self.password = password
        self.allow = ALLOW
        self.home = HOST
        self.plan: Plan = answers()
        self.sides: list[Side] = []
        self.registered: list[Response] = []
        self.mute = False
        """Neither hears nor speaks."""
        branches = itertools.count()
        self.layer = TransactionLayer(
            branch=lambda: f"z9hG4bK{where[0]}x{where[1]}x{next(branches)}"
        )
        self.cseq = 0
        self.events: list[Any] = []
        world.agents[where] = self

    # --- messages ---

    @property
    def via(self) -> str:
        return f"SIP/2.0/UDP {self.where[0]}:{self.where[1]};branch={self.layer.branch()};rport"

    @property
    def contact(self) -> str:
        return f"<sip:{self.user or 'gw'}@{self.where[0]}:{self.where[1]}>"

    def flush(self) -> None:
        out, self.layer.out = self.layer.out, []
        for data, hop in out:
            if not self.mute:
                self.world.carry(self.where, hop.where, data)  # type: ignore[attr-defined]

    def raw(self, data: bytes) -> None:
        self.world.carry(self.where, self.home, data)

    def receive(self, data: bytes, source: Where) -> None:
        if self.mute:
            return
        self._told(self.layer.receive(parse(data), Hop(source), self.world.now))
        self.flush()

    def tick(self) -> None:
        for event in self.layer.handle_timers(self.world.now):
            self._told(event)
        self.flush()

    def _told(self, event: Any) -> None:
        if event is None:
            return
        self.events.append(event)
        if isinstance(event, ResponseReceived):
            user = event.transaction.user
            if user is not None:
                user(event.transaction, event.response)
        elif isinstance(event, TimedOut):
            if event.transaction.user is not None:
                event.transaction.user(event.transaction, None)
        elif isinstance(event, RequestReceived):
            self._requested(event.transaction, event.request)
        elif isinstance(event, CancelReceived):
            side: Any = event.target.user
            side.cancelled()
        elif isinstance(event, AckReceived) and event.transaction is not None:
            side = event.transaction.user
            if side is not None:
                side.acks.append(event.request)
        elif isinstance(event, AckTimedOut):
            side = event.transaction.user
            if side is not None and event.transaction.accepted:
                side.lost_acks += 1
                side.bye()

    def _requested(self, transaction: ServerTransaction, request: Request) -> None:
        tag = request.to.tag
        if tag is None and request.method == "INVITE":
            side = Side(self, "")
            side.incoming(transaction, request)
            self.sides.append(side)
            self.plan(side)
            return
        for side in self.sides:
            if side.dialog is not None and side.dialog.local_tag == tag:
                side.requested(transaction, request)
                return
        transaction.respond(response_to(request, 481, to_tag="x"), self.world.now)

    # --- what it does ---

    def request(
        self, method: str, uri: str, *headers: tuple[str, str], body: bytes = b""
    ) -> Request:
        self.cseq += 1
        return Request(
            method,
            uri,
            Headers(
                [
                    ("Via", self.via),
                    ("Max-Forwards", "70"),
                    ("CSeq", f"{self.cseq} {method}"),
                    *headers,
                ]
            ),
            body,
        )

    def authorization(self, response: Response, method: str, uri: str) -> str:
        value = digest.respond(
            response.headers.get_all("WWW-Authenticate"),
            username=self.user,
            password=self.password,
            method=method,
            uri=uri,
            cnonce="c0ffee",
            nc=1,
        )
        assert value is not None
        return value

    def send(self, request: Request, user: Any = None) -> ClientTransaction:
        transaction = self.layer.request(request, Hop(self.home), self.world.now, user)
        self.flush()
        return transaction

    def register(
        self,
        expires: int | None = 3600,
        contact: str | None = None,
        call_id: str = "",
        *headers: tuple[str, str],
    ) -> None:
        """Ask, authenticate, and note the answer in `registered`."""
        uri = f"sip:{self.home[0]}"
        call_id = call_id or f"reg-{self.user}-{self.where[0]}"
        tag = f"r{next(_TAGS)}"

        def ask(authorization: str = "") -> None:
            fields = [
                ("From", f"<sip:{self.user}@{self.home[0]}>;tag={tag}"),
                ("To", f"<sip:{self.user}@{self.home[0]}>"),
                ("Call-ID", call_id),
                *headers,
            ]
            if contact != "":
                fields.append(("Contact", contact or self.contact))
            if expires is not None:
                fields.append(("Expires", str(expires)))
            if authorization:
                fields.append(("Authorization", authorization))
            self.send(self.request("REGISTER", uri, *fields), answer)

        def answer(transaction: ClientTransaction, response: Response | None) -> None:
            stale = response is not None and "stale=true" in (
                response.headers.get("WWW-Authenticate") or ""
            )
            first = "Authorization" not in transaction.request.headers
            if response is not None and response.status == 401 and (first or stale):
                ask(self.authorization(response, "REGISTER", uri))
                return
            if response is not None and response.status >= 200:
                self.registered.append(response)

        ask()

    def call(self, number: str = CALLED, *headers: tuple[str, str], **options: Any) -> Side:
        side = Side(self, number)
        self.sides.append(side)
        side.start(headers, **options)
        return side

    def check(self) -> None:
        """Every call that it made or got came to an end that it knows of."""
        for side in self.sides:
            assert side.outcome is not None, f"{self.where}: a call without final answer"
            assert side.over or self.mute, f"{self.where}: left in a call"


class Side:
    """One end of one call as an agent sees it."""

    def __init__(self, agent: Agent, number: str) -> None:
        self.agent = agent
        self.world = agent.world
        self.number = number
        self.dialog: Dialog | None = None
        self.statuses: list[int] = []
        self.responses: list[Response] = []
        self.requests: list[Request] = []
        self.acks: list[Request] = []
        self.lost_acks = 0
        self.outcome: int | None = None
        """Final status of the INVITE; 408 when none came."""
        self.over = False
        self.over_at = 0.0
        self.answered_at = 0.0
        self.modified: list[Response | None] = []
        self.byes: list[int] = []
        """What our own BYEs were answered with; 408 for silence."""
        self.acknowledges = True
        self.answer_in_ack = b""
        self.on_answer: Callable[[Side], None] = lambda side: None
        self.on_modify: Callable[[Side, Request], int | None] = lambda side, request: 200
        self.invite: Any = None
        self.forks: list[Response] = []
        self.tag = f"t{next(_TAGS)}"
        self.timer_headers: list[tuple[str, str]] = []

    @property
    def sdp(self) -> bytes:
        """The last description that the host gave us."""
        bodies = [m.body for m in (*self.responses, *self.requests) if m.body]
        return bodies[-1] if bodies else b""

    # --- calling ---

    def start(
        self,
        headers: Iterable[tuple[str, str]] = (),
        *,
        body: bytes | None = None,
        caller: str = "",
        content_type: str = "application/sdp",
        without: Iterable[str] = (),
    ) -> None:
        agent = self.agent
        self.uri = f"sip:{self.number}@{agent.home[0]}"
        offer = sdp(agent.where) if body is None else body
        user = caller or agent.user or "+13125550177"
        fields = [
            ("From", f"<sip:{user}@{agent.home[0]}>;tag={self.tag}"),
            ("To", f"<{self.uri}>"),
            ("Call-ID", f"call-{self.tag}"),
            ("Contact", agent.contact),
            ("Allow", agent.allow),
        ]
        if offer:
            fields.append(("Content-Type", content_type))
        fields = [f for f in fields if f[0] not in without] + list(headers)
        self._fields, self._offer = fields, offer
        self._invite(fields)

    def _invite(self, fields: list[tuple[str, str]]) -> None:
        request = self.agent.request("INVITE", self.uri, *fields, body=self._offer)
        for name in ("Max-Forwards",):  # the test's own stands alone
            values = request.headers.get_all(name)
            request.headers.set(name, values[-1])
        self.request = request
        self.invite = self.agent.send(request, self.answered)

    def answered(self, transaction: ClientTransaction, response: Response | None) -> None:
        if response is None:
            self._final(408)
            return
        self.responses.append(response)
        self.statuses.append(response.status)
        if response.status == 401 and "Authorization" not in self.request.headers:
            value = self.agent.authorization(response, "INVITE", self.uri)
            self._invite([*self._fields, ("Authorization", value)])
        elif 200 <= response.status < 300:
            if self.outcome == response.status and self.dialog is not None:
                self.forks.append(response)
                return
            self.outcome = response.status
            self.answered_at = self.world.now
            self.dialog = Dialog.uac(transaction.request, response)
            if self.acknowledges:
                self.ack(transaction)
            self.on_answer(self)
        elif response.status >= 300:
            self._final(response.status)

    def ack(self, transaction: ClientTransaction | None = None) -> None:
        assert self.dialog is not None
        transaction = transaction or self.invite
        cseq = self.responses[-1].cseq[0]
        kind = "application/sdp" if self.answer_in_ack else None
        ack = self.dialog.ack(cseq, via=self.agent.via, body=self.answer_in_ack, content_type=kind)
        transaction.acknowledge(ack)
        self.agent.layer.send(ack, Hop(self.agent.home))
        self.agent.flush()

    def cancel(self) -> None:
        self.invite.cancel(self.world.now, [("Reason", "Q.850;cause=16")])
        self.agent.flush()

    def _final(self, status: int) -> None:
        self.outcome = status
        self._over()

    def _over(self) -> None:
        if not self.over:
            self.over = True
            self.over_at = self.world.now

    # --- being called ---

    def incoming(self, transaction: ServerTransaction, request: Request) -> None:
        self.invite = transaction
        self.request = request
        self.requests.append(request)
        self.number = request.request_uri.user or ""
        transaction.user = self

    def respond(
        self, status: int, body: bytes = b"", *headers: tuple[str, str], tag: str = ""
    ) -> None:
        if not self.invite.open or self.over:
            return
        response = response_to(self.request, status, to_tag=tag or self.tag)
        if 100 < status < 300:
            response.headers.set("Contact", self.agent.contact)
            response.headers.set("Allow", self.agent.allow)
        if body:
            response.headers.set("Content-Type", "application/sdp")
            response.body = body
        for name, value in headers:
            response.headers.set(name, value)
        if 200 <= status < 300:
            with_timer = [*self.timer_headers]
            for name, value in with_timer:
                response.headers.set(name, value)
            self.dialog = Dialog.uas(self.request, response)
            self.answered_at = self.world.now
            self.outcome = status
        elif status >= 300:
            self._final(status)
        self.invite.respond(response, self.world.now)
        self.agent.flush()

    def answer(self, body: bytes | None = None) -> None:
        self.respond(200, sdp(self.agent.where) if body is None else body)

    def cancelled(self) -> None:
        self.respond(487)

    # --- in the call ---

    def send(
        self, method: str, *headers: tuple[str, str], body: bytes = b"", user: Any = None
    ) -> None:
        assert self.dialog is not None
        contact = self.agent.contact if method in ("INVITE", "UPDATE") else None
        kind = "application/sdp" if body and method != "INFO" else None
        request = self.dialog.request(
            method, via=self.agent.via, contact=contact, headers=headers, body=body,
            content_type=kind,
        )  # fmt: skip
        self.agent.send(request, user)

    def bye(self) -> None:
        if self.over or self.dialog is None:
            return
        self._over()

        def answered(transaction: Any, response: Response | None) -> None:
            self.byes.append(response.status if response is not None else 408)

        self.send("BYE", user=answered)

    def modify(self, body: bytes, method: str = "INVITE", *headers: tuple[str, str]) -> None:
        """Offer a change; the final answer stands in `modified`."""

        def answered(transaction: ClientTransaction, response: Response | None) -> None:
            if response is not None and response.status < 200:
                return
            self.modified.append(response)
            if response is None:
                return
            self.responses.append(response)
            if method == "INVITE" and 200 <= response.status < 300:
                assert self.dialog is not None
                kind = "application/sdp" if self.answer_in_ack else None
                ack = self.dialog.ack(
                    response.cseq[0], via=self.agent.via, body=self.answer_in_ack,
                    content_type=kind,
                )  # fmt: skip
                transaction.acknowledge(ack)
                self.agent.layer.send(ack, Hop(self.agent.home))

        self.send(method, body=body, user=answered, *headers)  # noqa: B026

    def requested(self, transaction: ServerTransaction, request: Request) -> None:
        assert self.dialog is not None
        self.requests.append(request)
        now = self.world.now
        try:
            self.dialog.receive(request)
        except SipPeerError as error:
            transaction.respond(response_to(request, error.status), now)
            return
        method = request.method
        if method == "BYE":
            self._over()
            transaction.respond(response_to(request, 200), now)
        elif method in ("INVITE", "UPDATE"):
            status = self.on_modify(self, request)
            if status is None:
                return
            response = response_to(request, status)
            if status < 300:
                response.headers.set("Contact", self.agent.contact)
                if request.body:
                    response.headers.set("Content-Type", "application/sdp")
                    response.body = mirrored(self.agent.where, request.body)
                asked = request.headers.get("Session-Expires")
                if asked is not None:
                    response.headers.set("Session-Expires", asked)
                transaction.user = self
            transaction.respond(response, now)
        else:
            transaction.respond(response_to(request, 200), now)

    @property
    def ended_by_host(self) -> Request | None:
        return next((r for r in self.requests if r.method == "BYE"), None)


def mirrored(where: Where, offer: bytes) -> bytes:
    """The answer to an offer: its codec, its direction turned round."""
    text = offer.decode()
    formats = text.split("RTP/AVP ")[1].split("\r\n")[0]
    turned = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
    direction = next((v for k, v in turned.items() if f"a={k}" in text), "sendrecv")
    return sdp(where, direction=direction, formats=formats)


# --- ways to treat a call ---


def answers(ring_s: float = 0.1, answer_s: float = 1.0, body: bytes | None = None) -> Plan:
    """Ring, then answer."""

    def plan(side: Side) -> None:
        side.respond(100)
        side.world.at(ring_s, lambda: side.respond(180))
        side.world.at(answer_s, lambda: side.answer(body))

    return plan


def refuses(status: int, *headers: tuple[str, str], after_s: float = 0.1) -> Plan:
    return lambda side: side.world.at(after_s, lambda: side.respond(status, b"", *headers))


def rings() -> Plan:
    """Ring for ever."""
    return answers(answer_s=1e9)


def is_silent(side: Side) -> None:
    """Hear and say nothing."""
    side.outcome = 408
    side.over = True


def hangs_up(talk_s: float) -> Callable[[Side], None]:
    return lambda side: side.world.at(talk_s, side.bye)


# --- a usual cast ---


def cast(world: World, **account: Any) -> tuple[Agent, Agent]:
    """Alice with money on the value route, and the carrier north."""
    world.account("alice", route="value", **account)
    world.carrier("north", ("10.0.0.9", 5060))
    return Agent(world, ("10.0.1.1", 5062), "alice"), Agent(world, ("10.0.0.9", 5060))


def with_did(world: World, **account: Any) -> tuple[Agent, Agent]:
    """The same cast; Alice owns a DID and is registered."""
    alice, north = cast(world, **account)
    world.did("alice")
    alice.register()
    world.run(1)
    assert alice.registered
    return alice, north


__all__ = [
    "ALLOW", "Agent", "CALLED", "DID", "Hop", "NO_UPDATE", "Side", "answers", "cast",
    "hangs_up", "is_silent", "mirrored", "refuses", "rings", "sdp", "with_did",
]  # fmt: skip
