"""What the routes of deposits and returns share: whose a deposit is, its provider, and errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated

from fastapi import Path

from host.api.v2.deposit_models import Deposit, DepositId
from host.api.v2.owned import main_of
from host.api.v2.pages import rows_of
from host.api.v2.problems import Refusal, not_found
from host.funds import deposits, methods
from host.funds.notices import PaymentProvider, ProviderError
from host.settings import PaymentSettings
from host.store.connection import Connection

OF_ONE = "/accounts/{username}/deposits"
DepositPath = Annotated[DepositId, Path(alias="id")]
DEPOSITS = """
SELECT deposit.id, method, username AS account, amount, fee, state, reference, payment_id,
    opened_utc_ms, changed_utc_ms, note
FROM deposit LEFT JOIN account ON account.id = deposit.account_id"""


def own(conn: Connection, username: str, name: str) -> deposits.Deposit:
    """A customer's deposit by our id.

    Raises:
        Refusal: 404, there is none, or it is another customer's.
    """
    main = main_of(conn, username)
    found = deposits.by_id(conn, name)
    if found is None or found.account_id != main:
        raise not_found(
            f"{username} has no deposit {name!r}: GET /api/v2/accounts/{username}/deposits lists "
            "them"
        )
    return found


def told(conn: Connection, name: str) -> Deposit:
    """A deposit that there is, as it is told."""
    (row,) = rows_of(conn, f"{DEPOSITS} WHERE deposit.id = ?", (name,))
    return Deposit.model_validate(row)


def provider_of(method: str, settings: PaymentSettings) -> PaymentProvider:
    """The provider behind a way to pay.

    Raises:
        Refusal: 409, it is not set up; `detail` says what is missing.
    """
    try:
        return methods.provider(method, settings)
    except ProviderError as error:
        said = f"{error}; GET /api/v2/payment-methods tells what is there"
        raise Refusal(HTTPStatus.CONFLICT, said) from error


@contextlib.contextmanager
def asking(again: str = "") -> Iterator[None]:
    """What cannot be done within is 409; a provider that could not be asked is 503, with what to
    do `again`."""
    try:
        yield
    except ProviderError as error:
        if error.final:
            raise Refusal(HTTPStatus.CONFLICT, str(error)) from error
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}; {again}") from error
    except ValueError as error:
        raise Refusal(HTTPStatus.CONFLICT, str(error)) from error
