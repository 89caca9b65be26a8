"""Carriers, POPs and DIDs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path

from host.api.v2.models import Name, Page
from host.api.v2.number_models import (
    Carrier,
    CarrierChange,
    Did,
    DidChange,
    DidOrder,
    NewDid,
    Pop,
    PopChange,
)
from host.api.v2.operator import Given
from host.api.v2.pages import AfterName, HowMany, page, rows_of
from host.api.v2.problems import not_found, responses
from host.numbering import provisioning
from host.numbering.dids import add_did as add_did_row
from host.numbering.dids import route_did, set_did
from host.numbering.orders import order_did
from host.numbering.orders import release_did as release
from host.numbering.pops import pops
from host.numbering.values import Carrier as CarrierValue
from host.store.connection import Connection

router = APIRouter(tags=["numbers"])
NamePath = Annotated[Name, Path()]
NumberPath = Annotated[str, Path(max_length=20, description="E.164 with +")]

_CARRIERS = """
SELECT name, priority, address, port, transport, source_port, prefix, media, codecs, enabled,
    username, call_token, encryption, trunk FROM carrier"""
_DIDS = """
SELECT did.number, is_range, plan, monthly, per_minute, did.channels, pop, username AS account,
    did.description, state, routing, failover_busy, failover_unreachable, failover_noanswer, ring_s,
    carrier_country, ordered_utc_ms, paid_until_utc_ms AS paid_until
FROM did LEFT JOIN account ON account.id = did.account_id
LEFT JOIN did_order ON did_order.id = did.order_id"""


@router.get("/carriers", summary="All carriers, by priority")
def carriers(services: Given) -> list[Carrier]:
    with services.store.reading() as conn:
        return [_carrier(row) for row in rows_of(conn, f"{_CARRIERS} ORDER BY priority, name")]


@router.put("/carriers/{name}", summary="Add or change a carrier", responses=responses(409))
def put_carrier(services: Given, name: NamePath, asked: CarrierChange) -> Carrier:
    value = CarrierValue(
        name,
        asked.address,
        asked.port,
        asked.transport,
        asked.prefix,
        asked.media,
        tuple(asked.codecs),
        asked.username,
        asked.secret,
    )
    with services.store.writing() as conn:
        provisioning.add_carrier(
            conn, value, priority=asked.priority, source_port=asked.source_port
        )
        provisioning.enable_carrier(conn, name, asked.enabled)
        (row,) = rows_of(conn, f"{_CARRIERS} WHERE name = ?", (name,))
    return _carrier(row)


@router.delete(
    "/carriers/{name}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Remove a carrier and its decks",
    responses=responses(404),
)
def remove_carrier(services: Given, name: NamePath) -> None:
    with services.store.writing() as conn:
        if conn.execute("SELECT 1 FROM carrier WHERE name = ?", (name,)).fetchone() is None:
            raise not_found(f"no carrier {name!r}: GET /api/v2/carriers lists them")
        provisioning.remove_carrier(conn, name)


@router.get("/pops", summary="All points of presence")
def all_pops(services: Given) -> list[Pop]:
    with services.store.reading() as conn:
        return [Pop.model_validate(one._asdict()) for one in pops(conn)]


@router.put("/pops/{name}", summary="Name a POP, or describe it anew", responses=responses(409))
def put_pop(services: Given, name: NamePath, asked: PopChange) -> Pop:
    with services.store.writing() as conn:
        provisioning.add_pop(
            conn, name, asked.description, number=asked.number, country=asked.country
        )
        (made,) = [one for one in pops(conn) if one.name == name]
    return Pop.model_validate(made._asdict())


@router.get("/dids", summary="DIDs, by number")
def dids(services: Given, after: AfterName = "", limit: HowMany = 100) -> Page[Did]:
    with services.store.reading() as conn:
        rows = rows_of(
            conn, f"{_DIDS} WHERE did.number > ? ORDER BY did.number LIMIT ?", (after, limit + 1)
        )
    return page(Did, rows, limit, lambda row: row["number"])


@router.post(
    "/dids", status_code=HTTPStatus.CREATED, summary="Own a number", responses=responses(409)
)
def add_did(services: Given, asked: NewDid) -> Did:
    with services.store.writing() as conn:
        number = add_did_row(
            conn,
            asked.number,
            plan=asked.plan,
            pop=asked.pop,
            account=asked.account or "",
            carrier_country=asked.carrier_country,
        )
        return known_did(conn, number)


@router.get("/dids/{number}", summary="One DID", responses=responses(404))
def did(services: Given, number: NumberPath) -> Did:
    with services.store.reading() as conn:
        return known_did(conn, number)


@router.patch("/dids/{number}", summary="Move a DID", responses=responses(404, 409))
def change_did(services: Given, number: NumberPath, asked: DidChange) -> Did:
    with services.store.writing() as conn:
        known_did(conn, number)
        set_did(
            conn,
            number,
            pop=asked.pop,
            plan=asked.plan,
            account=asked.account,
            description=asked.description,
        )
        if asked.routings():
            route_did(conn, number, **asked.routings())
        return known_did(conn, number)


@router.post(
    "/dids/{number}/order",
    summary="Order a DID for an account, its first month paid",
    responses=responses(404, 409),
)
def order(services: Given, number: NumberPath, asked: DidOrder) -> Did:
    with services.store.writing() as conn:
        known_did(conn, number)
        order_did(
            conn,
            services.now(),
            number,
            asked.account,
            plan=asked.plan,
            pop=asked.pop,
            description=asked.description or "",
            test=asked.test,
            **asked.routings(),
        )
        return known_did(conn, number)


@router.delete(
    "/dids/{number}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Take a DID from its account; it stays ours",
    responses=responses(404, 409),
)
def release_did(services: Given, number: NumberPath) -> None:
    with services.store.writing() as conn:
        known_did(conn, number)
        release(conn, number, services.now())


def _carrier(row: dict[str, Any]) -> Carrier:
    return Carrier.model_validate({**row, "codecs": row["codecs"].split(",")})


def known_did(conn: Connection, number: str) -> Did:
    rows = rows_of(conn, f"{_DIDS} WHERE did.number = ?", (number,))
    if not rows:
        raise not_found(f"no DID {number!r}: GET /api/v2/dids lists them")
    return Did.model_validate(rows[0])
