"""Accounts of customers, and their money."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path

from host.api import registrations as registered
from host.api.v2.models import (
    Account,
    AccountChange,
    Funds,
    MadeAccount,
    NewAccount,
    Page,
    Registration,
    Transaction,
)
from host.api.v2.operator import Given
from host.api.v2.pages import AfterId, HowMany, page, rows_of
from host.api.v2.problems import not_found, responses
from host.charging import ledger
from host.numbering import provisioning
from host.numbering.passwords import generate
from host.store.connection import Connection

router = APIRouter(tags=["accounts"])
Username = Annotated[str, Path(max_length=64)]

_ACCOUNTS = """
SELECT account.id, account.username, parent.username AS parent, account.status, account.route,
    account.premium_fallback, account.international, account.channels,
    account.calls_to_one_number, account.caller_id, account.area_code, account.address,
    account.port, account.contact, account.number_range, account.media, account.iax2,
    account.description, account.protocol, account.codecs, account.route_us, account.route_canada,
    account.route_international, account.own_channels, account.networks, account.pops,
    account.countries, account.max_per_minute, account.max_call_s, account.daily_spend,
    account.daily_to_one_number,
    balance AS funds, held, debt
FROM account LEFT JOIN account AS parent ON parent.id = account.parent_id
JOIN ledger_account ON ledger_account.id = coalesce(account.parent_id, account.id)"""
_MOVED = """
SELECT movement.id, movement.utc_ms, movement.kind, posting.amount, movement.note
FROM posting JOIN movement ON movement.id = posting.movement_id
WHERE posting.account_id = ? AND movement.id < ? ORDER BY movement.id DESC LIMIT ?"""
_NEWEST = 9_223_372_036_854_775_807


@router.get("/accounts", summary="Accounts, by number")
def accounts(services: Given, after: AfterId = 0, limit: HowMany = 100) -> Page[Account]:
    with services.store.reading() as conn:
        query = f"{_ACCOUNTS} WHERE account.id > ? ORDER BY account.id LIMIT ?"
        return page(Account, rows_of(conn, query, (after, limit + 1)), limit)


@router.post(
    "/accounts",
    status_code=HTTPStatus.CREATED,
    summary="Make an account or sub-account",
    responses=responses(409),
)
def make_account(services: Given, asked: NewAccount) -> MadeAccount:
    secret = asked.password or generate(secrets.token_bytes)
    with services.store.writing() as conn:
        number = provisioning.add_account(
            conn,
            asked.username,
            realm=services.settings.sip.realm,
            password=secret,
            parent=asked.parent or "",
            **asked.columns(),
        )
    told = None if asked.password else secret
    return MadeAccount(id=number, username=asked.username, password=told)


@router.get("/accounts/{username}", summary="One account", responses=responses(404))
def account(services: Given, username: Username) -> Account:
    with services.store.reading() as conn:
        return _account(conn, username)


@router.patch("/accounts/{username}", summary="Change an account", responses=responses(404, 409))
def change_account(services: Given, username: Username, asked: AccountChange) -> Account:
    with services.store.writing() as conn:
        _account(conn, username)
        provisioning.set_account(conn, username, **asked.columns())
        return _account(conn, username)


@router.delete(
    "/accounts/{username}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Remove an account; its records and ledger stay",
    responses=responses(404, 409),
)
def remove_account(services: Given, username: Username) -> None:
    with services.store.writing() as conn:
        _account(conn, username)
        provisioning.remove_account(conn, username)


@router.get("/accounts/{username}/funds", summary="What there is", responses=responses(404))
def funds(services: Given, username: Username) -> Funds:
    with services.store.reading() as conn:
        main = _main(conn, username)
        return Funds.model_validate({"account": username, **ledger.balance(conn, main)._asdict()})


@router.get(
    "/accounts/{username}/transactions",
    summary="What moved the funds, newest first",
    responses=responses(404),
)
def transactions(
    services: Given, username: Username, after: AfterId = _NEWEST, limit: HowMany = 100
) -> Page[Transaction]:
    with services.store.reading() as conn:
        main = _main(conn, username)
        return page(Transaction, rows_of(conn, _MOVED, (main, after, limit + 1)), limit)


@router.get(
    "/accounts/{username}/registrations",
    summary="Where an account is registered",
    responses=responses(404),
)
def registrations_of(services: Given, username: Username) -> list[Registration]:
    with services.store.reading() as conn:
        number = _account(conn, username).id
        found = registered.registrations(services, conn, number)
    return [Registration.model_validate(one._asdict()) for one in found]


@router.get("/registrations", summary="All registrations, by account")
def registrations(services: Given, after: AfterId = 0, limit: HowMany = 100) -> Page[Registration]:
    """Each part has whole accounts, so it may be a little longer or shorter than `limit`."""
    with services.store.reading() as conn:
        found = registered.page(services, conn, after, limit)
    items = [Registration.model_validate(one._asdict()) for one in found]
    return Page[Registration](items=items, next=str(items[-1].account_id) if items else None)


def _account(conn: Connection, username: str) -> Account:
    rows = rows_of(conn, f"{_ACCOUNTS} WHERE account.username = ?", (username,))
    if not rows:
        raise not_found(f"no account {username!r}: GET /api/v2/accounts lists them")
    return Account.model_validate(rows[0])


def _main(conn: Connection, username: str) -> int:
    _account(conn, username)
    number, parent = provisioning.account_row(conn, username)
    return parent or number
