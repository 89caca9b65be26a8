"""Dialogs (RFC 3261, 12): what both ends must remember to send requests to each other."""

from __future__ import annotations

from collections.abc import Iterable

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.headers import Headers
from firmware.wire.sip.model import Message, Request, Response
from firmware.wire.sip.uri import NameAddr, SipUri


class Dialog:
    """One dialog as one end sees it. No transaction and no session: those are elsewhere.

    A local CSeq of 0 means that we have sent nothing yet; a remote one of None that the peer
    has not.
    """

    __slots__ = (
        "_from",
        "_to",
        "call_id",
        "early",
        "local_cseq",
        "local_tag",
        "local_uri",
        "remote_cseq",
        "remote_tag",
        "remote_target",
        "remote_uri",
        "route_set",
    )

    def __init__(
        self,
        *,
        call_id: str,
        local_tag: str,
        remote_tag: str,
        local_uri: NameAddr,
        remote_uri: NameAddr,
        remote_target: SipUri,
        route_set: tuple[str, ...] = (),
        local_cseq: int = 0,
        remote_cseq: int | None = None,
        early: bool = False,
    ) -> None:
        self.call_id = call_id
        self.local_tag = local_tag
        self.remote_tag = remote_tag
        """Empty if the peer is of RFC 2543 and has none."""
        self.local_uri = local_uri
        self.remote_uri = remote_uri
        self.remote_target = remote_target
        self.route_set = route_set
        self.local_cseq = local_cseq
        self.remote_cseq = remote_cseq
        self.early = early
        self._from = self._to = ""
        """As our requests write them, made for the first one."""

    @staticmethod
    def uas(request: Request, response: Response) -> Dialog:
        """The dialog that our answer makes (12.1.1). The answer has a To tag.

        Raises:
            SipPeerError: the request has no usable Contact or Record-Route (400).
        """
        tag = response.to.tag
        assert tag, "an answer that makes a dialog needs a To tag"
        return Dialog(
            call_id=request.call_id,
            local_tag=tag,
            remote_tag=request.from_.tag or "",
            local_uri=request.to.without_params(),
            remote_uri=request.from_.without_params(),
            remote_target=_target(request, request),
            route_set=_route_set(request),
            remote_cseq=request.cseq[0],
            early=response.status < 200,
        )

    @staticmethod
    def uac(request: Request | None, response: Response) -> Dialog:
        """The dialog that the peer's answer to our request makes (12.1.2).

        `request` serves where a provisional answer has no Contact; for another fork's 2xx it may
        be None.

        Raises:
            SipPeerError: no To tag, or no usable Contact or Record-Route (400).
        """
        remote = response.to
        if not remote.tag and response.status < 200:
            raise SipPeerError(400, "No To tag")
        if response.contacts or request is None:
            target = _target(response, None)
        else:
            target = request.request_uri
        return Dialog(
            call_id=response.call_id,
            local_tag=response.from_.tag or "",
            remote_tag=remote.tag or "",
            local_uri=response.from_.without_params(),
            remote_uri=remote.without_params(),
            remote_target=target,
            route_set=_route_set(response)[::-1],
            local_cseq=response.cseq[0],
            early=response.status < 200,
        )

    @property
    def id(self) -> tuple[str, str, str]:
        """Call-ID, local tag, remote tag (12)."""
        return self.call_id, self.local_tag, self.remote_tag

    @property
    def next_hop(self) -> SipUri:
        """Where requests are sent: the first route, else the remote target (8.1.2, 12.2.1.1)."""
        if self.route_set:
            return NameAddr.parse(self.route_set[0]).uri
        return self.remote_target

    def request(
        self,
        method: str,
        *,
        via: str,
        contact: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Request:
        """The next request of ours within the dialog (12.2.1.1).

        Args:
            via: the whole Via value, branch included.
            contact: the whole Contact value; target refreshes (INVITE, UPDATE) must have one.
        """
        assert method not in ("ACK", "CANCEL"), method
        self.local_cseq += 1
        return self._build(method, self.local_cseq, via, contact, headers, body, content_type)

    def ack(
        self,
        cseq: int,
        *,
        via: str,
        contact: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Request:
        """The ACK of the 2xx to the INVITE with number `cseq` (13.2.2.4)."""
        return self._build("ACK", cseq, via, contact, headers, body, content_type)

    def _build(
        self,
        method: str,
        cseq: int,
        via: str,
        contact: str | None,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        content_type: str | None,
    ) -> Request:
        if not self._from:
            self._from = _with_tag(self.local_uri, self.local_tag)
            self._to = _with_tag(self.remote_uri, self.remote_tag)
        target = self.remote_target
        uri = str(target) if not target.headers else str(target).partition("?")[0]
        fields = {
            "Via": [via],
            "Max-Forwards": ["70"],
            "From": [self._from],
            "To": [self._to],
            "Call-ID": [self.call_id],
            "CSeq": [f"{cseq} {method}"],
        }
        if self.route_set:
            first = NameAddr.parse(self.route_set[0]).uri
            if first.param("lr") is not None:
                fields["Route"] = list(self.route_set)
            else:
                # A strict router wants itself in the Request-URI and the target last.
                fields["Route"] = [*self.route_set[1:], f"<{uri}>"]
                uri = str(first).partition("?")[0]
        if contact is not None:
            fields["Contact"] = [contact]
        request = Request(method, uri, Headers.adopt(fields), body)
        for name, value in headers:
            request.headers.add(name, value)
        if content_type is not None:
            fields["Content-Type"] = [content_type]
        return request

    def receive(self, request: Request) -> None:
        """A request of the peer came within the dialog (12.2.2); ACK and CANCEL count nothing.

        Raises:
            SipPeerError: its CSeq is lower than one before (500).
        """
        number, method = request.cseq
        if method in ("ACK", "CANCEL"):
            return
        if self.remote_cseq is not None and number < self.remote_cseq:
            raise SipPeerError(500, "CSeq Out Of Order", request)
        self.remote_cseq = number

    def refresh_target(self, message: Message) -> None:
        """Take the Contact of a target refresh or of its 2xx (12.2); without one, nothing.

        Raises:
            SipPeerError: the Contact is malformed or not to be routed to (400).
        """
        if message.contacts:
            self.remote_target = _target(message, None)

    def confirm(self, response: Response) -> None:
        """The early dialog of our INVITE got its 2xx (13.2.2.4): route set and target anew."""
        self.refresh_target(response)
        self.route_set = _route_set(response)[::-1]
        self.early = False


def _with_tag(uri: NameAddr, tag: str) -> str:
    return f"{uri};tag={tag}" if tag else str(uri)


def _target(message: Message, request: Request | None) -> SipUri:
    contacts = message.contacts
    if not contacts:
        raise SipPeerError(400, "Missing Contact", request)
    uri = contacts[0].uri
    if uri.scheme not in ("sip", "sips"):
        raise SipPeerError(400, "Contact That Cannot Be Routed To", request)
    return uri


def _route_set(message: Message) -> tuple[str, ...]:
    if "Record-Route" not in message.headers.fields:
        return ()
    routes = message.headers.get_all("Record-Route")
    for route in routes:
        if NameAddr.parse(route).uri.scheme not in ("sip", "sips"):
            raise SipPeerError(400, "Malformed Record-Route")
    return tuple(routes)
