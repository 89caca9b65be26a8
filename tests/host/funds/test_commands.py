"""Funds from the command line, as an operator works with them."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from host.cli.main import app
from host.funds import methods
from host.store.opening import open_writer
from tests.host.cli.test_commands import Operator
from tests.host.funds.fakes import SECRET, FakeStripe, served
from tests.host.funds.test_mail import Postbox, serving
from tests.stores import settings_at

VARIABLES = (methods.STRIPE_KEY, methods.PAYPAL_ID, methods.PAYPAL_SECRET)


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    operator = Operator(tmp_path)
    operator.run("account", "add", "alice")
    operator.run("account", "add", "alice_home", "--parent", "alice")
    return operator


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStripe]:
    fake = FakeStripe()
    with served(fake) as base:
        monkeypatch.setenv(methods.STRIPE_KEY, "sk_test_1")
        monkeypatch.setenv(methods.STRIPE_API, base)
        yield fake


def funds(operator: Operator) -> str:
    assert operator.text("ledger", "check") == "the ledger is in balance\n"
    return str(operator.json("ledger", "balance", "alice")["available"])


def test_without_keys_there_are_wires_and_the_operator_and_the_host_says_so(
    operator: Operator,
) -> None:
    found = {row["name"]: row for row in operator.json("pay", "methods")}
    ready = {name: row["ready"] for name, row in found.items()}
    assert ready == {"card": False, "paypal": False, "wire": True, "manual": True}
    assert "LOOPSTART_STRIPE_SECRET_KEY" in found["card"]["how"]
    assert (found["card"]["minimum"], found["wire"]["fee_below"]) == ("15.00", "1000.00")
    for by in ("card", "paypal"):
        text = operator.error("deposit", "open", "alice", "25", "--by", by)
        assert "are not set up: set LOOPSTART_" in text
        assert "`pay methods`" in text
    assert operator.json("deposit", "list") == []
    operator.run("pay", "alice", "25")
    assert funds(operator) == "25.00"
    assert "how much" in operator.error("pay", "alice", status=2)


def test_a_deposit_by_card_from_opening_to_refund(operator: Operator, bank: FakeStripe) -> None:
    found = {row["name"]: row for row in operator.json("pay", "methods")}
    assert found["card"]["ready"] is True
    assert "less than the minimum by card, 15.00" in operator.error(
        "deposit", "open", "alice", "14.99"
    )
    assert "whole cents" in operator.error("deposit", "open", "alice", "20.001")
    opened = operator.json("deposit", "open", "alice_home", "25", "--id", "d1")
    assert opened["url"] == f"https://checkout.stripe.example/{opened['reference']}"
    assert opened["url"] in operator.text("deposit", "open", "alice_home", "25", "--id", "d1")
    assert "has not paid yet" in operator.text("deposit", "check", "d1")
    assert funds(operator) == "0.00"
    intent = bank.pay(opened["reference"])
    assert operator.json("deposit", "check", "d1")["outcome"] == "credited"
    assert operator.json("deposit", "check", opened["reference"])["outcome"] == "repeated"
    assert funds(operator) == "25.00"
    operator.error("deposit", "open", "alice", "25", "--id", "d1")
    bank.answers = [(400, {"error": {"message": "Not now."}})]
    assert "nothing was refunded" in operator.error("refund", "d1", "10", "--id", "r0")
    assert funds(operator) == "25.00"
    assert "came to nothing before" in operator.error("refund", "d1", "10", "--id", "r0")
    for _ in range(2):
        assert operator.json("refund", intent["id"], "10", "--id", "r1")["amount"] == "10.00"
        assert funds(operator) == "15.00"
    assert "there is 15.00 USD" in operator.error("refund", "d1", "15.01")
    assert "whole cents" in operator.error("refund", "d1", "0.001")
    assert funds(operator) == "15.00"
    assert operator.json("deposit", "list")[0]["state"] == "credited"
    refunded = [form for _, path, form in bank.requests if path == "/v1/refunds"]
    assert [form["amount"] for form in refunded] == ["1000"]


def test_a_refund_whose_answer_is_lost_is_repeated_and_paid_once(
    operator: Operator, bank: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stripe

    monkeypatch.setattr(stripe.RequestsClient, "_sleep_time_seconds", lambda *_, **__: 0)
    opened = operator.json("deposit", "open", "alice", "25", "--id", "d1")
    bank.pay(opened["reference"])
    operator.run("deposit", "check", "d1")
    bank.answers = [None, None, None]
    text = operator.error("refund", "d1", "10", "--id", "r1")
    assert "set aside, repeat with --id r1" in text
    assert funds(operator) == "15.00"
    (asked,) = operator.json("returns", "--state", "asked")
    assert (asked["id"], asked["amount"], asked["account"]) == ("r1", "10.00", "alice")
    operator.run("refund", "d1", "10", "--id", "r1")
    assert funds(operator) == "15.00"
    assert operator.json("returns", "--account", "alice")[0]["state"] == "done"


def test_wires_wait_are_confirmed_and_rejected(operator: Operator) -> None:
    assert "minimum by wire, 100.00" in operator.error("wire", "add", "alice", "99.99")
    operator.run("wire", "add", "alice", "500", "--id", "w1", "--note", "invoice 7")
    operator.run("wire", "add", "alice", "1000", "--id", "w2")
    operator.run("wire", "add", "alice", "100", "--id", "w3")
    assert funds(operator) == "0.00"
    assert [row["state"] for row in operator.json("wire", "list")] == ["pending"] * 3
    done = operator.json("wire", "confirm", "w1", "--received", "490", "--bank-id", "F7")
    assert (done["outcome"], done["available"]) == ("credited", "475.00")
    again = operator.json("wire", "confirm", "w1", "--received", "490", "--bank-id", "F7")
    assert (again["outcome"], again["available"]) == ("repeated", "475.00")
    assert operator.json("wire", "confirm", "w2")["available"] == "1475.00"
    operator.run("wire", "reject", "w3", "never came")
    assert "was rejected" in operator.error("wire", "confirm", "w3")
    assert "`wire list`" in operator.error("wire", "confirm", "w9")
    lines = operator.text("wire", "list", "--state", "credited").splitlines()
    assert len(lines) == 3
    assert "`wire confirm`" in operator.error("deposit", "check", "w1", status=2)
    assert operator.text("refund", "w1", "75").endswith("now send it\n")
    assert funds(operator) == "1400.00"


def test_a_chargeback_is_owed_and_the_next_payment_repays_it(operator: Operator) -> None:
    operator.run("pay", "alice", "20", "--provider", "card", "--id", "ch_1")
    conn = open_writer(operator.database)
    conn.execute(
        "INSERT INTO movement (kind, key, utc_ms, debit_id, credit_id, amount) "
        "VALUES ('fee', 'fee:month', 0, 1, -1, 500000000)"
    )
    conn.close()
    done = operator.json("chargeback", "ch_1", "--id", "dp_1")
    assert (done["available"], done["debt"]) == ("0.00", "5.00")
    assert operator.json("chargeback", "ch_1", "--id", "dp_1")["outcome"] == "repeated"
    operator.run("pay", "alice", "30", "--provider", "card", "--id", "ch_2")
    assert funds(operator) == "25.00"
    won = operator.json("chargeback", "ch_1", "--id", "dp_1", "--undo")
    assert (won["available"], won["debt"]) == ("45.00", "0.00")
    assert "no chargeback" in operator.error("chargeback", "ch_2", "--undo")
    assert "`deposit list`" in operator.error("chargeback", "ch_9")
    rows = operator.json("transactions", "list", "alice_home")
    told = [(row["kind"], row["amount"], row["funds"]) for row in reversed(rows)]
    assert told == [
        ("payment", "20.00", "20.00"),
        ("fee", "-5.00", "15.00"),
        ("chargeback", "-15.00", "0.00"),
        ("chargeback", "-5.00", "0.00"),
        ("debt", "5.00", "0.00"),
        ("payment", "25.00", "25.00"),
        ("chargeback", "20.00", "45.00"),
    ]
    assert [row["is_debt"] for row in reversed(rows)] == [0, 0, 0, 1, 1, 0, 0]
    assert len(operator.json("transactions", "list", "alice", "--kind", "fee")) == 1
    assert operator.json("transactions", "list", "alice", "--since", "2100-01-01") == []
    assert "-15.00" in operator.text("transactions", "list", "alice")


def test_a_threshold_is_set_and_its_mail_sent(operator: Operator) -> None:
    assert "--email" in operator.error("threshold", "set", "alice", "5")
    assert "no mail address" in operator.error("threshold", "set", "alice", "5", "--email", "alice")
    options = ("--email", "alice@example.net", "--language", "es")
    assert "below already" in operator.text("threshold", "set", "alice", "5", *options)
    shown = operator.json("threshold", "show", "alice_home")
    assert (shown["threshold"], shown["language"]) == ("5.00", "es")
    operator.run("pay", "alice", "6")
    operator.run("threshold", "set", "alice", "6")
    conn = open_writer(operator.database)
    conn.execute(
        "INSERT INTO movement (kind, key, utc_ms, debit_id, credit_id, amount) "
        "VALUES ('fee', 'fee:month', ?, 1, -1, 1)",
        (time.time_ns() // 1_000_000,),
    )
    conn.close()
    (waiting,) = operator.json("mail", "list")
    assert (waiting["state"], waiting["address"]) == ("waiting", "alice@example.net")
    assert "no SMTP server is set" in operator.error("mail", "run", status=2)
    postbox = Postbox()
    with serving(postbox) as port:
        operator.config.write_text(
            f"{settings_at(operator.database)}\n"
            f'[mail]\nhost = "127.0.0.1"\nport = {port}\n'
            'security = "none"\nsender = "billing@host.example"\n'
        )
        postbox.answers = ["451 later"]
        late = operator.run("mail", "run", "--once", "--json", status=1)
        assert json.loads(late.stdout) == {"sent": 0, "put_off": 1, "failed": 0}
        assert operator.json("mail", "list")[0]["tries"] == 1
        operator.run("mail", "retry")
        assert operator.json("mail", "run", "--once")["sent"] == 1
    assert postbox.messages[0]["Subject"] == "Saldo bajo: quedan 5.99 USD en alice"
    assert operator.json("mail", "list", "--state", "sent")[0]["tries"] == 2


def test_a_wrong_mail_setting_names_its_line(operator: Operator) -> None:
    operator.config.write_text(f'{settings_at(operator.database)}\n[mail]\nhost = "127.0.0.1"\n')
    assert "mail.sender: mail needs a sender" in operator.error("mail", "list", status=2)
    operator.config.write_text('[payments]\nsuccess_url = "paid"\n')
    assert ":2: payments.success_url" in operator.error("mail", "list", status=2)


@pytest.mark.parametrize(
    "words",
    [
        *(["deposit", name] for name in ("open", "check", "list", "listen")),
        *(["wire", name] for name in ("add", "confirm", "reject", "list")),
        *(["threshold", name] for name in ("set", "show")),
        *(["mail", name] for name in ("run", "list", "retry")),
        *(["refund"], ["returns"], ["chargeback"], ["transactions", "list"], ["pay"]),
    ],
)
def test_help_has_an_example(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["loopstart-host", "--help"])
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert f"Example: loopstart-host {' '.join(words)}" in " ".join(result.stdout.split())


def test_the_sender_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """A message that comes while it runs is sent; SIGTERM is the shell's `stop`."""
    from host.funds import alerts
    from host.funds.sender import MailSender
    from host.settings import MailSettings
    from tests.host.charging.world import World

    world = World(tmp_path / "host.sqlite")
    world.account(1, "alice")
    alerts.set_alert(world.conn, 1, address="alice@example.net")
    postbox = Postbox()

    async def story(port: int) -> None:
        settings = MailSettings("127.0.0.1", port, "none", sender="billing@host.example", poll_s=1)
        own = open_writer(world.path)
        stop = asyncio.Event()
        task = asyncio.create_task(MailSender(own, settings).run(stop))
        await asyncio.sleep(0.1)
        alerts.queue(world.conn, world.now, 1, "low-balance", "t1", balance=1, threshold=2)
        # The clock of this world is ahead: the message is due at once all the same.
        world.conn.execute("UPDATE outbox SET due_utc_ms = 0")
        for _ in range(300):
            if postbox.messages:
                break
            await asyncio.sleep(0.02)
        stop.set()
        await asyncio.wait_for(task, 5)
        own.close()

    with serving(postbox) as port:
        asyncio.run(story(port))
    assert len(postbox.messages) == 1


def test_webhooks_come_over_http_until_it_is_told_to_stop(
    operator: Operator, bank: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(methods.STRIPE_WEBHOOK, SECRET)
    opened = operator.json("deposit", "open", "alice", "25", "--id", "d1")
    intent = bank.pay(opened["reference"])
    command = [sys.executable, "-m", "host.cli.main", "--config", str(operator.config)]
    process = subprocess.Popen(
        [*command, "deposit", "listen", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+) for card", line)
        assert found, line
        port = int(found[1])
        headers, body = bank.event("payment_intent.succeeded", intent)
        answers = [
            _post(port, path, sent, text)
            for path, sent, text in (
                ("/paypal", headers, body),
                ("/card", {}, body),
                ("/card", headers | {"Content-Length": "99999999"}, b""),
                ("/card", headers | {"Content-Length": "-1"}, b""),
                ("/card", headers, body),
                ("/card", headers, body),
            )
        ]
        assert answers[0][0] == 404
        assert answers[1][0] == 400
        assert [answer[0] for answer in answers[2:4]] == [413, 413]
        assert answers[4:] == [(200, "credited"), (200, "repeated")]
    finally:
        process.terminate()
        assert process.wait(10) == 0
    assert funds(operator) == "25.00"


def _post(port: int, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    conn.request("POST", path, body, headers)
    answer = conn.getresponse()
    text = answer.read().decode()
    conn.close()
    return answer.status, text
