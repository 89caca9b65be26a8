"""/api/v2 as an operator's program sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from host.api import access
from host.charging.values import Now
from host.control_client import Refused
from tests.host.api.test_v1_methods import binding
from tests.host.api.world import ELSEWHERE, NOON, ApiWorld, Program, sql
from tests.stores import octets

# --- who may ask -------------------------------------------------------------------------------


def test_without_a_token_nothing_is_told(program: Program) -> None:
    for path in ("/accounts", "/calls", "/decks", "/cdrs", "/registrations"):
        for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}):
            answer = program.client.get(f"/api/v2{path}", headers=headers)
            assert answer.status_code == 401
            assert "loopstart-host api token add" in answer.json()["detail"]
    assert program.client.get("/metrics").status_code == 401
    assert program.client.get("/api/v2/openapi.json").status_code == 200


def test_a_token_that_may_read_alone_changes_nothing(program: Program) -> None:
    token = access.add_token(program.api.conn, Now(NOON, 0), "reader", False)
    reader = Program(program.api, program.client, token)
    assert reader.get("/accounts")["items"]
    assert "may read alone" in reader.problem("POST", "/accounts", 403, json={"username": "bob"})
    access.remove_token(program.api.conn, "reader")
    reader.problem("GET", "/accounts", 401)


def test_who_guesses_tokens_is_locked_out(apis: Callable[..., ApiWorld]) -> None:
    api = apis(lockout_failures=3, lockout_s=60)
    token = access.add_token(api.conn, Now(NOON, 0), "program", True)
    with api.client(ELSEWHERE) as client:
        guess = Program(api, client, "guess")
        for _ in range(3):
            guess.problem("GET", "/accounts", 401)
        guess.problem("GET", "/accounts", 429)
        Program(api, client, token).problem("GET", "/accounts", 429)
    with api.client("192.0.2.200") as client:
        assert Program(api, client, token).get("/accounts")["items"]


def test_the_token_is_kept_as_a_digest_alone(program: Program) -> None:
    token = program.headers["Authorization"].split()[1]
    assert token.encode() not in octets(program.api.conn, program.api.database)
    digest = sql(program.api.conn, "SELECT digest FROM api_token")[0]
    assert (len(digest), token in digest) == (64, False)


# --- accounts ----------------------------------------------------------------------------------


def test_an_account_is_made_changed_and_removed(program: Program) -> None:
    made = program.does("POST", "/accounts", 201, json={"username": "bob", "route": "value"})
    assert len(made["password"]) == 16
    path = "/accounts/bob"
    assert program.get(path)["funds"] == "0.00"
    changed = program.does("PATCH", path, json={"channels": 9, "status": "blocked"})
    assert (changed["channels"], changed["status"], changed["route"]) == (9, "blocked", "value")
    again = program.problem("POST", "/accounts", 409, json={"username": "bob"})
    assert "already" in again
    sub = {"username": "bob_home", "parent": "bob", "password": "horse battery"}
    assert program.does("POST", "/accounts", 201, json=sub)["password"] is None
    assert "sub-accounts" in program.problem("DELETE", path, 409)
    program.does("DELETE", "/accounts/bob_home", 204)
    program.does("DELETE", path, 204)
    assert "GET /api/v2/accounts lists them" in program.problem("GET", path, 404)
    for verb, request in (("PATCH", {"json": {}}), ("DELETE", {})):
        program.problem(verb, path, 404, **request)


def test_what_is_not_described_is_refused_by_field(program: Program) -> None:
    said = program.problem("POST", "/accounts", 422, json={"username": "bob", "colour": "red"})
    assert "body.colour" in said
    said = program.problem("POST", "/accounts", 422, json={"username": "b b", "channels": -1})
    assert "body.username" in said
    assert "body.channels" in said
    program.problem("GET", "/accounts", 422, params={"limit": 0})


def test_lists_come_in_parts(program: Program) -> None:
    for number in range(7):
        program.api.account(f"customer{number}")
    names = [one["username"] for one in program.every("/accounts", limit=3)]
    assert names == ["alice", "alice_home", *(f"customer{number}" for number in range(7))]


def test_funds_and_what_moved_them(program: Program) -> None:
    program.api.call(NOON, 60_000)
    funds = program.get("/accounts/alice_home/funds")
    assert (funds["funds"], funds["available"]) == ("9.9948", "9.9948")
    moved = program.every("/accounts/alice/transactions", limit=1)
    assert [(one["kind"], one["amount"]) for one in moved] == [
        ("call", "-0.0052"),
        ("payment", "10.00"),
    ]
    assert moved[1]["at"] == "2027-01-14T12:00:00Z"


# --- calls -------------------------------------------------------------------------------------


def live_call(api: ApiWorld, host_id: str = "host1") -> None:
    api.conn.execute(
        "INSERT INTO call (call_id, state, host_id, boot_id, account, account_id, direction, "
        "caller, callee, started_utc_ms, started_mono_ms) "
        "VALUES ('live', 'open', ?, 'b', 'alice', 1, 'out', '+1', '+2', ?, 0)",
        (host_id, NOON),
    )


def test_live_calls_are_listed_and_one_is_ended(program: Program) -> None:
    assert program.get("/calls") == {"items": [], "next": None}
    live_call(program.api)
    (call,) = program.get("/calls")["items"]
    assert (call["call_id"], call["started_at"]) == ("live", "2027-01-15T12:00:00Z")
    assert "nobody at" in program.problem("DELETE", "/calls/live", 503)
    program.api.live_answers["end"] = lambda call_id: {"call_id": call_id}
    program.does("DELETE", "/calls/live", 204)
    assert program.api.asked[-1] == ("end", {"call_id": "live"})
    program.api.live_answers["end"] = Refused("no live call live on this host")
    assert "no live call" in program.problem("DELETE", "/calls/live", 409)
    assert "GET /api/v2/calls" in program.problem("DELETE", "/calls/other", 404)


def test_a_call_of_another_host_is_ended_there(program: Program) -> None:
    live_call(program.api, "host2")
    assert "is on host2" in program.problem("DELETE", "/calls/live", 409)


def test_records_by_account_and_time(program: Program) -> None:
    for hour in range(6):
        program.api.call(NOON + hour * 3_600_000, 6_000, account=("alice", "alice_home")[hour % 2])
    ids = [one["call_id"] for one in program.every("/cdrs", limit=2)]
    assert ids == ["c6", "c5", "c4", "c3", "c2", "c1"]
    mine = program.every("/cdrs", account="alice_home", since="2027-01-15T14:00:00Z")
    assert [one["call_id"] for one in mine] == ["c6", "c4"]
    early = program.every("/cdrs", until="2027-01-15T13:00:00")
    assert [(one["call_id"], one["cost"], one["ended_by"]) for one in early] == [
        ("c1", "0.00052", "caller")
    ]


# --- numbers, POPs, carriers ---------------------------------------------------------------------


def test_dids(program: Program) -> None:
    program.does("POST", "/dids", 201, json={"number": "+12125550150", "account": "alice"})
    changed = program.does("PATCH", "/dids/+12125550150", json={"pop": "toronto1", "plan": "flat"})
    assert (changed["monthly"], changed["channels"], changed["pop"]) == ("4.25", 2, "toronto1")
    said = program.problem("PATCH", "/dids/+12125550150", 409, json={"pop": "nowhere"})
    assert "nowhere" in said
    program.does("DELETE", "/dids/+12125550150", 204)
    assert program.get("/dids/+12125550150")["account"] is None
    program.problem("GET", "/dids/+12125550199", 404)
    numbers = [one["number"] for one in program.every("/dids", limit=1)]
    assert numbers == ["+12125550100", "+12125550101", "+12125550150"]


def test_a_did_is_ordered_for_an_account_and_routed(program: Program) -> None:
    program.does("POST", "/dids", 201, json={"number": "+12125550150"})
    path = "/dids/+12125550150"
    asked = {"account": "alice", "pop": "toronto1", "routing": "account:alice_home"}
    program.does("POST", f"{path}/order", json={**asked, "test": True})
    assert program.get(path)["account"] is None
    ordered = program.does("POST", f"{path}/order", json={**asked, "failover_busy": "sys:busy"})
    assert (ordered["routing"], ordered["failover_busy"]) == ("account:alice_home", "sys:busy")
    assert ordered["paid_until"] == "2027-02-15T12:00:00Z"
    assert program.get("/accounts/alice/funds")["funds"] == "9.15"
    assert "taken" in program.problem("POST", f"{path}/order", 409, json=asked)
    changed = program.does("PATCH", path, json={"ring_s": 20, "failover_busy": ""})
    assert (changed["ring_s"], changed["failover_busy"]) == (20, "")
    said = program.problem("PATCH", path, 409, json={"routing": "fwd:9"})
    assert "fwd:9" in said
    poor = {"username": "poor", "password": "horse battery"}
    program.does("POST", "/accounts", 201, json=poor)
    program.does("POST", "/dids", 201, json={"number": "+12125550151"})
    said = program.problem("POST", "/dids/+12125550151/order", 409, json={"account": "poor"})
    assert "0.85 USD a month" in said
    free = {"number": "+18005550150", "plan": "toll-free", "carrier_country": "Canada"}
    assert program.does("POST", "/dids", 201, json=free)["per_minute"] == "0.032"


def test_bounds_of_an_account(program: Program) -> None:
    bounds = {"daily_spend": "5.5", "own_channels": 2, "max_per_minute": "0.1", "countries": "FR"}
    changed = program.does("PATCH", "/accounts/alice_home", json=bounds)
    assert {name: changed[name] for name in bounds} == {
        **bounds, "daily_spend": "5.50", "max_per_minute": "0.10",
    }  # fmt: skip
    none = {"daily_spend": "-1", "own_channels": -1, "max_per_minute": "-1"}
    changed = program.does("PATCH", "/accounts/alice_home", json=none)
    assert [changed[name] for name in none] == [None, None, None]
    assert "XX" in program.problem("PATCH", "/accounts/alice", 409, json={"countries": "XX"})


def test_pops(program: Program) -> None:
    made = program.does("PUT", "/pops/paris", json={"description": "Paris", "country": "France"})
    assert made == {"name": "paris", "description": "Paris", "number": 1003, "country": "France"}
    taken = program.problem("PUT", "/pops/lyon", 409, json={"number": 45})
    assert "number 45" in taken
    assert [one["number"] for one in program.get("/pops")] == [45, 73, 1001, 1002, 1003]


def test_carriers(program: Program) -> None:
    north = {"address": "192.0.2.9", "priority": 1, "username": "us", "secret": "hidden"}
    made = program.does("PUT", "/carriers/north", json=north)
    assert (made["source_port"], made["codecs"]) == (5060, ["PCMU", "PCMA", "G722"])
    off = program.does("PUT", "/carriers/north", json={**north, "enabled": False})
    assert (made["enabled"], off["enabled"]) == (True, False)
    assert "hidden" not in str(program.get("/carriers"))
    assert "another carrier" in program.problem("PUT", "/carriers/south", 409, json=north)
    bad = program.problem("PUT", "/carriers/south", 409, json={"address": "carrier.example"})
    assert "no IP address" in bad
    program.does("DELETE", "/carriers/north", 204)
    program.problem("DELETE", "/carriers/north", 404)


# --- decks ---------------------------------------------------------------------------------------


def test_a_deck_is_imported_and_withdrawn(program: Program) -> None:
    csv = {"headers": {"content-type": "text/csv"}, "content": b"prefix,value\n61,0.5\n"}
    made = program.does("POST", "/decks", 201, params={"name": "new"}, **csv)
    assert (made["imported"], made["effective_at"]) == (1, "2027-01-15T12:00:00Z")
    shown = {one["id"]: one for one in program.get("/decks")}
    assert (shown[made["deck"]]["in_force"], shown[made["deck"]]["name"]) == (True, "new")
    program.does("DELETE", f"/decks/{made['deck']}", 204)
    program.problem("DELETE", f"/decks/{made['deck']}", 404)
    (left,) = program.get("/decks")
    assert "nothing could be called" in program.problem("DELETE", f"/decks/{left['id']}", 409)


def test_faults_of_a_deck_are_told_by_line_and_nothing_is_changed(program: Program) -> None:
    before = program.get("/decks")

    def refused(content: bytes, status: int = 409, **params: str) -> str:
        headers = {"content-type": "text/csv"}
        return program.problem(
            "POST", "/decks", status, params=params, content=content, headers=headers
        )

    assert "line 3: prefix '15x'" in refused(b"prefix,value\n1514,1\n15x,1\n")
    assert "UTF-8" in refused(b"prefix,value\n\xff\xfe,1\n")
    assert "lists them" in refused(b"prefix,cost\n1514,1\n", 404, carrier="nobody")
    assert "text/csv" in program.problem("POST", "/decks", 422, json={})
    assert program.get("/decks") == before


def test_registrations_in_parts_from_host_and_store(program: Program) -> None:
    live = [binding(number) for number in range(1, 6)]

    def told(after: int = 0, **_: Any) -> list[Any]:
        return [one for one in live if one["account_id"] > after]

    program.api.live_answers["registrations"] = told
    seen = []
    after = 0
    while items := program.get("/registrations", after=after, limit=2)["items"]:
        seen += [one["account_id"] for one in items]
        after = seen[-1]
    assert seen == [1, 2, 3, 4, 5]


def test_a_body_that_is_too_long_is_not_read(program: Program) -> None:
    long = b'{"username": "' + b"x" * 300_000 + b'"}'
    headers = {"content-type": "application/json"}
    said = program.problem("POST", "/accounts", 413, content=long, headers=headers)
    assert "at most" in said


@pytest.mark.sqlite_only(reason="a file that cannot be read may be one that is busy")
def test_what_fails_is_told_without_its_insides(program: Program) -> None:
    program.api.conn.execute("DROP VIEW cdr")
    assert "cdr" not in program.problem("GET", "/cdrs", 503)
    program.problem("GET", "/nonsense", 404)
    assert program.raw("PUT", "/accounts").headers["allow"]
