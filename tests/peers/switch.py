"""A server for one device: registers it, answers its calls by plan, takes its transfers or not."""

from __future__ import annotations

from dataclasses import dataclass

from firmware.wire.sip.message import Request, Response, response_to
from firmware.wire.sip.transaction import RequestReceived, ResponseReceived
from tests.peers.call import Call
from tests.peers.carrier import Carrier
from tests.peers.endpoint import Seen, Where, until


@dataclass(frozen=True, slots=True)
class Transfer:
    """A REFER that came: in which call, and where to."""

    call: Call
    refer_to: str


class Switch(Carrier):
    """A carrier that is its device's registrar, too.

    `refer_status` answers REFER; from 200 on, `news` follow by NOTIFY (RFC 3515, 2.4.5).
    """

    def __init__(self, address: str, port: int = 0) -> None:
        super().__init__(address, port)
        self.device: Where | None = None
        self.contact_of_device = ""
        self.registers = True
        """False refuses every registration."""
        self.refer_status = 202
        self.news: tuple[int, ...] = (100, 200)
        self.transfers: list[Transfer] = []
        self.infos: list[tuple[str, bytes]] = []
        """Content-Type and body of each INFO."""
        self.invites: list[Request] = []
        """First INVITEs of calls that the device has made."""
        self.answers: list[Response] = []
        """Final answers of the device to calls that were made to it."""

    def _dispatch(self, event: object, seen: Seen | None) -> None:
        if isinstance(event, ResponseReceived) and event.response.status >= 200:
            self.answers.append(event.response)
        super()._dispatch(event, seen)

    def _request(self, event: RequestReceived, seen: Seen | None) -> None:
        request = event.request
        call = self._by_id.get(request.call_id)
        if request.method == "REGISTER":
            self._register(event)
        elif request.method == "REFER" and call is not None:
            self._refer(event, call)
        else:
            if request.method == "INFO":
                self.infos.append((request.headers.get("Content-Type") or "", request.body))
            if request.method == "INVITE" and call is None:
                self.invites.append(request)
            super()._request(event, seen)

    def _register(self, event: RequestReceived) -> None:
        assert isinstance(event.flow, Where)
        response = response_to(event.request, 200 if self.registers else 403, to_tag="registrar")
        contact = event.request.headers.get("Contact") or ""
        if contact and "expires=0" not in contact and event.request.headers.get("Expires") != "0":
            self.device, self.contact_of_device = event.flow, contact
            response.headers.set("Contact", f"{contact.partition(';expires')[0]};expires=60")
        event.transaction.respond(response, self.now)

    def _refer(self, event: RequestReceived, call: Call) -> None:
        request = event.request
        self.transfers.append(Transfer(call, request.headers.get("Refer-To") or ""))
        response = response_to(request, self.refer_status)
        response.headers.set("Contact", self.contact)
        event.transaction.respond(response, self.now)
        if self.refer_status < 300:
            for status in self.news:
                self._notify(call, status)

    def _notify(self, call: Call, status: int) -> None:
        assert call.dialog is not None
        over = "terminated;reason=noresource" if status >= 200 else "active;expires=60"
        notify = call.dialog.request(
            "NOTIFY",
            via=self.via(),
            contact=self.contact,
            headers=(("Event", "refer"), ("Subscription-State", over)),
            body=f"SIP/2.0 {status} So\r\n".encode(),
            content_type="message/sipfrag;version=2.0",
        )
        self.layer.request(notify, call.peer, self.now, call)

    async def ring_device(self, caller: str = "5145550199", hz: float | None = None) -> Call:
        """Call the device that has registered."""
        await until(lambda: self.device is not None, what="a registration")
        assert self.device is not None
        return await self.call("100001", self.device, caller=caller, hz=hz)
