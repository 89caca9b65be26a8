"""The caller's leg: an INVITE that came to us (RFC 3261, 13.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firmware.wire.sip import reason as sip_reason
from firmware.wire.sip.dialog import Dialog
from firmware.wire.sip.message import Request, Response, response_to
from firmware.wire.sip.session_timer import Agreement
from firmware.wire.sip.transaction import ServerTransaction
from host.calls.commands import Failure
from host.charging.values import Reason
from host.sip.leg import ALLOW, SDP, SipLeg, reason_cause
from host.sip.status import failure_status, refusal_status
from host.sip.transport import Flow

if TYPE_CHECKING:
    from host.sip.server import SipServer

INCOMPATIBLE = 88


class CallerLeg(SipLeg):
    """The leg of whoever calls."""

    __slots__ = ("_bye_cause", "_keep_flow", "acknowledged", "transaction")

    def __init__(
        self,
        server: SipServer,
        flow: Flow,
        tag: str,
        transaction: ServerTransaction,
        request: Request,
        agreed: Agreement | None,
        keep_flow: bool,
    ) -> None:
        super().__init__(server, flow, tag)
        self.transaction: ServerTransaction | None = transaction
        self.remote_sdp = request.body
        self.peer_allows = request.headers.get("Allow") or ""
        self.acknowledged = False
        self._keep_flow = keep_flow
        """Requests in the dialog keep to the flow of the INVITE (customers behind NAT)."""
        self._bye_cause = 0
        """Cause of a BYE that waits for the ACK; 0: none waits."""
        self._agreed = agreed

    def next_hop(self) -> Flow:
        """Carriers and trunks are reached where Contact or Record-Route says (12.2.1.1)."""
        if self._keep_flow or self.dialog is None:
            return super().next_hop()
        return self.server.flow_for_dialog(self.dialog, self.flow)

    @property
    def unanswered(self) -> bool:
        return self.transaction is not None

    def _response(self, status: int, reason: str | None = None) -> Response:
        assert self.transaction is not None
        request: Any = self.transaction.request
        return response_to(request, status, reason, to_tag=self.tag)

    def progress(self, ringing: bool, sdp: bytes) -> None:
        """180, or 183 with early media."""
        if self.transaction is None or self.over:
            return
        sdp = self.allowed(sdp)
        response = self._response(180 if ringing or not sdp else 183)
        response.headers.set("Contact", self.server.contact(self.flow))
        response.headers.set("Allow", ALLOW)
        if sdp:
            response.headers.set("Content-Type", SDP)
            response.body = sdp
            self.local_sdp = sdp
        self._make_dialog(response)
        self.transaction.respond(response, self.server.now)

    def answer(self, sdp: bytes) -> None:
        """200; the layer repeats it until its ACK comes."""
        if self.transaction is None or self.over:
            return
        if sdp:
            sdp = self.allowed(sdp)
            if not sdp:
                self.reject(None, Failure(INCOMPATIBLE, 488))
                told = "answered with a codec that the account may not use"
                self.server.control.ended(self.leg, INCOMPATIBLE, self.server.now, told)
                return
        response = self._response(200)
        self.fill_2xx(response, sdp)
        self.agree(response)
        self._make_dialog(response)
        transaction, self.transaction = self.transaction, None
        assert transaction is not None
        transaction.respond(response, self.server.now)

    def _make_dialog(self, response: Response) -> None:
        if self.dialog is None:
            assert self.transaction is not None
            request: Any = self.transaction.request
            self.dialog = Dialog.uas(request, response)

    def reject(self, reason: Reason | None, failure: Failure | None) -> None:
        """A final answer that is no 2xx."""
        if self.transaction is None or self.over:
            return
        if reason is not None:
            status, phrase, cause = refusal_status(reason)
            response = self._response(status, phrase)
        else:
            assert failure is not None
            status, cause = failure_status(failure)
            response = self._response(status)
        response.headers.set("Reason", sip_reason.format_q850(cause))
        if status == 503:
            response.headers.set("Retry-After", "5")
        self._finish(response)

    def _finish(self, response: Response) -> None:
        transaction, self.transaction = self.transaction, None
        self.close()
        if transaction is not None:
            transaction.respond(response, self.server.now)

    def cancelled(self, cancel: Request | None) -> None:
        """The caller gave up: 487, and call control is told."""
        if self.transaction is None or self.over:
            return
        self._finish(self._response(487))
        cause = reason_cause(cancel) if cancel is not None else None
        self.server.control.ended(self.leg, cause or 16, self.server.now, "cancelled")

    def _on_bye(self, transaction: ServerTransaction, request: Request) -> None:
        if self.transaction is not None:  # BYE in the early dialog (RFC 3261, 15)
            self.respond(transaction, 200)
            self.cancelled(None)
        else:
            super()._on_bye(transaction, request)

    def receive_ack(self, request: Request) -> None:
        if not self.acknowledged:
            self.acknowledged = True
            if self._bye_cause:
                self._leave(self._bye_cause)
            elif not self.remote_sdp:
                self.remote_sdp = request.body
                answer = self.allowed(request.body)
                self.server.control.acknowledged(self.leg, answer, self.server.now)
            return
        super().receive_ack(request)

    def ack_timed_out(self) -> None:
        if self._bye_cause:
            self._leave(self._bye_cause)
        else:
            super().ack_timed_out()

    def end(self, cause: int) -> None:
        """Call control hangs up."""
        if self.over:
            return
        if self.transaction is not None:
            self.reject(None, Failure(cause, 0))
            return
        if self._pending is not None:
            self.respond(self._pending, 487)
            self._pending = None
        if not self.acknowledged:
            # A BYE that overtakes the 200 would find no dialog, and the 200 then starts a call
            # that nobody is in: it waits for the ACK, or for its time-out (RFC 3261, 15).
            self._bye_cause = cause
            self.keep_session(None)
            return
        self._leave(cause)

    def _leave(self, cause: int) -> None:
        self._bye_cause = 0
        self.bye(cause)
        self.close()
