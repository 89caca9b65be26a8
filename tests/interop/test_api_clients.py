"""Three clients that others wrote for VoIP.ms, unmodified, against /api/v1/rest.php."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from host.api import access
from host.numbering.dids import add_did
from tests.host.api.test_v1_methods import binding
from tests.host.api.world import PATH, ApiWorld
from tests.interop.naming_proxy import NamingProxy

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parents[2]
BINARIES = ROOT / ".venv" / "clients" / "bin"
DRIVER = Path(__file__).with_name("client_driver.py")
PASSWORD = "Horse7battery"
JANUARY = ("2024-01-01", "2024-01-31")
NOON = 1_705_320_000_000
"""2024-01-15 12:00:00 UTC: `voipms` asks for nothing that is to come."""

Call = tuple[str, list[Any], dict[str, Any]]


class Tools:
    """The clients, at a host whose customer alice has called and paid."""

    def __init__(self, api: ApiWorld, address: str, folder: Path) -> None:
        self.api = api
        self.address = address
        self.folder = folder
        self.environment = dict(os.environ)

    def asks(self, client: str, *calls: Call, password: str = PASSWORD) -> list[Any]:
        """What a client makes of the answers."""
        asked = {
            "client": client, "address": f"{self.address}{PATH}", "username": "alice",
            "password": password, "calls": calls,
        }  # fmt: skip
        ran = subprocess.run(
            [BINARIES / "python", DRIVER],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=self.environment,
        )
        assert ran.returncode == 0, ran.stderr
        answers: list[Any] = json.loads(ran.stdout)
        return answers

    def runs(self, program: str, *words: str) -> str:
        """What one of `voip-ms-moxad`'s programs prints."""
        ran = subprocess.run(
            [BINARIES / program, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=self.environment,
            cwd=self.folder,
        )
        return ran.stdout + ran.stderr


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[Tools]:
    if not (BINARIES / "get-cdrs").exists():
        pytest.skip("the clients are not installed: `python3 tasks.py test` does it")
    api = ApiWorld(tmp_path, NOON)
    access.set_password(api.conn, "alice", PASSWORD)
    access.set_addresses(api.conn, "alice", ["127.0.0.1"])
    api.call(NOON - 3_600_000, 60_000)
    api.call(NOON - 1_800_000, 0, disposition="busy")
    api.live_answers["registrations"] = lambda account_id: [binding(account_id)]
    with api.serving() as address:
        yield Tools(api, address, tmp_path)
    api.close()


def test_voipms(tools: Tools) -> None:
    sub = ["VoIP", PASSWORD, 1, 1, 2, 1, 1, "default", "ulaw;g722", "auto", "yes"]
    balance, servers, cdr, rates, transactions, dids, moved, made, threshold, status = tools.asks(
        "voipms",
        ("general.get.balance", [True], {}),
        ("general.get.servers_info", [73], {}),
        ("calls.get.cdr", [*JANUARY, -5, True, False, False, False], {"calltype": "outgoing"}),
        ("calls.get.termination_rates", [1, "australia"], {}),
        ("general.get.transaction_history", [*JANUARY], {}),
        ("dids.get.dids_info", [], {"did": 2125550100}),
        ("dids.set.did_pop", [2125550100, 45], {}),
        ("accounts.create.sub_account", sub, {"description": "office"}),
        ("clients.set.client_threshold", [tools.api.alice, 20], {"email": "a@example.net"}),
        ("accounts.get.registration_status", ["alice"], {}),
    )
    assert balance["balance"]["current_balance"] == "9.99480000"
    assert balance["balance"]["calls_today"] == "2"
    assert servers["servers"][0]["server_shortname"] == "newyork7"
    (call,) = cdr["cdr"]
    assert (call["date"], call["total"]) == ("2024-01-15 06:00:00", "0.00520000")
    assert rates["rates"][0]["rate"] == "0.01230000"
    assert transactions["transactions"][0]["ammount"] == "10.00000000"
    assert dids["dids"][0]["routing"] == "account:alice"
    assert moved == {"status": "success"}
    assert tools.api.succeeds("getDIDsInfo", did="2125550100", **who())["dids"][0]["pop"] == "45"
    assert made["account"] == "alice_VoIP"
    assert threshold == {"status": "success"}
    assert (status["registered"], status["registrations"][0]["register_transport"]) == (
        "yes",
        "TLS",
    )
    told, changed, removed, gone, none = tools.asks(
        "voipms",
        ("accounts.get.sub_accounts", [], {"account": "alice_VoIP"}),
        (
            "accounts.set.sub_account",
            [int(made["id"]), PASSWORD, 1, 2, 0, 2, "default", "ulaw", "auto", "yes"],
            {},
        ),
        ("accounts.delete.sub_account", [int(made["id"])], {}),
        ("accounts.get.sub_accounts", [], {"account": "alice_VoIP"}),
        ("calls.get.cdr", ["2023-12-01", "2023-12-02", 0, True, True, True, True], {}),
    )
    assert told["accounts"][0]["description"] == "office"
    assert changed == removed == {"status": "success"}
    assert gone == {"raised": ["TypeError", "There are no accounts"]}
    assert none["raised"][0] == "TypeError"


def test_voipms_told_that_its_password_is_wrong(tools: Tools) -> None:
    (answer,) = tools.asks("voipms", ("general.get.balance", [], {}), password="wrong")
    assert answer["raised"][0] == "TypeError"


def who() -> dict[str, str]:
    return {"api_password": PASSWORD, "address": "127.0.0.1"}


def test_voipms_api(tools: Tools) -> None:
    balance, ip, servers, transactions, dids, made, changed, told, removed, none = tools.asks(
        "voipms-api",
        ("General.get_balance", [True], {}),
        ("General.get_ip", [], {}),
        ("General.get_servers", ["45"], {}),
        ("General.get_transactions", [*JANUARY], {}),
        ("DIDs.get_dids_info", [], {"did": "2125550101"}),
        ("Accounts.create_subaccount", ["VoIP"], {"password": PASSWORD, "description": "office"}),
        ("Accounts.update_subaccount", ["alice_VoIP"], {"description": "shop"}),
        ("Accounts.get_subaccounts", ["alice_VoIP"], {}),
        ("Accounts.delete_subaccount", [0], {}),
        ("General.get_transactions", ["2023-12-01", "2023-12-02"], {}),
    )
    assert balance["balance"]["spent_total"] == "0.00520000"
    assert ip == {"status": "success", "ip": "127.0.0.1"}
    assert servers["servers"][0]["server_pop"] == "45"
    assert transactions["transactions"][0]["type"] == "Deposit"
    assert dids["dids"][0]["billing_type"] == "2"
    assert made["account"] == "alice_VoIP"
    assert changed == {"status": "success", "subacc": "alice_VoIP"}
    assert (told["accounts"][0]["description"], told["accounts"][0]["dtmf_mode"]) == (
        "shop",
        "auto",
    )
    assert removed["status"] == "invalid_id"
    assert none == {"status": "no_transactions"}
    posted = tools.asks("voipms-api", ("VoipMsClient.post", ["getBalance", {"advanced": 1}], {}))
    assert posted == [balance]


@pytest.fixture
def named(tools: Tools) -> Iterator[Tools]:
    """`voip-ms-moxad`, behind a proxy that answers for voip.ms."""
    where = urlsplit(tools.address)
    assert where.hostname is not None
    assert where.port is not None
    proxy = NamingProxy(tools.folder, "voip.ms", (where.hostname, where.port))
    with proxy.running() as address:
        tools.environment |= {
            "HTTPS_PROXY": address, "https_proxy": address, "NO_PROXY": "", "no_proxy": "",
            "REQUESTS_CA_BUNDLE": str(proxy.authority), "HOME": str(tools.folder),
        }  # fmt: skip
        yield tools
    assert proxy.refused == []


def test_voip_ms_moxad(named: Tools) -> None:
    answers = named.asks(
        "voip-ms-moxad",
        ("getBalance", [], {"advanced": "True"}),
        ("getServersInfo", [], {"server_pop": "45"}),
        ("getRegistrationStatus", [], {"account": "alice"}),
        ("getCDR", [], {"date_from": "2024-01-15", "date_to": "2024-01-15", "timezone": "0"}),
        ("getTerminationRates", [], {"route": "2", "query": "brazil"}),
        ("getTransactionHistory", [], dict(zip(("date_from", "date_to"), JANUARY, strict=True))),
        ("getDIDsInfo", [], {"did": "2125550100"}),
        ("setDIDPOP", [], {"did": "2125550100", "pop": "45"}),
        ("setDIDPOP", [], {"did": "2125550100", "pop": "1"}),
    )
    balance, servers, status, cdr, rates, transactions, dids, moved, wrong = answers
    assert balance["balance"]["time_total"] == "00:01:00"
    assert servers["servers"][0]["server_country"] == "Canada"
    assert status["registered"] == "yes"
    assert [one["disposition"] for one in cdr["cdr"]] == ["BUSY", "ANSWERED"]
    assert rates["rates"][0]["rate"] == "0.03310000"
    assert len(transactions["transactions"]) == 1
    assert dids["dids"][0]["pop"] == "73"
    assert moved == {"status": "success"}
    assert wrong == {"raised": ["BadWebCall", "send_request(): Failed status: invalid_serverpop"]}


def test_the_programs_of_voip_ms_moxad(named: Tools) -> None:
    config = named.folder / "voip-ms.conf"
    config.write_text(
        f"authentication:\n    user = alice\n    pass = {PASSWORD}\n"
        "time:\n    timezone = 0\n"
        "cdrs:\n    order (array) = date, callerid, destination, disposition, total, account\n"
        "    title (hash) = date = Date, total = Cost\n"
        "    cdrs-wanted (hash) = answered = 1, busy = 1\n"
        "info:\n    order (array) = did, routing, pop\n"
    )
    days = ("-f", "2024-01-15", "-t", "2024-01-15")
    printed = named.runs("get-cdrs", "-c", str(config), *days, "--cost")
    assert "15145550100" in printed
    assert "0.0052" in printed
    printed = named.runs("get-cdrs", "-c", str(config), "-f", "2023-12-01", "-t", "2023-12-01")
    assert "No CDR records were found" in printed
    printed = named.runs("get-did-info", "-c", str(config))
    assert "2125550100" in printed
    assert "2125550101" in printed


def test_voipms_orders_and_routes_numbers(tools: Tools) -> None:
    add_did(tools.api.conn, "+12125550177", plan="per-minute", pop="newyork7")
    ordered, taken, forward, group, filtered = tools.asks(
        "voipms",
        ("dids.order.order_did", [2125550177, "account:alice", 45, 60, False, 1], {}),
        ("dids.order.order_did", [2125550177, "account:alice", 45, 60, False, 1], {}),
        ("dids.set.forwarding", [5145550100], {"description": "cell"}),
        ("dids.set.ring_group", ["all", "account:alice;account:alice_home", 0], {}),
        (
            "dids.set.caller_id_filtering",
            ["4165551212", "all", "sys:busy"],
            {"note": "bad", "failover_busy": "none:"},
        ),
    )
    assert ordered == {"status": "success"}
    assert taken == {"raised": ["TypeError", "DID Number is already in use"]}
    routed, plan, forwards, groups, filters, *dropped = tools.asks(
        "voipms",
        ("dids.set.did_routing", [2125550177, f"fwd:{forward['forwarding']}"], {}),
        ("dids.set.did_billing_type", [2125550177, 2], {}),
        ("dids.get.forwardings", [], {}),
        ("dids.get.ring_groups", [int(group["ring_group"])], {}),
        ("dids.get.caller_id_filtering", [], {}),
        ("dids.delete.ring_group", [int(group["ring_group"])], {}),
        ("dids.delete.caller_id_filtering", [filtered["filtering"]], {}),
    )
    assert routed == plan == {"status": "success"}
    assert forwards["forwardings"][0]["phone_number"] == "5145550100"
    assert groups["ring_groups"][0]["members"] == "account:alice;account:alice_home"
    assert filters["filtering"][0]["routing"] == "sys:busy"
    assert dropped == [{"status": "success"}] * 2
    used, none = tools.asks(
        "voipms",
        ("dids.delete.forwarding", [int(forward["forwarding"])], {}),
        ("dids.get.ring_groups", [], {}),
    )
    assert used["status"] == "used_forwarding"  # the client knows no word for it
    assert none == {"raised": ["TypeError", "There are no Ring groups"]}


def test_voipms_api_orders_and_routes_numbers(named: Tools) -> None:
    """To make a ring group it asks a second client, whose address nobody can set."""
    add_did(named.api.conn, "+12125550177", plan="flat", pop="newyork7")
    ordered, forward, group, forwards = named.asks(
        "voipms-api",
        ("DIDs.order_did", ["2125550177", "account:alice", "45", 60, 0, 2], {}),
        ("Forwarding.create_forwarding", ["5145550100"], {"description": "cell"}),
        ("RingGroups.create_ring_group", ["all", 0], {"members": "account:alice"}),
        ("Forwarding.get_forwardings", [], {}),
    )
    assert forward == {"status": "success", "forwarding": "5145550100"}  # its own idea of an id
    made = forwards["forwardings"][0]["forwarding"]
    assert ordered["status"] == "success"
    assert named.api.succeeds("getBalance", **who())["balance"]["current_balance"] == "5.74480000"
    changed, told, routed, regrouped, groups, dropped, cancelled = named.asks(
        "voipms-api",
        ("Forwarding.update_forwarding", [made], {"description": "car"}),
        ("Forwarding.get_forwardings", [made], {}),
        ("DIDs.set_did_routing", ["2125550177", f"grp:{group['ring_group']}"], {}),
        ("RingGroups.update_ring_group", [group["ring_group"]], {"language": "fr"}),
        ("RingGroups.get_ring_groups", [group["ring_group"]], {}),
        ("Forwarding.delete_forwarding", [made], {}),
        ("DIDs.cancel_did", ["2125550177"], {}),
    )
    assert changed["status"] == routed["status"] == regrouped["status"] == "success"
    assert told["forwardings"][0]["description"] == "car"
    assert groups["ring_groups"][0]["language"] == "fr"
    assert dropped["status"] == cancelled["status"] == "success"


def test_the_black_list_of_voip_ms_moxad(named: Tools) -> None:
    config = named.folder / "voip-ms.conf"
    config.write_text(
        f"authentication:\n    user = alice\n    pass = {PASSWORD}\n"
        "black-list:\n    did = 2125550100\n"
    )
    said = named.runs("black-list", "-c", str(config), "--busy", "416-555-1212")
    (made,) = named.api.succeeds("getCallerIDFiltering", **who())["filtering"]
    assert (made["callerid"], made["did"]) == ("4165551212", "2125550100"), said
    assert made["routing"] == "sys:busy"
    said = named.runs("black-list", "-c", str(config))
    assert "4165551212" in said
    filtering = made["filtering"]
    said = named.runs("black-list", "-c", str(config), "-H", "-f", filtering, "4165551212")
    (changed,) = named.api.succeeds("getCallerIDFiltering", **who())["filtering"]
    assert changed["routing"] == "sys:hangup", said
    said = named.runs("black-list", "-c", str(config), "-X", "-f", filtering)
    assert named.api.status("getCallerIDFiltering", **who()) == "no_filter", said
