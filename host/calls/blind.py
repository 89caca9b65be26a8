"""A blind transfer, by whichever protocol it is asked for: the call made for the far end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from host.calls.call import Leg
from host.calls.commands import TellTransfer
from host.calls.control import CallControl
from host.calls.routing import Refused, Router, Source
from host.numbering.values import Account

NOT_ACCEPTABLE = 488


class Asked(NamedTuple):
    """What a customer asks for."""

    leg: Leg
    """His own."""
    number: str
    """Whom his far end is to talk to."""
    caller: str
    """Who he says that he is."""
    hops: int
    source: Source


def transfer(
    control: CallControl,
    router: Router,
    account: Account | None,
    asked: Asked,
    new_call_id: Callable[[], str],
    now: float,
) -> TellTransfer | None:
    """Call the number for the far end, at the account's expense; what to tell whoever asked where
    there is no such call. A call that is refused has its record, as any other."""
    leg = asked.leg
    end = leg.call.other(leg)
    agent: Any = end.agent if end is not None else None
    body = agent.restate() if agent is not None else b""
    if account is None or not body:
        return TellTransfer(leg, NOT_ACCEPTABLE)
    plan = router.from_account(
        account, new_call_id(), asked.number, asked.caller, asked.hops, body, asked.source
    )
    if isinstance(plan, Refused):
        control.refused(plan.facts, plan.refusal)
        return TellTransfer(leg, NOT_ACCEPTABLE, reason=plan.refusal.reason)
    control.transfer_to(leg, plan, now)
    return None
