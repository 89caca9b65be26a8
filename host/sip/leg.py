"""One SIP leg of a call once it has a dialog: what comes in it, what goes out, its session timer.

`host.sip.caller` and `host.sip.callee` add how the dialog comes about.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from firmware.wire.sip import reason as sip_reason
from firmware.wire.sip import session_timer
from firmware.wire.sip.dialog import Dialog
from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import Request, Response, response_to
from firmware.wire.sip.sdp import both_ways, continued
from firmware.wire.sip.transaction import ClientTransaction, ServerTransaction
from firmware.wire.sip.uri import NameAddr
from host.media.codecs import restrict
from host.settings import SipSettings
from host.sip.refer import Referral, refer
from host.sip.transport import Flow

if TYPE_CHECKING:
    from host.calls.call import Leg
    from host.calls.commands import TellTransfer
    from host.sip.server import SipServer

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, REFER"
SDP = "application/sdp"
REFRESH_RETRY_S = 3.0
"""A refresh that met another request, or a passing failure, is tried again (RFC 3261, 14.1)."""
MAX_INTERVAL_S = 86_400
"""No session interval that a peer asks for is longer."""


@dataclass(frozen=True, slots=True)
class SessionTimer:
    """A running session timer (RFC 4028). Times are monotonic seconds."""

    interval_s: int
    we_refresh: bool
    next_at: float
    """When to refresh; when to give up, if the peer refreshes."""
    expires_at: float

    @staticmethod
    def start(
        agreed: session_timer.Agreement, role: session_timer.Role, now: float
    ) -> SessionTimer:
        """From what a transaction, in which we had `role`, agreed on."""
        ours = agreed.refreshes(role)
        ends_at = agreed.ends_at_s(now)
        refresh_at = agreed.refresh_at_s(now) if ours else ends_at
        return SessionTimer(agreed.interval_s, ours, refresh_at, ends_at)


class SipLeg:
    """What caller and callee legs have in common.

    A leg is known to the server under its own tag, from its first message until it is over.
    """

    __slots__ = (
        "_agreed",
        "_late_reinvite",
        "_pending",
        "_pending_offer",
        "_referral",
        "_refreshing",
        "_reinvite",
        "_reoffer",
        "_timer",
        "account",
        "codecs",
        "dialog",
        "flow",
        "leg",
        "local_sdp",
        "over",
        "peer_allows",
        "remote_sdp",
        "server",
        "tag",
    )
    leg: Leg

    def __init__(self, server: SipServer, flow: Flow, tag: str) -> None:
        self.server = server
        self.flow = flow
        self.tag = tag
        self.dialog: Dialog | None = None
        self.over = False
        self.account = ""
        """Whose leg it is; empty: a carrier's or a stranger's, who may ask for no transfer."""
        self.codecs: tuple[str, ...] = ()
        """Those that the peer's account may use; empty: all."""
        self.local_sdp = b""
        """The last description that the peer got from us."""
        self.remote_sdp = b""
        """The last description that the peer gave us."""
        self._pending: ServerTransaction | None = None
        """The peer's re-INVITE or UPDATE that call control is working on."""
        self._pending_offer = b""
        self._reinvite: ClientTransaction | None = None
        """Our re-INVITE or UPDATE that is out."""
        self._reoffer = b""
        """The description in it; ours from the peer's 2xx on."""
        self._refreshing = False
        self._late_reinvite = False
        self._timer: SessionTimer | None = None
        self._agreed: session_timer.Agreement | None = None
        """What the 2xx that we are about to send says of the timer."""
        self.peer_allows = ""
        self._referral: Referral | None = None
        """A transfer that the peer asked for."""

    # --- sending ---

    def next_hop(self) -> Flow:
        """Where requests in the dialog go: along the flow that the dialog came by, or the one that
        the peer has opened in its place."""
        if self.flow.reliable:
            self.flow = self.server.registrar.successor(self.flow)
        return self.flow

    def _via(self, flow: Flow) -> str:
        return self.server.via(flow)

    def request(
        self,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
        contact: bool = False,
    ) -> ClientTransaction:
        """Send a request within the dialog."""
        assert self.dialog is not None
        flow = self.next_hop()
        request = self.dialog.request(
            method,
            via=self._via(flow),
            contact=self.server.contact(flow) if contact else None,
            headers=headers,
            body=body,
            content_type=content_type,
        )
        return self.server.layer.request(request, flow, self.server.now, self)

    @property
    def credentials(self) -> tuple[tuple[str, str], ...]:
        """What the ACK of an INVITE bears because the INVITE did (RFC 3261, 13.2.2.4)."""
        return ()

    def send_ack(self, transaction: ClientTransaction, cseq: int, sdp: bytes = b"") -> None:
        """Acknowledge a 2xx; the layer repeats the ACK when the 2xx is repeated."""
        assert self.dialog is not None
        flow = self.next_hop()
        ack = self.dialog.ack(
            cseq,
            via=self._via(flow),
            headers=self.credentials,
            body=sdp,
            content_type=SDP if sdp else None,
        )
        transaction.acknowledge(ack, flow)
        self.server.layer.send(ack, flow)

    def send_info(self, content_type: str, body: bytes) -> None:
        """Pass on an INFO (DTMF of old devices; RFC 6086)."""
        if self.dialog is not None and not self.over:
            self.request("INFO", body=body, content_type=content_type)

    def allowed(self, sdp: bytes) -> bytes:
        """A description with what the peer's account may use; empty: nothing of it is."""
        return restrict(sdp, self.codecs) if self.codecs and sdp else sdp

    def bye(self, cause: int) -> None:
        """Leave the dialog."""
        if self.dialog is not None:
            self.request("BYE", headers=(("Reason", sip_reason.format_q850(cause)),))

    def close(self) -> None:
        """The server may forget this leg; what still comes for it gets 481."""
        if not self.over:
            self.over = True
            self.server.forget(self)

    # --- the session timer (RFC 4028) ---

    def keep_session(self, timer: SessionTimer | None) -> None:
        """Start, restart or stop the timer; it runs on the server's deadlines."""
        self._timer = timer
        if timer is None:
            self.server.deadlines.disarm(self.tag)
        else:
            self.server.deadlines.arm(self.tag, timer.next_at)

    def handle_timer(self, now: float) -> None:
        """Refresh the session, or give it up when the peer no longer does."""
        timer = self._timer
        if timer is None or self.over:
            return
        if now >= timer.expires_at:
            self.bye(102)
            self.lost(102, "session expired")
            return
        if timer.we_refresh and self._reinvite is None and self._pending is None:
            self._refreshing = True
            headers = (
                ("Supported", "timer"),
                ("Session-Expires", f"{timer.interval_s};refresher=uac"),
            )
            if "UPDATE" in self.peer_allows:
                self._reinvite = self.request("UPDATE", headers=headers, contact=True)
            else:
                self._reoffer = self.local_sdp
                self._reinvite = self.request(
                    "INVITE",
                    headers=(("Allow", ALLOW), *headers),
                    contact=True,
                    body=self.local_sdp,
                    content_type=SDP if self.local_sdp else None,
                )
            self.server.deadlines.arm(self.tag, timer.expires_at)
        elif timer.we_refresh:  # something else is under way
            self._refresh_later(timer)
        else:
            self.server.deadlines.arm(self.tag, timer.expires_at)

    def _refresh_later(self, timer: SessionTimer) -> None:
        at = min(self.server.now + REFRESH_RETRY_S, timer.expires_at)
        self.server.deadlines.arm(self.tag, at)

    def lost(self, cause: int, detail: str) -> None:
        """The leg is gone without a word from call control: tell it, and forget the leg."""
        self.close()
        self.server.control.ended(self.leg, cause, self.server.now, detail)

    # --- requests of the peer ---

    def receive_request(self, transaction: ServerTransaction, request: Request) -> None:
        """A request within the dialog."""
        assert self.dialog is not None
        try:
            self.dialog.receive(request)
        except SipPeerError as error:
            self.respond(transaction, error.status, error.reason)
            return
        method = request.method
        if method == "BYE":
            self._on_bye(transaction, request)
        elif method in ("INVITE", "UPDATE"):
            self._on_modify(transaction, request)
        elif method == "INFO":
            content_type = request.headers.get("Content-Type") or ""
            if request.body and not content_type:
                self.respond(transaction, 400, "Missing Content-Type")
                return
            self.respond(transaction, 200)
            if request.body:
                self.server.control.info(self.leg, content_type, request.body)
        elif method == "OPTIONS":
            self.respond(transaction, 200)
        elif method == "REFER":
            self._on_refer(transaction, request)
        else:
            response = response_to(request, 405)
            response.headers.set("Allow", ALLOW)
            transaction.respond(response, self.server.now)

    def respond(
        self, transaction: ServerTransaction, status: int, reason: str | None = None
    ) -> None:
        request: Any = transaction.request
        transaction.respond(response_to(request, status, reason, to_tag=self.tag), self.server.now)

    def _on_bye(self, transaction: ServerTransaction, request: Request) -> None:
        self.respond(transaction, 200)
        if self._pending is not None:  # RFC 3261, 15.1.2: pending requests get 487
            self.respond(self._pending, 487)
            self._pending = None
        self.lost(reason_cause(request) or 16, "")

    def _on_refer(self, transaction: ServerTransaction, request: Request) -> None:
        referral = refer(self, transaction, request)
        if referral is not None:
            self._referral = referral

    def tell_transfer(self, command: TellTransfer) -> None:
        """Call control says how the transfer goes that the peer asked for."""
        if self._referral is not None and not self.over and self._referral.tell(self, command):
            self._referral = None

    def _on_modify(self, transaction: ServerTransaction, request: Request) -> None:
        assert self.dialog is not None
        body, update = request.body, request.method == "UPDATE"
        offers = bool(body) or not update
        if offers and self._reinvite is not None and (self._reoffer or self._reinvite.invite):
            self.respond(transaction, 491)  # RFC 3261, 14.2; RFC 3311, 5.2
            return
        if self._pending is not None or (offers and self.unanswered):
            response = response_to(request, 500, to_tag=self.tag)
            seconds = int(self.server.random_token()[:4], 16) % 11
            response.headers.set("Retry-After", str(seconds))
            transaction.respond(response, self.server.now)
            return
        unknown = unsupported(request)
        if unknown:
            response = response_to(request, 420, to_tag=self.tag)
            response.headers.set("Unsupported", ", ".join(unknown))
            transaction.respond(response, self.server.now)
            return
        if body and not is_sdp(request):
            response = response_to(request, 415, to_tag=self.tag)
            response.headers.set("Accept", SDP)
            transaction.respond(response, self.server.now)
            return
        if not self._settle_timer(transaction, request):
            return
        self.dialog.refresh_target(request)
        if body and body != self.remote_sdp:
            offer = self.allowed(body)
            if not offer:
                self.respond(transaction, 488)
                return
            self._pending = transaction
            self._pending_offer = body
            if not update:
                self.respond(transaction, 100)
            self.server.control.modify_offered(self.leg, offer, update, self.server.now)
        else:  # a refresh of the session as it is, or a re-INVITE that asks for our offer
            self._late_reinvite = not body and not update
            self._accept(transaction, self.local_sdp if (body or not update) else b"")

    def _settle_timer(self, transaction: ServerTransaction, request: Request) -> bool:
        agreed = answer_timer(request, self.server.settings)
        if isinstance(agreed, Response):
            transaction.respond(agreed, self.server.now)
            return False
        self._agreed = agreed
        return True

    @property
    def unanswered(self) -> bool:
        """True while the peer's first offer has no answer."""
        return False

    def _accept(self, transaction: ServerTransaction, sdp: bytes) -> None:
        request: Any = transaction.request
        if transaction.invite:
            transaction.user = self  # it is told when no ACK comes
        response = response_to(request, 200, to_tag=self.tag)
        self.fill_2xx(response, sdp)
        self.agree(response)
        transaction.respond(response, self.server.now)

    def agree(self, response: Response) -> None:
        """Say in a 2xx what was agreed on the session timer, and start it."""
        agreed = self._agreed
        if agreed is None:
            return
        for name, value in session_timer.response_headers(agreed):
            response.headers.set(name, value)
        self.keep_session(SessionTimer.start(agreed, "uas", self.server.now))

    def fill_2xx(self, response: Response, sdp: bytes) -> None:
        """Contact, Allow, Supported and the body of a 2xx."""
        headers = response.headers
        headers.set("Contact", self.server.contact(self.flow))
        headers.set("Allow", ALLOW)
        headers.set("Supported", "timer")
        if sdp:
            headers.set("Content-Type", SDP)
            response.body = sdp
            self.local_sdp = sdp

    def receive_ack(self, request: Request) -> None:
        """The ACK of a 2xx; after an offerless re-INVITE it bears the peer's answer."""
        if self._late_reinvite and request.body:
            self._late_reinvite = False
            if request.body != self.remote_sdp:
                self.remote_sdp = request.body
                answer = self.allowed(request.body)
                if answer:
                    self.server.control.address_changed(self.leg, answer, self.server.now)

    def ack_timed_out(self) -> None:
        """No ACK for our 200 in 64*T1: the session is ended (RFC 3261, 13.3.1.4)."""
        if self.over:
            return
        self.bye(102)
        self.lost(102, "no ACK")

    # --- our own re-INVITE and UPDATE ---

    def modify(self, sdp: bytes, update: bool) -> None:
        """Call control passes on the other side's offer."""
        if self.over or self.dialog is None:
            return
        if self._reinvite is not None or self._pending is not None:
            self.server.control.modify_failed(self.leg, 491, self.server.now)
            return
        sdp = self._continued(self.allowed(sdp))
        if not sdp:
            self.server.control.modify_failed(self.leg, 488, self.server.now)
            return
        method = "UPDATE" if update and "UPDATE" in self.peer_allows else "INVITE"
        self._reoffer = sdp
        self._reinvite = self.request(
            method,
            headers=(("Allow", ALLOW), ("Supported", "timer")),
            contact=True,
            body=sdp,
            content_type=SDP,
        )

    def modified(self, sdp: bytes) -> None:
        """The other side took our peer's offer."""
        transaction, self._pending = self._pending, None
        if transaction is not None:
            self.remote_sdp = self._pending_offer
            self._accept(transaction, self._continued(self.allowed(sdp) or sdp))

    def _continued(self, sdp: bytes) -> bytes:
        """What somebody new says of the media, as the peer expects it of whom it talks to."""
        call = self.leg.call
        if sdp and (call.joint is not None or call.transfer is not None):
            return continued(sdp, self.local_sdp)
        return sdp

    def restate(self, here: bool = False) -> bytes:
        """The peer's last description, as of one that sends and receives; for another peer."""
        return both_ways(self.allowed(self.remote_sdp))

    def reject_modify(self, status: int) -> None:
        transaction, self._pending = self._pending, None
        if transaction is not None:
            self.respond(transaction, status)

    def receive_response(self, transaction: ClientTransaction, response: Response) -> None:
        """An answer to a request that we sent in the dialog."""
        if response.status < 200:
            return
        method = response.cseq[1]
        if transaction is self._reinvite:
            self._reinvite = None
            self._on_reinvite_answer(transaction, response, method)
        elif method == "NOTIFY":  # a subscription's end is not the call's (RFC 5057, 5.1)
            if response.status >= 300:
                self._referral = None
        elif response.status in (408, 481) and method != "BYE" and not self.over:
            self.bye(41)  # RFC 3261, 12.2.1.2
            self.lost(41, f"{method} got {response.status}")

    def _on_reinvite_answer(
        self, transaction: ClientTransaction, response: Response, method: str
    ) -> None:
        assert self.dialog is not None
        ok = 200 <= response.status < 300
        reoffer, self._reoffer = self._reoffer, b""
        if ok:
            with suppress(SipPeerError):  # a Contact that can't be used: the old one stands
                self.dialog.refresh_target(response)
            if method == "INVITE":
                self.send_ack(transaction, response.cseq[0])
            if reoffer:
                self.local_sdp = reoffer
        refreshing, self._refreshing = self._refreshing, False
        if self.over:
            return
        if response.status in (408, 481):  # RFC 3261, 14.1: the dialog is gone
            if not refreshing:
                self.server.control.modify_failed(self.leg, response.status, self.server.now)
            self.bye(41)
            self.lost(41, f"{method} got {response.status}")
        elif refreshing:
            self._refreshed(response, ok)
        elif ok:
            sdp = response.body if is_sdp(response) else b""
            self.remote_sdp = sdp
            self.server.control.modified(self.leg, self.allowed(sdp), self.server.now)
        else:
            self.server.control.modify_failed(self.leg, response.status, self.server.now)

    def _refreshed(self, response: Response, ok: bool) -> None:
        """Our refresh was answered: run on, or ask again (RFC 4028, 7.3 and 10)."""
        timer, now = self._timer, self.server.now
        if timer is None:
            return
        if ok:
            agreed = accept_timer(response)
            self.keep_session(SessionTimer.start(agreed, "uac", now) if agreed else None)
            return
        if response.status == 422:
            with suppress(SipPeerError):
                wanted_s = session_timer.after_too_small(response, timer.interval_s)
                if timer.interval_s < wanted_s <= MAX_INTERVAL_S:
                    self._timer = timer = replace(timer, interval_s=wanted_s)
                    self.server.deadlines.arm(self.tag, now)
                    return
        self._refresh_later(timer)

    def timed_out(self, transaction: ClientTransaction) -> None:
        """A request of ours got no final answer (Timer B or F)."""
        if transaction is self._reinvite:
            self._reinvite = None
            if not self._refreshing:
                self.server.control.modify_failed(self.leg, 408, self.server.now)
            self._refreshing = False
            if not self.over:
                self.bye(102)
                self.lost(102, "no answer to re-INVITE")


def reason_cause(message: Request | Response) -> int | None:
    """The Q.850 cause that a message bears (RFC 3326)."""
    values = message.headers.fields.get("Reason")
    return sip_reason.q850(values) if values else None


def answer_timer(
    request: Request, settings: SipSettings
) -> session_timer.Agreement | Response | None:
    """What we agree to, None for no timer, or the 422 (RFC 4028, 6 and 9)."""
    agreed = session_timer.answer_request(
        request, interval_s=settings.session_expires_s, own_min_se_s=settings.min_se_s
    )
    if isinstance(agreed, session_timer.TooSmall):
        response = response_to(request, 422, to_tag="interval")
        response.headers.set("Min-SE", str(agreed.min_se_s))
        return response
    return agreed


def accept_timer(response: Response) -> session_timer.Agreement | None:
    """What a 2xx says of the session timer; a field that can't be read says nothing."""
    try:
        return session_timer.accept_response(response)
    except SipPeerError:
        return None


def unsupported(request: Request) -> list[str]:
    """Option tags that the peer requires and we do not know (RFC 3261, 8.2.2.3)."""
    if "Require" not in request.headers.fields:
        return []
    return [option for option in request.headers.get_all("Require") if option.lower() != "timer"]


def check_dialog(request: Request) -> None:
    """See that an INVITE can make a dialog, before anything is done for it (RFC 3261, 12.1.1).

    Raises:
        SipPeerError: Contact or Record-Route is missing or can't be used (400).
    """
    contacts = request.contacts
    if len(contacts) != 1 or contacts[0].uri.scheme not in ("sip", "sips"):
        raise SipPeerError(400, "One SIP Contact Needed", request)
    if "Record-Route" in request.headers.fields:
        for route in request.headers.get_all("Record-Route"):
            if NameAddr.parse(route).uri.scheme not in ("sip", "sips"):
                raise SipPeerError(400, "Malformed Record-Route", request)


def is_sdp(message: Request | Response) -> bool:
    """True when the body is a session description."""
    kind = message.headers.get("Content-Type")
    return kind is not None and kind.partition(";")[0].strip().lower() == SDP
