"""Cards and PayPal: over HTTP to providers of our own, by signed webhooks, with lost answers."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from host.charging.values import USD, Money
from host.funds import deposits, refunds
from host.funds.deposits import Outcome
from host.funds.notices import Failed, Opened, Paid, PaymentProvider, ProviderError
from host.funds.paypal_orders import PayPalOrders
from host.funds.stripe_cards import StripeCards
from host.funds.webhooks import MAX_BODY, Reply, receive
from host.store.sqlite import StoreError
from tests.host.charging.world import World
from tests.host.funds.fakes import SECRET, WEBHOOK_ID, FakePayPal, FakeStripe, served

URLS = ("https://host.example/paid", "https://host.example/cancelled")
DOLLARS = Money(25 * USD)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "host.sqlite")
    assert world.account(0, "alice") == 1
    return world


@pytest.fixture
def bank() -> Iterator[tuple[FakeStripe, StripeCards]]:
    fake = FakeStripe()
    with served(fake) as base:
        yield fake, StripeCards("sk_test_1", SECRET, *URLS, api_base=base)


@pytest.fixture
def pal() -> Iterator[tuple[FakePayPal, PayPalOrders]]:
    fake = FakePayPal()
    with served(fake) as base:
        fake.base = base
        yield fake, PayPalOrders("id", "secret", WEBHOOK_ID, *URLS, api_base=base)


def opened(world: World, provider: PaymentProvider, id: str = "d1") -> Opened:
    deposits.open_deposit(world.conn, world.now, id, provider.method, 1, DOLLARS)
    answer = provider.open(id, DOLLARS, "Deposit to account alice")
    deposits.set_reference(world.conn, id, answer.reference)
    return answer


def post(world: World, provider: PaymentProvider, event: tuple[dict[str, str], bytes]) -> Reply:
    def transact(operation: Callable[[Any], Outcome]) -> Outcome:
        world.conn.execute("BEGIN IMMEDIATE")
        outcome = operation(world.conn)
        world.conn.execute("COMMIT")
        return outcome

    reply = receive(provider, transact, world.now, *event)
    world.sound()
    return reply


# --- Stripe ---


def test_a_card_pays_on_a_checkout_page_and_the_webhook_credits_it_once(
    world: World, bank: tuple[FakeStripe, StripeCards]
) -> None:
    fake, cards = bank
    page = opened(world, cards)
    assert page.url.startswith("https://checkout.stripe.example/")
    form = fake.requests[0][2]
    assert form["line_items[0][price_data][currency]"] == "usd"
    assert form["line_items[0][price_data][unit_amount]"] == "2500"
    assert (form["success_url"], form["cancel_url"]) == URLS
    assert cards.look(page.reference) is None
    intent = fake.pay(page.reference)
    done = fake.event("checkout.session.completed", fake.things[page.reference])
    also = fake.event("payment_intent.succeeded", intent)
    answers = [post(world, cards, event) for event in (also, done, done, also)]
    assert [answer.text for answer in answers] == ["credited", "repeated", "repeated", "repeated"]
    assert {answer.status for answer in answers} == {200}
    assert world.funds(1).funds == DOLLARS
    assert cards.look(page.reference) == Paid("card", "d1", intent["id"], DOLLARS, "usd")


def test_the_same_deposit_opens_one_page_though_answers_are_lost(
    world: World, bank: tuple[FakeStripe, StripeCards]
) -> None:
    fake, cards = bank
    fake.answers = [None]
    first = opened(world, cards)
    assert cards.open("d1", DOLLARS, "again") == first
    assert len(fake.things) == 1


def test_webhooks_that_are_not_stripes(world: World, bank: tuple[FakeStripe, StripeCards]) -> None:
    fake, cards = bank
    page = opened(world, cards)
    intent = fake.pay(page.reference)
    headers, body = fake.event("payment_intent.succeeded", intent)
    forged = [
        fake.event("payment_intent.succeeded", intent, "whsec_guessed"),
        fake.event("payment_intent.succeeded", intent, age_s=301),
        (headers, body.replace(b"2500", b"9900")),
        ({}, body),
        ({"Stripe-Signature": "t=x,v1="}, body),
        (headers, b"x" * (MAX_BODY + 1)),
        fake.event("payment_intent.succeeded", {"id": "pi_x"}),
        fake.event("payment_intent.succeeded", None),
    ]
    for event in forged:
        assert post(world, cards, event).status == 400
    mute = StripeCards("sk_test_1", "", *URLS)
    assert post(world, mute, (headers, body)).status == 400
    assert world.funds(1).funds == 0
    assert post(world, cards, fake.event("customer.created", {"id": "cus_1"})).status == 200
    assert post(world, cards, (headers, body)).text == "credited"


def test_a_store_that_cannot_be_written_has_the_webhook_sent_again(
    world: World, bank: tuple[FakeStripe, StripeCards]
) -> None:
    fake, cards = bank
    page = opened(world, cards)
    event = fake.event("payment_intent.succeeded", fake.pay(page.reference))

    def full(operation: object) -> Outcome:
        raise StoreError("the disk is full")

    assert receive(cards, full, world.now, *event).status == 503
    assert post(world, cards, event).text == "credited"


def test_refunds_and_disputes_by_webhook(
    world: World, bank: tuple[FakeStripe, StripeCards]
) -> None:
    fake, cards = bank
    page = opened(world, cards)
    intent = fake.pay(page.reference)
    at = {"payment_intent": intent["id"], "currency": "usd", "metadata": {}}
    refund = {"id": "re_5", "status": "succeeded", "amount": 500, **at}
    dispute = {"id": "dp_1", "status": "needs_response", "amount": 2_000, **at}
    story = [
        ("refund.created", refund, "early"),
        ("payment_intent.succeeded", intent, "credited"),
        ("charge.refund.updated", refund, "repeated"),
        ("charge.dispute.funds_withdrawn", dispute, "returned"),
        ("charge.dispute.funds_withdrawn", dispute, "repeated"),
        ("charge.dispute.funds_reinstated", dispute, "undone"),
        ("refund.failed", refund | {"status": "failed"}, "undone"),
    ]
    for kind, thing, what in story:
        assert post(world, cards, fake.event(kind, thing)).text == what, kind
    assert world.funds(1).funds == DOLLARS


def test_other_ends_of_a_payment(world: World, bank: tuple[FakeStripe, StripeCards]) -> None:
    fake, cards = bank
    page = opened(world, cards)
    session = fake.things[page.reference]
    assert post(world, cards, fake.event("checkout.session.completed", session)).text == (
        "nothing to do"
    ), "a debit that takes days"
    session["status"] = "expired"
    assert cards.look(page.reference) == Failed("card", "d1", "the payment page expired")
    assert post(world, cards, fake.event("checkout.session.expired", session)).text == "failed"
    euros = fake.pay(page.reference) | {"currency": "eur"}
    assert post(world, cards, fake.event("payment_intent.succeeded", euros)).text == "review"
    assert world.funds(1).funds == 0


def test_a_refund_is_asked_once_and_its_webhook_knows_it(
    world: World, bank: tuple[FakeStripe, StripeCards]
) -> None:
    fake, cards = bank
    page = opened(world, cards)
    intent = fake.pay(page.reference)
    post(world, cards, fake.event("payment_intent.succeeded", intent))
    deposit = deposits.by_id(world.conn, "d1")
    assert deposit is not None
    refunds.ask(world.conn, world.now, deposit, Money(10 * USD), "refund-1")
    answers = [cards.refund(intent["id"], Money(10 * USD), "refund-1") for _ in range(2)]
    assert answers[0] == answers[1]
    told = {
        "id": answers[0].reference,
        "status": "succeeded",
        "amount": 1_000,
        "currency": "usd",
        "payment_intent": intent["id"],
        "metadata": {"refund": "refund-1"},
    }
    assert post(world, cards, fake.event("refund.created", told)).text == "repeated"
    assert world.funds(1).funds == 15 * USD


@pytest.mark.parametrize(
    ("answer", "final", "words"),
    [
        ((402, {"error": {"type": "card_error", "message": "Declined."}}), True, "Declined"),
        ((401, {"error": {"message": "Invalid key"}}), True, "Invalid key"),
        ((400, {"error": {"type": "invalid_request_error", "message": "No."}}), True, "No"),
        ((500, {"error": {"type": "api_error", "message": "Oops"}}), False, "Oops"),
        (None, False, "cannot be reached"),
    ],
)
def test_what_stripe_says_no_with(
    bank: tuple[FakeStripe, StripeCards],
    monkeypatch: pytest.MonkeyPatch,
    answer: Any,
    final: bool,
    words: str,
) -> None:
    fake, cards = bank
    monkeypatch.setattr(stripe.RequestsClient, "_sleep_time_seconds", lambda *_, **__: 0)
    fake.answers = [answer] * 3
    with pytest.raises(ProviderError, match=words) as caught:
        cards.open("d1", DOLLARS, "x")
    assert caught.value.final is final


# --- localstripe: PaymentIntents as somebody else understood them ---


@pytest.fixture(scope="module")
def localstripe() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "localstripe", "--port", str(port), "--from-scratch"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{base}/v1/balance", timeout=2).close()
            except urllib.error.HTTPError:
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.05)
        yield base
    finally:
        process.terminate()
        process.wait(10)


def _card(base: str, number: str) -> str:
    client = stripe.StripeClient("sk_test_12345", base_addresses={"api": base})
    card = {"number": number, "exp_month": 12, "exp_year": 2050, "cvc": "123"}
    found = client.v1.payment_methods.create(params={"type": "card", "card": card})  # type: ignore[typeddict-item]
    return str(found.id)


def test_a_saved_card_pays_by_a_payment_intent(world: World, localstripe: str) -> None:
    cards = StripeCards("sk_test_12345", SECRET, *URLS, api_base=localstripe, returns=False)
    deposits.open_deposit(world.conn, world.now, "d1", "card", 1, DOLLARS)
    card = _card(localstripe, "4242424242424242")
    intent, notice = cards.charge_saved("d1", DOLLARS, card)
    assert notice == Paid("card", "d1", intent.reference, DOLLARS, "usd")
    assert cards.look(intent.reference) == notice
    for what in ("credited", "repeated"):
        assert deposits.apply(world.conn, world.now, notice).what == what
    # localstripe forgets idempotency keys and charges again: our ledger does not.
    again, second = cards.charge_saved("d1", DOLLARS, card)
    assert again.reference != intent.reference
    assert second is not None
    assert deposits.apply(world.conn, world.now, second).what == "review"
    assert world.funds(1).funds == DOLLARS
    deposit = deposits.by_id(world.conn, "d1")
    assert deposit is not None
    refunds.ask(world.conn, world.now, deposit, None, "refund-1")
    assert cards.refund(intent.reference, DOLLARS, "refund-1").state == "done"
    # localstripe would refund it again: our ledger does not ask.
    with pytest.raises(ValueError, match=r"there is 0\.00 USD"):
        refunds.ask(world.conn, world.now, deposit, None, "refund-2")
    assert world.funds(1).funds == 0
    world.sound()


def test_a_saved_card_is_declined(world: World, localstripe: str) -> None:
    cards = StripeCards("sk_test_12345", SECRET, *URLS, api_base=localstripe, returns=False)
    declined = _card(localstripe, "4000000000000341")
    with pytest.raises(ProviderError, match="declined") as caught:
        cards.charge_saved("d1", DOLLARS, declined)
    assert caught.value.final


# --- PayPal ---


def test_paypal_pays_when_the_customer_approved(
    world: World, pal: tuple[FakePayPal, PayPalOrders]
) -> None:
    fake, paypal = pal
    page = opened(world, paypal)
    assert page.url == f"https://paypal.example/{page.reference}"
    (unit,) = fake.requests[0][2]["purchase_units"]
    assert unit["amount"] == {"currency_code": "USD", "value": "25.00"}
    assert paypal.open("d1", DOLLARS, "again") == page
    assert paypal.look(page.reference) is None
    fake.orders[page.reference]["status"] = "APPROVED"
    approved = fake.event("CHECKOUT.ORDER.APPROVED", {"id": page.reference})
    assert post(world, paypal, approved).text == "credited"
    (unit,) = fake.orders[page.reference]["purchase_units"]
    (capture,) = unit["payments"]["captures"]
    completed = fake.event("PAYMENT.CAPTURE.COMPLETED", capture)
    assert [post(world, paypal, event).text for event in (completed, approved)] == ["repeated"] * 2
    assert world.funds(1).funds == DOLLARS
    # A refund of ours, told again by webhook; one made at PayPal; a reversal by it.
    deposit = deposits.by_id(world.conn, "d1")
    assert deposit is not None
    refunds.ask(world.conn, world.now, deposit, Money(10 * USD), "refund-1")
    answers = [paypal.refund(capture["id"], Money(10 * USD), "refund-1") for _ in range(2)]
    assert answers[0] == answers[1]
    own = fake.refund(capture["id"], "10.00", "refund-1") | {"id": answers[0].reference}
    theirs = fake.refund(capture["id"], "5.00", "d1")
    reversal = fake.refund(capture["id"], "10.00")
    for kind, thing, what in (
        ("PAYMENT.CAPTURE.REFUNDED", own, "repeated"),
        ("PAYMENT.CAPTURE.REFUNDED", theirs, "returned"),
        ("PAYMENT.CAPTURE.REVERSED", reversal, "returned"),
        ("PAYMENT.CAPTURE.REVERSED", reversal, "repeated"),
        ("PAYMENT.REFUND.FAILED", own, "undone"),
    ):
        assert post(world, paypal, fake.event(kind, thing)).text == what
    assert world.funds(1).funds == 10 * USD


def test_webhooks_that_are_not_paypals(world: World, pal: tuple[FakePayPal, PayPalOrders]) -> None:
    fake, paypal = pal
    opened(world, paypal)
    capture = {
        "id": "C1",
        "status": "COMPLETED",
        "custom_id": "d1",
        "amount": {"currency_code": "USD", "value": "25.00"},
    }
    headers, body = fake.event("PAYMENT.CAPTURE.COMPLETED", capture)
    splice = body[:-1] + b', "webhook_id": "mine"}'
    for event in (
        fake.event("PAYMENT.CAPTURE.COMPLETED", capture, "forged"),
        (headers, body.replace(b"25.00", b"99.00")),
        (headers, splice),
        ({}, body),
        (headers, b"{}"),
        (headers, b"not json"),
        fake.event("PAYMENT.CAPTURE.COMPLETED", {"id": "C1"}),
    ):
        assert post(world, paypal, event).status == 400
    fake.answers = [(503, {})]
    assert post(world, paypal, (headers, body)).status == 503, "PayPal sends it again"
    assert world.funds(1).funds == 0
    assert post(world, paypal, (headers, body)).text == "credited"


def test_what_paypal_says_no_with(pal: tuple[FakePayPal, PayPalOrders]) -> None:
    fake, paypal = pal
    fault = {"name": "UNPROCESSABLE_ENTITY", "message": "No.", "details": [{"description": "Why."}]}
    for answer, final, words in (
        ((422, fault), True, "Why"),
        ((500, {"message": "Oops"}), False, "Oops"),
        ((429, {"message": "Slowly"}), False, "Slowly"),
        (None, False, "cannot be reached"),
    ):
        fake.answers = [answer]
        with pytest.raises(ProviderError, match=words) as caught:
            paypal.open("d2", DOLLARS, "x")
        assert caught.value.final is final
    stranger = PayPalOrders("id", "wrong", WEBHOOK_ID, *URLS, api_base=fake.base)
    with pytest.raises(ProviderError, match="no such client") as caught:
        stranger.open("d2", DOLLARS, "x")
    assert caught.value.final


def test_both_providers_are_imported_only_where_they_are_used() -> None:
    code = (
        "import sys, host.cli.main, host.main; "
        "print([n for n in ('stripe', 'paypalserversdk', 'requests', 'aiosmtplib', 'aiohttp') "
        "if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(re.sub("'", '"', done.stdout)) == []
