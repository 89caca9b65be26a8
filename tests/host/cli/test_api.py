"""The commands that let customers and programs use the API, that end calls, and completion."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from host.api.passwords import is_right
from host.store.opening import open_writer
from tests.host.cli.test_commands import Operator, operator
from tests.stores import settings_at

__all__ = ["operator"]

ROOT = Path(__file__).parents[3]


def test_a_customer_is_let_in_and_out(operator: Operator) -> None:
    operator.run("account", "add", "alice")
    said = operator.error("api", "enable", "alice", "203.0.113.5")
    assert "`api password alice` first" in said
    made = operator.json("api", "password", "alice")["password"]
    assert len(made) == 20
    enabled = operator.json("api", "enable", "alice", "203.0.113.5", "198.51.100.0/24")
    assert enabled["addresses"] == ["198.51.100.0/24", "203.0.113.5/32"]
    (row,) = operator.json("api", "list")
    assert (row["account"], row["enabled"], row["has_password"]) == ("alice", True, True)
    assert "198.51.100.0/24" in operator.text("api", "list")
    operator.run("api", "addresses", "alice", "2001:db8::1")
    assert operator.json("api", "addresses", "alice") == [{"network": "2001:db8::1/128"}]
    operator.run("api", "addresses", "alice", "--none")
    assert "from nowhere yet" in operator.text("api", "enable", "alice")
    operator.run("api", "disable", "alice")
    assert operator.json("api", "list")[0]["enabled"] is False
    conn = open_writer(operator.database)
    (kept,) = conn.execute("SELECT password FROM api_access").fetchone()
    assert made not in kept
    assert is_right(made, kept)
    assert not is_right("guess", kept)


def test_what_cannot_be_let_in(operator: Operator) -> None:
    operator.run("account", "add", "alice")
    operator.run("account", "add", "alice_home", "--parent", "alice")
    assert "no account 'bob'" in operator.error("api", "password", "bob")
    assert "its main account" in operator.error("api", "password", "alice_home")
    assert "no address or network" in operator.error("api", "addresses", "alice", "home.example")
    assert "no address or network" in operator.error("api", "addresses", "alice", "10.0.0.1/8")


def test_tokens_are_shown_once(operator: Operator) -> None:
    assert operator.json("api", "token", "list") == []
    made = operator.json("api", "token", "add", "prometheus", "--read-only")
    assert made["token"].startswith("lsop_")
    (told,) = operator.json("api", "token", "list")
    assert (told["name"], told["may_write"]) == ("prometheus", False)
    assert made["token"] not in json.dumps(told)
    assert "prometheus" in operator.error("api", "token", "add", "prometheus")
    operator.error("api", "token", "add", "", status=2)
    operator.run("api", "token", "remove", "prometheus")
    assert "`api token list` shows them" in operator.error("api", "token", "remove", "prometheus")


def test_ending_a_call_asks_the_host_of_this_machine(operator: Operator) -> None:
    operator.run("pop", "list")
    assert "is `serve` running" in operator.error("calls", "end", "c1")
    heard: list[bytes] = []

    async def serve(started: threading.Event, stop: threading.Event) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readline())
            writer.write(b'{"ok": {"call_id": "c1"}}\n')
            writer.close()

        path = operator.database.with_name("host1.control")
        async with await asyncio.start_unix_server(answer, path):
            started.set()
            await asyncio.to_thread(stop.wait)

    started, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve(started, stop)))
    thread.start()
    assert started.wait(5)
    assert operator.json("calls", "end", "c1") == {"call_id": "c1"}
    stop.set()
    thread.join(5)
    assert json.loads(heard[0]) == {"do": "end", "call_id": "c1"}
    conn = open_writer(operator.database)
    conn.execute(
        "INSERT INTO call (call_id, state, host_id, boot_id, account, account_id, direction, "
        "caller, callee, started_utc_ms, started_mono_ms) "
        "VALUES ('c2', 'open', 'host2', 'b', 'alice', 1, 'out', '+1', '+2', 0, 0)"
    )
    assert "is on host2" in operator.error("calls", "end", "c2")
    assert operator.json("calls")[0]["call_id"] == "c2"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_a_shell(operator: Operator, shell: str) -> None:
    script = operator.text("completion", shell)
    assert "_LOOPSTART_HOST_COMPLETE" in script
    assert "bash or zsh or fish" in operator.error("completion", "csh", status=2)


def test_what_is_completed() -> None:
    """As bash asks: `loopstart-host api t<TAB>`, `loopstart-host calls <TAB>`."""

    def completed(words: str) -> list[str]:
        asked = {
            "_LOOPSTART_HOST_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        ran = subprocess.run(
            [sys.executable, "-m", "host.cli.main"],
            env={**os.environ, **asked, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return ran.stdout.split()

    assert completed("loopstart-host api t") == ["token"]
    assert "end" in completed("loopstart-host calls ")
    assert {"serve", "calls", "api"} <= set(completed("loopstart-host "))


def test_serve_starts_what_is_configured_beside_the_calls(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from host.cli.config import load
    from host.cli.context import Context
    from host.cli.serve import companions

    def names(text: str) -> list[str]:
        operator.config.write_text(f"{settings_at(operator.database)}\n{text}")
        return list(companions(Context(load(operator.config), False, operator.config)))

    for name in list(os.environ):
        if name.startswith("LOOPSTART_"):
            monkeypatch.delenv(name)
    off = "[api]\nenabled = false\n[fees]\nenabled = false\n"
    mail = '[mail]\nhost = "mail.example"\nsender = "a@example.net"\n'
    assert names("") == ["api", "fees"]
    assert names(off) == []
    assert names(mail) == ["api", "fees", "mail"]
    monkeypatch.setenv("LOOPSTART_STRIPE_SECRET_KEY", "sk_test_x")
    assert "webhooks" in names(off)
    operator.config.write_text('[api]\naddress = "localhost"\n')
    assert "write an IP address" in operator.error("pop", "list", status=2)


def test_a_carrier_is_taken_out_of_use_and_back(operator: Operator) -> None:
    operator.run("carrier", "add", "north", "192.0.2.9")
    operator.run("account", "add", "alice")
    quote = ("rates", "quote", "5145550100", "--account", "alice")
    assert operator.json(*quote)["carriers"] == "north"
    operator.run("carrier", "disable", "north")
    assert "no carrier" in operator.error(*quote)
    assert operator.json("carrier", "list")[0]["enabled"] == 0
    operator.run("carrier", "enable", "north")
    assert operator.json(*quote)["carriers"] == "north"
    assert "`carrier list` shows them" in operator.error("carrier", "disable", "south")


def test_registrations_and_how_the_host_is_doing(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from host.cli import live
    from tests.host.api.test_metrics import figures
    from tests.host.api.test_v1_methods import binding

    operator.run("account", "add", "alice")
    assert operator.json("registrations") == []  # of a host that is away: what the store has
    assert "is `serve` running" in operator.error("status")

    def told(_path: str, do: str, account_id: int = 0, after: int = 0) -> object:
        if do == "figures":
            return figures()
        return [binding(account_id or 1)] if after == 0 else []

    monkeypatch.setattr(live, "Services", functools.partial(live.Services, ask=told))
    monkeypatch.setattr(live, "ask", told)
    (row,) = operator.json("registrations")
    assert (row["account"], row["pop"], row["transport"]) == ("alice", "toronto1", "tls")
    assert operator.json("registrations", "alice") == [row]
    assert "198.51.100.7" in operator.text("registrations")
    assert "`account list`" in operator.error("registrations", "bob")
    assert operator.json("status")["outcomes"]["answered"] == 5
    shown = operator.text("status")
    assert "5 answered" in shown
    assert "authorize p99" in shown
