"""A SIP user agent over UDP for tests: the wire's core, a socket, media, and a memory of it all.

It stands where a carrier, a telephone or a PBX would. It is built on the same core as the host,
so what it says is well-formed; tests that need a peer of another make use real programs.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

from firmware.wire.sip import digest
from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.events import (
    AckReceived,
    AckTimedOut,
    CancelReceived,
    RequestReceived,
    ResponseReceived,
    TimedOut,
)
from firmware.wire.sip.message import Headers, Request, Response, parse, response_to
from firmware.wire.sip.transaction import TransactionLayer
from tests.peers.call import Call
from tests.peers.media import Ticker
from tests.peers.values import Login, Seen, Where, until

__all__ = ["Endpoint", "Login", "Seen", "Where", "until"]

_TIMESTAMPNS = 35
"""SO_TIMESTAMPNS of Linux: the kernel says when a datagram came, however late we read it."""
MOST_SEEN = 20_000


class Endpoint:
    """One user agent. `on_call` decides what happens to calls that come in.

    Args:
        address: where signalling and media are bound.
        port: for signalling; 0 takes a free one.
        login: answers challenges; None gives up on them.
    """

    def __init__(self, address: str, port: int = 0, login: Login | None = None) -> None:
        self.address = address
        self.port = port
        self.login = login
        self.calls: list[Call] = []
        self.seen: list[Seen] = []
        self.on_call: Callable[[Call], Awaitable[None]] | None = None
        self.lose: Callable[[Seen], bool] | None = None
        """Tests make the link bad by it: what it says True to is lost."""
        self.invite_headers: tuple[tuple[str, str], ...] = ()
        """More headers of each INVITE that we send."""
        self.strays = 0
        self.layer = TransactionLayer(branch=lambda: "z9hG4bK" + secrets.token_hex(8))
        self.ticker = Ticker()
        self._by_id: dict[str, Call] = {}
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    # --- life ---

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Bind the socket.

        Raises:
            OSError: the address is taken.
        """
        self._loop = asyncio.get_running_loop()
        sock = self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
        sock.setblocking(False)
        sock.bind((self.address, self.port))
        self.port = sock.getsockname()[1]
        self._loop.add_reader(sock.fileno(), self._readable)
        self.ticker.start()

    async def close(self) -> None:
        """Hang up what still stands, and free the ports."""
        for call in self.calls:
            call.hang_up()
        if any(call.state != "ended" for call in self.calls):
            await asyncio.sleep(0.05)
        for task in list(self._tasks):
            task.cancel()
        self.ticker.stop()
        for call in self.calls:
            call.media.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._failure is not None:
            raise self._failure

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self._loop.time()

    @property
    def contact(self) -> str:
        """The Contact value of this agent."""
        user = f"{self.login.username}@" if self.login else ""
        return f"<sip:{user}{self.address}:{self.port}>"

    def via(self) -> str:
        """A new Via value."""
        return f"SIP/2.0/UDP {self.address}:{self.port};branch={self.layer.branch()};rport"

    # --- the wire ---

    def _readable(self) -> None:
        assert self._socket is not None
        for _ in range(64):
            try:
                data, ancillary, _flags, peer = self._socket.recvmsg(65_535, 128)
            except (BlockingIOError, ConnectionError):
                break
            utc_s = time.time()
            for _level, kind, content in ancillary:
                if kind == _TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack_from("@qq", content)
                    utc_s = seconds + nanoseconds / 1e9
            seen = Seen(utc_s, False, data, Where(peer[0], peer[1]))
            try:
                self._received(seen)
            except SipPeerError:
                self.strays += 1
            except BaseException as error:  # shown by close(), so that no test goes green
                self._failure = self._failure or error
                raise
        self.flush()

    def _received(self, seen: Seen) -> None:
        message = parse(seen.data)
        self._remember(seen)
        if self.lose is not None and self.lose(seen):
            return
        if isinstance(message, Request):
            message.stamp(seen.peer.host, seen.peer.port)
        self._dispatch(self.layer.receive(message, seen.peer, self.now), seen)

    def _remember(self, seen: Seen) -> None:
        if len(self.seen) < MOST_SEEN:
            self.seen.append(seen)

    def flush(self) -> None:
        """Send what the layer has, and keep its next deadline."""
        out, self.layer.out = self.layer.out, []
        for data, flow in out:
            assert isinstance(flow, Where)
            seen = Seen(time.time(), True, data, flow)
            self._remember(seen)
            if self._socket is None or (self.lose is not None and self.lose(seen)):
                continue
            self._socket.sendto(data, (flow.host, flow.port))
        deadline = self.layer.next_deadline
        if self._timer is not None:
            self._timer.cancel()
        if deadline is not None:
            self._timer = self._loop.call_later(max(0.001, deadline - self.now), self._tick)

    def _tick(self) -> None:
        for event in self.layer.handle_timers(self.now):
            self._dispatch(event, None)
        self.flush()

    def _dispatch(self, event: object, seen: Seen | None) -> None:
        user: Any
        if isinstance(event, RequestReceived):
            self._request(event, seen)
        elif isinstance(event, ResponseReceived):
            user = event.transaction.user
            if isinstance(user, asyncio.Future):
                if event.response.status >= 200 and not user.done():
                    user.set_result(event.response)
            elif user is not None:
                user.receive_response(event.transaction, event.response, _at(seen))
        elif isinstance(event, AckReceived):
            call = self._by_id.get(event.request.call_id)
            if call is not None and event.transaction is not None:
                call.receive_ack(event.request, _at(seen))
        elif isinstance(event, CancelReceived):
            user = event.target.user
            if user is not None:
                user.receive_cancel(event.transaction.request, _at(seen))
        elif isinstance(event, TimedOut):
            user = event.transaction.user
            if isinstance(user, asyncio.Future):
                if not user.done():
                    user.set_exception(TimeoutError("no answer"))
            elif user is not None:
                user.timed_out(event.transaction)
        elif isinstance(event, AckTimedOut):
            user = event.transaction.user
            if user is not None:
                user.ack_timed_out()
        elif event is not None:
            self.strays += 1

    def _request(self, event: RequestReceived, seen: Seen | None) -> None:
        request, transaction = event.request, event.transaction
        call = self._by_id.get(request.call_id)
        if request.to.tag is not None:
            if call is None:
                transaction.respond(response_to(request, 481), self.now)
            else:
                call.receive_request(transaction, request, _at(seen))
        elif request.method == "INVITE" and call is None:
            assert isinstance(event.flow, Where)
            self.spawn(self._take(Call.incoming(self, transaction, request, event.flow)))
        else:
            status = 200 if request.method == "OPTIONS" else 501
            transaction.respond(response_to(request, status, to_tag="none"), self.now)

    async def _take(self, call: Call) -> None:
        await self.open_media(call)
        if self.on_call is not None:
            await self.on_call(call)
        else:
            call.reject(480)

    def adopt(self, call: Call) -> None:
        """A call has begun."""
        self.calls.append(call)
        self._by_id[call.call_id] = call

    async def open_media(self, call: Call) -> None:
        """Give a call its RTP port."""
        await call.media.open()
        self.ticker.media.append(call.media)

    def spawn(self, work: Any) -> asyncio.Task[None]:
        """Run something until it is over or the endpoint closes; its errors are kept."""
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = self._failure or task.exception()

    # --- what tests ask for ---

    async def call(
        self,
        number: str,
        host: Where,
        *,
        caller: str = "",
        sdp: bool = True,
        hz: float | None = None,
        authorize: bool = True,
    ) -> Call:
        """Place a call; returns at once, `Call.wait_*` follow it.

        Args:
            number: user part of the Request-URI.
            host: where the INVITE goes.
            caller: shown number; the login's name if left out.
            sdp: False makes the callee offer (late offer).
            hz: a tone to send.
            authorize: False leaves challenges unanswered.
        """
        login = self.login if authorize else None
        call = Call.outgoing(self, number, host, caller or (login.username if login else "tester"))
        call.login = login
        call.late_offer = not sdp
        await self.open_media(call)
        if hz is not None:
            call.media.say(hz)
        call.invite()
        self.flush()
        return call

    async def register(self, host: Where, expires_s: int = 300, contact: str = "") -> Response:
        """Register with the login; the final answer. `expires_s` 0 takes the binding away."""
        assert self.login is not None
        call_id, tag = secrets.token_hex(8), secrets.token_hex(4)
        uri, authorization = f"sip:{host}", ""
        for cseq in (1, 2, 3):
            headers = [
                ("Via", self.via()),
                ("Max-Forwards", "70"),
                ("From", f"<sip:{self.login.username}@{host}>;tag={tag}"),
                ("To", f"<sip:{self.login.username}@{host}>"),
                ("Call-ID", call_id),
                ("CSeq", f"{cseq} REGISTER"),
                ("Contact", contact or self.contact),
                ("Expires", str(expires_s)),
            ]
            if authorization:
                headers.append(("Authorization", authorization))
            response = await self.ask(Request("REGISTER", uri, Headers(headers)), host)
            if response.status != 401:
                return response
            authorization = self.credentials(self.login, response, "REGISTER", uri) or ""
        return response

    async def ask(self, request: Request, host: Where, timeout_s: float = 10.0) -> Response:
        """Send a request outside calls; its final answer.

        Raises:
            TimeoutError: there was none.
        """
        answer: asyncio.Future[Response] = self._loop.create_future()
        self.layer.request(request, host, self.now, answer)
        self.flush()
        return await asyncio.wait_for(answer, timeout_s)

    async def ping(self, host: Where, timeout_s: float = 2.0) -> bool:
        """True when somebody answers OPTIONS there."""
        headers = [
            ("Via", self.via()),
            ("Max-Forwards", "70"),
            ("From", f"<sip:ping@{self.address}>;tag={secrets.token_hex(4)}"),
            ("To", f"<sip:{host}>"),
            ("Call-ID", secrets.token_hex(8)),
            ("CSeq", "1 OPTIONS"),
        ]
        try:
            await self.ask(Request("OPTIONS", f"sip:{host}", Headers(headers)), host, timeout_s)
        except TimeoutError:
            return False
        return True

    def credentials(self, login: Login, response: Response, method: str, uri: str) -> str | None:
        """The Authorization value for a challenge (RFC 8760: the first that we know)."""
        return digest.respond(
            response.headers.raw_all("WWW-Authenticate"),
            username=login.username,
            password=login.password,
            method=method,
            uri=uri,
            cnonce=secrets.token_hex(8),
            nc=1,
        )


def _at(seen: Seen | None) -> float:
    return seen.utc_s if seen is not None else time.time()
