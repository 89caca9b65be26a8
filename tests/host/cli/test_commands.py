"""The command line as an operator uses it: real processes, real files."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from host.charging.service import Charging
from host.charging.values import BilledLeg, CallFacts, Ending, Money, Now, Tariff
from host.cli.main import app, hoist
from host.settings import ChargingSettings
from host.store.opening import open_writer
from tests.stores import settings_at


class Operator:
    """Types commands; answers are text or, with --json, values."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "host.sqlite"
        self.config = folder / "host.toml"
        self.config.write_text(f"{settings_at(self.database)}\n")
        self.runner = CliRunner()

    def run(self, *words: str, status: int = 0) -> Any:
        result = self.runner.invoke(app, hoist([*words, "--config", str(self.config)]))
        assert result.exit_code == status, (words, result.output, result.exception)
        return result

    def text(self, *words: str) -> str:
        return str(self.run(*words).stdout)

    def json(self, *words: str) -> Any:
        return json.loads(self.text(*words, "--json"))

    def error(self, *words: str, status: int = 1) -> str:
        result = self.run(*words, status=status)
        assert result.stderr.startswith("error: ")
        return str(result.stderr)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


def test_from_an_empty_file_to_a_quote(operator: Operator) -> None:
    made = operator.json("account", "add", "alice", "--route", "value")
    assert len(made["password"]) == 16
    operator.run("carrier", "add", "north", "192.0.2.9")
    quote = operator.json("rates", "quote", "5145550100", "--account", "alice", "--seconds", "27")
    assert (quote["number"], quote["cost"]) == ("+15145550100", "0.0026")
    assert quote["carriers"] == "north"
    assert "no carrier" not in operator.text("carrier", "list")
    assert operator.text("ledger", "check") == "the ledger is in balance\n"


def test_payments_by_the_rules(operator: Operator) -> None:
    operator.run("account", "add", "alice")
    operator.run("account", "add", "alice_home", "--parent", "alice")
    card = ("--provider", "card", "--id", "ch1")
    assert "minimum by card, 15.00 USD" in operator.error("pay", "alice", "14", *card)
    assert operator.json("pay", "alice_home", "15", *card)["credited"] is True
    assert operator.json("pay", "alice", "15", *card)["credited"] is False
    wire = operator.json("pay", "alice", "100", "--provider", "wire", "--id", "w1")
    assert (wire["fee"], wire["available"]) == ("15.00", "100.00")
    assert operator.json("ledger", "balance", "alice_home")["funds"] == "100.00"
    operator.error("pay", "alice", "15", "--provider", "card", status=2)
    operator.error("pay", "alice", "1,5")
    operator.error("pay", "bob", "15")


def test_dids_and_pops(operator: Operator) -> None:
    operator.run("account", "add", "alice")
    operator.run("did", "add", "2125550100", "--account", "alice")
    assert "did you" not in operator.error("did", "set", "2125550100", "--pop", "toronto")
    operator.run("pop", "add", "toronto", "Toronto, ON")
    operator.run("did", "set", "2125550100", "--pop", "toronto", "--plan", "flat")
    (did,) = operator.json("did", "list")
    assert (did["pop"], did["plan"], did["channels"], did["monthly"]) == (
        "toronto",
        "flat",
        2,
        "4.25",
    )
    operator.run("did", "release", "+12125550100")
    assert operator.json("did", "list")[0]["account"] is None
    operator.error("did", "add", "2125550100", "--plan", "gold", status=2)


def test_accounts_are_changed_and_blocked(operator: Operator) -> None:
    operator.run("account", "add", "alice")
    operator.run("account", "set", "alice", "--channels", "40", "--international")
    shown = operator.json("account", "show", "alice")
    assert (shown["channels"], shown["international"], shown["status"]) == (40, 1, "active")
    operator.run("account", "block", "alice")
    assert operator.json("account", "show", "alice")["status"] == "blocked"
    operator.run("account", "unblock", "alice")
    first = operator.json("account", "password", "alice")["password"]
    assert first != operator.json("account", "password", "alice")["password"]
    assert "`account list` shows them" in operator.error("account", "show", "bob")
    assert "already" in operator.error("account", "add", "alice")
    operator.error("account", "set", "alice", status=2)
    operator.run("account", "remove", "alice")
    assert operator.json("account", "list") == []


def test_calls_and_their_records(operator: Operator) -> None:
    operator.run("account", "add", "alice")
    operator.run("pay", "alice", "1")
    conn = open_writer(operator.database)
    charging = Charging("host1", "boot1", ChargingSettings())
    instant = Now(1_800_000_000_000, 0)
    for call_id in ("c1", "c2"):
        call = CallFacts(call_id, "alice", 1, "out", "+12125550100", "+15145550100")
        leg = BilledLeg(0, "out", 1, Tariff(Money(520_000)), "value 1514", "value")
        charging.authorize(conn, instant, call, (leg,), 3_600_000)
        charging.answered(conn, instant, call_id, "north")
    assert [call["call_id"] for call in operator.json("calls")] == ["c1", "c2"]
    charging.settle(conn, instant, "c1", 60_000, Ending("answered", 16, "caller"))
    (cdr,) = operator.json("cdr", "list", "--account", "alice", "--since", "2027-01-15")
    assert (cdr["call_id"], cdr["cost"], cdr["billed_ms"]) == ("c1", "0.0052", 60_000)
    assert operator.json("cdr", "list", "--disposition", "refused") == []
    assert operator.json("cdr", "list", "--until", "2027-01-15") == []
    assert "value 1514" in operator.text("cdr", "show", "c1")
    operator.error("cdr", "show", "c2")
    lines = operator.text("cdr", "list").splitlines()
    assert [len(lines), "0.0052" in lines[1]] == [2, True]
    conn.execute("UPDATE leg SET cost = 1 WHERE call = 1")
    assert "not in balance" in operator.error("ledger", "check")
    check = json.loads(operator.run("ledger", "check", "--json", status=1).stdout)
    assert check["sound"] is False


def test_rates_are_imported_all_or_nothing(operator: Operator, tmp_path: Path) -> None:
    deck = tmp_path / "deck.csv"
    deck.write_text("prefix,destination,value\n1514,Montreal,0.5\n15x,?,1\n")
    assert "line 3: prefix '15x'" in operator.error("rates", "import", str(deck))
    assert operator.json("rates", "list", "1514")[1]["per_minute"] == "0.0052"
    deck.write_text("\ufeffprefix,destination,value\n1514,Montreal,0.5\n")
    assert operator.json("rates", "import", str(deck))["imported"] == 1
    assert operator.json("rates", "list", "1514")[1]["per_minute"] == "0.50"
    assert len(operator.json("rates", "list")) > 100
    assert operator.json("rates", "import", str(deck), "--replace")["total"] == 1
    operator.error("rates", "import", str(tmp_path / "none.csv"))


def test_a_wrong_configuration_is_status_2(operator: Operator) -> None:
    operator.config.write_text("[sip]\nreelm = 'x'\n")
    assert "host.toml:2: sip.reelm" in operator.error("account", "list", status=2)
    operator.run("nonsense", status=2)


def test_help_has_examples() -> None:
    for words in ([], ["account", "add"], ["rates", "import"], ["did", "add"], ["serve"], ["pay"]):
        shown = CliRunner().invoke(app, [*words, "--help"])
        assert shown.exit_code == 0
        assert "loopstart-host" in shown.stdout


@pytest.mark.sqlite_only(reason="a path that is relative")
def test_serve_hands_the_settings_to_a_process_without_the_command_line(tmp_path: Path) -> None:
    """`python -m host` is stood in for by a module that says what it was given."""
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text(
        f"#!{sys.executable}\n"
        "import sys, os, pickle\n"
        "assert sys.argv[1:4] == ['-m', 'host', '--settings-fd'], sys.argv\n"
        "settings = pickle.loads(os.fdopen(int(sys.argv[4]), 'rb').read())\n"
        "heavy = {'typer', 'rich', 'pydantic', 'host.cli'} & set(sys.modules)\n"
        "print(settings.listeners[0].pop, settings.database, sorted(heavy))\n"
    )
    fake.chmod(0o755)
    config = tmp_path / "host.toml"
    config.write_text('database = "x.sqlite"\n[[listeners]]\npop = "toronto"\n')
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.executable = {str(fake)!r}; from host.cli.main import main; main()",
            "serve",
            "--config",
            str(config),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert ran.stdout.split() == ["toronto", str(tmp_path / "x.sqlite"), "[]"], ran.stderr
    conn = open_writer(tmp_path / "x.sqlite")
    assert conn.execute("SELECT name FROM pop WHERE name = 'toronto'").fetchone()
    assert conn.execute("SELECT count(*) FROM rate").fetchone()[0] > 100


def test_settings_survive_the_pipe() -> None:
    from host.cli.config import parse

    settings = parse("[charging]\nquota_s = 20\n", Path("/x/y.toml"))
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_iax2_for_accounts_and_carriers(operator: Operator) -> None:
    operator.run("account", "add", "alice", "--password", "horse battery")
    assert operator.json("account", "show", "alice")["iax2"] == 0
    assert "password of alice" in operator.error("account", "set", "alice", "--iax2")
    assert "not the password" in operator.error(
        "account", "set", "alice", "--iax2", "--password", "pony"
    )
    operator.run("account", "set", "alice", "--iax2", "--password", "horse battery")
    shown = operator.json("account", "show", "alice")
    assert (shown["iax2"], shown["call_token"], shown["encryption"]) == (1, "yes", "no")
    assert "horse battery" not in json.dumps(shown)
    operator.run("account", "set", "alice", "--no-iax2", "--call-token", "auto")
    assert operator.json("account", "show", "alice")["iax2"] == 0
    made = operator.json("account", "add", "pbx", "--iax2", "--trunk", "--encryption", "offer")
    assert len(made["password"]) == 16
    assert operator.json("account", "show", "pbx")["trunk"] == 1
    assert "yes or no or auto" in operator.error(
        "account", "set", "pbx", "--call-token", "maybe", status=2
    )
    operator.run(
        "carrier", "add", "west", "192.0.2.7", "--transport", "iax2", "--username", "us",
        "--secret", "hidden words", "--trunk",
    )  # fmt: skip
    (west,) = operator.json("carrier", "list")
    assert (west["port"], west["source_port"], west["username"]) == (4569, 4569, "us")
    assert "hidden words" not in json.dumps(west)
    assert "--transport iax2" in operator.error(
        "carrier", "add", "north", "192.0.2.8", "--trunk", status=2
    )
