"""Which payments are taken, by the way they come: the minimum and the fee of each."""

from __future__ import annotations

from typing import NamedTuple

from host.charging.money import format_usd
from host.charging.values import USD, Money


class Terms(NamedTuple):
    """Of one way to pay."""

    least: Money
    fee: Money = Money(0)
    fee_below: Money = Money(0)
    """The fee is due on amounts below this."""


TERMS = {
    "card": Terms(least=Money(15 * USD)),
    "paypal": Terms(least=Money(15 * USD)),
    "wire": Terms(least=Money(100 * USD), fee=Money(15 * USD), fee_below=Money(1_000 * USD)),
    "manual": Terms(least=Money(1)),
}
"""`manual` is the operator's own correction."""


def fee_of(provider: str, amount: Money) -> Money:
    """The administration fee due on a payment.

    Raises:
        ValueError: unknown way to pay, or less than its minimum; the sentence says which.
    """
    terms = TERMS.get(provider)
    if terms is None:
        raise ValueError(f"unknown way to pay {provider!r}: use one of {', '.join(TERMS)}")
    if amount < terms.least:
        raise ValueError(
            f"{format_usd(amount)} USD is less than the minimum by {provider}, "
            f"{format_usd(terms.least)} USD"
        )
    return terms.fee if amount < terms.fee_below else Money(0)
