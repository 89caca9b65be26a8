"""Which ways to pay this host has: keys come from the environment and from nowhere else.

Without keys it runs on bank wires and on what operators credit, and says so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import NamedTuple

from host.charging.payments import TERMS
from host.charging.values import Money
from host.funds.notices import PaymentProvider, ProviderError
from host.settings import PaymentSettings

_PREFIX = "LOOPSTART_"
STRIPE_KEY = "LOOPSTART_STRIPE_SECRET_KEY"
STRIPE_WEBHOOK = "LOOPSTART_STRIPE_WEBHOOK_SECRET"
STRIPE_API = "LOOPSTART_STRIPE_API_BASE"
PAYPAL_ID = "LOOPSTART_PAYPAL_CLIENT_ID"
PAYPAL_SECRET = "LOOPSTART_PAYPAL_CLIENT_SECRET"
PAYPAL_WEBHOOK = "LOOPSTART_PAYPAL_WEBHOOK_ID"
PAYPAL_API = "LOOPSTART_PAYPAL_API_BASE"
PAYPAL_SANDBOX = "LOOPSTART_PAYPAL_SANDBOX"

_NEEDS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "card": ("stripe", (STRIPE_KEY,), STRIPE_WEBHOOK),
    "paypal": ("paypalserversdk", (PAYPAL_ID, PAYPAL_SECRET), PAYPAL_WEBHOOK),
}
"""Way to pay to module, variables that have to be set, and the one that proves webhooks."""


class Method(NamedTuple):
    """One way to pay."""

    name: str
    ready: bool
    minimum: Money
    fee: Money
    fee_below: Money
    how: str
    """What to do, or what is missing."""


def methods(environment: Mapping[str, str] = os.environ) -> list[Method]:
    """All ways to pay, and which of them work here."""
    found = []
    for name, terms in TERMS.items():
        missing = lacks(name, environment)
        how = {"wire": "`wire add`, then `wire confirm`", "manual": "`pay`"}.get(
            name, "`deposit open`"
        )
        if missing:
            how = f"{missing}"
        elif name in _NEEDS and not environment.get(_NEEDS[name][2]):
            how += f"; set {_NEEDS[name][2]} to take webhooks, else use `deposit check`"
        found.append(Method(name, not missing, *terms, how))
    return found


def lacks(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """What is missing for a way to pay; empty if nothing is."""
    module, variables, _ = _NEEDS.get(name, ("", (), ""))
    unset = [variable for variable in variables if not environment.get(variable)]
    if unset:
        return f"set {' and '.join(unset)} in the environment"
    if module and find_spec(module) is None:
        return "it needs a package: pip install 'loopstart[payments]'"
    return ""


def provider(
    name: str, settings: PaymentSettings, environment: Mapping[str, str] = os.environ
) -> PaymentProvider:
    """The provider behind a way to pay.

    Raises:
        ProviderError: there is none here; the sentence says what is missing.
    """
    missing = lacks(name, environment)
    if missing or name not in _NEEDS:
        raise ProviderError(
            f"payments by {name} are not set up: {missing or 'no provider stands behind it'}",
            final=True,
        )
    urls = (settings.success_url, settings.cancel_url)
    if name == "card":
        from host.funds.stripe_cards import StripeCards

        secret, base = environment.get(STRIPE_WEBHOOK, ""), environment.get(STRIPE_API, "")
        return StripeCards(environment[STRIPE_KEY], secret, *urls, api_base=base)
    from host.funds.paypal_orders import PayPalOrders

    return PayPalOrders(
        environment[PAYPAL_ID],
        environment[PAYPAL_SECRET],
        environment.get(PAYPAL_WEBHOOK, ""),
        *urls,
        sandbox=environment.get(PAYPAL_SANDBOX, "") not in ("", "0", "no"),
        api_base=environment.get(PAYPAL_API, ""),
    )
