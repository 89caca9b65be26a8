"""What operators and customers begin themselves: a deposit at its provider, a look at it, a refund,
a chargeback. For every door to it: command line and API.

What a provider is asked is durable before, and no transaction is open meanwhile: asked again with
the same id it does nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from host.charging.money import format_usd
from host.charging.values import Money, Now, Refusal
from host.funds import deposits, refunds
from host.funds.deposits import Deposit, Outcome
from host.funds.notices import CENT, Notice, PaymentProvider, ProviderError, Returned, Undone
from host.funds.refunds import Return
from host.store.connection import Connection

T = TypeVar("T")


class Transact(Protocol):
    """Runs an operation in one transaction and returns once it is durable."""

    def __call__(self, operation: Callable[[Connection], T], /) -> T: ...


class Started(NamedTuple):
    """A deposit that its provider knows."""

    deposit: Deposit
    url: str
    """Where the customer pays; empty when nothing is left for the customer to do."""
    outcome: Outcome | None = None
    """Of a saved card that was charged, where it is known."""


def start(
    transact: Transact,
    now: Callable[[], Now],
    provider: PaymentProvider,
    asked: Deposit,
    description: str,
    saved_card: str = "",
    note: str = "",
) -> Started:
    """Open a deposit with us and with its provider. The same id again opens no second one.

    Args:
        asked: id, method, account and amount of it.
        saved_card: charge this one (`pm_...`) at once; of Stripe alone.

    Returns:
        Where to pay; no such place where the deposit is over already.

    Raises:
        ValueError, UnknownAccount: as `deposits.open_deposit`.
        ProviderError: the deposit stands; unless it is final, the same again is worth a try.
    """
    if saved_card and provider.method != "card":
        raise ValueError("a saved card is of Stripe: pay by card")
    made = transact(lambda conn: deposits.open_deposit(conn, now(), *asked[:4], note=note))
    if made.state != "pending":
        return Started(made, "")
    notice: Notice | None = None
    if saved_card:
        from host.funds.stripe_cards import StripeCards

        assert isinstance(provider, StripeCards), "cards are Stripe's"
        opened, notice = provider.charge_saved(made.id, made.amount, saved_card)
    else:
        opened = provider.open(made.id, made.amount, description)

    def opened_there(conn: Connection) -> Outcome | None:
        deposits.set_reference(conn, made.id, opened.reference)
        return deposits.apply(conn, now(), notice) if notice else None

    outcome = transact(opened_there)
    return Started(made._replace(reference=opened.reference), opened.url, outcome)


def look(
    transact: Transact, now: Callable[[], Now], provider: PaymentProvider, found: Deposit
) -> Outcome:
    """Ask the provider what became of a payment, and credit it if it came.

    Raises:
        ProviderError: it could not be asked.
    """
    notice = provider.look(found.reference)
    if notice is None:
        return Outcome("unknown", "the customer has not paid yet")
    told = notice
    return transact(lambda conn: deposits.apply(conn, now(), told))


def refund(
    transact: Transact,
    now: Callable[[], Now],
    provider: PaymentProvider | None,
    deposit_id: str,
    amount: Money | None,
    return_id: str,
    note: str = "",
) -> Return | Refusal:
    """Give a deposit back, or part of it. The same id again refunds nothing twice.

    Args:
        provider: None: an operator sends the money.
        amount: None: all that is left.

    Returns:
        The refund, or a refusal when the customer has spent the money.

    Raises:
        ValueError: as `refunds.ask`; in parts of a cent where a provider moves it; or a refund of
            this id came to nothing before.
        ProviderError: nothing was refunded; or, unless it is final, the money is set aside, and
            the same again is worth a try.
    """

    def ask(conn: Connection) -> Return | Refusal:
        found = deposits.by_id(conn, deposit_id)
        if found is None:
            raise ValueError(f"no deposit {deposit_id!r}: `deposit list` shows them")
        asked = refunds.ask(conn, now(), found, amount, return_id, note)
        if provider and isinstance(asked, Return) and asked.amount % CENT:
            raise ValueError(
                f"{format_usd(asked.amount)} USD: a refund by {found.method} is in whole cents"
            )
        return asked

    asked = transact(ask)
    if isinstance(asked, Refusal):
        return asked
    if asked.state == "undone":
        raise ValueError(f"refund {return_id} came to nothing before: take another id to try anew")
    reference = asked.reference
    if provider is not None and asked.state == "asked":
        reference = _sent(transact, now, provider, asked)
    transact(lambda conn: refunds.done(conn, asked.method, asked.id, reference))
    return asked._replace(state="done", reference=reference)


def charge_back(
    conn: Connection, now: Now, found: Deposit, amount: Money | None, case: str, undo: bool
) -> Outcome:
    """Post that a bank took a deposit back, or with `undo` that the dispute was won.

    Args:
        amount: None: all of it.
        case: the dispute's id, which counts once; empty: the deposit's own.

    Raises:
        ValueError: nothing was credited, the amount is not above zero, there was no such case, or
            it stands for another return.
    """
    if found.payment_id is None or found.state != "credited":
        raise ValueError(f"deposit {found.id} is {found.state}: nothing was credited")
    case = case or f"case-{found.payment_id}"
    units = found.amount if amount is None else amount
    if units <= 0:
        raise ValueError("a chargeback is above zero")
    before = refunds.find(conn, found.method, case)
    if before and (before.kind, before.payment_id) != ("chargeback", found.payment_id):
        raise ValueError(
            f"{case} stands for the {before.kind} of {before.payment_id}: take another id"
        )
    told: Notice = Returned(found.method, found.payment_id, case, "chargeback", units)
    if undo:
        if before is None:
            raise ValueError(f"no chargeback {case} of deposit {found.id} was posted")
        told = Undone(found.method, found.payment_id, case, "chargeback")
    return deposits.apply(conn, now, told)


def _sent(
    transact: Transact, now: Callable[[], Now], provider: PaymentProvider, asked: Return
) -> str:
    """The provider's id of a refund that it has sent."""
    try:
        answer = provider.refund(asked.payment_id, asked.amount, asked.id)
    except ProviderError as error:
        if not error.final:
            raise ProviderError(f"{error}; the money is set aside", final=False) from error
        text = str(error)
    else:
        if answer.state != "failed":
            return answer.reference
        text = f"the provider could not refund it ({answer.why})"
    told = Undone(asked.method, asked.payment_id, asked.id, "refund", asked.id)
    transact(lambda conn: deposits.apply(conn, now(), told))
    raise ProviderError(f"{text}; nothing was refunded", final=True)
