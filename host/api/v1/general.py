"""Balance, servers, transactions, and the client's own address."""

from __future__ import annotations

from typing import Any

from host.api import totals
from host.api.v1.range import DATES, utc_range
from host.api.v1.request import Method, Request
from host.api.v1.values import (
    Parameter,
    Status,
    between,
    duration,
    flag,
    instant,
    number,
    text,
    usd,
)
from host.charging import ledger
from host.charging.values import USD, Money
from host.funds.alerts import is_address, set_alert
from host.numbering.pops import Pop, pops

_DAY_MS = 86_400_000

_KINDS = {
    "payment": "Deposit",
    "fee": "Fee",
    "refund": "Refund",
    "chargeback": "Chargeback",
    "debt": "Debt",
}
"""Kinds of movement to the types that customers read; calls have CDRs."""
_MOVED = """
SELECT movement.id, movement.utc_ms, movement.kind, movement.note, posting.amount
FROM posting JOIN movement ON movement.id = posting.movement_id
WHERE posting.account_id = ? AND movement.kind <> 'call' AND movement.utc_ms >= ?
    AND movement.utc_ms < ? ORDER BY movement.id DESC"""


def get_balance(request: Request) -> dict[str, Any]:
    """What there is, without what is owed; `advanced`: what was spent, in all and today (UTC)."""
    conn, caller = request.conn, request.caller
    funds = ledger.balance(conn, caller.id)
    balance = {"current_balance": usd(funds.funds - funds.debt)}
    if request.given.get("advanced"):
        now_ms = request.services.now().utc_ms
        ever = request.services.totals.of(conn, caller.id)
        today = totals.since(conn, caller.id, now_ms - now_ms % _DAY_MS)
        for name, sums in (("total", ever), ("today", today)):
            balance |= {
                f"spent_{name}": usd(sums.cost),
                f"calls_{name}": str(sums.calls),
                f"time_{name}": duration(sums.billed_ms // 1000),
            }
    return {"balance": balance}


def get_servers_info(request: Request) -> dict[str, Any]:
    """All POPs, or one by its number."""
    wanted = request.given.get("server_pop", "")
    found = [one for one in pops(request.conn) if wanted in ("", one.number)]
    if not found:
        raise Status("invalid_serverpop")
    return {"servers": [server(request, one) for one in found]}


def server(request: Request, pop: Pop) -> dict[str, Any]:
    """A POP as the contract tells of it; its address is that of a listener of this host."""
    settings = request.services.settings
    listener = next((one for one in settings.listeners if one.pop == pop.name), None)
    return {
        "server_name": pop.description or pop.name,
        "server_shortname": pop.name,
        "server_hostname": listener.advertised or listener.address if listener else "",
        "server_ip": listener.address if listener else "",
        "server_country": pop.country,
        "server_pop": pop.number,
        "server_recommended": "yes" if listener else "no",
    }


def get_transaction_history(request: Request) -> dict[str, Any]:
    """What moved the funds but for calls: newest first."""
    begin, end = utc_range(request.given["date_from"], request.given["date_to"])
    rows = request.conn.execute(_MOVED, (request.caller.id, begin, end)).fetchall()
    if not rows:
        raise Status("no_transactions")
    return {
        "transactions": [
            {
                "date": instant(utc_ms),
                "uniqueid": row,
                "type": _KINDS.get(kind, kind),
                "description": note or _KINDS.get(kind, kind),
                "ammount": usd(amount),  # spelt so
            }
            for row, utc_ms, kind, note, amount in rows
        ]
    }


def get_ip(request: Request) -> dict[str, Any]:
    """The client's address as it is seen here."""
    return {"ip": request.source}


def set_client_threshold(request: Request) -> dict[str, Any]:
    """Below which balance mail is sent, whole dollars."""
    given, caller = request.given, request.caller
    if given["client"] != caller.id:
        raise Status("invalid_client")
    address = given.get("email") or None
    if address is not None and not is_address(address):
        raise Status("invalid_email")
    try:
        set_alert(
            request.conn, caller.id, threshold=Money(given["threshold"] * USD), address=address
        )
    except ValueError:  # all else is checked: it has no address yet
        raise Status("missing_email") from None
    return {}


METHODS = {
    "getBalance": Method((Parameter("advanced", flag),), get_balance),
    "getServersInfo": Method(
        (Parameter("server_pop", number, word="serverpop"),), get_servers_info
    ),
    "getTransactionHistory": Method(DATES, get_transaction_history),
    "getIP": Method((), get_ip),
    "setClientThreshold": Method(
        (
            Parameter("client", number, True),
            Parameter("threshold", between(1, 250), True),
            Parameter("email", text),
        ),
        set_client_threshold,
        writes=True,
    ),
}
