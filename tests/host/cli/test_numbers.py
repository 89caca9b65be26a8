"""DIDs, what their calls go to, account rules, emergency numbers, fees: as an operator types."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from host.store.opening import open_writer
from tests.host.cli.test_commands import Operator

DID = "+12125550100"


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    operator = Operator(tmp_path)
    operator.run("account", "add", "alice")
    operator.run("account", "add", "desk", "--parent", "alice")
    operator.run("did", "add", DID)
    return operator


def pay(operator: Operator, usd: str) -> None:
    operator.run("pay", "alice", usd, "--provider", "card", "--id", "ch1")


def test_a_did_is_ordered_routed_listed_and_released(operator: Operator) -> None:
    order = ("did", "order", DID, "--account", "alice")
    assert "costs 0.85 USD a month, 0.00 USD is available" in operator.error(*order)
    assert operator.json("did", "list", "--free")[0]["number"] == DID
    pay(operator, "20")
    assert operator.json(*order, "--test")["ordered"] is False
    made = operator.json(*order, "--routing", "account:desk")
    assert made["monthly"] == "0.85"
    assert operator.json("did", "list", "--free") == []
    (row,) = operator.json("did", "list", "--account", "alice")
    assert (row["routing"], row["state"], row["plan"]) == ("account:desk", "active", "per-minute")
    (fee,) = operator.json("fees", "list")
    assert (fee["number"], fee["months"], fee["monthly"]) == (DID, 1, "0.85")
    operator.run("did", "failover", DID, "--busy", "sys:busy", "--ring-s", "20")
    operator.run("did", "route", DID, "account:alice", "--noanswer", "account:desk")
    (row,) = operator.json("did", "list")
    assert (row["failover_busy"], row["failover_noanswer"], row["ring_s"]) == (
        "sys:busy", "account:desk", 20,
    )  # fmt: skip
    assert "fwd:9: this customer has none" in operator.error("did", "route", DID, "fwd:9")
    assert "no voice mail" in operator.error("did", "route", DID, "vm:1")
    operator.error("did", "failover", DID, status=2)
    operator.run("did", "release", DID)
    assert operator.json("did", "list", "--free")[0]["routing"] == ""
    assert operator.text("ledger", "check") == "the ledger is in balance\n"


def test_a_toll_free_number_costs_what_its_carrier_takes(operator: Operator) -> None:
    add = ("did", "add", "+18005550100", "--plan", "toll-free")
    assert "name the carrier's country" in operator.error(*add)
    operator.run(*add, "--carrier-country", "US")
    row = operator.json("did", "list")[1]
    assert (row["monthly"], row["american_callers"], row["canadian_callers"]) == (
        "0.99", "0.019", "0.08",
    )  # fmt: skip


def test_what_a_did_goes_to_is_added_changed_listed_removed(operator: Operator) -> None:
    pay(operator, "20")
    operator.run("did", "order", DID, "--account", "alice")
    mine = ("--account", "alice")
    assert operator.json("forward", "add", "5145550111", *mine)["id"] == 1
    operator.run("forward", "add", "5145550112", *mine, "--id", "1", "--description", "cell")
    (forward,) = operator.json("forward", "list")
    assert (forward["number"], forward["description"]) == ("+15145550112", "cell")
    operator.run("sip-uri", "add", "sip:me@203.0.113.5", *mine)
    assert "no SIP URI" in operator.error("sip-uri", "add", "me@here", *mine)
    operator.run("ring-group", "add", "desk", "account:desk", "fwd:1+10", *mine)
    (group,) = operator.json("ring-group", "list", *mine)
    assert group["members"] == "account:desk fwd:1+10"
    operator.run("caller-filter", "add", "+1900*", "sys:busy", *mine, "--did", DID)
    assert "already" in operator.error(
        "caller-filter", "add", "1900*", "none:", *mine, "--did", DID
    )
    (rule,) = operator.json("caller-filter", "list")
    assert (rule["caller"], rule["routing"], rule["did"]) == ("+1900*", "sys:busy", DID)
    operator.run("did", "route", DID, "grp:1")
    assert f"in use by DID {DID}" in operator.error("ring-group", "remove", "1", *mine)
    assert "in use by ring group 1" in operator.error("forward", "remove", "1", *mine)
    operator.run("did", "route", DID, "")
    for what in ("ring-group", "forward", "sip-uri", "caller-filter"):
        operator.run(what, "remove", "1", *mine)
        assert operator.json(what, "list") == []
        operator.error(what, "remove", "1", *mine)


def test_another_customers_things_are_out_of_reach(operator: Operator) -> None:
    operator.run("account", "add", "bob")
    operator.run("forward", "add", "5145550111", "--account", "bob")
    operator.run("did", "set", DID, "--account", "alice")
    assert "none of that id" in operator.error("did", "route", DID, "fwd:1")
    assert "no such account of this customer" in operator.error("did", "route", DID, "account:bob")
    operator.error("forward", "remove", "1", "--account", "alice")


def test_the_rules_of_an_account(operator: Operator) -> None:
    operator.run(
        "account", "set", "alice", "--daily-spend", "5", "--max-per-minute", "0.05",
        "--max-call-s", "3600", "--networks", "203.0.113.9/24, 10.0.0.1", "--countries", "ca fr",
        "--route-canada", "value", "--protocol", "sip", "--codecs", "pcmu",
    )  # fmt: skip
    shown = operator.json("account", "show", "alice")
    assert (shown["daily_spend"], shown["max_per_minute"], shown["max_call_s"]) == (
        "5.00", "0.05", 3600,
    )  # fmt: skip
    assert shown["networks"] == "203.0.113.0/24,10.0.0.1/32"
    assert (shown["countries"], shown["codecs"]) == ("CA,FR", "PCMU")
    operator.run("account", "set", "alice", "--daily-spend", "none", "--countries", "")
    shown = operator.json("account", "show", "alice")
    assert (shown["daily_spend"], shown["countries"]) == (None, "")
    for option, value, told in (
        ("--countries", "Atlantis", "no country"),
        ("--networks", "here", "no IP address or network"),
        ("--pops", "moon", "no POP"),
        ("--codecs", "opus", "is unknown"),
    ):
        assert told in operator.error("account", "set", "alice", option, value)
    operator.error("account", "set", "alice", "--daily-spend", "much", status=2)


def test_blocked_and_emergency_numbers(operator: Operator) -> None:
    operator.run("blocked", "add", "1900", "--note", "premium")
    operator.run("blocked", "add", "+44", "--account", "desk")
    assert [row["prefix"] for row in operator.json("blocked", "list")] == ["+1900", "+44"]
    assert [row["prefix"] for row in operator.json("blocked", "list", "--account", "alice")] == [
        "+1900"
    ]
    operator.run("blocked", "remove", "+1900")
    assert "not among" in operator.error("blocked", "remove", "+1900")
    assert "no carrier" in operator.error("emergency", "set", "911", "north")
    operator.run("carrier", "add", "north", "192.0.2.9")
    operator.run("emergency", "set", "911", "north", "--send", "9331")
    (row,) = operator.json("emergency", "list")
    assert (row["number"], row["carrier"], row["send"]) == ("911", "north", "9331")
    operator.run("emergency", "remove", "911")
    operator.error("emergency", "remove", "911")


def test_fees_that_are_due_are_taken_once(operator: Operator) -> None:
    pay(operator, "20")
    operator.run("did", "order", DID, "--account", "alice")
    assert operator.json("fees", "run", "--once") == []
    month_ago = round(time.time() * 1000) - 32 * 86_400_000
    conn = open_writer(operator.database)
    conn.execute("UPDATE did_order SET ordered_utc_ms = ?, paid_until_utc_ms = ?", (month_ago,) * 2)
    conn.close()
    (step,) = operator.json("fees", "run", "--once")
    assert (step["number"], step["what"], step["month"], step["amount"]) == (DID, "paid", 1, "0.85")
    assert operator.json("fees", "run", "--once") == []


def test_pops_that_do_not_match_are_shown_and_mended_at_once(operator: Operator) -> None:
    """Page: In order to receive calls properly the registration server and the Point of Presence
    (POP) of the DID must match."""
    operator.config.write_text(
        operator.config.read_text()
        + '[[listeners]]\npop = "toronto"\naddress = "127.0.0.1"\nport = 5062\n'
    )
    operator.run("pop", "add", "toronto")
    operator.run("did", "set", DID, "--account", "alice")
    for number, routing in (("+12125550101", "account:desk"), ("+12125550102", "sys:busy")):
        operator.run("did", "add", number, "--account", "alice")
        operator.run("did", "route", number, routing)
    assert operator.json("did", "check") == []
    conn = open_writer(operator.database)
    soon = round(time.time() * 1000) + 600_000
    for account_id in (1, 2):
        conn.execute(
            "INSERT INTO binding VALUES ('host1', ?, 'k', 'sip:a@b', 'c', 1, '10.0.0.1', 5060, "
            "'127.0.0.1:5062', 1, ?, '', '')",
            (account_id, soon),
        )
    conn.close()
    operator.run("did", "check", status=1)
    listed = {row["number"]: row["pop_mismatch"] for row in operator.json("did", "list")}
    assert listed == {DID: "toronto", "+12125550101": "toronto", "+12125550102": ""}
    assert operator.json("did", "check", "--fix") == {"moved": 2}
    assert operator.json("did", "check") == []
    assert {row["number"]: row["pop"] for row in operator.json("did", "list")} == {
        DID: "toronto", "+12125550101": "toronto", "+12125550102": "default",
    }  # fmt: skip
