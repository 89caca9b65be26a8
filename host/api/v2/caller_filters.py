"""Callers whose calls go elsewhere."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from host.api.v2.models import Asked, Number, Routing, Target, Text, Told
from host.api.v2.operator import Given
from host.api.v2.owned import Customer, IdPath, Owned, main_of
from host.api.v2.problems import responses
from host.numbering import filters

router = APIRouter(tags=["caller filters"])

Caller = Annotated[
    str,
    Field(
        pattern=r"^(\*|anonymous|\+[0-9]{1,14}\*|\+[1-9][0-9]{6,14})$",
        description="A number; how numbers begin, with `*` behind; `anonymous`; or `*`: every one.",
        examples=["+1900*"],
    ),
]


class CallerFilter(Told):
    id: int
    account: str
    caller: str
    did: str = Field(description="Empty: all of the customer's.")
    routing: str
    failover_busy: str
    failover_unreachable: str
    failover_noanswer: str
    note: str


class NewCallerFilter(Asked):
    caller: Caller
    did: Literal[""] | Number = Field(default="", description="Of this DID alone; empty: of all.")
    routing: Target
    failover_busy: Routing = ""
    failover_unreachable: Routing = ""
    failover_noanswer: Routing = ""
    note: Text = ""


class CallerFilterChange(Asked):
    caller: Caller | None = None
    did: Literal[""] | Number | None = None
    routing: Target | None = None
    failover_busy: Routing | None = None
    failover_unreachable: Routing | None = None
    failover_noanswer: Routing | None = None
    note: Text | None = None


FILTERS = Owned(
    "caller filter",
    "caller-filters",
    CallerFilter,
    filters.caller_filters,
    filters.remove_caller_filter,
)
FILTERS.add_to(router)


@router.post(
    "/accounts/{username}/caller-filters",
    status_code=HTTPStatus.CREATED,
    summary="Send the calls of some callers elsewhere; a number beats how it begins",
    responses=responses(404, 409),
)
def add_filter(services: Given, username: Customer, asked: NewCallerFilter) -> CallerFilter:
    with services.store.writing() as conn:
        main_of(conn, username)
        made = filters.set_caller_filter(conn, username, **asked.model_dump())
        return FILTERS.one(conn, username, made)


@router.patch(
    "/accounts/{username}/caller-filters/{id}",
    summary="Change a caller filter",
    responses=responses(404, 409),
)
def change_filter(
    services: Given, username: Customer, number: IdPath, asked: CallerFilterChange
) -> CallerFilter:
    with services.store.writing() as conn:
        values = FILTERS.changed(conn, username, number, asked)
        filters.set_caller_filter(conn, username, id=number, **values)
        return FILTERS.one(conn, username, number)
