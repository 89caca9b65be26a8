"""Call records, rates, and where devices are registered."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Any

from host.api.registrations import registrations
from host.api.totals import first_call
from host.api.v1.general import server
from host.api.v1.range import DATES, utc_range
from host.api.v1.request import Method, Request
from host.api.v1.values import (
    Parameter,
    Status,
    duration,
    flag,
    instant,
    one_of,
    text,
    timezone,
    usd,
)
from host.numbering.pops import pops
from host.numbering.rates import CUSTOMERS, in_force, ready_decks

_DISPOSITIONS = {
    "answered": "ANSWERED",
    "no answer": "NO ANSWER",
    "cancelled": "NO ANSWER",
    "busy": "BUSY",
    "failed": "FAILED",
    "refused": "FAILED",
}
"""What became of a call to the contract's word for it."""
_FLAGS = {"answered": "ANSWERED", "noanswer": "NO ANSWER", "busy": "BUSY", "failed": "FAILED"}
_ROUTES = {"1": ("value", "Value"), "2": ("premium", "Premium")}
"""Codes of routes; a route's name is understood, too."""
_MOST_RATES = 5_000

_CDRS = """
SELECT call_id, leg, account, direction, caller, callee, started_utc_ms, billed_ms, cost,
    per_minute, tariff_ref, deck, disposition
FROM cdr WHERE id >= ? AND started_utc_ms >= ? AND started_utc_ms < ? AND account_id IN
    (SELECT id FROM account WHERE id = ? OR parent_id = ?)
ORDER BY started_utc_ms DESC, id DESC, leg"""
_DESTINATION = "SELECT destination FROM rate WHERE deck = ? AND route = ? AND prefix = ?"


def get_cdr(request: Request) -> dict[str, Any]:
    """One record a billed leg, newest first; dates are of the zone that is asked for."""
    given, conn, caller = request.given, request.conn, request.caller
    offset: timedelta = given["timezone"]
    begin, end = utc_range(given["date_from"], given["date_to"], offset)
    asked = {name: given[name] for name in _FLAGS if name in given}
    wanted = {_FLAGS[name] for name, yes in asked.items() if yes} if asked else set(_FLAGS.values())
    kind, billing = given.get("calltype", "all"), given.get("callbilling", "all")
    account = given.get("account", "all") or "all"

    @lru_cache(maxsize=1_000)
    def destination(tariff_ref: str, deck: int) -> str:
        route, _, prefix = tariff_ref.partition(" ")
        row = conn.execute(_DESTINATION, (deck, route, prefix)).fetchone()
        return str(row[0]) if row else ""

    found = []
    rows = conn.execute(_CDRS, (first_call(conn, begin), begin, end, caller.id, caller.id))
    for call_id, leg, user, direction, number, to, utc_ms, ms, cost, rate, ref, deck, what in rows:
        disposition = _DISPOSITIONS.get(what, "FAILED")
        if disposition not in wanted or account not in ("all", user):
            continue
        if kind not in ("all", "", "incoming" if direction == "in" else "outgoing"):
            continue
        if billing not in ("all", "", "billed" if cost else "free"):
            continue
        found.append(
            {
                "date": instant(utc_ms, offset),
                "callerid": number,
                "destination": to.removeprefix("+"),
                "description": "Inbound DID" if direction == "in" else destination(ref, deck),
                "account": user,
                "disposition": disposition,
                "duration": duration(ms // 1000),
                "seconds": ms // 1000,
                "rate": usd(rate),
                "total": usd(cost),
                "uniqueid": f"{call_id}-{leg}" if leg else call_id,
            }
        )
    if not found:
        raise Status("no_cdr")
    return {"cdr": found}


def get_termination_rates(request: Request) -> dict[str, Any]:
    """Rates in force on one route, by a destination's name or the beginning of a number."""
    route, description = _ROUTES[request.given["route"]]
    query: str = request.given["query"].lower()
    decks = in_force(ready_decks(request.conn), request.services.now().utc_ms)
    deck = next((one.id for one in decks if one.carrier == CUSTOMERS), 0)
    digits = query.removeprefix("+")
    pattern = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    condition, value = "lower(destination) LIKE ? ESCAPE '\\'", f"%{pattern}%"
    if digits.isascii() and digits.isdigit():
        condition, value = "prefix LIKE ?", f"{digits}%"
    rows = request.conn.execute(
        f"SELECT destination, prefix, step_s, per_minute FROM rate WHERE deck = ? AND route = ? "
        f"AND per_minute IS NOT NULL AND {condition} ORDER BY prefix LIMIT ?",
        (deck, route, value, _MOST_RATES),
    ).fetchall()
    if not rows:
        raise Status("no_rate")
    return {
        "route": [{"value": request.given["route"], "description": description}],
        "rates": [
            {"destination": name, "prefix": prefix, "increment": step_s, "rate": usd(rate)}
            for name, prefix, step_s, rate in rows
        ],
    }


def get_registration_status(request: Request) -> dict[str, Any]:
    """Where an account or sub-account is registered now, over any transport."""
    conn, caller = request.conn, request.caller
    row = conn.execute(
        "SELECT id FROM account WHERE username = ? AND (id = ? OR parent_id = ?)",
        (request.given["account"], caller.id, caller.id),
    ).fetchone()
    if row is None:
        raise Status("invalid_account")
    by_name = {pop.name: pop for pop in pops(conn)}
    now_ms = request.services.now().utc_ms
    told = [
        {
            **(server(request, by_name[one.pop]) if one.pop in by_name else {}),
            "register_ip": one.address,
            "register_port": one.port,
            "register_next": instant(now_ms + 1000 * one.expires_s),
            "register_protocol": one.protocol,
            "register_transport": one.transport.upper(),
        }
        for one in registrations(request.services, conn, row[0])
    ]
    return {
        "registered": "yes" if told else "no",
        "rerouted": "0",
        "from_server_pop": "",
        "registrations": told,
    }


def _route(value: str) -> str:
    """A route's code or name, to its code."""
    for code, (name, _) in _ROUTES.items():
        if value.lower() in (code, name):
            return code
    raise ValueError("no route")


METHODS = {
    "getCDR": Method(
        (
            *DATES,
            Parameter("timezone", timezone, True),
            *(Parameter(name, flag) for name in _FLAGS),
            Parameter("calltype", one_of("all", "incoming", "outgoing")),
            Parameter("callbilling", one_of("all", "billed", "free")),
            Parameter("account", text),
        ),
        get_cdr,
    ),
    "getTerminationRates": Method(
        (Parameter("route", _route, True), Parameter("query", text, True)), get_termination_rates
    ),
    "getRegistrationStatus": Method((Parameter("account", text, True),), get_registration_status),
}
