"""Transfers that a customer asks for by REFER (RFC 3515, RFC 5589), carried out by the host itself.

Whoever is transferred sees a re-INVITE and no REFER: the new call is one of the customer who
asked, and he pays for it. Neither carriers nor strangers may ask for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware.wire.sip.message import Request, response_to
from firmware.wire.sip.refer import FRAGMENT, Replaces, fragment, refer_to
from firmware.wire.sip.transaction import ServerTransaction
from host.calls.commands import TellTransfer
from host.sip.status import failure_status, refusal_status

if TYPE_CHECKING:
    from host.sip.leg import SipLeg

EXPIRES_S = 300
"""Longer than anybody rings."""
NO_SUCH_CALL = 481


class Referral:
    """The subscription that a REFER makes (RFC 3515, 2.4.4).

    Args:
        event: the value of Event in its NOTIFYs.
        silent: the peer asked for none (RFC 4488).
    """

    __slots__ = ("_event", "_silent", "_told")

    def __init__(self, event: str, silent: bool) -> None:
        self._event = event
        self._silent = silent
        self._told = 0

    def tell(self, leg: SipLeg, command: TellTransfer) -> bool:
        """Tell the peer how it goes; True when that was the last word."""
        status, phrase = command.status, ""
        if command.reason is not None:
            status, phrase, _ = refusal_status(command.reason)
        elif command.failure is not None:
            status, _ = failure_status(command.failure)
        last = status >= 200
        if status != self._told and not self._silent:
            self._told = status
            state = "terminated;reason=noresource" if last else f"active;expires={EXPIRES_S}"
            leg.request(
                "NOTIFY",
                headers=(("Event", self._event), ("Subscription-State", state)),
                body=fragment(status, phrase),
                content_type=FRAGMENT,
                contact=True,
            )
        return last


def refer(leg: SipLeg, transaction: ServerTransaction, request: Request) -> Referral | None:
    """Take a REFER: answer it, and ask call control for the transfer; None where it is refused.

    Raises:
        SipPeerError: it can't be read, or asks for what is not done.
    """
    server = leg.server
    wanted = refer_to(request)
    if not leg.account:
        leg.respond(transaction, 403, "Transfers Are The Customer's")
        return None
    status = server.control.may_transfer(leg.leg)
    if status:
        leg.respond(transaction, status)
        return None
    silent = (request.headers.get("Refer-Sub") or "").partition(";")[0].strip().lower() == "false"
    response = response_to(request, 202, to_tag=leg.tag)
    response.headers.set("Contact", server.contact(leg.flow))
    if silent:
        response.headers.set("Refer-Sub", "false")
    transaction.respond(response, server.now)
    # Two subscriptions of one dialog are told apart by the CSeq that made them (2.4.6).
    referral = Referral(f"refer;id={request.cseq[0]}", silent)
    referral.tell(leg, TellTransfer(leg.leg, 100))
    if wanted.replaces is not None:
        failed = _replace(leg, wanted.replaces)
    else:
        failed = server.transfer_to(leg, wanted.uri, request)
    if failed is None:
        return referral
    referral.tell(leg, failed)
    return None


def _replace(leg: SipLeg, replaces: Replaces) -> TellTransfer | None:
    """Join the far end of another leg of the same customer; what to tell where that can't be.

    Of another customer's leg nothing is told but that it is none of his.
    """
    server = leg.server
    second = server.find_leg(replaces)
    if second is None or second.account != leg.account or second.over:
        return TellTransfer(leg.leg, NO_SUCH_CALL)
    status = server.control.may_be_second(leg.leg, second.leg)
    if status:
        return TellTransfer(leg.leg, status)
    server.control.transfer_by(leg.leg, second.leg, server.now)
    return None
