"""DIDs whose calls reach nobody, since their POP is not where their account is registered; and the
mend."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from host.api.services import Services
from host.api.v2.models import Name, Page, Told
from host.api.v2.numbers import NumberPath, known_did
from host.api.v2.operator import Given
from host.api.v2.owned import Customer, main_of
from host.api.v2.pages import AfterName, HowMany
from host.api.v2.problems import responses
from host.control_client import live_pops
from host.numbering import pop_match
from host.numbering.checks import account_row
from host.numbering.pop_match import Mismatch
from host.store.connection import Connection

router = APIRouter(tags=["POP mismatches"])

_HOUSE = "SELECT username FROM account WHERE id = ? OR parent_id = ?"


class PopMismatch(Told):
    number: str
    pop: str
    account: str = Field(description="Whose devices would ring.")
    registered: list[str] = Field(description="The POPs that it is registered at.")


class MovedDid(Told):
    number: str
    account: str
    before: str
    pop: str


@router.get(
    "/pop-mismatches",
    summary="DIDs that are not at the POP where their account is registered, by number",
    responses=responses(404),
)
def pop_mismatches(
    services: Given,
    account: Annotated[Name | None, Query(description="Its and its sub-accounts'.")] = None,
    after: AfterName = "",
    limit: HowMany = 100,
) -> Page[PopMismatch]:
    live = _live(services)
    with services.store.reading() as conn:
        found = [one for one in _found(services, conn, live, account) if one.number > after]
    items = [PopMismatch.model_validate(one._asdict()) for one in found[:limit]]
    more = found[limit - 1].number if len(found) > limit else None
    return Page[PopMismatch](items=items, next=more)


@router.post(
    "/dids/{number}/mend-pop",
    summary="Move a DID to the POP where its account is registered",
    responses=responses(404),
)
def mend_did(services: Given, number: NumberPath) -> list[MovedDid]:
    """Empty: it was there, or its account is registered nowhere."""
    live = _live(services)
    with services.store.writing() as conn:
        known_did(conn, number)
        found = [one for one in _found(services, conn, live) if one.number == number]
        return _mended(conn, found)


@router.post(
    "/accounts/{username}/mend-pops",
    summary="Move all DIDs of an account to the POP where it is registered",
    responses=responses(404),
)
def mend_account(services: Given, username: Customer) -> list[MovedDid]:
    """Of a main account those of its sub-accounts, too."""
    live = _live(services)
    with services.store.writing() as conn:
        return _mended(conn, _found(services, conn, live, username))


def _live(services: Services) -> list[tuple[int, str]]:
    """Asked before a transaction is open: a host that is slow to answer keeps no calls waiting."""
    return live_pops(partial(services.live, "registrations"))


def _found(
    services: Services, conn: Connection, live: list[tuple[int, str]], account: str | None = None
) -> list[Mismatch]:
    pops, utc_ms = services.settings.pop_of, services.now().utc_ms
    found = pop_match.mismatches(conn, pop_match.registered_pops(conn, utc_ms, pops, live))
    if account is None:
        return found
    main_of(conn, account)
    number = account_row(conn, account)[0]
    house = {row[0] for row in conn.execute(_HOUSE, (number, number))}
    return [one for one in found if one.account in house]


def _mended(conn: Connection, found: list[Mismatch]) -> list[MovedDid]:
    pop_match.mend(conn, found)
    return [
        MovedDid(number=one.number, account=one.account, before=one.pop, pop=one.registered[0])
        for one in found
    ]
