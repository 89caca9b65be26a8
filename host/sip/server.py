"""The SIP server: messages in, transactions and legs behind them, call control beyond.

Requests that nobody has authenticated are answered without keeping state (RFC 3261, 8.2.7): a
challenge, an error, or nothing. Only an INVITE of a known account, trunk or carrier, and requests
within a live dialog, get a transaction.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, OrderedDict
from collections.abc import Callable
from math import inf
from typing import Any, Protocol

from firmware.wire.sip import reason as sip_reason
from firmware.wire.sip.dialog import Dialog
from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.events import (
    AckReceived,
    AckTimedOut,
    CancelReceived,
    RequestReceived,
    ResponseReceived,
    TimedOut,
)
from firmware.wire.sip.message import Request, Response, error_response, response_to
from firmware.wire.sip.parser import parse
from firmware.wire.sip.refer import Replaces
from firmware.wire.sip.transaction import ClientTransaction, TransactionLayer
from firmware.wire.sip.uri import SipUri
from host.calls import blind
from host.calls.commands import Contact, Failure, PlaceLeg, TellTransfer
from host.calls.control import CallControl
from host.calls.routing import Refused, Router, Source
from host.charging.values import Reason, Refusal
from host.deadlines import Deadlines
from host.media.codecs import restrict
from host.numbering.values import Account, Carrier
from host.settings import SipSettings
from host.sip.auth import Authenticator, Denied
from host.sip.callee import CalleeLeg
from host.sip.caller import CallerLeg
from host.sip.leg import ALLOW, SipLeg, answer_timer, check_dialog, is_sdp, unsupported
from host.sip.registrar import Binding, Registrar
from host.sip.transport import Flow, literal_address

METHODS = frozenset(
    ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE", "INFO", "REGISTER", "REFER")
)
EXTENSIONS = frozenset(("timer", "path", "outbound", "gruu", "replaces", "100rel"))
"""Option tags that a client may support; we require none of them."""
BYE_MEMORY_S = 32.0
CHALLENGE_S = 0.05
"""For so long the last look at the configuration is good enough to challenge by."""
BYE_MEMORY = 20_000


class Peers(Protocol):
    """What the server asks of `host.numbering` about who sends."""

    def refresh(self) -> None:
        """Take notice of what changed in the configuration."""

    def account_by_username(self, username: str) -> Account | None: ...
    def account_by_address(self, address: str, port: int) -> Account | None: ...
    def carrier_by_address(self, address: str, port: int) -> Carrier | None: ...


class SipServer:
    """All of SIP on one host; implements `host.sip.transport.Receiver`."""

    def __init__(
        self,
        settings: SipSettings,
        *,
        peers: Peers,
        router: Router,
        control: CallControl,
        registrar: Registrar,
        authenticator: Authenticator,
        open_flow: Callable[[str, str, int, str | None], Flow | None],
        new_call_id: Callable[[], str],
        random_token: Callable[[], str],
        clock: Callable[[], float],
        carry_out: Callable[[], None],
        changed: Callable[[], None],
        find_name: Callable[[str, Callable[[str | None], None]], None] | None = None,
    ) -> None:
        """Build the server over what its shell gives it.

        Args:
            open_flow: a flow to a transport, address and port, by a listener of a POP.
            carry_out: carries out call control's commands until there are none.
            changed: deadlines may have changed.
            find_name: looks up the name of a host, and hands over its address or None; without
                it, names lead nowhere.
        """
        self.settings = settings
        self.control = control
        self.registrar = registrar
        self.random_token = random_token
        self.layer = TransactionLayer(branch=lambda: "z9hG4bK" + random_token())
        self.deadlines = Deadlines()
        """Session timers, by leg tag."""
        self.now = 0.0
        self.counts: Counter[str] = Counter()
        self.closing = False
        self.overloaded = False
        """Set by the shell that watches the loop's lag."""
        self._peers = peers
        self._router = router
        self._authenticator = authenticator
        self._open_flow = open_flow
        self._new_call_id = new_call_id
        self._clock = clock
        self._carry_out = carry_out
        self._changed = changed
        self._find_name = find_name
        self._fresh = False
        """Whether changes of the configuration were looked for in this batch."""
        self._fresh_at = -inf
        """When they were looked for last, monotonic seconds."""
        self._legs: dict[str, SipLeg] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()
        """Tags of legs that we hung up a moment ago: a BYE that crossed ours is answered 200."""

    # --- what transports report ---

    def datagram(self, data: bytes, flow: Flow) -> None:
        """One of a batch; `drained` comes after the last."""
        if self._authenticator.is_ack_of_ours(data):
            return
        try:
            message = parse(data)
        except SipPeerError as error:
            self.bad_message(error, flow)
            return
        self._message(message, flow)

    def drained(self) -> None:
        """A batch of datagrams is over: what is due has its turn, and everything is sent."""
        self.now = self._clock()
        self._fresh = False
        at = self.next_deadline
        if at is not None and at <= self.now:
            self._handle_timers(self.now)
        self.flush()

    def bad_message(self, error: SipPeerError, flow: Flow) -> None:
        """400 and its kin to requests that can be answered, silence to the rest."""
        self.counts["bad message"] += 1
        if error.request is not None:
            self._stamp(error.request, flow)
        response = error_response(error, to_tag="bad")
        if response is not None:
            flow.send(response.to_bytes())

    def message(self, message: Request | Response, flow: Flow) -> None:
        """One message from a stream."""
        self._fresh = False
        self._message(message, flow)
        self.flush()

    def _message(self, message: Request | Response, flow: Flow) -> None:
        self.now = self._clock()
        try:
            if isinstance(message, Request):
                self._request(message, flow)
            else:
                self._dispatch(self.layer.receive(message, flow, self.now))
        except SipPeerError as error:
            if error.request is None and isinstance(message, Request):
                error.request = message
            self.bad_message(error, flow)
        except sqlite3.OperationalError:
            self._unknown_now(message, flow)
        if self.control.commands:
            self._carry_out()

    def closed(self, flow: Flow) -> None:
        """A connection is gone."""
        self.now = self._clock()
        self.registrar.flow_closed(flow)
        for event in self.layer.flow_lost(flow, self.now):
            self._dispatch(event)
        self.flush()

    def flush(self) -> None:
        """Send what the layer has, then let call control's commands be carried out."""
        if self.control.commands:
            self._carry_out()
        out = self.layer.out
        if out:
            self.layer.out = []
            for data, flow in out:
                flow.send(data)  # type: ignore[attr-defined]
        self._changed()

    @property
    def next_deadline(self) -> float | None:
        at = self.layer.next_deadline
        for other in (self.deadlines.next, self.registrar.next_deadline):
            if other is not None and (at is None or other < at):
                at = other
        return at

    def handle_timers(self, now: float) -> None:
        self.now = now
        self._handle_timers(now)
        self.flush()

    def _handle_timers(self, now: float) -> None:
        for event in self.layer.handle_timers(now):
            self._dispatch(event)
        for tag in self.deadlines.due(now):
            leg = self._legs.get(tag)
            if leg is not None:
                leg.handle_timer(now)
        self.registrar.expire(now)

    def _refresh(self) -> None:
        """Take notice of changed configuration, once a batch."""
        if not self._fresh:
            self._fresh = True
            self._fresh_at = self.now
            self._peers.refresh()

    # --- requests ---

    def _stamp(self, request: Request, flow: Flow) -> None:
        try:
            request.stamp(flow.address, flow.port)
        except (SipPeerError, KeyError):
            self.counts["no via"] += 1

    def _unknown_now(self, message: Request | Response, flow: Flow) -> None:
        """The store is away, and who sent this is not remembered."""
        self.counts["store away"] += 1
        if isinstance(message, Request) and message.method != "ACK":
            response = response_to(message, 503, to_tag="store")
            response.headers.set("Retry-After", "2")
            flow.send(response.to_bytes())

    def _request(self, request: Request, flow: Flow) -> None:
        request.stamp(flow.address, flow.port)
        method = request.method
        if method == "ACK":
            self._dispatch(self.layer.receive(request, flow, self.now))
            return
        if method == "REGISTER":
            self._register(request, flow)
            return
        to_tag = request.to.tag
        if method == "CANCEL":
            if self.layer.knows(request, "INVITE") or self.layer.knows(request):
                self._dispatch(self.layer.receive(request, flow, self.now))
            else:  # a stranger's leaves nothing behind (RFC 3261, 8.2.7)
                flow.send(response_to(request, 481, to_tag="none").to_bytes())
            return
        if to_tag is not None:
            if to_tag in self._legs:
                self._dispatch(self.layer.receive(request, flow, self.now))
            else:
                self._no_dialog(request, to_tag, flow)
            return
        if method == "INVITE":
            self._invite(request, flow)
        elif method == "OPTIONS":
            response = response_to(request, 200, to_tag="options")
            response.headers.set("Allow", ALLOW)
            response.headers.set("Accept", "application/sdp")
            response.headers.set("Supported", "timer")
            flow.send(response.to_bytes())
        else:
            known = method in METHODS
            response = response_to(request, 481 if known else 501, to_tag="none")
            response.headers.set("Allow", ALLOW)
            flow.send(response.to_bytes())

    def _no_dialog(self, request: Request, tag: str, flow: Flow) -> None:
        """A request in a dialog that we do not know: 481, but 200 for a BYE that crossed ours."""
        if request.method == "BYE" and self._ended.get(tag, 0.0) > self.now:
            flow.send(response_to(request, 200).to_bytes())
            return
        self.counts["no dialog"] += 1
        flow.send(response_to(request, 481).to_bytes())

    def _register(self, request: Request, flow: Flow) -> None:
        """Without transaction state: the same REGISTER again gets the same answer."""
        fields = request.headers.fields
        if "Require" in fields and not EXTENSIONS.issuperset(request.headers.get_all("Require")):
            raise SipPeerError(420, "Bad Extension", request)
        if "Authorization" in fields:
            self._refresh()
        account = self._authenticator.check(request, flow, self.now)
        if isinstance(account, Denied):
            if account.reason is not None:
                self.counts["bad credentials"] += 1
            flow.send(account.response.to_bytes())
            return
        self.counts["register"] += 1
        if account.status != "active":
            response = response_to(request, 403, "Account Blocked", to_tag="blocked")
        elif account.bounds.believes(flow.address, flow.listener.pop, "sip"):
            response = response_to(request, 403, "Not From There", to_tag="there")
        elif request.to.uri.user not in (account.username, None):
            response = response_to(request, 403, "Not Your Address", to_tag="other")
        else:
            response = self.registrar.register(
                request, account.id, account.username, flow, self.now
            )
            tag = f"{hash((request.call_id, request.cseq[0])) & 0xFFFFFFFF:x}"
            to = response.headers.fields["To"]
            if ";tag=" not in to[0]:
                to[0] = f"{to[0]};tag={tag}"
        flow.send(response.to_bytes())

    def _invite(self, request: Request, flow: Flow) -> None:
        """A new call, a retransmission of one, or a stranger."""
        # An INVITE without credentials is most often only to be challenged, so that a second look
        # follows at once; a trunk's or carrier's is judged by what is `CHALLENGE_S` old at most.
        if "Authorization" in request.headers.fields or self.now - self._fresh_at > CHALLENGE_S:
            self._refresh()
        carrier = self._peers.carrier_by_address(flow.address, flow.port)
        account: Account | None = None
        if carrier is None:
            account = self._peers.account_by_address(flow.address, flow.port)
            if account is None and request.headers.get("Authorization") is None:
                flow.send(self._authenticator.challenge(request, flow, self.now).to_bytes())
                return
        refuses = (self.closing or self._overloaded()) and not self.layer.knows(request)
        number = _user_of(request.request_uri) if refuses else ""
        if refuses and (carrier is not None or not self._router.passes(account, number)):
            self._refuse_for_now(request, flow)
            return
        by_digest = carrier is None and account is None
        if by_digest:
            # Before there is a transaction: who can't prove to be somebody leaves nothing behind.
            found = self._authenticator.check(request, flow, self.now)
            if not isinstance(found, Denied):
                account = found
            elif not self.layer.knows(request):
                if found.reason is not None:
                    self.counts["bad credentials"] += 1
                flow.send(found.response.to_bytes())
                return
            if refuses and account is not None and not self._router.passes(account, number):
                self._refuse_for_now(request, flow)
                return
        event = self.layer.receive(request, flow, self.now)
        if not isinstance(event, RequestReceived):
            self._dispatch(event)
            return
        transaction = event.transaction
        try:
            problem = self._unacceptable(request)
            agreed = answer_timer(request, self.settings) if problem is None else problem
        except SipPeerError as error:
            agreed = response_to(request, error.status, error.reason, to_tag="refused")
        if isinstance(agreed, Response):
            transaction.respond(agreed, self.now)
            return
        tag = self.random_token()
        leg = CallerLeg(self, flow, tag, transaction, request, agreed, keep_flow=by_digest)
        transaction.user = leg
        transaction.trying(self.now)
        self._offer(leg, request, carrier, account)

    def _refuse_for_now(self, request: Request, flow: Flow) -> None:
        """No new call is taken, but for those to emergency numbers."""
        response = response_to(request, 503, to_tag="overload")
        response.headers.set("Retry-After", "2")
        self.counts["overload"] += 1
        flow.send(response.to_bytes())

    def _unacceptable(self, request: Request) -> Response | None:
        """What RFC 3261, 8.2 asks to be checked before an INVITE is taken."""
        unknown = unsupported(request)
        tag = "refused"
        if unknown:
            response = response_to(request, 420, to_tag=tag)
            response.headers.set("Unsupported", ", ".join(unknown))
            return response
        if request.body and not is_sdp(request):
            response = response_to(request, 415, to_tag=tag)
            response.headers.set("Accept", "application/sdp")
            return response
        if _hops(request) == 0:
            return response_to(request, 483, to_tag=tag)
        check_dialog(request)
        return None

    def _offer(
        self, leg: CallerLeg, request: Request, carrier: Carrier | None, account: Account | None
    ) -> None:
        """Hand the call to routing and call control."""
        number = _user_of(request.request_uri)
        caller = _user_of(request.from_.uri)
        hops = _hops(request) - 1
        call_id = self._new_call_id()
        flow = leg.flow
        self._legs[leg.tag] = leg
        if carrier is not None:
            plan = self._router.from_carrier(carrier, call_id, number, caller, hops, request.body)
        else:
            assert account is not None
            source = Source(flow.address, flow.listener.pop, "sip")
            plan = self._router.from_account(
                account, call_id, number, caller, hops, request.body, source
            )
            leg.account = account.username
            leg.codecs = account.bounds.codecs
            if leg.codecs and request.body and not isinstance(plan, Refused):
                offer = leg.allowed(request.body)
                if offer:
                    plan = plan._replace(sdp=offer)
                else:
                    told = f"account {account.username} may use {', '.join(leg.codecs)}"
                    plan = Refused(plan.facts, Refusal(Reason.CODEC, told))
        if isinstance(plan, Refused):
            self.control.refused(plan.facts, plan.refusal)
            leg.reject(plan.refusal.reason, None)
        else:
            leg.leg = self.control.offered(plan, leg, self.now)

    def _overloaded(self) -> bool:
        """Too many calls wait for the store, or the loop is behind its clock."""
        return self.overloaded or self.control.waiting >= self.settings.overload_pending

    # --- events of the transaction layer ---

    def _dispatch(self, event: object) -> None:
        if event is None:
            return
        leg: Any
        if isinstance(event, ResponseReceived):
            leg = event.transaction.user
            if leg is not None:
                leg.receive_response(event.transaction, event.response)
            elif 200 <= event.response.status < 300 and event.response.cseq[1] == "INVITE":
                self.end_fork(event.transaction, event.response)
        elif isinstance(event, RequestReceived):
            leg = self._legs.get(event.request.to.tag or "")
            if leg is not None and self._same_dialog(leg, event.request):
                try:
                    leg.receive_request(event.transaction, event.request)
                except SipPeerError as error:
                    if not event.transaction.open:
                        raise
                    leg.respond(event.transaction, error.status, error.reason)
            else:
                event.transaction.respond(response_to(event.request, 481), self.now)
        elif isinstance(event, AckReceived):
            if event.transaction is not None:
                leg = event.transaction.user or self._legs.get(event.request.to.tag or "")
                if leg is not None:
                    leg.receive_ack(event.request)
        elif isinstance(event, CancelReceived):
            leg = event.target.user
            if isinstance(leg, CallerLeg):
                leg.cancelled(event.transaction.request)
        elif isinstance(event, TimedOut):
            leg = event.transaction.user
            if leg is not None:
                leg.timed_out(event.transaction)
        elif isinstance(event, AckTimedOut):
            leg = event.transaction.user
            if leg is not None and event.transaction.accepted:
                leg.ack_timed_out()
        else:
            self.counts["stray response"] += 1

    def _same_dialog(self, leg: SipLeg, request: Request) -> bool:
        dialog = leg.dialog
        return (
            dialog is not None
            and dialog.call_id == request.call_id
            and (request.from_.tag or "") == dialog.remote_tag
        )

    # --- what legs ask for ---

    def forget(self, leg: SipLeg) -> None:
        self._legs.pop(leg.tag, None)
        self.deadlines.disarm(leg.tag)
        if leg.dialog is None:
            return
        ended = self._ended
        ended[leg.tag] = self.now + BYE_MEMORY_S
        while ended:
            tag, until = next(iter(ended.items()))
            if until > self.now and len(ended) <= BYE_MEMORY:
                break
            del ended[tag]

    def find_leg(self, replaces: Replaces) -> SipLeg | None:
        """The live leg that a Replaces names; clients differ on which tag is whose."""
        tags = replaces.to_tag, replaces.from_tag
        for ours, theirs in (tags, tags[::-1]):
            leg = self._legs.get(ours)
            dialog = leg.dialog if leg is not None else None
            if dialog is not None and dialog.call_id == replaces.call_id:
                return leg if dialog.remote_tag == theirs else None
        return None

    def transfer_to(self, leg: SipLeg, uri: SipUri, request: Request) -> TellTransfer | None:
        """A blind transfer: a call of the leg's customer to that number, for his far end. What
        he is to be told where there is no such call."""
        flow = leg.flow
        source = Source(flow.address, flow.listener.pop, "sip")
        caller = _user_of(request.from_.uri)
        asked = blind.Asked(leg.leg, _user_of(uri), caller, _hops(request) - 1, source)
        account = self._peers.account_by_username(leg.account)
        return blind.transfer(
            self.control, self._router, account, asked, self._new_call_id, self.now
        )

    def host_port(self, flow: Flow) -> str:
        listener = flow.listener
        return f"{listener.advertised or listener.address}:{listener.port}"

    def via(self, flow: Flow) -> str:
        name = flow.listener.transport.upper()
        return f"SIP/2.0/{name} {self.host_port(flow)};branch={self.layer.branch()};rport"

    def contact(self, flow: Flow) -> str:
        transport = flow.listener.transport
        suffix = "" if transport == "udp" else f";transport={transport}"
        return f"<sip:{self.host_port(flow)}{suffix}>"

    def end_fork(self, transaction: ClientTransaction, response: Response) -> None:
        """A second 2xx of a call that forked on its way: acknowledged and ended at once."""
        dialog = Dialog.uac(None, response)
        flow: Any = transaction.flow
        flow = self.flow_for_dialog(dialog, flow)
        ack = dialog.ack(response.cseq[0], via=self.via(flow))
        transaction.acknowledge(ack, flow)
        self.layer.send(ack, flow)
        headers = (("Reason", sip_reason.format_q850(16)),)
        bye = dialog.request("BYE", via=self.via(flow), headers=headers)
        self.layer.request(bye, flow, self.now)

    def flow_for_dialog(self, dialog: Dialog, flow: Flow) -> Flow:
        """The flow to a dialog's next hop where that is an address; else where it came by."""
        hop = dialog.next_hop
        address = literal_address(hop.host)
        if flow.reliable or address is None:
            return flow
        port = hop.port or 5060
        if address == flow.address and port == flow.port:
            return flow
        return self._open_flow("udp", address, port, flow.listener.pop) or flow

    # --- commands of call control ---

    def place(self, command: PlaceLeg) -> None:
        """Send the INVITE for a callee leg."""
        target = command.target
        flow: Flow | None
        if isinstance(target, Carrier):
            flow = self._open_flow(target.transport, target.address, target.port, None)
            number = target.prefix + command.callee.lstrip("+")
            if not target.prefix:
                number = command.callee
            suffix = "" if target.transport == "udp" else f";transport={target.transport}"
            uri = f"sip:{number}@{target.address}:{target.port}{suffix}"
            fixed = False
        elif self._find_name is not None and (name := _name_of(target)):
            # Only what an operator or a customer set up has a name in it.
            self._find_name(name, lambda address: self._found(command, name, address))
            return
        else:
            flow, uri, fixed = self._contact_flow(target)
        self._place_by(command, flow, uri, fixed)

    def _found(self, command: PlaceLeg, name: str, address: str | None) -> None:
        """The name of a contact was looked up; its call may be over by now."""
        if command.leg not in command.leg.call.attempts:
            return
        self.now = self._clock()
        target = command.target
        assert isinstance(target, Contact)
        if address is None:
            failure = Failure(38, 503, f"no address for {name}")
            self.control.failed(command.leg, failure, self.now)
        else:
            uri = SipUri.parse(target.uri)
            transport = (uri.param("transport") or "udp").lower()
            flow = self._open_flow(transport, address, uri.port or 5060, None)
            self._place_by(command, flow, target.uri, False)
        self.flush()

    def _place_by(self, command: PlaceLeg, flow: Flow | None, uri: str, fixed: bool) -> None:
        target = command.target
        if flow is None or command.hops <= 0:
            failure = Failure(38, 503, "no way there") if flow is None else Failure(25, 483, "loop")
            self.control.failed(command.leg, failure, self.now)
            return
        if isinstance(target, Contact) and target.codecs and command.sdp:
            offer = restrict(command.sdp, target.codecs)
            if not offer:
                failure = Failure(88, 488, "no codec that the account may use")
                self.control.failed(command.leg, failure, self.now)
                return
            command = command._replace(sdp=offer)
        tag = self.random_token()
        self._legs[tag] = CalleeLeg(self, flow, tag, command, uri, fixed)

    def _contact_flow(self, target: Contact) -> tuple[Flow | None, str, bool]:
        try:
            uri = SipUri.parse(target.uri)
        except SipPeerError:  # a trunk's contact as an operator wrote it
            return None, target.uri, False
        if isinstance(target.flow, Binding):
            flow = target.flow.flow
            if target.flow.to_source or flow.reliable:
                return flow, target.uri, True
            port = uri.port or 5060
            return self._open_flow("udp", uri.host, port, target.pop), target.uri, True
        transport = (uri.param("transport") or "udp").lower()
        address = literal_address(uri.host)
        if address is None:  # names are not looked up
            return None, target.uri, False
        return self._open_flow(transport, address, uri.port or 5060, None), target.uri, False


def _name_of(target: Contact) -> str:
    """The name of the host that a contact's URI has; empty for an address, or where its device
    registered."""
    if target.flow is not None:
        return ""
    try:
        host = SipUri.parse(target.uri).host
    except SipPeerError:
        return ""
    return "" if literal_address(host) is not None else host


def _user_of(uri: SipUri) -> str:
    """The user part as a number is dialled, without visual separators (RFC 3966, 5.1.1)."""
    user = uri.user or ""
    if user[:1] in "+0123456789":
        user = user.partition(";")[0].translate(_SEPARATORS)
    return user[:64]


_SEPARATORS = str.maketrans("", "", "-.() ")


def _hops(request: Request) -> int:
    value = (request.headers.get("Max-Forwards") or "70").strip()
    return min(int(value), 255) if value.isdecimal() else 70
