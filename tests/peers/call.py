"""One call as a test's user agent sees it: what was said, when, and the audio beside it."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, Literal

from firmware.wire.sip import reason as sip_reason
from firmware.wire.sip import sdp
from firmware.wire.sip.dialog import Dialog
from firmware.wire.sip.message import Headers, Request, Response, response_to
from firmware.wire.sip.transaction import ClientTransaction, ServerTransaction
from tests.peers.description import Described
from tests.peers.values import until

if TYPE_CHECKING:
    from tests.peers.endpoint import Endpoint
    from tests.peers.values import Login, Where

State = Literal["calling", "answered", "ended"]
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO"
SDP = "application/sdp"


class Call(Described):
    """A call that came in or went out. All times are seconds since 1970."""

    def __init__(self, endpoint: Endpoint, call_id: str, number: str, peer: Where) -> None:
        super().__init__(endpoint.address)
        self.endpoint = endpoint
        self.call_id = call_id
        self.number = number
        """The user part that was called."""
        self.caller = ""
        self.peer = peer
        self.login: Login | None = None
        self.state: State = "calling"
        self.statuses: list[int] = []
        """Provisional and final answers to the first INVITE, in order."""
        self.phrase = ""
        self.cause: int | None = None
        """Q.850, from a refusal, a CANCEL or a BYE."""
        self.ended_by: Literal["", "us", "peer"] = ""
        self.cancelled = False
        self.offered_at = time.time()
        self.answered_at = 0.0
        """Incoming: when our 200 left. Outgoing: when the peer's came."""
        self.acknowledged_at = 0.0
        self.ended_at = 0.0
        self.late_offer = False
        self.infos: list[bytes] = []
        self.dialog: Dialog | None = None
        self.bye_status = 0
        """What the peer answered to our BYE."""
        self.modify_status = 0
        self.refuses_offers = 0
        """Status that refuses the peer's re-INVITE; 0 takes it."""
        self.reoffers = 0
        """How many came."""
        self._tag = secrets.token_hex(6)
        self._server: ServerTransaction | None = None
        self._client: ClientTransaction | None = None
        self._modify: ClientTransaction | None = None
        self._request: Request | None = None
        self._tries = 0

    @property
    def status(self) -> int:
        """The last answer to the INVITE; 0 when there was none yet."""
        return self.statuses[-1] if self.statuses else 0

    @property
    def ringing(self) -> bool:
        """Whether a provisional answer other than 100 came."""
        return any(100 < status < 200 for status in self.statuses)

    # --- as caller ---

    @staticmethod
    def outgoing(endpoint: Endpoint, number: str, host: Where, caller: str) -> Call:
        """A call that is about to be placed."""
        call = Call(endpoint, f"{secrets.token_hex(8)}@{endpoint.address}", number, host)
        call.caller = caller
        endpoint.adopt(call)
        return call

    def invite(self, authorization: str = "") -> None:
        """Send the INVITE, the second time with credentials."""
        self._tries += 1
        uri = f"sip:{self.number}@{self.peer}"
        headers = [
            ("Via", self.endpoint.via()),
            ("Max-Forwards", "70"),
            ("From", f"<sip:{self.caller}@{self.endpoint.address}>;tag={self._tag}"),
            ("To", f"<{uri}>"),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._tries} INVITE"),
            ("Contact", self.endpoint.contact),
            ("Allow", ALLOW),
            ("Supported", "timer"),
            *self.endpoint.invite_headers,
        ]
        body = b""
        if not self.late_offer:
            body = self._offer()
            headers.append(("Content-Type", SDP))
        if authorization:
            headers.append(("Authorization", authorization))
        self._request = Request("INVITE", uri, Headers(headers), body)
        layer = self.endpoint.layer
        self._client = layer.request(self._request, self.peer, self.endpoint.now, self)

    def receive_response(
        self, transaction: ClientTransaction, response: Response, at: float
    ) -> None:
        """An answer to the INVITE, a re-INVITE, an UPDATE or a BYE."""
        if transaction is not self._client:
            self._other_answer(transaction, response)
            return
        status = response.status
        if status == 401 and self.login is not None and self._tries == 1:
            uri = transaction.request.uri
            value = self.endpoint.credentials(self.login, response, "INVITE", uri)
            if value is not None:
                self.invite(value)
                return
        self.statuses.append(status)
        self.phrase = response.reason
        if status < 200:
            self._take(response.body, self.late_offer)
        elif status < 300:
            assert self._request is not None
            self.dialog = Dialog.uac(self._request, response)
            self._take(response.body, self.late_offer)
            self._send_ack(transaction, response, self._answer() if self.late_offer else b"")
            if self.state == "ended":  # it crossed our CANCEL
                self._bye()
                return
            self.answered_at = at
            self.state = "answered"
            self._open_audio()
        else:
            self._finish("us" if self.cancelled else "peer", at, response)

    def _send_ack(self, transaction: ClientTransaction, response: Response, body: bytes) -> None:
        assert self.dialog is not None
        ack = self.dialog.ack(
            response.cseq[0],
            via=self.endpoint.via(),
            body=body,
            content_type=SDP if body else None,
        )
        transaction.acknowledge(ack)
        self.endpoint.layer.send(ack, self.peer)
        self.acknowledged_at = time.time()

    def _other_answer(self, transaction: ClientTransaction, response: Response) -> None:
        method = response.cseq[1]
        if response.status < 200:
            return
        if method == "BYE":
            self.bye_status = response.status
        elif transaction is self._modify:
            self._modify = None
            if 200 <= response.status < 300:
                if method == "INVITE":
                    self._send_ack(transaction, response, b"")
                self._take(response.body, False)
            self.modify_status = response.status

    # --- as callee ---

    @staticmethod
    def incoming(
        endpoint: Endpoint, transaction: ServerTransaction, request: Request, peer: Where
    ) -> Call:
        """A call that has just come."""
        call = Call(endpoint, request.call_id, request.request_uri.user or "", peer)
        call.caller = request.from_.uri.user or ""
        call._server = transaction
        call._request = request
        transaction.user = call
        call.late_offer = not request.body
        call._take(request.body, True)
        endpoint.adopt(call)
        return call

    def _respond(self, status: int, body: bytes = b"", phrase: str | None = None) -> None:
        if self._server is None or self.state != "calling":
            return
        assert self._request is not None
        response = response_to(self._request, status, phrase, to_tag=self._tag)
        if status > 100:
            response.headers.set("Contact", self.endpoint.contact)
            response.headers.set("Allow", ALLOW)
        if body:
            response.headers.set("Content-Type", SDP)
            response.body = body
        if status >= 300 and self.cause is not None:
            response.headers.set("Reason", sip_reason.format_q850(self.cause))
        if 100 < status < 300 and self.dialog is None:
            self.dialog = Dialog.uas(self._request, response)
        self.statuses.append(status)
        self._server.respond(response, self.endpoint.now)
        self.endpoint.flush()

    def trying(self) -> None:
        """100, so that the INVITE is not repeated."""
        self._respond(100)

    def ring(self, early_media: bool = False) -> None:
        """180, or 183 with a description: our audio is heard before the answer."""
        if early_media:
            self._respond(183, self._answer())
            self._open_audio()
        else:
            self._respond(180)

    def answer(self) -> None:
        """200."""
        if self.state != "calling":
            return
        self._respond(200, self._offer() if self.late_offer else self._answer())
        self.answered_at = time.time()
        self.state = "answered"
        self._open_audio()

    def reject(self, status: int, cause: int | None = None, phrase: str | None = None) -> None:
        """A final answer that is no 2xx."""
        if self.state == "calling":
            self.cause = cause
            self._respond(status, phrase=phrase)
            self._finish("us", time.time(), None)

    def receive_ack(self, request: Request, at: float) -> None:
        """The ACK of our 200."""
        self.acknowledged_at = self.acknowledged_at or at
        if self.late_offer and request.body:
            self._take(request.body, False)

    def receive_cancel(self, request: Request, at: float) -> None:
        """The caller gave up: 487."""
        if self.state == "calling":
            self.cancelled = True
            self.cause = _cause(request)
            self._respond(487)
            self._finish("peer", at, None)

    def ack_timed_out(self) -> None:
        """Our answer was never acknowledged."""
        if self.state == "answered":
            self._bye()
            self._finish("us", time.time(), None)

    def timed_out(self, transaction: ClientTransaction) -> None:
        """A request of ours got no final answer."""
        if transaction is self._client and self.state == "calling":
            self.statuses.append(408)
            self._finish("peer", time.time(), None)

    # --- in the dialog ---

    def receive_request(self, transaction: ServerTransaction, request: Request, at: float) -> None:
        """BYE, re-INVITE, UPDATE, INFO."""
        endpoint, status = self.endpoint, 200
        if request.method == "INVITE":
            self.reoffers += 1
            status = self.refuses_offers or status
        if request.method == "INFO":
            self.infos.append(request.body)
        response = response_to(request, status, to_tag=self._tag)
        if self.dialog is None or (self.state == "ended" and request.method != "BYE"):
            response = response_to(request, 481)
        elif request.method in ("INVITE", "UPDATE") and status == 200:
            response.headers.set("Contact", endpoint.contact)
            response.headers.set("Allow", ALLOW)
            if request.body:
                self._take(request.body, True)
                self._open_audio()
                response.body = self._answer()
            elif request.method == "INVITE":
                response.body = self._offer()
            if response.body:
                response.headers.set("Content-Type", SDP)
        transaction.respond(response, endpoint.now)
        if request.method == "BYE" and self.state == "answered":
            self._finish("peer", at, request)
        elif request.method == "BYE" and self.state == "calling" and self._server is not None:
            self._respond(487)
            self._finish("peer", at, request)

    def modify(self, direction: sdp.Direction, method: str = "INVITE", offer: bytes = b"") -> None:
        """Offer a changed session, as for hold, or `offer`; `modify_status` tells the answer."""
        assert self.dialog is not None
        self.direction = direction
        self.modify_status = 0
        request = self.dialog.request(
            method,
            via=self.endpoint.via(),
            contact=self.endpoint.contact,
            headers=(("Allow", ALLOW),),
            body=offer or self._offer(),
            content_type=SDP,
        )
        layer = self.endpoint.layer
        self._modify = layer.request(request, self.peer, self.endpoint.now, self)
        self.endpoint.flush()

    def hang_up(self) -> None:
        """End the call, however far it is: BYE, CANCEL or 480."""
        if self.state == "answered":
            self._bye()
            self._finish("us", time.time(), None)
        elif self.state == "calling" and self._client is not None:
            self.cancelled = True
            self._client.cancel(self.endpoint.now)
            self.endpoint.flush()
        elif self.state == "calling" and self._server is not None:
            self.reject(480)

    def _bye(self) -> None:
        assert self.dialog is not None
        headers = (("Reason", sip_reason.format_q850(16)),)
        bye = self.dialog.request("BYE", via=self.endpoint.via(), headers=headers)
        self.endpoint.layer.request(bye, self.peer, self.endpoint.now, self)
        self.endpoint.flush()

    def _finish(
        self, by: Literal["us", "peer"], at: float, message: Request | Response | None
    ) -> None:
        if self.state == "ended":
            return
        self.state = "ended"
        self.ended_by = by
        self.ended_at = at
        if message is not None:
            self.cause = _cause(message)
        self.media.remote = None

    # --- what tests wait for ---

    async def wait(self, state: State, timeout_s: float = 10.0) -> None:
        """Until the call is answered or ended (an ended one never gets answered).

        Raises:
            TimeoutError: it did not come to that.
        """
        what = f"{self.number} to be {state}"
        await until(lambda: self.state in (state, "ended"), timeout_s, what)
        if self.state != state:
            raise TimeoutError(f"{what}: it ended with {self.status} {self.phrase}")

    async def wait_heard(self, seconds: float, timeout_s: float = 10.0) -> None:
        """Until so much audio has come.

        Raises:
            TimeoutError: less came.
        """
        await until(lambda: self.media.heard_s >= seconds, timeout_s, f"{seconds:g} s of audio")


def _cause(message: Any) -> int | None:
    values = message.headers.raw_all("Reason")
    return sip_reason.q850(values) if values else None
