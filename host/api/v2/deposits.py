"""Deposits of customers by card, PayPal and wire: begun, looked at, confirmed, rejected; and what
an operator credits."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query

from host.api.services import Services
from host.api.v2.deposit_models import (
    Confirmation,
    Credit,
    Credited,
    Deposit,
    Method,
    NewDeposit,
    PaymentMethod,
    Rejection,
    Started,
    State,
)
from host.api.v2.models import Page
from host.api.v2.operator import Given
from host.api.v2.owned import Customer, main_of
from host.api.v2.pages import AfterName, HowMany, page, rows_of
from host.api.v2.paying import DEPOSITS, OF_ONE, DepositPath, asking, own, provider_of, told
from host.api.v2.problems import Refusal, responses
from host.charging.money import parse_usd
from host.funds import deposits, desk, methods
from host.store.connection import Connection

router = APIRouter(tags=["deposits"])

_AFTER = """
(opened_utc_ms, deposit.id) < (SELECT opened_utc_ms, id FROM deposit WHERE id = ?)"""
StateIs = Annotated[State | None, Query(description="In this state alone.")]
By = Annotated[Method | None, Query(description="By this way to pay alone.")]


@router.get("/payment-methods", summary="Ways to pay, and what those not set up lack")
def payment_methods() -> list[PaymentMethod]:
    return [PaymentMethod.model_validate(one._asdict()) for one in methods.methods()]


@router.get("/deposits", summary="Deposits of all customers, newest first")
def every_deposit(
    services: Given,
    state: StateIs = None,
    method: By = None,
    after: AfterName = "",
    limit: HowMany = 100,
) -> Page[Deposit]:
    with services.store.reading() as conn:
        return _page(conn, limit, after, state=state, method=method)


@router.get(OF_ONE, summary="Deposits of a customer, newest first", responses=responses(404))
def deposits_of(
    services: Given,
    username: Customer,
    state: StateIs = None,
    method: By = None,
    after: AfterName = "",
    limit: HowMany = 100,
) -> Page[Deposit]:
    with services.store.reading() as conn:
        main = main_of(conn, username)
        return _page(conn, limit, after, account_id=main, state=state, method=method)


@router.get(f"{OF_ONE}/{{id}}", summary="One deposit", responses=responses(404))
def one_deposit(services: Given, username: Customer, name: DepositPath) -> Deposit:
    return _told(services, username, name)


@router.post(
    OF_ONE,
    status_code=HTTPStatus.CREATED,
    summary="Begin a deposit by card or PayPal, or announce a wire",
    responses=responses(404, 409),
)
def start(services: Given, username: Customer, asked: NewDeposit) -> Started:
    """A wire counts once it is confirmed. The same `id` again opens no second deposit, and tells
    how the first stands."""
    store, now, url = services.store, services.now, ""
    with store.reading() as conn:
        main = main_of(conn, username)
    name, units = asked.id or f"{asked.method}-{secrets.token_hex(8)}", parse_usd(asked.amount)
    with asking(f"POST it again with the id {name}"):
        if asked.saved_card and asked.method != "card":
            raise ValueError("a saved card is of Stripe: pay by card")
        wanted = deposits.Deposit(name, asked.method, main, units)
        if asked.method in deposits.PROVIDED:
            provider = provider_of(asked.method, services.settings.payments)
            about = f"Deposit to account {username}"
            url = desk.start(
                store.transact, now, provider, wanted, about, asked.saved_card, asked.note
            ).url
        else:
            store.transact(
                lambda conn: deposits.open_deposit(conn, now(), *wanted[:4], note=asked.note)
            )
    return Started(**dict(_told(services, username, name)), url=url or None)


@router.post(
    f"{OF_ONE}/{{id}}/check",
    summary="Ask the provider what became of a deposit; for lost webhooks",
    responses=responses(404, 409),
)
def check(services: Given, username: Customer, name: DepositPath) -> Deposit:
    """It is credited if the money came, and stays pending while the customer has not paid."""
    with services.store.reading() as conn:
        found = own(conn, username, name)
    with asking("ask again"):
        if found.method not in deposits.PROVIDED:
            raise ValueError(f"deposit {name} is by {found.method}, which no provider knows of")
        if not found.reference:
            raise ValueError(f"deposit {name} never reached its provider: POST it again by its id")
        provider = provider_of(found.method, services.settings.payments)
        desk.look(services.store.transact, services.now, provider, found)
    return _told(services, username, name)


@router.post(
    f"{OF_ONE}/{{id}}/confirm",
    summary="Credit a wire that came, less its fee",
    responses=responses(404, 409),
)
def confirm(services: Given, username: Customer, name: DepositPath, asked: Confirmation) -> Deposit:
    """Once: the same again changes nothing."""
    received = None if asked.received is None else parse_usd(asked.received)
    with services.store.writing() as conn, asking():
        own(conn, username, name)
        deposits.confirm_wire(conn, services.now(), name, received, asked.bank_id)
        return told(conn, name)


@router.post(
    f"{OF_ONE}/{{id}}/reject",
    summary="Strike a wire that did not come, or that goes back",
    responses=responses(404, 409),
)
def reject(services: Given, username: Customer, name: DepositPath, asked: Rejection) -> Deposit:
    with services.store.writing() as conn, asking():
        own(conn, username, name)
        deposits.reject_wire(conn, services.now(), name, asked.why)
        return told(conn, name)


@router.post(
    "/accounts/{username}/payments",
    status_code=HTTPStatus.CREATED,
    summary="Credit a payment that an operator knows of",
    responses=responses(404, 409),
)
def credit(services: Given, username: Customer, asked: Credit) -> Credited:
    """Once for each way to pay and `id`. It ends the review of a deposit, too."""
    if not asked.id and asked.method != "manual":
        said = f"a payment by {asked.method} needs `id`, the id that it has there"
        raise Refusal(HTTPStatus.CONFLICT, said)
    name, units = asked.id or secrets.token_hex(8), parse_usd(asked.amount)
    with services.store.writing() as conn, asking():
        main = main_of(conn, username)
        fresh, _ = deposits.credit_by_hand(
            conn, services.now(), main, asked.method, units, name, asked.note
        )
        found = deposits.by_payment(conn, asked.method, name)
        assert found is not None
        return Credited(**dict(told(conn, found.id)), credited=fresh)


def _told(services: Services, username: str, name: str) -> Deposit:
    with services.store.reading() as conn:
        own(conn, username, name)
        return told(conn, name)


def _page(conn: Connection, limit: int, after: str, **wanted: object) -> Page[Deposit]:
    where, values = ["1 = 1"], list[object]()
    for column, value in wanted.items():
        if value is not None:
            where.append(f"deposit.{column} = ?")
            values.append(value)
    if after:
        where.append(_AFTER)
        values.append(after)
    query = f"{DEPOSITS} WHERE {' AND '.join(where)}"
    query = f"{query} ORDER BY opened_utc_ms DESC, deposit.id DESC LIMIT ?"
    return page(Deposit, rows_of(conn, query, (*values, limit + 1)), limit)
