"""Payment providers of our own to talk to over HTTP: what of Stripe and PayPal a host uses.

They remember idempotency keys, as the real ones do, and sign their webhooks.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

Answer = tuple[int, Any]
SECRET = "whsec_of_the_test"
WEBHOOK_ID = "WH-1"


class Fake:
    """One HTTP API. `answers` are given before it thinks for itself; None hangs up."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.answers: list[Answer | None] = []
        self.made: dict[str, Any] = {}
        """By idempotency key."""
        self.count = 0

    def handle(self, verb: str, path: str, headers: Any, body: bytes) -> Answer:
        raise NotImplementedError

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def once(self, key: str | None, thing: Any) -> Any:
        return self.made.setdefault(key, thing) if key else thing


@contextlib.contextmanager
def served(fake: Fake) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if fake.answers and not self.path.endswith("/token"):
                given = fake.answers.pop(0)
                if given is None:
                    self.close_connection = True
                    return
                status, thing = given
            else:
                status, thing = fake.handle(self.command, self.path, self.headers, body)
            text = json.dumps(thing).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = answer

        def log_message(self, *words: Any) -> None:
            """Not to standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class FakeStripe(Fake):
    """Checkout sessions, intents, refunds."""

    def __init__(self) -> None:
        super().__init__()
        self.things: dict[str, dict[str, Any]] = {}

    def handle(self, verb: str, path: str, headers: Any, body: bytes) -> Answer:
        if headers["Authorization"] != "Bearer sk_test_1":
            return 401, {"error": {"type": "invalid_request_error", "message": "no such key"}}
        form = dict(parse_qsl(body.decode()))
        self.requests.append((verb, path, form))
        key = headers["Idempotency-Key"]
        if verb == "GET":
            found = self.things.get(path.rpartition("/")[2])
            return (200, found) if found else (404, {"error": {"message": "no such thing"}})
        if path == "/v1/checkout/sessions":
            known = len(self.made)
            session = self.once(key, self._session(form))
            if len(self.made) > known:
                self.things[session["id"]] = session
            return 200, session
        if path == "/v1/refunds":
            intent = self.things[form["payment_intent"]]
            refund = {
                "id": self.new("re_"),
                "object": "refund",
                "status": "succeeded",
                "amount": int(form["amount"]),
                "currency": intent["currency"],
                "payment_intent": intent["id"],
                "metadata": {"refund": form["metadata[refund]"]},
            }
            return 200, self.once(key, refund)
        return 404, {"error": {"message": f"no {path}"}}

    def _session(self, form: dict[str, str]) -> dict[str, Any]:
        found = self.new("cs_test_")
        return {
            "id": found,
            "object": "checkout.session",
            "url": f"https://checkout.stripe.example/{found}",
            "status": "open",
            "payment_status": "unpaid",
            "payment_intent": None,
            "amount_total": int(form["line_items[0][price_data][unit_amount]"]),
            "currency": form["line_items[0][price_data][currency]"],
            "metadata": {"deposit": form["metadata[deposit]"]},
        }

    def pay(self, session_id: str) -> dict[str, Any]:
        """The customer types a card number; answers the intent."""
        session = self.things[session_id]
        intent = {
            "id": self.new("pi_"),
            "object": "payment_intent",
            "status": "succeeded",
            "amount": session["amount_total"],
            "amount_received": session["amount_total"],
            "currency": session["currency"],
            "metadata": session["metadata"],
        }
        self.things[intent["id"]] = intent
        session |= {"status": "complete", "payment_status": "paid", "payment_intent": intent["id"]}
        return intent

    @staticmethod
    def event(
        kind: str, thing: Any, secret: str = SECRET, age_s: int = 0
    ) -> tuple[dict[str, str], bytes]:
        """A signed webhook: headers and body."""
        event = {"id": "evt_1", "object": "event", "type": kind, "data": {"object": thing}}
        body = json.dumps(event, indent=2).encode()
        at = int(time.time()) - age_s
        sign = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        return {"Stripe-Signature": f"t={at},v1={sign}"}, body


class FakePayPal(Fake):
    """Tokens, orders, captures, refunds, and the proof of webhooks."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: dict[str, dict[str, Any]] = {}
        self.base = ""

    def handle(self, verb: str, path: str, headers: Any, body: bytes) -> Answer:
        if path == "/v1/oauth2/token":
            basic = "Basic " + base64.b64encode(b"id:secret").decode()
            if headers["Authorization"] != basic:
                return 401, {"error": "invalid_client", "error_description": "no such client"}
            return 200, {"access_token": "T", "token_type": "Bearer", "expires_in": 3_000}
        if headers["Authorization"] != "Bearer T":
            return 401, {"name": "AUTHENTICATION_FAILURE", "message": "no token"}
        if path.endswith("/verify-webhook-signature"):
            return self._verified(body)
        form = json.loads(body) if body else {}
        self.requests.append((verb, path, form))
        key = headers["PayPal-Request-Id"]
        parts = path.strip("/").split("/")
        if parts[1:] == ["checkout", "orders"]:
            return 201, self.once(key, self._order(form))
        if parts[1:3] == ["checkout", "orders"]:
            order = self.orders[parts[3]]
            if parts[4:] == ["capture"] and order["status"] == "APPROVED":
                self._capture(order)
            return 200, order
        if parts[1:3] == ["payments", "captures"] and parts[4] == "refund":
            refund = self.refund(parts[3], form["amount"]["value"], form.get("custom_id", ""))
            return 201, self.once(key, refund)
        return 404, {"name": "RESOURCE_NOT_FOUND", "message": f"no {path}"}

    def refund(self, capture: str, value: str, custom_id: str = "") -> dict[str, Any]:
        """What a refund looks like, in an answer and in a webhook."""
        return {
            "id": self.new("REF"),
            "status": "COMPLETED",
            "custom_id": custom_id,
            "amount": {"currency_code": "USD", "value": value},
            "links": [{"rel": "up", "href": f"{self.base}/v2/payments/captures/{capture}"}],
        }

    def _order(self, form: dict[str, Any]) -> dict[str, Any]:
        found = self.new("ORDER")
        order = {
            "id": found,
            "status": "CREATED",
            "intent": "CAPTURE",
            "purchase_units": form["purchase_units"],
            "links": [{"rel": "approve", "href": f"https://paypal.example/{found}"}],
        }
        return self.orders.setdefault(found, order)

    def _capture(self, order: dict[str, Any]) -> None:
        (unit,) = order["purchase_units"]
        capture = {
            "id": self.new("CAPTURE"),
            "status": "COMPLETED",
            "amount": unit["amount"],
            "custom_id": unit["custom_id"],
        }
        unit["payments"] = {"captures": [capture]}
        order["status"] = "COMPLETED"

    def _verified(self, body: bytes) -> Answer:
        claim = json.loads(body)
        # PayPal signs the octets of the event: whoever writes them anew is not believed.
        event = body.partition(b'"webhook_event": ')[2][:-1]
        good = claim["webhook_id"] == WEBHOOK_ID and claim["transmission_sig"] == _sign(event)
        return 200, {"verification_status": "SUCCESS" if good else "FAILURE"}

    @staticmethod
    def event(kind: str, thing: Any, sign: str = "") -> tuple[dict[str, str], bytes]:
        """A webhook: headers and body."""
        body = json.dumps({"event_type": kind, "resource": thing}, indent=1).encode()
        return {
            "PAYPAL-AUTH-ALGO": "SHA256withRSA",
            "PAYPAL-CERT-URL": "https://paypal.example/cert",
            "PAYPAL-TRANSMISSION-ID": "t1",
            "PAYPAL-TRANSMISSION-SIG": sign or _sign(body),
            "PAYPAL-TRANSMISSION-TIME": "2026-01-31T00:00:00Z",
        }, body


def _sign(event: bytes) -> str:
    return hmac.new(b"paypal", event, hashlib.sha256).hexdigest()
