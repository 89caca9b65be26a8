"""DIDs: told of, moved to another POP or plan."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from host.api.v1.request import Method, Request
from host.api.v1.values import (
    UNSET_DATE,
    Parameter,
    Status,
    did,
    number,
    one_of,
    shown_number,
    text,
)
from host.numbering import provisioning
from host.numbering.pops import pops
from host.numbering.provisioning import ProvisioningError

_PLANS = {"1": "per-minute", "2": "flat"}
_MINE = """
SELECT did.number, plan, pop.number, username FROM did JOIN account ON account.id = did.account_id
LEFT JOIN pop ON pop.name = did.pop WHERE (account.id = ? OR account.parent_id = ?)
ORDER BY did.number"""


def get_dids_info(request: Request) -> dict[str, Any]:
    """A customer's numbers, or one of them."""
    given, caller = request.given, request.caller
    wanted, client = given.get("did", ""), given.get("client", "")
    if client.isdecimal() or client == caller.username:
        if client not in (str(caller.id), caller.username):
            raise Status("invalid_client")
        client = ""
    rows = request.conn.execute(_MINE, (caller.id, caller.id)).fetchall()
    found = [
        {
            "did": shown_number(e164),
            "description": "",
            "routing": f"account:{username}",
            "failover_busy": "",
            "failover_unreachable": "",
            "failover_noanswer": "",
            "voicemail": "0",
            "pop": pop,
            "dialtime": "60",
            "cnam": "0",
            "e911": "0",
            "billing_type": "2" if plan == "flat" else "1",
            "next_billing": UNSET_DATE,
            "order_date": UNSET_DATE,
            "sms_available": "0",
            "sms_enabled": "0",
        }
        for e164, plan, pop, username in rows
        if wanted in ("", e164, username) and client in ("", username)
    ]
    if not found:
        raise Status("no_did")
    return {"dids": found}


def set_pop(request: Request) -> dict[str, Any]:
    """Deliver a number at another POP."""
    number_ = own(request.conn, request)
    provisioning.set_did(request.conn, number_, pop=pop_name(request, request.given["pop"]))
    return {}


def set_billing_type(request: Request) -> dict[str, Any]:
    """Move a number to the other plan."""
    number_ = own(request.conn, request)
    try:
        provisioning.set_did(request.conn, number_, plan=_PLANS[request.given["billing_type"]])  # type: ignore[arg-type]
    except ProvisioningError:
        raise Status("invalid_billingtype") from None
    return {}


def own(conn: sqlite3.Connection, request: Request) -> str:
    """The number in question, if it is the customer's."""
    main, wanted = request.caller.id, request.given["did"]
    if wanted not in (row[0] for row in conn.execute(_MINE, (main, main))):
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
METHODS = {
    "getDIDsInfo": Method(
        (Parameter("client", text), Parameter("did", _did_or_account)), get_dids_info
    ),
    "setDIDPOP": Method((_DID, Parameter("pop", number, True, "serverpop")), set_pop, writes=True),
    "setDIDBillingType": Method(
        (_DID, Parameter("billing_type", one_of(*_PLANS), True, "billingtype")),
        set_billing_type,
        writes=True,
    ),
}
