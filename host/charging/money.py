"""Amounts as people write them. No float comes near."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from host.charging.values import USD, Money

_MOST = Decimal(10**9)


def parse_usd(text: str) -> Money:
    """Read dollars, as in `15`, `$0.0052` or `1.25`.

    Raises:
        ValueError: it is no amount, is finer than 10^-8 USD, or is beyond 10^9 USD.
    """
    try:
        dollars = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        raise ValueError(f"{text!r} is no amount in dollars, as in 0.0052") from None
    if not dollars.is_finite() or abs(dollars) > _MOST:
        raise ValueError(f"{text!r} is no amount that an account can have")
    units = dollars * USD
    if units != units.to_integral_value():
        raise ValueError(f"{text!r} is finer than a hundred-millionth of a dollar")
    return Money(int(units))


def format_usd(amount: int, places: int = 2) -> str:
    """Write dollars with at least `places` decimals and as many more as the amount has."""
    sign = "-" if amount < 0 else ""
    whole, units = divmod(abs(amount), USD)
    decimals = f"{units:08d}".rstrip("0").ljust(places, "0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
