"""Transfers that a customer asks for over IAX2 (RFC 5456, 6.4 and 6.5), as REFER asks over SIP.

TRANSFER names a number, TXREQ another call of his, and is said in both. He hears that it came to
nothing by TXREJ; that it is done by HANGUP, or where he asked by TXREQ, by TXREADY in both calls,
which he leaves by TXREL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware.wire.iax2 import JoinAsked, TransferAsked
from host.calls.commands import TellTransfer

if TYPE_CHECKING:
    from host.iax2.leg import Iax2Leg


class Referral:
    """A transfer that is on its way.

    Args:
        second: the other leg that the peer wants to leave, when he asks by TXREQ.
        transfer_id: his name for it.
    """

    __slots__ = ("_second", "transfer_id")

    def __init__(self, second: Iax2Leg | None = None, transfer_id: int | None = None) -> None:
        self._second = second
        self.transfer_id = transfer_id

    def names(self, leg: Iax2Leg) -> bool:
        """Whether it is with this leg that it is asked for."""
        return self._second is leg

    def tell(self, leg: Iax2Leg, command: TellTransfer) -> bool:
        """Tell the peer how it goes; True when that was the last word."""
        if command.reason is None and command.failure is None and command.status < 200:
            return False
        now, second = leg.server.clock(), self._second
        done = 200 <= command.status < 300
        for each in (leg, second):
            if each is None or each.over:
                continue
            if not done:
                each.call.refuse_transfer(now, self.transfer_id)
            elif self.transfer_id is not None:
                each.call.transfer_ready(now, self.transfer_id)
            each.referral = None
        return True


def asked_to(leg: Iax2Leg, event: TransferAsked, now: float) -> None:
    """TRANSFER: a call at the customer's expense, for his far end."""
    server = leg.server
    if not leg.account or server.control.may_transfer(leg.leg):
        leg.call.refuse_transfer(now)
        return
    leg.referral = Referral()
    failed = server.transfer_to(leg, event.number)
    if failed is not None:
        leg.tell_transfer(failed)


def asked_to_join(leg: Iax2Leg, event: JoinAsked, now: float) -> None:
    """TXREQ: when it has come in both calls, their far ends are joined.

    A call that is not the same peer's is none that he may name.
    """
    server = leg.server
    second = server.leg_of(leg.call, event.other_number)
    control = server.control
    if second is None or second is leg or not leg.account or second.account != leg.account:
        leg.call.refuse_transfer(now, event.transfer_id)
        return
    asked = second.referral
    if asked is None or asked.transfer_id != event.transfer_id or not asked.names(leg):
        leg.referral = Referral(second, event.transfer_id)  # the other half is on its way
        return
    if control.may_transfer(second.leg) or control.may_be_second(second.leg, leg.leg):
        asked.tell(second, TellTransfer(second.leg, 491))
        return
    control.transfer_by(second.leg, leg.leg, now)
