"""Sub-accounts: made, changed, told of and removed. They are free; IAX2 needs a password."""

from __future__ import annotations

import ipaddress
import sqlite3
from typing import Any

from host.api.facts import drop_facts, facts, set_facts
from host.api.v1.request import Method, Request
from host.api.v1.values import Parameter, Status, between, did, number, one_of, shown_number, text
from host.numbering import provisioning
from host.numbering.iax2_access import allow_iax2, forbid_iax2
from host.numbering.provisioning import ProvisioningError

_KIND = "sub-account"
_SIP, _IAX2 = "1", "3"
_PASSWORD, _ADDRESS = "1", "2"
_ROUTES = {"1": "value", "2": "premium"}
_CODES = {name: code for code, name in _ROUTES.items()}
_KEPT = {
    "description": "", "device_type": "2", "music_on_hold": "default", "dtmf_mode": "auto",
    "nat": "yes", "internal_extension": "", "internal_voicemail": "", "internal_dialtime": "60",
    "internal_cnam": "", "enable_internal_cnam": "0", "record_calls": "0",
    "allowed_codecs": "ulaw;g722", "canada_routing": "1", "max_expiry": "3600",
    "ip_restriction": "", "pop_restriction": "",
}  # fmt: skip
"""What is kept as the client set it, and what is told where it did not."""
_COLUMNS = """
SELECT id, username, iax2, address, caller_id, international, route FROM account
WHERE parent_id = ?"""


def _find(conn: sqlite3.Connection, main: int, sub_id: int) -> tuple[str, bool]:
    """Name of a sub-account of a main account, and whether it is known by its address."""
    row = conn.execute(
        "SELECT username, address <> '' FROM account WHERE id = ? AND parent_id = ?", (sub_id, main)
    ).fetchone()
    if row is None:
        raise Status("invalid_id")
    return row[0], bool(row[1])


def create(request: Request) -> dict[str, Any]:
    """Make `<main account>_<username>`; answers its number and name."""
    given, conn = request.given, request.conn
    by_address = given["auth_type"] == _ADDRESS
    if by_address and not given.get("ip"):
        raise Status("missing_ip")
    if not given.get("password") and (not by_address or given["protocol"] == _IAX2):
        raise Status("missing_password")
    name = f"{request.caller.username}_{given['username']}"
    if conn.execute("SELECT 1 FROM account WHERE username = ?", (name,)).fetchone():
        raise Status("used_username")
    try:
        made = provisioning.add_account(
            conn,
            name,
            realm=_realm(request),
            password=given.get("password", ""),
            parent=request.caller.username,
        )
    except ProvisioningError:
        raise Status("invalid_username") from None
    _change(request, made, name)
    return {"id": made, "account": name}


def change(request: Request) -> dict[str, Any]:
    """Change what is named of a sub-account; an empty password leaves the one that it has."""
    given = request.given
    name, by_address = _find(request.conn, request.caller.id, given["id"])
    if given.get("auth_type") == _ADDRESS and not (given.get("ip") or by_address):
        raise Status("missing_ip")
    if given.get("auth_type") == _PASSWORD and by_address and not given.get("password"):
        raise Status("missing_password")
    if given.get("password"):
        provisioning.set_password(request.conn, name, _realm(request), given["password"])
    _change(request, given["id"], name)
    return {}


def _change(request: Request, sub_id: int, name: str) -> None:
    given, conn = request.given, request.conn
    columns: dict[str, Any] = {}
    if "auth_type" in given:
        columns["address"] = given["ip"] if given["auth_type"] == _ADDRESS else ""
        if given["auth_type"] == _ADDRESS and not given.get("ip"):
            del columns["address"]
    if "callerid_number" in given:
        columns["caller_id"] = given["callerid_number"]
    if given.get("lock_international", "") != "":
        columns["international"] = int(given["lock_international"] == "0")
    if given.get("international_route"):
        columns["route"] = _ROUTES[given["international_route"]]
    try:
        provisioning.set_account(conn, name, **columns)
    except ProvisioningError:
        raise Status("used_ip") from None
    if given.get("protocol") == _IAX2:
        _to_iax2(request, name)
    elif given.get("protocol") == _SIP:
        forbid_iax2(conn, name)
    set_facts(conn, _KIND, sub_id, {key: str(given[key]) for key in _KEPT if key in given})


def _to_iax2(request: Request, name: str) -> None:
    secret = request.given.get("password", "")
    is_there = request.conn.execute(
        "SELECT 1 FROM account WHERE username = ? AND iax2 = 1", (name,)
    ).fetchone()
    if is_there and not secret:
        return
    if not secret:
        raise Status("missing_password")
    try:
        allow_iax2(request.conn, name, _realm(request), secret)
    except ProvisioningError:
        raise Status("invalid_password") from None


def remove(request: Request) -> dict[str, Any]:
    """Remove a sub-account; its records stay."""
    name, _ = _find(request.conn, request.caller.id, request.given["id"])
    provisioning.remove_account(request.conn, name)
    drop_facts(request.conn, _KIND, request.given["id"])
    return {}


def told(request: Request) -> dict[str, Any]:
    """All sub-accounts, or one by its name or number."""
    conn, wanted = request.conn, request.given.get("account", "")
    rows = conn.execute(f"{_COLUMNS} ORDER BY id", (request.caller.id,)).fetchall()
    found = []
    for sub_id, name, iax2, address, caller_id, international, route in rows:
        if wanted not in ("", name, str(sub_id)):
            continue
        found.append(
            {
                "id": sub_id,
                "account": name,
                "username": name.removeprefix(f"{request.caller.username}_"),
                "protocol": _IAX2 if iax2 else _SIP,
                "auth_type": _ADDRESS if address else _PASSWORD,
                "password": "",  # kept nowhere
                "ip": address,
                "callerid_number": shown_number(caller_id) if caller_id else "",
                "lock_international": "0" if international else "1",
                "international_route": _CODES[route],
                **_KEPT,
                **facts(conn, _KIND, sub_id),
            }
        )
    if not found:
        raise Status("no_account")
    return {"accounts": found}


def _realm(request: Request) -> str:
    return request.services.settings.sip.realm


def _address(value: str) -> str:
    return str(ipaddress.ip_address(value))


_OPTIONS = (
    Parameter("password", text),
    Parameter("ip", _address),
    Parameter("callerid_number", did, word="callerid"),
    Parameter("canada_routing", one_of(*_ROUTES), word="canadarouting"),
    Parameter("max_expiry", between(60, 3_600), word="maxexpiry"),
    *(
        Parameter(name, text)
        for name in _KEPT
        if name not in ("canada_routing", "max_expiry", "device_type")
    ),
)


def _fields(required: bool) -> tuple[Parameter, ...]:
    return (
        Parameter("protocol", one_of(_SIP, _IAX2), required),
        Parameter("auth_type", one_of(_PASSWORD, _ADDRESS), required, "authtype"),
        Parameter("device_type", between(1, 9), required, "devicetype"),
        Parameter("lock_international", one_of("0", "1"), required, "lockinternational"),
        Parameter("international_route", one_of(*_ROUTES), required, "internationalroute"),
        *_OPTIONS,
    )


METHODS = {
    "createSubAccount": Method(
        (Parameter("username", text, True), *_fields(True)), create, writes=True
    ),
    "setSubAccount": Method((Parameter("id", number, True), *_fields(False)), change, writes=True),
    "delSubAccount": Method((Parameter("id", number, True),), remove, writes=True),
    "getSubAccounts": Method((Parameter("account", text),), told),
}
