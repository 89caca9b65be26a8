"""Deposits over /api/v2, as an operator's program and a provider see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from host.charging import ledger
from host.charging.values import Money, Now
from host.funds import methods
from tests.host.api.world import NOON, Program, sql
from tests.host.funds.fakes import FakePayPal, FakeStripe, served

ALICE = "/accounts/alice"
DEPOSITS = f"{ALICE}/deposits"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (methods.STRIPE_KEY, methods.PAYPAL_ID, methods.PAYPAL_SECRET):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStripe]:
    fake = FakeStripe()
    with served(fake) as base:
        monkeypatch.setenv(methods.STRIPE_KEY, "sk_test_1")
        monkeypatch.setenv(methods.STRIPE_API, base)
        yield fake


@pytest.fixture
def paypal(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePayPal]:
    fake = FakePayPal()
    with served(fake) as base:
        fake.base = base
        monkeypatch.setenv(methods.PAYPAL_ID, "id")
        monkeypatch.setenv(methods.PAYPAL_SECRET, "secret")
        monkeypatch.setenv(methods.PAYPAL_API, base)
        yield fake


def funds(program: Program, account: str = "alice") -> str:
    """What it may spend, once the books are seen to be in balance."""
    assert ledger.check(program.api.conn) == []
    return str(program.get(f"/accounts/{account}/funds")["available"])


def begin(program: Program, method: str, usd: str, **more: Any) -> Any:
    return program.does("POST", DEPOSITS, 201, json={"method": method, "amount": usd, **more})


# --- by card and PayPal ----------------------------------------------------------------------


def test_a_deposit_by_card_from_its_start_to_its_refund(program: Program, bank: FakeStripe) -> None:
    begun = begin(program, "card", "25", id="d1", note="by phone")
    assert begun["url"] == f"https://checkout.stripe.example/{begun['reference']}"
    assert (begun["state"], begun["amount"], begun["note"]) == ("pending", "25.00", "by phone")
    assert begin(program, "card", "25", id="d1", note="by phone") == begun
    assert program.does("POST", f"{DEPOSITS}/d1/check")["state"] == "pending"
    assert funds(program) == "10.00"
    bank.pay(begun["reference"])
    for _ in range(2):
        assert program.does("POST", f"{DEPOSITS}/d1/check")["state"] == "credited"
        assert funds(program) == "35.00"
    again = begin(program, "card", "25", id="d1")
    assert (again["state"], again["url"]) == ("credited", None)
    for _ in range(2):
        back = program.does("POST", f"{DEPOSITS}/d1/refunds", 201, json={"amount": "10", "id": "r"})
        assert (back["state"], back["amount"], back["send_it"]) == ("done", "10.00", False)
        assert funds(program) == "25.00"
    sent = [form for _, path, form in bank.requests if path == "/v1/refunds"]
    assert [form["amount"] for form in sent] == ["1000"]
    (listed,) = program.get(f"{DEPOSITS}/d1/returns")
    assert (listed["id"], listed["kind"], listed["reference"]) == ("r", "refund", back["reference"])


def test_a_deposit_by_paypal_is_taken_once_the_customer_agrees(
    program: Program, paypal: FakePayPal
) -> None:
    begun = begin(program, "paypal", "15.50")
    assert begun["url"] == f"https://paypal.example/{begun['reference']}"
    path = f"{DEPOSITS}/{begun['id']}"
    assert program.does("POST", f"{path}/check")["state"] == "pending"
    paypal.orders[begun["reference"]]["status"] = "APPROVED"
    assert program.does("POST", f"{path}/check")["state"] == "credited"
    assert funds(program) == "25.50"


def test_a_provider_that_is_away_leaves_a_deposit_that_is_begun_again(
    program: Program, bank: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stripe

    monkeypatch.setattr(stripe.RequestsClient, "_sleep_time_seconds", lambda *_, **__: 0)
    asked = {"method": "card", "amount": "25", "id": "d1"}
    bank.answers = [None, None, None]
    said = program.problem("POST", DEPOSITS, 503, json=asked)
    assert "POST it again with the id d1" in said
    said = program.problem("POST", f"{DEPOSITS}/d1/check", 409)
    assert "never reached its provider" in said
    begun = program.does("POST", DEPOSITS, 201, json=asked)
    assert begun["url"]
    bank.answers = [None, None, None]
    assert "ask again" in program.problem("POST", f"{DEPOSITS}/d1/check", 503)
    bank.pay(begun["reference"])
    program.does("POST", f"{DEPOSITS}/d1/check")
    bank.answers = [None, None, None]
    refund = {"amount": "10", "id": "r1"}
    said = program.problem("POST", f"{DEPOSITS}/d1/refunds", 503, json=refund)
    assert "set aside" in said
    assert "with the id r1" in said
    assert [one["state"] for one in program.get(f"{DEPOSITS}/d1/returns")] == ["asked"]
    assert funds(program) == "25.00"
    assert program.does("POST", f"{DEPOSITS}/d1/refunds", 201, json=refund)["state"] == "done"
    assert funds(program) == "25.00"


def test_what_a_provider_refuses_is_told_and_costs_nobody(
    program: Program, bank: FakeStripe
) -> None:
    begun = begin(program, "card", "25", id="d1")
    bank.pay(begun["reference"])
    program.does("POST", f"{DEPOSITS}/d1/check")
    bank.answers = [(400, {"error": {"message": "Not now."}})]
    path = f"{DEPOSITS}/d1/refunds"
    said = program.problem("POST", path, 409, json={"amount": "10", "id": "r1"})
    assert "Not now." in said
    assert "nothing was refunded" in said
    assert funds(program) == "35.00"
    said = program.problem("POST", path, 409, json={"amount": "10", "id": "r1"})
    assert "came to nothing before" in said
    said = program.problem("POST", path, 409, json={"amount": "0.001"})
    assert "whole cents" in said
    assert "25.00 USD that did not go back" in program.problem(
        "POST", path, 409, json={"amount": "25.01"}
    )
    assert funds(program) == "35.00"
    assert [one["state"] for one in program.get(f"{DEPOSITS}/d1/returns")] == ["undone"]


def test_without_keys_there_are_wires_and_what_is_missing_is_told(program: Program) -> None:
    ways = {one["name"]: one for one in program.get("/payment-methods")}
    assert [name for name, one in ways.items() if one["ready"]] == ["wire", "manual"]
    assert methods.STRIPE_KEY in ways["card"]["how"]
    assert (ways["wire"]["minimum"], ways["wire"]["fee"]) == ("100.00", "15.00")
    for method in ("card", "paypal"):
        asked = {"method": method, "amount": "25"}
        assert "are not set up: set LOOPSTART_" in program.problem(
            "POST", DEPOSITS, 409, json=asked
        )
    assert program.every("/deposits") == []


def test_what_is_no_deposit_begins_nothing(program: Program, bank: FakeStripe) -> None:
    def refused(status: int, **asked: Any) -> str:
        return program.problem("POST", DEPOSITS, status, json={"amount": "25", **asked})

    assert "body.method" in refused(422, method="cash")
    assert "body.amount" in refused(422, method="card", amount="-5")
    assert "body.amount" in refused(422, method="card", amount=25)
    assert "body.id" in refused(422, method="card", id="a/b")
    assert "body.saved_card" in refused(422, method="card", saved_card="4242")
    assert "minimum by card, 15.00 USD" in refused(409, method="card", amount="14.99")
    assert "minimum by wire, 100.00 USD" in refused(409, method="wire", amount="99.99")
    assert "whole cents" in refused(409, method="card", amount="20.001")
    assert "pay by card" in refused(409, method="wire", amount="100", saved_card="pm_1")
    assert program.every("/deposits") == []
    assert bank.requests == []


# --- wires -----------------------------------------------------------------------------------


def test_a_wire_is_announced_and_confirmed_less_its_fee(program: Program) -> None:
    wire = begin(program, "wire", "500", id="w1", note="invoice 7")
    assert (wire["state"], wire["url"], funds(program)) == ("pending", None, "10.00")
    path = f"{DEPOSITS}/w1/confirm"
    low = program.problem("POST", path, 409, json={"received": "99"})
    assert "minimum by wire" in low
    assert program.get(f"{DEPOSITS}/w1")["state"] == "pending"
    asked = {"received": "490", "bank_id": "F7/2027"}
    for _ in range(2):
        done = program.does("POST", path, json=asked)
        assert (done["state"], done["amount"], done["fee"]) == ("credited", "490.00", "15.00")
        assert (done["payment_id"], funds(program)) == ("F7/2027", "485.00")
    assert "confirmed before" in program.problem("POST", path, 409, json={"received": "480"})
    assert "was credited" in program.problem("POST", f"{DEPOSITS}/w1/reject", 409, json={})
    other = begin(program, "wire", "1000")
    said = program.problem("POST", f"{DEPOSITS}/{other['id']}/confirm", 409, json=asked)
    assert "as wire w1" in said
    assert program.does("POST", f"{DEPOSITS}/{other['id']}/confirm", json={})["fee"] == "0.00"
    assert funds(program) == "1485.00"


def test_a_wire_that_never_came_is_rejected(program: Program) -> None:
    begin(program, "wire", "100", id="w1")
    for _ in range(2):
        told = program.does("POST", f"{DEPOSITS}/w1/reject", json={"why": "never came"})
        assert (told["state"], told["note"]) == ("failed", "never came")
    assert "was rejected" in program.problem("POST", f"{DEPOSITS}/w1/confirm", 409, json={})
    assert "no provider knows of" in program.problem("POST", f"{DEPOSITS}/w1/check", 409)
    assert "nothing was credited" in program.problem("POST", f"{DEPOSITS}/w1/refunds", 409, json={})
    assert funds(program) == "10.00"


def test_deposits_are_listed_by_state_and_way_in_parts(program: Program) -> None:
    program.api.account("bob")
    for number in range(4):
        program.api.now_ms = NOON + number // 2  # two at one instant
        owner = ("alice", "bob")[number % 2]
        asked = {"method": "wire", "amount": "100", "id": f"w{number}"}
        program.does("POST", f"/accounts/{owner}/deposits", 201, json=asked)
    program.does("POST", f"{DEPOSITS}/w0/confirm", json={})
    program.does("POST", f"{ALICE}/payments", 201, json={"amount": "1", "id": "m"})

    def ids(path: str, **wanted: str) -> list[str]:
        return [one["id"] for one in program.every(path, limit=1, **wanted)]

    assert ids("/deposits") == ["w3", "w2", "manual:m", "w1", "w0"]
    assert ids("/deposits", state="pending") == ["w3", "w2", "w1"]
    assert ids("/accounts/alice_home/deposits", method="wire") == ["w2", "w0"]
    assert ids(DEPOSITS, method="manual", state="credited") == ["manual:m"]
    assert "query.state" in program.problem("GET", DEPOSITS, 422, params={"state": "lost"})


# --- what an operator posts ------------------------------------------------------------------


def test_an_operator_credits_a_payment_once(program: Program) -> None:
    path = f"{ALICE}/payments"
    asked = {"amount": "15", "method": "card", "id": "ch_1", "note": "by phone"}
    for fresh in (True, False):
        told = program.does("POST", path, 201, json=asked)
        assert (told["credited"], told["state"], told["amount"]) == (fresh, "credited", "15.00")
        assert funds(program) == "25.00"
    assert "credited before" in program.problem("POST", path, 409, json={**asked, "amount": "16"})
    assert "needs `id`" in program.problem("POST", path, 409, json={**asked, "id": None})
    assert "minimum by wire" in program.problem("POST", path, 409, json={**asked, "method": "wire"})
    assert "less than" in program.problem("POST", path, 409, json={"amount": "0"})
    assert "body.amount" in program.problem("POST", path, 422, json={"amount": "1e3"})
    assert funds(program) == "25.00"
    program.does("POST", "/accounts/alice_home/payments", 201, json={"amount": "0.5"})
    assert funds(program) == "25.50"


def test_what_was_spent_is_not_refunded_but_a_bank_takes_it(program: Program) -> None:
    asked = {"amount": "20", "method": "card", "id": "ch_1"}
    deposit = program.does("POST", f"{ALICE}/payments", 201, json=asked)["id"]
    ledger.move(program.api.conn, Now(NOON, 0), "fee", "fee:x", 1, -1, Money(25 * 10**8), "month")
    path = f"{DEPOSITS}/{deposit}"
    outside = {"outside": True}
    said = program.problem("POST", f"{path}/refunds", 409, json=outside)
    assert "nothing was refunded" in said
    assert program.get(f"{path}/returns") == []
    assert funds(program) == "5.00"
    back = program.does("POST", f"{path}/refunds", 201, json={"amount": "2", **outside})
    assert (back["state"], back["send_it"], funds(program)) == ("done", True, "3.00")
    for _ in range(2):
        case = program.does("POST", f"{path}/chargebacks", 201, json={"id": "dp_1"})
        assert (case["kind"], case["from_funds"], case["from_debt"]) == (
            "chargeback", "3.00", "15.00",
        )  # fmt: skip
        assert program.get(f"{ALICE}/funds")["debt"] == "15.00"
    said = program.problem("POST", f"{path}/chargebacks", 409, json={"id": back["id"]})
    assert "stands for the refund of ch_1" in said
    said = program.problem("POST", f"{path}/chargebacks", 409, json={"id": "dp_2", "won": True})
    assert "no chargeback dp_2" in said
    said = program.problem("POST", f"{path}/chargebacks", 409, json={"id": "dp_2", "amount": "0"})
    assert "above zero" in said
    program.does("POST", f"{path}/chargebacks", 201, json={"id": "dp_1", "won": True})
    assert (funds(program), program.get(f"{ALICE}/funds")["debt"]) == ("3.00", "0.00")


def test_the_deposits_of_another_customer_are_not_found_and_not_touched(program: Program) -> None:
    program.api.account("bob")
    program.does(
        "POST", "/accounts/bob/deposits", 201, json={"method": "wire", "amount": "150", "id": "w1"}
    )
    paid = program.does("POST", "/accounts/bob/payments", 201, json={"amount": "15", "id": "m"})
    before = program.every("/deposits"), funds(program), funds(program, "bob")
    for name in ("w1", paid["id"]):
        path = f"{DEPOSITS}/{name}"
        for verb, more, asked in (
            ("GET", "", None), ("GET", "/returns", None), ("POST", "/check", None),
            ("POST", "/confirm", {}), ("POST", "/reject", {}), ("POST", "/refunds", {}),
            ("POST", "/chargebacks", {"id": "dp_1"}),
        ):  # fmt: skip
            said = program.problem(verb, f"{path}{more}", 404, json=asked)
            assert "GET /api/v2/accounts/alice/deposits lists them" in said
    asked = {"method": "wire", "amount": "150", "id": "w1"}
    assert "take another id" in program.problem("POST", DEPOSITS, 409, json=asked)
    said = program.problem("POST", f"{ALICE}/payments", 409, json={"amount": "15", "id": "m"})
    assert "credited before" in said
    for path in ("deposits", "payments"):
        program.problem("POST", f"/accounts/nobody/{path}", 404, json=asked)
    assert (program.every("/deposits"), funds(program), funds(program, "bob")) == before
    assert sql(program.api.conn, "SELECT count(*) FROM payment_return")[0] == 0
