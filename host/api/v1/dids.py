"""DIDs: told of, ordered, moved to another POP or plan, routed, and given back."""

from __future__ import annotations

import re
from typing import Any

from host.api.facts import facts, set_facts
from host.api.v1.request import Method, Request
from host.api.v1.routing import FAILOVER_PARAMETERS, failovers, routing
from host.api.v1.values import (
    UNSET_DATE,
    Parameter,
    Status,
    between,
    did,
    flag,
    instant,
    number,
    one_of,
    shown_number,
    text,
)
from host.numbering.checks import NotEnoughFunds, ProvisioningError
from host.numbering.dids import route_did, set_did
from host.numbering.orders import order_did, release_did
from host.numbering.pops import pops
from host.numbering.routings import FAILOVERS
from host.numbering.values import Plan
from host.store.connection import Connection

_KIND = "did"
_PLANS: dict[str, Plan] = {"1": "per-minute", "2": "flat"}
_MINE = """
SELECT did.number, plan, pop.number AS pop, username, did.description, routing, failover_busy,
    failover_unreachable, failover_noanswer, ring_s, ordered_utc_ms, paid_until_utc_ms
FROM did JOIN account ON account.id = did.account_id LEFT JOIN pop ON pop.name = did.pop
LEFT JOIN did_order ON did_order.id = did.order_id
WHERE (account.id = ? OR account.parent_id = ?) ORDER BY did.number"""


def get_dids_info(request: Request) -> dict[str, Any]:
    """A customer's numbers, or those of one sub-account, or one of them."""
    given, caller, conn = request.given, request.caller, request.conn
    wanted, client = given.get("did", ""), given.get("client", "")
    if client.isdecimal() or client == caller.username:
        if client not in (str(caller.id), caller.username):
            raise Status("invalid_client")
        client = ""
    cursor = conn.execute(_MINE, (caller.id, caller.id))
    names = [column[0] for column in cursor.description]
    found = []
    for values in cursor.fetchall():
        row = dict(zip(names, values, strict=True))
        if wanted in ("", row["number"], row["username"]) and client in ("", row["username"]):
            found.append(_told(conn, row))
    if not found:
        raise Status("no_did")
    return {"dids": found}


def _told(conn: Connection, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "did": shown_number(row["number"]),
        "description": row["description"],
        "routing": row["routing"] or f"account:{row['username']}",
        **{name: row[name] for name in FAILOVERS},
        "voicemail": "0",
        "pop": row["pop"],
        "dialtime": row["ring_s"] or 60,
        "cnam": "0",
        **facts(conn, _KIND, int(row["number"][1:])),
        "e911": "0",
        "billing_type": "2" if row["plan"] == "flat" else "1",
        "next_billing": instant(row["paid_until_utc_ms"])[:10],
        "order_date": instant(row["ordered_utc_ms"]) if row["ordered_utc_ms"] else UNSET_DATE,
        "sms_available": "0",
        "sms_enabled": "0",
        "sms_email": "",
        "sms_email_enabled": "0",
        "sms_forward": "",
        "sms_forward_enabled": "0",
        "sms_url_callback": "",
        "sms_url_callback_enabled": "0",
    }


def order(request: Request) -> dict[str, Any]:
    """Order a number that the host has and nobody else; its first month is paid at once. With
    `test` all is checked, and nothing done."""
    given, conn, caller = request.given, request.conn, request.caller
    row = conn.execute("SELECT account_id FROM did WHERE number = ?", (given["did"],)).fetchone()
    if row is None:
        raise Status("invalid_did")
    if row[0] is not None:
        raise Status("did_in_use")
    try:
        order_did(
            conn,
            request.services.now(),
            given["did"],
            caller.username,
            plan=_PLANS[given["billing_type"]],
            pop=pop_name(request, given["pop"]),
            routing=routing(request, "routing"),
            **failovers(request),
            ring_s=given["dialtime"],
            test=bool(given.get("test")),
        )
    except NotEnoughFunds:
        raise Status("non_sufficient_funds") from None
    except ProvisioningError:  # all else is checked: there is no such plan for it
        raise Status("invalid_billingtype") from None
    if not given.get("test"):
        set_facts(conn, _KIND, int(given["did"][1:]), {"cnam": str(int(given["cnam"]))})
    return {}


def set_pop(request: Request) -> dict[str, Any]:
    """Deliver a number at another POP."""
    set_did(request.conn, own(request), pop=pop_name(request, request.given["pop"]))
    return {}


def set_routing(request: Request) -> dict[str, Any]:
    """Send a number's calls elsewhere, with fail-overs if they are given."""
    wanted = routing(request, "routing")
    others: dict[str, Any] = failovers(request)
    route_did(request.conn, own(request), routing=wanted, **others)
    return {}


def set_billing_type(request: Request) -> dict[str, Any]:
    """Move a number to the other plan; its fee is that from the next month on."""
    try:
        set_did(request.conn, own(request), plan=_PLANS[request.given["billing_type"]])
    except ProvisioningError:
        raise Status("invalid_billingtype") from None
    return {}


def cancel(request: Request) -> dict[str, Any]:
    """Give a number back; nothing of its month is paid back."""
    mine = own(request)
    if not request.given.get("test"):
        release_did(request.conn, mine, request.services.now())
    return {}


def own(request: Request) -> str:
    """The number in question, if it is the customer's."""
    main, wanted = request.caller.id, request.given["did"]
    if wanted not in (row[0] for row in request.conn.execute(_MINE, (main, main))):
        raise Status("invalid_did")
    return str(wanted)


def pop_name(request: Request, wanted: int) -> str:
    """A POP by its number."""
    for one in pops(request.conn):
        if one.number == wanted:
            return one.name
    raise Status("invalid_serverpop")


def _did_or_account(value: str) -> str:
    """A number; or the name of an account, whose numbers are meant."""
    return did(value) if not re.search("[A-Za-z_]", value) else text(value)


_DID = Parameter("did", did, True)
_POP = Parameter("pop", number, True, "serverpop")
_ROUTING = Parameter("routing", text, True)
_PLAN = Parameter("billing_type", one_of(*_PLANS), True, "billingtype")

METHODS = {
    "getDIDsInfo": Method(
        (Parameter("client", text), Parameter("did", _did_or_account)), get_dids_info
    ),
    "orderDID": Method(
        (
            _DID,
            _ROUTING,
            _POP,
            Parameter("dialtime", between(1, 180), True),
            Parameter("cnam", flag, True),
            _PLAN,
            *FAILOVER_PARAMETERS,
            Parameter("test", flag),
        ),
        order,
        writes=True,
    ),
    "setDIDPOP": Method((_DID, _POP), set_pop, writes=True),
    "setDIDRouting": Method((_DID, _ROUTING, *FAILOVER_PARAMETERS), set_routing, writes=True),
    "setDIDBillingType": Method((_DID, _PLAN), set_billing_type, writes=True),
    "cancelDID": Method((_DID, Parameter("test", flag)), cancel, writes=True),
}
