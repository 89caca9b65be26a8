"""Rates as an operator handles them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from host.charging.service import Charging
from host.charging.values import BilledLeg, CallFacts, CarrierCost, Ending, Money, Now, Tariff
from host.settings import ChargingSettings
from host.store.opening import open_writer
from tests.host.cli.test_commands import Operator

ROOT = Path(__file__).parents[3]


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    made = Operator(tmp_path)
    made.run("carrier", "add", "north", "192.0.2.9", "--priority", "1")
    made.run("carrier", "add", "south", "192.0.2.8", "--priority", "2")
    return made


@pytest.fixture
def deck(tmp_path: Path) -> Path:
    return tmp_path / "deck.csv"


def at(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")


def test_a_quote_for_anybody_for_an_account_and_for_a_route(operator: Operator) -> None:
    operator.run("account", "add", "alice", "--route", "premium")
    for words, rate, cost in (
        ((), "value 1514", "0.0052"),
        (("--account", "alice"), "premium 1514", "0.01"),
        (("--account", "alice", "--route", "value"), "value 1514", "0.0052"),
        (("--route", "premium", "--seconds", "5"), "premium 1514", "0.001"),
    ):
        found = operator.json("rates", "quote", "5145550100", *words)
        assert (found["rate"], float(found["cost"])) == (rate, float(cost)), words
    # The United States have no value route.
    assert operator.json("rates", "quote", "2125550100")["rate"] == "premium 1"
    assert "no such destination" in operator.error(
        "rates", "quote", "2125550100", "--route", "value"
    )
    assert "may not call abroad" in operator.error(
        "rates", "quote", "01161255501000", "--account", "alice"
    )
    assert operator.json("rates", "quote", "01161255501000")["rate"] == "value 61"
    operator.error("rates", "quote", "5145550100", "--account", "bob")
    operator.error("rates", "quote", "5145550100", "--route", "gold", status=2)


def test_a_deck_is_announced_listed_quoted_and_withdrawn(operator: Operator, deck: Path) -> None:
    deck.write_text("prefix,value\n1514,0.5\n")
    done = operator.json("rates", "import", str(deck), "--from", at(1))
    assert (done["deck"], done["imported"]) == (2, 1)
    states = [(row["deck"], row["state"]) for row in operator.json("rates", "decks")]
    assert states == [(1, "in force"), (2, "announced")]
    for when, expected in ((at(0.9), "0.0052"), (at(1.1), "0.50")):
        found = operator.json("rates", "quote", "5145550100", "--at", when)
        assert found["per_minute"] == expected
    listed = operator.json("rates", "list", "1514", "--deck", "2")
    assert [(row["route"], row["per_minute"]) for row in listed] == [
        ("premium", "0.01"),
        ("value", "0.50"),
    ]
    assert operator.json("rates", "withdraw", "2")["in_force"] == 1
    assert [row["deck"] for row in operator.json("rates", "decks")] == [1]
    assert len(operator.json("rates", "decks", "--all")) == 2
    operator.error("rates", "withdraw", "1")
    assert "is past" in operator.error("rates", "import", str(deck), "--from", at(-1), status=2)
    assert "no instant" in operator.error("rates", "import", str(deck), "--from", "x", status=2)


def test_an_instant_without_a_zone_is_utc(operator: Operator, deck: Path) -> None:
    deck.write_text("prefix,value\n1514,0.5\n")
    done = operator.json("rates", "import", str(deck), "--from", "2099-01-31 12:00")
    assert done["effective_utc_ms"] == 4_073_544_000_000
    assert "2099-01-31 12:00:00" in operator.text("rates", "decks")


def test_an_import_says_when_a_deck_that_was_announced_does_not_have_it(
    operator: Operator, deck: Path
) -> None:
    deck.write_text("prefix,value\n1514,0.5\n")
    operator.run("rates", "import", str(deck), "--from", at(1))
    told = operator.text("rates", "import", str(deck))
    assert "deck 2, imported before, takes force after it and does not have them" in told


def test_faults_are_told_by_line_and_counted(operator: Operator, deck: Path) -> None:
    deck.write_text("prefix,value\n" + "1x,1\n" * 30)
    told = operator.error("rates", "import", str(deck))
    assert "line 2: prefix '1x' is not 1 to 15 digits" in told
    assert "line 21:" in told
    assert "line 22:" not in told
    assert "and 10 more faults" in told
    assert len(operator.json("rates", "decks", "--all")) == 1


def test_a_carriers_deck_orders_carriers_and_shows_the_margin(
    operator: Operator, deck: Path
) -> None:
    deck.write_text("prefix,cost\n1,0.004\n")
    operator.run("rates", "import", str(deck), "--carrier", "south")
    found = operator.json("rates", "quote", "5145550100")
    assert (found["carriers"], found["carrier_cost"], found["margin"]) == (
        "south, north",
        "0.004",
        "0.0012",
    )
    assert operator.json("rates", "list", "--carrier", "south")[0]["per_minute"] == "0.004"
    operator.error("rates", "import", str(deck), "--carrier", "west")
    operator.error("rates", "import", str(deck), "--carrier", "south", "--below-cost", status=2)


@pytest.mark.parametrize(
    "switch", [("--account", "alice"), ("--route", "value"), ("--deck", "1")], ids=lambda s: s[0]
)
def test_below_cost_is_allowed_and_forbidden(
    operator: Operator, deck: Path, switch: tuple[str, str]
) -> None:
    operator.run("account", "add", "alice", "--route", "value")
    deck.write_text("prefix,cost\n1,0.04\n")
    for carrier in ("north", "south"):
        operator.run("rates", "import", str(deck), "--carrier", carrier)
    quote = ("rates", "quote", "5145550100", "--account", "alice")
    assert "no carrier (below cost: north takes" in operator.error(*quote)
    operator.run("rates", "below-cost", *switch, "--allow")
    assert operator.json(*quote)["margin"] == "-0.0348"
    (listed,) = operator.json("rates", "below-cost")
    assert listed == {"kind": switch[0][2:], "name": switch[1]}
    operator.run("rates", "below-cost", *switch, "--forbid")
    operator.error(*quote)
    assert operator.json("rates", "below-cost") == []
    operator.error("rates", "below-cost", *switch, status=2)


def test_the_margin_stands_on_the_record_of_a_call(operator: Operator) -> None:
    operator.run("account", "add", "alice")
    operator.run("pay", "alice", "1")
    conn = open_writer(operator.database)
    charging = Charging("host1", "boot1", ChargingSettings())
    instant = Now(1_800_000_000_000, 0)
    call = CallFacts("c1", "alice", 1, "out", "+12125550100", "+15145550100")
    leg = BilledLeg(0, "out", 1, Tariff(Money(520_000)), "value 1514", "value", deck=7)
    charging.authorize(conn, instant, call, (leg,), 3_600_000)
    cost = CarrierCost(9, "north 1", Tariff(Money(300_000), 60, 60))
    charging.answered(conn, instant, "c1", "north", cost)
    charging.settle(conn, instant, "c1", 61_000, Ending("answered", 16, "caller", "north"))
    (cdr,) = operator.json("cdr", "show", "c1")
    assert (cdr["tariff_ref"], cdr["deck"]) == ("value 1514", 7)
    assert (cdr["cost_ref"], cdr["cost_deck"]) == ("north 1", 9)
    assert (cdr["cost"], cdr["carrier_cost"], cdr["margin"]) == ("0.0052", "0.006", "-0.0008")
    shown = operator.text("cdr", "show", "c1")
    assert "margin" in shown
    assert "-0.0008" in shown


def test_the_price_lists_of_numbers_are_shown(operator: Operator) -> None:
    listed = operator.json("rates", "offers")
    assert {row["number"] for row in listed} == {
        "DID New York",
        "DID Winnipeg",
        "toll-free, carrier in United States",
        "toll-free, carrier in Canada",
    }
    assert "0.019" in operator.text("rates", "offers")


def test_a_bar_is_drawn_on_a_terminal_and_nowhere_else(operator: Operator, deck: Path) -> None:
    deck.write_text("prefix,value\n" + "".join(f"{n},0.1\n" for n in range(20_000, 40_000)))
    command = [sys.executable, "-m", "host.cli.main", "--config", str(operator.config)]
    command += ["rates", "import", str(deck), "--json"]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=theirs
        )
        os.close(theirs)
        drawn = b""
        while True:
            try:
                some = screen.read(65_536)
            except OSError:
                break
            if not some:
                break
            drawn += some
        told, _ = process.communicate(timeout=20)
    assert json.loads(told)["imported"] == 20_000
    assert b"writing" in drawn
    assert b"100%" in drawn
    piped = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=30, check=True)
    assert piped.stderr == b""
    assert json.loads(piped.stdout)["deck"] == 3
