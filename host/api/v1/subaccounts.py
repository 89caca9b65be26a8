"""Sub-accounts: made, changed, told of and removed. They are free; IAX2 needs a password."""

from __future__ import annotations

import ipaddress
from typing import Any

from host.api.facts import drop_facts, facts, set_facts
from host.api.v1.request import Method, Request
from host.api.v1.values import (
    Parameter,
    Status,
    between,
    did,
    flag,
    number,
    one_of,
    shown_number,
    text,
)
from host.numbering import provisioning
from host.numbering.checks import ProvisioningError, networks_of
from host.numbering.iax2_access import allow_iax2, forbid_iax2
from host.numbering.pops import pops
from host.store.connection import Connection

_KIND = "sub-account"
_SIP, _IAX2 = "1", "3"
_PASSWORD, _ADDRESS = "1", "2"
_ROUTES = {"1": "value", "2": "premium"}
_CODES = {name: code for code, name in _ROUTES.items()}
_CODECS = {"ulaw": "PCMU", "alaw": "PCMA", "g722": "G722"}
"""Those that the host passes; what else a client names it does not offer."""
_KEPT = {
    "device_type": "2", "music_on_hold": "default", "dtmf_mode": "auto",
    "nat": "yes", "internal_extension": "", "internal_voicemail": "", "internal_dialtime": "60",
    "internal_cnam": "", "enable_internal_cnam": "0", "record_calls": "0",
    "allowed_codecs": "ulaw;alaw;g722", "max_expiry": "3600",
}  # fmt: skip
"""What is kept as the client set it, and what is told where it did not."""
_COLUMNS = """
SELECT id, username, protocol, address, caller_id, international, route, route_canada,
    route_international, description, networks, pops FROM account WHERE parent_id = ?"""


def _find(conn: Connection, main: int, sub_id: int) -> tuple[str, bool]:
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
    if given.get("auth_type") == _PASSWORD:
        columns["address"] = ""
    elif given.get("ip"):
        columns["address"] = given["ip"]
    if "callerid_number" in given:
        columns["caller_id"] = given["callerid_number"]
    if "description" in given:
        columns["description"] = given["description"]
    if given.get("lock_international", "") != "":
        columns["international"] = int(given["lock_international"] == "0")
    for parameter, column in (
        ("canada_routing", "route_canada"),
        ("international_route", "route_international"),
    ):
        if given.get(parameter):
            columns[column] = _ROUTES[given[parameter]]
    if "allowed_codecs" in given:
        columns["codecs"] = _codecs(given["allowed_codecs"])
    columns |= _restrictions(request)
    if given.get("protocol"):
        columns["protocol"] = "iax2" if given["protocol"] == _IAX2 else "sip"
    try:
        provisioning.set_account(conn, name, **columns)
    except ProvisioningError:
        raise Status("used_ip") from None
    if given.get("protocol") == _IAX2:
        _to_iax2(request, name)
    elif given.get("protocol") == _SIP:
        forbid_iax2(conn, name)
    set_facts(conn, _KIND, sub_id, {key: str(given[key]) for key in _KEPT if key in given})


def _codecs(value: str) -> str:
    """`ulaw;g722` to our names; empty: all that the host has."""
    wanted = [word.strip().lower() for word in value.replace(",", ";").split(";") if word.strip()]
    found = [_CODECS[word] for word in wanted if word in _CODECS]
    if wanted and not found:
        raise Status("invalid_codec")
    return ",".join(found)


def _restrictions(request: Request) -> dict[str, str]:
    """Where from, and where, a sub-account may be used; a switch that says no clears its list."""
    given, found = request.given, {}
    if "ip_restriction" in given or given.get("enable_ip_restriction") is False:
        enabled = given.get("enable_ip_restriction", True) is not False
        try:
            found["networks"] = networks_of(given.get("ip_restriction", "")) if enabled else ""
        except ProvisioningError:
            raise Status("invalid_ip_restriction") from None
    if "pop_restriction" in given or given.get("enable_pop_restriction") is False:
        enabled = given.get("enable_pop_restriction", True) is not False
        names = {str(one.number): one.name for one in pops(request.conn)}
        wanted = given.get("pop_restriction", "").replace(";", ",").split(",") if enabled else ()
        chosen = [word.strip() for word in wanted if word.strip()]
        if not all(word in names for word in chosen):
            raise Status("invalid_pop_restriction")
        found["pops"] = ",".join(names[word] for word in chosen)
    return found


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
    """Remove a sub-account that nothing is routed to; its records stay."""
    name, _ = _find(request.conn, request.caller.id, request.given["id"])
    try:
        provisioning.remove_account(request.conn, name)
    except ProvisioningError:
        raise Status("used_subaccount") from None
    drop_facts(request.conn, _KIND, request.given["id"])
    return {}


def told(request: Request) -> dict[str, Any]:
    """All sub-accounts, or one by its name or number."""
    conn, wanted = request.conn, request.given.get("account", "")
    cursor = conn.execute(f"{_COLUMNS} ORDER BY id", (request.caller.id,))
    columns = [column[0] for column in cursor.description]
    numbers = {one.name: str(one.number) for one in pops(conn)}
    found = []
    for values in cursor.fetchall():
        row = dict(zip(columns, values, strict=True))
        if wanted not in ("", row["username"], str(row["id"])):
            continue
        in_pops = [numbers[name] for name in row["pops"].split(",") if name in numbers]
        found.append(
            {
                "id": row["id"],
                "account": row["username"],
                "username": row["username"].removeprefix(f"{request.caller.username}_"),
                "description": row["description"],
                "protocol": _IAX2 if row["protocol"] == "iax2" else _SIP,
                "auth_type": _ADDRESS if row["address"] else _PASSWORD,
                "password": "",  # kept nowhere
                "ip": row["address"],
                "callerid_number": shown_number(row["caller_id"]) if row["caller_id"] else "",
                "canada_routing": _CODES[row["route_canada"] or row["route"]],
                "lock_international": "0" if row["international"] else "1",
                "international_route": _CODES[row["route_international"] or row["route"]],
                "enable_ip_restriction": "1" if row["networks"] else "0",
                "ip_restriction": row["networks"],
                "enable_pop_restriction": "1" if in_pops else "0",
                "pop_restriction": ",".join(in_pops),
                **_KEPT,
                **facts(conn, _KIND, row["id"]),
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
    *(Parameter(name, text) for name in ("description", "ip_restriction", "pop_restriction")),
    *(Parameter(name, flag) for name in ("enable_ip_restriction", "enable_pop_restriction")),
    *(Parameter(name, text) for name in _KEPT if name not in ("max_expiry", "device_type")),
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
