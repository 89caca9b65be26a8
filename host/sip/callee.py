"""A callee's leg: an INVITE that we send to a carrier or to a contact (RFC 3261, 13.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware.wire.sip import reason as sip_reason
from firmware.wire.sip import session_timer
from firmware.wire.sip.dialog import Dialog
from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.headers import Headers
from firmware.wire.sip.message import Request, Response
from firmware.wire.sip.transaction import ClientTransaction
from firmware.wire.sip.uri import SipUri
from host.calls.commands import Contact, Failure, PlaceLeg
from host.media.codecs import restrict
from host.numbering.values import Carrier
from host.sip.leg import (
    ALLOW,
    MAX_INTERVAL_S,
    SDP,
    SessionTimer,
    SipLeg,
    accept_timer,
    is_sdp,
    reason_cause,
)
from host.sip.login import CHALLENGES, Login
from host.sip.transport import Flow

if TYPE_CHECKING:
    from host.sip.server import SipServer


NO_CIRCUIT = 34


class CalleeLeg(SipLeg):
    """The leg of whoever is called."""

    __slots__ = (
        "_answer",
        "_login",
        "_session_expires_s",
        "_transaction",
        "call_id",
        "fixed",
        "invite",
    )

    def __init__(
        self, server: SipServer, flow: Flow, tag: str, place: PlaceLeg, uri: str, fixed: bool
    ) -> None:
        super().__init__(server, flow, tag)
        self.leg = place.leg
        self.leg.agent = self
        self.fixed = fixed
        """Requests in the dialog keep to the flow of the registration (NAT)."""
        self.local_sdp = place.sdp
        self._transaction: ClientTransaction | None = None
        self._answer: tuple[ClientTransaction, int] | None = None
        """A 2xx whose ACK waits for the caller's answer (late offer)."""
        self._session_expires_s = server.settings.session_expires_s
        target = place.target
        if isinstance(target, Contact):
            self.codecs = target.codecs
            self.account = target.account
        self._login: Login | None = None
        if isinstance(target, Carrier) and target.username:
            self._login = Login(target.username, target.secret, server.random_token)
        self._invite(place, uri)

    def _invite(self, place: PlaceLeg, uri: str) -> None:
        server, flow = self.server, self.flow
        own = server.host_port(flow)
        fields = {
            "Via": [server.via(flow)],
            "Max-Forwards": [str(place.hops)],
            "From": [f"<{caller_uri(place.caller, own)}>;tag={self.tag}"],
            "To": [f"<{uri}>"],
            "Call-ID": [server.random_token()],
            "CSeq": ["1 INVITE"],
            "Contact": [server.contact(flow)],
            "Allow": [ALLOW],
            "Supported": ["timer"],
        }
        if self._session_expires_s:
            fields["Session-Expires"] = [str(self._session_expires_s)]
            fields["Min-SE"] = [str(server.settings.min_se_s)]
        if place.sdp:
            fields["Content-Type"] = [SDP]
        self.invite = Request("INVITE", uri, Headers.adopt(fields), place.sdp)
        self.call_id = fields["Call-ID"][0]
        self._transaction = server.layer.request(self.invite, flow, server.now, self)

    def next_hop(self) -> Flow:
        """Carriers are reached where their Contact or Record-Route says (RFC 3261, 12.2.1.1)."""
        if self.fixed or self.dialog is None:
            return super().next_hop()
        return self.server.flow_for_dialog(self.dialog, self.flow)

    def receive_response(self, transaction: ClientTransaction, response: Response) -> None:
        status, server = response.status, self.server
        if transaction is not self._transaction:
            if status not in CHALLENGES or not self._asked_again(transaction, response):
                super().receive_response(transaction, response)
            return
        if status < 200:
            if self.over:
                return
            sdp = self.allowed(response.body if response.body and is_sdp(response) else b"")
            if sdp:
                self.remote_sdp = sdp
            server.control.progressed(self.leg, status == 180, sdp, server.now)
        elif status < 300:
            self._on_2xx(transaction, response)
        elif self.over:
            self._transaction = None
        elif not self._asked_for_more(response):
            self._transaction = None
            self.close()
            cause = reason_cause(response) or sip_reason.cause_of(status)
            failure = Failure(cause, status, response.reason[:80])
            if status in CHALLENGES:
                # Not the caller's credentials but ours: as if the carrier were away.
                failure = Failure(NO_CIRCUIT, 503, "it refuses our login")
            server.control.failed(self.leg, failure, server.now)

    def _asked_for_more(self, response: Response) -> bool:
        """Whether the INVITE was sent again, as the peer wants it."""
        if response.status == 422:
            return self._retry_interval(response)
        return response.status in CHALLENGES and self._log_in(response)

    def _retry_interval(self, response: Response) -> bool:
        """RFC 4028, 7.3: ask again with the interval that the peer needs."""
        try:
            seconds = session_timer.after_too_small(response, self._session_expires_s)
        except SipPeerError:
            return False
        if not self._session_expires_s < seconds <= MAX_INTERVAL_S:
            return False
        self._session_expires_s = seconds
        headers = self.invite.headers
        headers.set("Session-Expires", str(seconds))
        headers.set("Min-SE", str(seconds))
        self._invite_again()
        return True

    def _invite_again(self) -> None:
        """The INVITE as it stands now, in a transaction of its own (RFC 3261, 8.1.3.5)."""
        headers = self.invite.headers
        headers.set("CSeq", f"{self.invite.cseq[0] + 1} INVITE")
        headers.set("Via", self.server.via(self.flow))
        self._transaction = self.server.layer.request(self.invite, self.flow, self.server.now, self)

    def _log_in(self, response: Response) -> bool:
        """The carrier asks who we are."""
        again = self._login.again(self.invite, response) if self._login is not None else None
        if again is None:
            return False
        self.invite = again
        self._invite_again()
        return True

    def _asked_again(self, transaction: ClientTransaction, response: Response) -> bool:
        """It asks within the dialog, too: BYE, re-INVITE and UPDATE are sent once more."""
        if self._login is None or self.dialog is None:
            return False
        again = self._login.again(transaction.request, response)
        if again is None:
            return False
        self.dialog.local_cseq += 1
        again.headers.set("CSeq", f"{self.dialog.local_cseq} {again.method}")
        flow = self.next_hop()
        again.headers.set("Via", self.server.via(flow))
        sent = self.server.layer.request(again, flow, self.server.now, self)
        if transaction is self._reinvite:
            self._reinvite = sent
        return True

    @property
    def credentials(self) -> tuple[tuple[str, str], ...]:
        return self._login.credentials if self._login is not None else ()

    def _on_2xx(self, transaction: ClientTransaction, response: Response) -> None:
        server = self.server
        if self.dialog is not None:  # another fork, while the first waits for its ACK
            server.end_fork(transaction, response)
            return
        try:
            self.dialog = Dialog.uac(self.invite, response)
        except SipPeerError:
            self._unusable(transaction, response)
            return
        self.peer_allows = response.headers.get("Allow") or ""
        cseq = response.cseq[0]
        if self.over:  # it crossed our CANCEL: acknowledge and hang up (RFC 3261, 15)
            self._accepted(transaction, cseq, b"")
            self.bye(16)
            return
        if is_sdp(response):
            self.remote_sdp = self.allowed(response.body)
            caller = self.leg.call.caller.agent
            codecs = caller.codecs if isinstance(caller, SipLeg) else ()
            if response.body and not (
                self.remote_sdp and (not codecs or restrict(self.remote_sdp, codecs))
            ):
                self._unusable(transaction, response)
                return
        # A 2xx without a body stands by what the 183 said (RFC 3261, 13.2.1 wants it again).
        sdp = self.remote_sdp
        if self.local_sdp or not sdp:
            self._accepted(transaction, cseq, b"")
        else:
            self._answer = (transaction, cseq)
        agreed = accept_timer(response)
        if agreed is not None:
            self.keep_session(SessionTimer.start(agreed, "uac", server.now))
        server.control.answered(self.leg, sdp, server.now)

    def _unusable(self, transaction: ClientTransaction, response: Response) -> None:
        """A 2xx whose Contact or Record-Route can't be routed to: acknowledged and ended where
        the INVITE went, so that the peer is not left in a call."""
        response = response.copy()
        response.headers.remove("Contact")
        response.headers.remove("Record-Route")
        self.dialog = Dialog.uac(self.invite, response)
        self._accepted(transaction, response.cseq[0], b"")
        self.bye(111)
        if not self.over:
            self.close()
            failure = Failure(111, 502, "unusable answer")
            self.server.control.failed(self.leg, failure, self.server.now)

    def acknowledge(self, sdp: bytes) -> None:
        """The caller's answer to the offer in the 2xx."""
        if self._answer is not None:
            transaction, cseq = self._answer
            self._answer = None
            self.local_sdp = sdp
            self._accepted(transaction, cseq, sdp)

    def _accepted(self, transaction: ClientTransaction, cseq: int, sdp: bytes) -> None:
        """Acknowledge; from now on the server itself ends other forks of this INVITE."""
        self.send_ack(transaction, cseq, sdp)
        self._transaction = transaction.user = None
        del self.invite

    def timed_out(self, transaction: ClientTransaction) -> None:
        if transaction is self._transaction:
            self._transaction = None
            if not self.over:
                self.close()
                self.server.control.failed(
                    self.leg, Failure(102, 408, "no answer"), self.server.now
                )
        else:
            super().timed_out(transaction)

    def end(self, cause: int) -> None:
        """Call control gives the leg up."""
        if self.over:
            return
        if self._answer is not None:
            self.acknowledge(b"")
        if self.dialog is not None:
            if self._pending is not None:
                self.respond(self._pending, 487)
                self._pending = None
            self.bye(cause)
        elif self._transaction is not None:
            self._transaction.cancel(self.server.now, (("Reason", sip_reason.format_q850(cause)),))
        self.close()


def caller_uri(caller: str, own: str) -> str:
    """Who calls, as From says it: escaped, since a stranger may have written it (RFC 3323, 4.1)."""
    if not caller:
        return "sip:anonymous@anonymous.invalid"
    if caller.lstrip("+").isdecimal() and caller.isascii():
        return f"sip:{caller}@{own}"
    return f"{SipUri('sip', caller)}{own}"
