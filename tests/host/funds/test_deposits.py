"""Money in and out by whatever way it comes: minimums, fees, order of notices, debts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.charging import ledger
from host.charging.money import parse_usd
from host.charging.values import USD, Grant, Money, Reason, Refusal
from host.funds import deposits, refunds
from host.funds.notices import Failed, Notice, Paid, Returned, Undone
from tests.host.charging.world import CENT, World, leg


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "host.sqlite")
    assert world.account() == 1
    return world


def opened(world: World, amount: int = 25 * USD, method: str = "card", id: str = "d1") -> None:
    deposits.open_deposit(world.conn, world.now, id, method, 1, Money(amount))


def paid(amount: int = 25 * USD, id: str = "d1", payment: str = "pi_1", **more: str) -> Paid:
    return Paid(more.get("method", "card"), id, payment, Money(amount), more.get("currency", "usd"))


def tell(world: World, notice: Notice) -> str:
    outcome = deposits.apply(world.conn, world.now, notice)
    world.sound()
    return outcome.what


def back(
    amount: int, id: str = "dp_1", kind: str = "chargeback", payment: str = "pi_1"
) -> Returned:
    return Returned("card", payment, id, kind, Money(amount))  # type: ignore[arg-type]


def again(id: str = "dp_1", kind: str = "chargeback") -> Undone:
    return Undone("card", "pi_1", id, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["card", "paypal"])
def test_minimum_amount_of_15_usd_by_card_and_paypal(world: World, method: str) -> None:
    with pytest.raises(ValueError, match=f"less than the minimum by {method}, 15.00 USD"):
        opened(world, 15 * USD - CENT, method)
    opened(world, 15 * USD, method)
    assert tell(world, paid(15 * USD, method=method)) == "credited"
    assert world.funds(1).funds == 15 * USD


@pytest.mark.parametrize(
    ("received", "credited"),
    [("100", "85"), ("250.50", "235.50"), ("999.99", "984.99"), ("1000", "1000"), ("2500", "2500")],
)
def test_wire_under_1000_usd_has_a_fee_of_15_usd(
    world: World, received: str, credited: str
) -> None:
    opened(world, parse_usd(received), "wire", "w1")
    outcome = deposits.confirm_wire(world.conn, world.now, "w1", None)
    assert outcome.what == "credited"
    assert world.funds(1).funds == parse_usd(credited)
    world.sound()


def test_minimum_payment_via_bank_wire_is_100_usd(world: World) -> None:
    with pytest.raises(ValueError, match=r"less than the minimum by wire, 100.00 USD"):
        opened(world, 100 * USD - 1, "wire", "w1")
    opened(world, 100 * USD, "wire", "w1")
    # The bank on the way took its share.
    with pytest.raises(ValueError, match=r"less than the minimum by wire, 100.00 USD"):
        deposits.confirm_wire(world.conn, world.now, "w1", Money(100 * USD - 1))
    assert world.funds(1).funds == 0


def test_currency_of_all_customers_is_usd(world: World) -> None:
    opened(world, id="d2")
    # As much as was asked for, but not of that money.
    assert tell(world, paid(id="d2", payment="pi_2", currency="cad")) == "review"
    opened(world)
    assert tell(world, paid(0, currency="cad")) == "review"
    assert tell(world, paid(0, currency="cad")) == "repeated"
    assert world.funds(1).funds == 0
    # An operator looks, and credits what it came to.
    done = deposits.credit_by_hand(world.conn, world.now, 1, "card", Money(18 * USD), "pi_1")
    assert done == (True, 0)
    found = deposits.find(world.conn, "pi_1")
    assert found is not None
    assert (found.state, found.amount, world.funds(1).funds) == ("credited", 18 * USD, 18 * USD)
    world.sound()


def test_payments_are_added_and_calls_and_other_charges_debited(world: World) -> None:
    opened(world)
    tell(world, paid())
    opened(world, 15 * USD, id="d2")
    tell(world, paid(15 * USD, "d2", "pi_2"))
    assert world.funds(1).funds == 40 * USD
    world.authorize("c", leg(1))
    world.answered("c")
    assert world.settle("c", 60_000) == [CENT]
    assert ledger.take_fee(world.conn, world.now, 1, Money(2 * USD), "month") is None
    assert world.funds(1).funds == 38 * USD - CENT
    world.sound()


def test_prepaid_nothing_is_spent_that_was_not_deposited(world: World) -> None:
    assert isinstance(world.authorize("c1", leg(1)), Refusal)
    opened(world, 15 * USD)
    assert isinstance(world.authorize("c2", leg(1)), Refusal), "opened is not paid"
    tell(world, paid(15 * USD))
    assert isinstance(world.authorize("c3", leg(1)), Grant)
    refused = ledger.take_fee(world.conn, world.now, 1, Money(15 * USD), "month")
    assert isinstance(refused, Refusal), "a call holds some of it"
    world.sound()


def test_a_payment_counts_once_by_the_providers_id(world: World) -> None:
    opened(world)
    assert [tell(world, paid()) for _ in range(3)] == ["credited", "repeated", "repeated"]
    assert tell(world, Failed("card", "d1", "expired")) == "repeated"
    assert world.funds(1).funds == 25 * USD
    # The same session paid by another payment is for a person to look at.
    assert tell(world, paid(payment="pi_2")) == "review"
    assert tell(world, paid(payment="pi_2")) == "repeated"
    assert tell(world, paid(payment="pi_3", id="of another shop")) == "unknown"
    assert world.funds(1).funds == 25 * USD


def test_what_came_differs_from_what_was_asked(world: World) -> None:
    opened(world)
    assert tell(world, paid(24 * USD)) == "review"
    assert world.funds(1).funds == 0


def test_a_deposit_that_failed_may_be_paid_yet(world: World) -> None:
    opened(world)
    assert tell(world, Failed("card", "d1", "expired")) == "failed"
    assert tell(world, paid()) == "credited"


def test_wires_wait_for_an_operator(world: World) -> None:
    opened(world, 200 * USD, "wire", "w1")
    assert world.funds(1).funds == 0
    for what in ("credited", "repeated"):
        done = deposits.confirm_wire(world.conn, world.now, "w1", Money(190 * USD), "bank-7")
        assert (done.what, world.funds(1).funds) == (what, 175 * USD)
    with pytest.raises(ValueError, match=r"confirmed before, with 190.00 USD as bank-7"):
        deposits.confirm_wire(world.conn, world.now, "w1", Money(200 * USD))
    with pytest.raises(ValueError, match="was credited"):
        deposits.reject_wire(world.conn, world.now, "w1", "")
    opened(world, 200 * USD, "wire", "w2")
    with pytest.raises(ValueError, match="credited before, as wire w1"):
        deposits.confirm_wire(world.conn, world.now, "w2", None, "bank-7")
    assert deposits.reject_wire(world.conn, world.now, "w2", "never came").what == "failed"
    assert deposits.reject_wire(world.conn, world.now, "w2", "never came").what == "repeated"
    with pytest.raises(ValueError, match="rejected"):
        deposits.confirm_wire(world.conn, world.now, "w2", None)
    assert world.funds(1).funds == 175 * USD
    world.sound()


def test_a_refund_never_exceeds_what_was_deposited_or_is_left(world: World) -> None:
    opened(world, 200 * USD, "wire", "w1")
    deposits.confirm_wire(world.conn, world.now, "w1", None)
    wire = deposits.find(world.conn, "w1")
    assert wire is not None
    with pytest.raises(ValueError, match=r"there is 185.00 USD"):
        refunds.ask(world.conn, world.now, wire, Money(185 * USD + 1), "r0")
    for _ in range(2):
        assert refunds.ask(world.conn, world.now, wire, Money(100 * USD), "r1")
        assert world.funds(1).funds == 85 * USD
    with pytest.raises(ValueError, match="stands for another"):
        refunds.ask(world.conn, world.now, wire, Money(99 * USD), "r1")
    world.authorize("c", leg(1))
    asked = refunds.ask(world.conn, world.now, wire, None, "r2")
    assert isinstance(asked, Refusal), "a live call holds some of it"
    world.settle("c", 0)
    assert not isinstance(refunds.ask(world.conn, world.now, wire, None, "r2"), Refusal)
    with pytest.raises(ValueError, match=r"there is 0\.00 USD"):
        refunds.ask(world.conn, world.now, wire, None, "r3")
    assert world.funds(1).funds == 0
    world.sound()


def test_a_refund_that_failed_is_given_again_once(world: World) -> None:
    opened(world)
    tell(world, paid())
    deposit = deposits.find(world.conn, "d1")
    assert deposit is not None
    refunds.ask(world.conn, world.now, deposit, Money(10 * USD), "r1")
    told = Returned("card", "pi_1", "re_9", "refund", Money(10 * USD), own_id="r1")
    assert [tell(world, told) for _ in range(2)] == ["repeated"] * 2
    found = refunds.find(world.conn, "card", "r1")
    assert found is not None
    assert (found.state, found.reference) == ("done", "re_9")
    assert world.funds(1).funds == 15 * USD
    failed = Undone("card", "pi_1", "re_9", "refund", own_id="r1")
    assert [tell(world, failed) for _ in range(2)] == ["undone", "repeated"]
    assert world.funds(1).funds == 25 * USD


def test_a_chargeback_of_money_that_was_spent_is_a_debt_that_stops_calls(world: World) -> None:
    opened(world)
    tell(world, paid())
    world.authorize("spent", leg(1))
    world.answered("spent")
    (cost,) = world.settle("spent", 60_000)
    assert isinstance(world.authorize("live", leg(1)), Grant)
    world.answered("live")
    held = world.funds(1).held
    assert held > 0
    assert tell(world, back(25 * USD)) == "returned"
    assert tell(world, back(25 * USD)) == "repeated"
    funds = world.funds(1)
    assert (funds.funds, funds.held, funds.available) == (held, held, 0)
    assert funds.debt == cost + held
    # The live call lives to the end of its quota and gets no more.
    world.ms += 55_000
    assert world.renew("live") == Grant(60_000, 60_000, True)
    refused = world.authorize("next", leg(1))
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.NO_MONEY
    world.settle("live", 1_000)
    left = world.funds(1)
    assert left.funds > 0
    assert left.available == 0, "what the call left belongs to the debt"
    world.sound()
    # The next payment repays first.
    opened(world, 20 * USD, id="d2")
    assert tell(world, paid(20 * USD, "d2", "pi_2")) == "credited"
    assert tell(world, paid(20 * USD, "d2", "pi_2")) == "repeated"
    after = world.funds(1)
    assert after.debt == 0
    assert after.available == left.funds + 20 * USD - left.debt
    assert isinstance(world.authorize("again", leg(1)), Grant)
    world.sound()


def test_a_payment_smaller_than_the_debt_repays_what_it_can(world: World) -> None:
    opened(world, 100 * USD)
    tell(world, paid(100 * USD))
    deposit = deposits.find(world.conn, "d1")
    assert deposit is not None
    refunds.ask(world.conn, world.now, deposit, Money(60 * USD), "r1")
    # The bank takes all of it all the same; no more than came in is ever posted.
    assert tell(world, back(100 * USD)) == "returned"
    assert world.funds(1)[::3] == (0, 0)
    opened(world, 50 * USD, id="d2")
    tell(world, paid(50 * USD, "d2", "pi_2"))
    assert ledger.take_fee(world.conn, world.now, 1, Money(50 * USD), "month") is None
    assert tell(world, back(50 * USD, "dp_2", payment="pi_2")) == "returned"
    assert (world.funds(1).debt, world.funds(1).available) == (50 * USD, 0)
    opened(world, 15 * USD, id="d3")
    tell(world, paid(15 * USD, "d3", "pi_3"))
    assert (world.funds(1).debt, world.funds(1).available) == (35 * USD, 0)
    assert tell(world, Undone("card", "pi_2", "dp_2", "chargeback")) == "undone"
    assert (world.funds(1).debt, world.funds(1).available) == (0, 15 * USD)


NOTICES: tuple[Notice, ...] = (
    paid(),
    back(10 * USD, "re_1", "refund"),
    back(15 * USD, "dp_1"),
    again("dp_1"),
    back(15 * USD, "dp_2"),
    Failed("card", "d1", "expired"),
)


@settings(max_examples=60, deadline=None)
@given(st.permutations([*NOTICES, *NOTICES[:5]]), st.sampled_from([0, 5 * USD]))
def test_whatever_order_and_however_often_notices_come(
    tmp_path_factory: pytest.TempPathFactory, order: list[Notice], spent: int
) -> None:
    world = World(tmp_path_factory.mktemp("funds") / "host.sqlite")
    world.account(spent)
    # One transaction for the story: sixty of them need no disk.
    world.conn.execute("BEGIN")
    opened(world)
    for notice in order:
        tell(world, notice)
    funds = world.funds(1)
    assert funds.funds - funds.debt == spent
    assert funds.available == spent
    world.conn.close()


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        ("UPDATE ledger_account SET debt = debt + 1 WHERE id = 1", "shows a debt of"),
        ("UPDATE deposit SET state = 'pending'", "but the ledger has it"),
        ("UPDATE deposit SET payment_id = 'pi_9'", "but the ledger lacks it"),
        ("UPDATE deposit SET amount = 100", "more than the 100 that were received"),
    ],
)
def test_the_audit_finds_deposits_that_were_tampered_with(
    world: World, tampering: str, found: str
) -> None:
    opened(world)
    tell(world, paid())
    assert tell(world, back(5 * USD)) == "returned"
    world.conn.execute(tampering)
    assert any(found in fault for fault in ledger.check(world.conn))


def test_a_notice_that_was_not_committed_leaves_nothing_and_counts_when_it_comes_again(
    world: World,
) -> None:
    opened(world)
    world.conn.execute("BEGIN IMMEDIATE")
    assert tell(world, paid()) == "credited"
    world.conn.execute("ROLLBACK")
    assert world.funds(1).funds == 0
    assert tell(world, paid()) == "credited"
    assert world.funds(1).funds == 25 * USD
