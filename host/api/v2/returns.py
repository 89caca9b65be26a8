"""What goes back of deposits: refunds that an operator asks for, and chargebacks of banks."""

from __future__ import annotations

import secrets
from http import HTTPStatus

from fastapi import APIRouter

from host.api.v2.deposit_models import Chargeback, NewRefund, Refunded, Return
from host.api.v2.operator import Given
from host.api.v2.owned import Customer
from host.api.v2.pages import rows_of
from host.api.v2.paying import OF_ONE, DepositPath, asking, own, provider_of
from host.api.v2.problems import Refusal, responses
from host.charging import values
from host.charging.money import parse_usd
from host.funds import deposits, desk
from host.funds.deposits import Deposit
from host.store.connection import Connection

router = APIRouter(tags=["deposits"])

_RETURNS = """
SELECT id, kind, amount, state, from_funds, from_debt, reference, utc_ms, note
FROM payment_return WHERE method = ? AND payment_id = ? ORDER BY utc_ms, id"""


@router.get(
    f"{OF_ONE}/{{id}}/returns",
    summary="Refunds and chargebacks of a deposit, by time",
    responses=responses(404),
)
def returns(services: Given, username: Customer, name: DepositPath) -> list[Return]:
    with services.store.reading() as conn:
        return _returns(conn, own(conn, username, name))


@router.post(
    f"{OF_ONE}/{{id}}/refunds",
    status_code=HTTPStatus.CREATED,
    summary="Give a deposit back, or part of it, by the way that it came",
    responses=responses(404, 409),
)
def refund(services: Given, username: Customer, name: DepositPath, asked: NewRefund) -> Refunded:
    """No more than is left of it and of the customer's money. The same `id` again refunds nothing
    twice."""
    return_id = asked.id or f"refund-{secrets.token_hex(8)}"
    units = None if asked.amount is None else parse_usd(asked.amount)
    with services.store.reading() as conn:
        found = own(conn, username, name)
    provider = None
    if found.method in deposits.PROVIDED and not asked.outside:
        provider = provider_of(found.method, services.settings.payments)
    with asking(f"POST it again with the id {return_id}"):
        made = desk.refund(
            services.store.transact, services.now, provider, name, units, return_id, asked.note
        )
    if isinstance(made, values.Refusal):
        said = f"nothing was refunded: {made.detail}, the rest is spent or held by live calls"
        raise Refusal(HTTPStatus.CONFLICT, said)
    with services.store.reading() as conn:
        (one,) = [one for one in _returns(conn, found) if one.id == return_id]
    return Refunded(**dict(one), send_it=provider is None)


@router.post(
    f"{OF_ONE}/{{id}}/chargebacks",
    status_code=HTTPStatus.CREATED,
    summary="Post that a bank took a deposit back, or that the dispute was won",
    responses=responses(404, 409),
)
def charge_back(
    services: Given, username: Customer, name: DepositPath, asked: Chargeback
) -> Return:
    """What was spent of it is owed, and calls that cost money stop until it is paid."""
    units = None if asked.amount is None else parse_usd(asked.amount)
    with services.store.writing() as conn, asking():
        found = own(conn, username, name)
        desk.charge_back(conn, services.now(), found, units, asked.id, asked.won)
        (one,) = [one for one in _returns(conn, found) if one.id == asked.id]
        return one


def _returns(conn: Connection, found: Deposit) -> list[Return]:
    rows = rows_of(conn, _RETURNS, (found.method, found.payment_id))
    return [Return.model_validate(row) for row in rows]
