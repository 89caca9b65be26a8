"""PayPal: orders that the customer approves, captures, refunds, and webhooks proved by PayPal.

Needs the extra `payments`. PayPal's library knows no webhooks: each is proved by asking PayPal
(`verify-webhook-signature`), with the very octets that came, since it signs those.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import requests
from apimatic_core.exceptions.auth_validation_exception import AuthValidationException
from paypalserversdk.configuration import Configuration, Environment
from paypalserversdk.exceptions.api_exception import ApiException
from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
from paypalserversdk.models.amount_with_breakdown import AmountWithBreakdown
from paypalserversdk.models.checkout_payment_intent import CheckoutPaymentIntent
from paypalserversdk.models.money import Money as PayPalMoney
from paypalserversdk.models.order_application_context import OrderApplicationContext
from paypalserversdk.models.order_request import OrderRequest
from paypalserversdk.models.purchase_unit_request import PurchaseUnitRequest
from paypalserversdk.models.refund_request import RefundRequest
from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient

from host.charging.money import format_usd, parse_usd
from host.charging.values import Money
from host.funds.notices import (
    CURRENCY,
    Approved,
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
_SIGNED = ("auth-algo", "cert-url", "transmission-id", "transmission-sig", "transmission-time")
"""Headers, after `paypal-`, that PayPal wants back to prove a webhook."""
_LATER = (408, 409, 429)
"""Statuses below 500 at which asking again helps."""


class _At(Configuration):  # type: ignore[misc]
    """The library's configuration, at an address of ours: tests and proxies."""

    def __init__(self, base: str, **options: Any) -> None:
        super().__init__(**options)
        self.base = base

    def get_base_uri(self, server: Any = None) -> str:
        return self.base


class PayPalOrders:
    """One PayPal business account; `PaymentProvider`."""

    method = "paypal"

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        webhook_id: str,
        success_url: str,
        cancel_url: str,
        *,
        sandbox: bool = False,
        api_base: str = "",
    ) -> None:
        """Use the keys of an app; `api_base` is for tests and proxies."""
        self._webhook_id = webhook_id
        self._urls = {"return_url": success_url, "cancel_url": cancel_url}
        environment = Environment.SANDBOX if sandbox else Environment.PRODUCTION
        self._base = api_base or Configuration(environment=environment).get_base_uri()
        self._client = PaypalServersdkClient(
            config=_At(
                self._base,
                environment=environment,
                timeout=TIMEOUT_S,
                client_credentials_auth_credentials=ClientCredentialsAuthCredentials(
                    client_id, client_secret
                ),
            )
        )
        self._token: Any = None

    def open(self, deposit_id: str, amount: Money, description: str) -> Opened:
        """Make an order that the customer approves at PayPal."""
        unit = PurchaseUnitRequest(
            amount=AmountWithBreakdown(currency_code=CURRENCY, value=format_usd(amount)),
            description=description[:127],
            custom_id=deposit_id,
            invoice_id=deposit_id,
        )
        context = OrderApplicationContext(
            shipping_preference="NO_SHIPPING", user_action="PAY_NOW", **self._urls
        )
        order = self._ask(
            lambda: self._client.orders.create_order(
                {
                    "body": OrderRequest(
                        intent=CheckoutPaymentIntent.CAPTURE,
                        purchase_units=[unit],
                        application_context=context,
                    ),
                    "paypal_request_id": deposit_id,
                    "prefer": "return=representation",
                }
            )
        )
        return Opened(order["id"], _link(order, "approve", "payer-action"))

    def look(self, reference: str) -> Notice | None:
        """Where an order stands; one that the customer approved is captured, once."""
        order = self._ask(lambda: self._client.orders.get_order({"id": reference}))
        if order["status"] == "APPROVED":
            order = self._ask(
                lambda: self._client.orders.capture_order(
                    {
                        "id": reference,
                        "paypal_request_id": f"{reference}-capture",
                        "prefer": "return=representation",
                    }
                )
            )
        if order["status"] == "VOIDED":
            return Failed("paypal", _custom(order), "it was cancelled")
        for unit in order.get("purchase_units", ()):
            for capture in unit.get("payments", {}).get("captures", ()):
                if "custom_id" not in capture and "custom_id" in unit:
                    capture["custom_id"] = unit["custom_id"]
                return _of_capture(capture)
        return None

    def refund(self, payment_id: str, amount: Money, return_id: str) -> RefundAnswer:
        """Send money of a capture back."""
        refund = self._ask(
            lambda: self._client.payments.refund_captured_payment(
                {
                    "capture_id": payment_id,
                    "paypal_request_id": return_id,
                    "prefer": "return=representation",
                    "body": RefundRequest(
                        amount=PayPalMoney(currency_code=CURRENCY, value=format_usd(amount)),
                        custom_id=return_id,
                    ),
                }
            )
        )
        if refund.get("status") in ("FAILED", "CANCELLED"):
            why = str((refund.get("status_details") or {}).get("reason", ""))
            return RefundAnswer("failed", refund["id"], why)
        return RefundAnswer("done", refund["id"])

    def read(self, headers: Mapping[str, str], body: bytes) -> Notice | Approved | None:
        """What a webhook means; PayPal is asked whether it is its own first."""
        try:
            event = json.loads(body)
            kind, thing = str(event["event_type"]), event["resource"]
        except (ValueError, KeyError, TypeError) as error:
            raise NotGenuine(f"no event: {error!r}") from error
        self._prove(headers, body)
        try:
            return _meaning(kind, thing)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotGenuine(f"no event: {error!r}") from error

    def _prove(self, headers: Mapping[str, str], body: bytes) -> None:
        if not self._webhook_id:
            raise NotGenuine("no webhook id is set that webhooks could be proved by")
        claim = {name.replace("-", "_"): headers.get(f"paypal-{name}", "") for name in _SIGNED}
        if not all(claim.values()):
            raise NotGenuine("it bears no signature of PayPal")
        claim["webhook_id"] = self._webhook_id
        # The event as it came: written anew, its octets would differ from those signed.
        text = json.dumps(claim)[:-1].encode() + b', "webhook_event": ' + body + b"}"
        request = urllib.request.Request(
            f"{self._base}/v1/notifications/verify-webhook-signature",
            data=text,
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {self._bearer()}",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                status = json.loads(answer.read(65_536)).get("verification_status")
        except urllib.error.HTTPError as error:
            if error.code == 401:
                self._token = None
            elif 400 <= error.code < 500 and error.code not in _LATER:
                raise NotGenuine(f"PayPal does not know its form ({error.code})") from error
            raise ProviderError(
                f"PayPal cannot verify it now ({error.code})", final=False
            ) from error
        except (OSError, ValueError) as error:
            raise ProviderError(f"PayPal cannot be reached ({error})", final=False) from error
        if status != "SUCCESS":
            raise NotGenuine("PayPal says that it is not its own")

    def _bearer(self) -> str:
        auth = self._client.oauth_2
        if self._token is None or auth.is_token_expired(self._token):
            self._token = self._guard(auth.fetch_token)
        return str(self._token.access_token)

    def _ask(self, request: Callable[[], Any]) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._guard(request).text)
        except AuthValidationException as error:
            # The library does not say why it got no token: ask for one, and hear it.
            self._guard(self._client.oauth_2.fetch_token)
            raise ProviderError("PayPal gave no token: try again", final=False) from error
        return found

    @staticmethod
    def _guard(request: Callable[[], Any]) -> Any:
        try:
            return request()
        except ApiException as error:
            code = error.response_code
            final = 400 <= code < 500 and code not in _LATER
            raise ProviderError(f"PayPal says {code}: {_issue(error)}", final=final) from error
        except requests.RequestException as error:
            raise ProviderError(
                f"PayPal cannot be reached ({type(error).__name__}): try again", final=False
            ) from error


def _meaning(kind: str, thing: dict[str, Any]) -> Notice | Approved | None:
    if kind == "CHECKOUT.ORDER.APPROVED":
        return Approved("paypal", thing["id"])
    if kind in ("PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.DENIED", "PAYMENT.CAPTURE.DECLINED"):
        return _of_capture(thing)
    if kind == "CHECKOUT.ORDER.VOIDED":
        return Failed("paypal", _custom(thing), "it was cancelled")
    if kind in ("PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED"):
        capture = _link(thing, "up").rpartition("/")[2]
        if not capture:
            raise ValueError("of which capture?")
        if kind.endswith("REVERSED"):
            return Returned("paypal", capture, thing["id"], "chargeback", _units(thing))
        # A refund of ours bears our id; one made at PayPal inherits the deposit's, if any.
        own = str(thing.get("custom_id", ""))
        own = own if own.startswith("refund-") else ""
        return Returned("paypal", capture, thing["id"], "refund", _units(thing), own)
    if kind == "PAYMENT.REFUND.FAILED":
        own = str(thing.get("custom_id", ""))
        own = own if own.startswith("refund-") else ""
        capture = _link(thing, "up").rpartition("/")[2]
        return Undone("paypal", capture, thing["id"], "refund", own)
    return None


def _of_capture(capture: dict[str, Any]) -> Notice | None:
    if capture["status"] in ("COMPLETED", "REFUNDED", "PARTIALLY_REFUNDED"):
        currency = str(capture["amount"]["currency_code"])
        custom = str(capture.get("custom_id", ""))
        return Paid("paypal", custom, capture["id"], _units(capture), currency)
    if capture["status"] in ("DECLINED", "FAILED"):
        return Failed("paypal", str(capture.get("custom_id", "")), "PayPal declined it")
    return None


def _units(thing: dict[str, Any]) -> Money:
    """An amount of USD; 0 in any other currency."""
    amount = thing["amount"]
    return parse_usd(amount["value"]) if amount["currency_code"] == CURRENCY else Money(0)


def _custom(order: dict[str, Any]) -> str:
    return next((str(unit.get("custom_id", "")) for unit in order.get("purchase_units", ())), "")


def _link(thing: dict[str, Any], *relations: str) -> str:
    links = thing.get("links", ())
    return next((str(one["href"]) for one in links if one.get("rel") in relations), "")


def _issue(error: ApiException) -> str:
    """The first sentence of PayPal's about what is wrong."""
    try:
        answer = json.loads(error.response.text)
        details = answer.get("details") or [{}]
        found = details[0].get("description") or answer.get("message")
        return str(found or answer.get("error_description") or error.reason)
    except (ValueError, AttributeError, TypeError, IndexError):
        return str(error.reason)
