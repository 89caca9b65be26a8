"""Cards, through Stripe: Checkout pages, PaymentIntents on saved cards, refunds, signed webhooks.

Needs the extra `payments`. The library is imported when a provider is made, never before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import stripe

from host.charging.values import Money
from host.funds.notices import (
    CENT,
    CURRENCY,
    Failed,
    NotGenuine,
    Notice,
    Opened,
    Paid,
    ProviderError,
    RefundAnswer,
    Returned,
    Undone,
)

TIMEOUT_S = 20
TOLERANCE_S = 300
"""A webhook's signature is good for so long: an old one, sent again by a stranger, is not."""
_RETRIES = 2
_SUCCEEDED = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
_ENDED = {
    "checkout.session.expired": "the payment page expired",
    "checkout.session.async_payment_failed": "the payment failed",
    "payment_intent.canceled": "it was cancelled",
}
_REFUND = ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated")


class StripeCards:
    """One Stripe account; `PaymentProvider`."""

    method = "card"

    def __init__(
        self,
        key: str,
        webhook_secret: str,
        success_url: str,
        cancel_url: str,
        api_base: str = "",
        returns: bool = True,
    ) -> None:
        """Use the secret key.

        Args:
            api_base: for tests and proxies.
            returns: say where a card's bank sends the customer back to; localstripe can't be told.
        """
        self._webhook_secret = webhook_secret
        self._success_url, self._cancel_url = success_url, cancel_url
        self._confirm: Any = {"return_url": success_url} if returns else {}
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": api_base} if api_base else {},
            http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
            max_network_retries=_RETRIES,
        )

    def open(self, deposit_id: str, amount: Money, description: str) -> Opened:
        """Make a Checkout page."""
        metadata = {"deposit": deposit_id}
        session = self._ask(
            lambda: self._client.v1.checkout.sessions.create(
                params={
                    "mode": "payment",
                    "client_reference_id": deposit_id,
                    "metadata": metadata,
                    "payment_intent_data": {"metadata": metadata, "description": description},
                    "line_items": [
                        {
                            "quantity": 1,
                            "price_data": {
                                "currency": CURRENCY.lower(),
                                "unit_amount": _cents(amount),
                                "product_data": {"name": description},
                            },
                        }
                    ],
                    "success_url": self._success_url,
                    "cancel_url": self._cancel_url,
                },
                options={"idempotency_key": deposit_id},
            )
        )
        return Opened(session.id, session.url or "")

    def charge_saved(
        self, deposit_id: str, amount: Money, payment_method: str
    ) -> tuple[Opened, Notice | None]:
        """Charge a saved card (`pm_...`) at once; answers what came of it, None: not known yet."""
        intents, params = self._client.v1.payment_intents, dict[str, Any]()
        card = self._ask(lambda: self._client.v1.payment_methods.retrieve(payment_method))
        if card.customer:
            params["customer"] = _id_of(card.customer)
        params |= {
            "amount": _cents(amount),
            "currency": CURRENCY.lower(),
            "payment_method": payment_method,
            "metadata": {"deposit": deposit_id},
        }
        made: Any = params
        options: Any = {"idempotency_key": deposit_id}
        intent = self._ask(lambda: intents.create(params=made, options=options))
        if intent.status == "requires_confirmation":
            again: Any = {"idempotency_key": f"{deposit_id}-confirm"}
            intent = self._ask(
                lambda: intents.confirm(intent.id, params=self._confirm, options=again)
            )
        notice = _of_intent(_plain(intent))
        return Opened(intent.id, ""), notice

    def look(self, reference: str) -> Notice | None:
        """Where a session or an intent stands."""
        if reference.startswith("cs_"):
            session = _plain(
                self._ask(lambda: self._client.v1.checkout.sessions.retrieve(reference))
            )
            if session.get("status") == "expired":
                return Failed("card", _deposit(session), "the payment page expired")
            if session.get("payment_status") != "paid":
                return None
            reference = _id_of(session["payment_intent"])
        return _of_intent(
            _plain(self._ask(lambda: self._client.v1.payment_intents.retrieve(reference)))
        )

    def refund(self, payment_id: str, amount: Money, return_id: str) -> RefundAnswer:
        """Send money of an intent back to its card."""
        refund = _plain(
            self._ask(
                lambda: self._client.v1.refunds.create(
                    params={
                        "payment_intent": payment_id,
                        "amount": _cents(amount),
                        "metadata": {"refund": return_id},
                    },
                    options={"idempotency_key": return_id},
                )
            )
        )
        if refund.get("status") in ("failed", "canceled"):
            return RefundAnswer("failed", refund["id"], str(refund.get("failure_reason") or ""))
        return RefundAnswer("done", refund["id"])

    def read(self, headers: Mapping[str, str], body: bytes) -> Notice | None:
        """What a webhook means; its signature is proved first."""
        if not self._webhook_secret:
            raise NotGenuine("no secret is set that webhooks could be proved by")
        try:
            stripe.WebhookSignature.verify_header(
                body, headers.get("stripe-signature", ""), self._webhook_secret, TOLERANCE_S
            )
            event = json.loads(body)
            kind, thing = str(event["type"]), event["data"]["object"]
            return _meaning(kind, thing)
        except stripe.SignatureVerificationError as error:
            raise NotGenuine("the signature is not Stripe's, or old") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotGenuine(f"no event: {error!r}") from error

    def _ask(self, request: Any) -> Any:
        try:
            return request()
        except stripe.CardError as error:
            raise ProviderError(
                f"the card was declined: {error.user_message}", final=True
            ) from error
        except (stripe.APIConnectionError, stripe.RateLimitError) as error:
            raise ProviderError(
                f"Stripe cannot be reached ({error.user_message or error}): try again", final=False
            ) from error
        except stripe.StripeError as error:
            final = (error.http_status or 500) < 500
            raise ProviderError(
                f"Stripe says: {error.user_message or error}", final=final
            ) from error


def _meaning(kind: str, thing: dict[str, Any]) -> Notice | None:
    if kind in _SUCCEEDED:
        if thing["payment_status"] != "paid" or not thing.get("payment_intent"):
            return None
        return _paid(thing, thing["payment_intent"], thing["amount_total"])
    if kind == "payment_intent.succeeded":
        return _of_intent(thing)
    if kind in _ENDED:
        return Failed("card", _deposit(thing), _ENDED[kind])
    if kind in _REFUND:
        own = str((thing.get("metadata") or {}).get("refund", ""))
        payment = thing.get("payment_intent") or ""
        if thing["status"] in ("failed", "canceled"):
            return Undone("card", payment, thing["id"], "refund", own)
        return Returned("card", payment, thing["id"], "refund", _units(thing, thing["amount"]), own)
    if kind == "charge.dispute.funds_withdrawn":
        amount = _units(thing, thing["amount"])
        return Returned("card", thing["payment_intent"], thing["id"], "chargeback", amount)
    if kind == "charge.dispute.funds_reinstated":
        return Undone("card", thing["payment_intent"], thing["id"], "chargeback")
    return None


def _of_intent(intent: dict[str, Any]) -> Notice | None:
    if intent["status"] == "succeeded":
        return _paid(intent, intent["id"], intent.get("amount_received") or intent["amount"])
    if intent["status"] == "canceled":
        return Failed("card", _deposit(intent), "it was cancelled")
    return None


def _paid(thing: dict[str, Any], payment_id: str, cents: int) -> Paid:
    return Paid("card", _deposit(thing), payment_id, _units(thing, cents), str(thing["currency"]))


def _units(thing: dict[str, Any], cents: int) -> Money:
    """An amount of USD; 0 in any other currency, whose cents are not ours."""
    known = str(thing["currency"]).upper() == CURRENCY
    return Money(int(cents) * CENT if known else 0)


def _deposit(thing: dict[str, Any]) -> str:
    return str((thing.get("metadata") or {}).get("deposit", ""))


def _cents(amount: Money) -> int:
    cents, rest = divmod(amount, CENT)
    assert rest == 0, "deposits and refunds of cards are in whole cents"
    return cents


def _id_of(thing: Any) -> str:
    """The id of what may come whole or as its id."""
    return thing if isinstance(thing, str) else str(thing["id"])


def _plain(thing: Any) -> dict[str, Any]:
    found: dict[str, Any] = thing.to_dict()
    return found
