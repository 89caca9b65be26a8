"""Forwards, SIP URIs, ring groups, caller filters and POP mismatches over /api/v2."""

from __future__ import annotations

from typing import Any

import pytest

from host.api.facts import facts, set_facts
from host.control_client import Refused
from tests.host.api.test_v1_methods import binding
from tests.host.api.world import NOON, ApiWorld, Program, sql
from tests.stores import on_postgres

ALICE = "/accounts/alice"
DID = "+12125550100"
SUB_DID = "+12125550101"


@pytest.fixture
def both(program: Program) -> Program:
    """Alice and another customer, bob, who has a DID, too."""
    program.api.account("bob")
    program.does("POST", "/dids", 201, json={"number": "+12125550150", "account": "bob"})
    return program


# --- forwards and SIP URIs -------------------------------------------------------------------


def test_a_forward_is_added_changed_routed_to_and_removed(program: Program) -> None:
    asked = {"number": "+15145550111", "caller_id": DID, "description": "cell"}
    made = program.does("POST", f"{ALICE}/forwards", 201, json=asked)
    assert made == {"id": made["id"], "account": "alice", **asked}
    path = f"{ALICE}/forwards/{made['id']}"
    program.does("PATCH", f"/dids/{DID}", json={"routing": f"fwd:{made['id']}"})
    changed = program.does("PATCH", path, json={"number": "+15145550112", "caller_id": ""})
    assert changed == {**made, "number": "+15145550112", "caller_id": ""}
    assert program.get(path) == changed
    said = program.problem("DELETE", path, 409)
    assert f"in use by DID {DID}" in said
    assert program.get(path) == changed
    program.does("PATCH", f"/dids/{DID}", json={"routing": ""})
    set_facts(program.api.conn, "forwarding", made["id"], {"pause": "1"})
    program.does("DELETE", path, 204)
    assert "GET /api/v2/accounts/alice/forwards" in program.problem("GET", path, 404)
    assert facts(program.api.conn, "forwarding", made["id"]) == {}


def test_what_v2_adds_the_customer_finds_over_v1(program: Program) -> None:
    made = program.does("POST", f"{ALICE}/forwards", 201, json={"number": "+15145550111"})
    (told,) = program.api.succeeds("getForwardings")["forwardings"]
    assert (told["forwarding"], told["phone_number"]) == (str(made["id"]), "5145550111")


def test_a_sip_uri_is_added_changed_and_removed(program: Program) -> None:
    asked = {"uri": "sip:me@203.0.113.5:5070", "description": "PBX"}
    made = program.does("POST", "/accounts/alice_home/sip-uris", 201, json=asked)
    assert made == {"id": made["id"], "account": "alice", **asked}
    path = f"{ALICE}/sip-uris/{made['id']}"
    changed = program.does("PATCH", path, json={"uri": "sips:[2001:db8::5]"})
    assert changed == {**made, "uri": "sips:[2001:db8::5]"}
    program.does("DELETE", path, 204)
    program.problem("DELETE", path, 404)


def test_a_number_that_is_none_and_a_uri_that_is_none_add_nothing(program: Program) -> None:
    forwards, uris = f"{ALICE}/forwards", f"{ALICE}/sip-uris"
    assert "body.number" in program.problem("POST", forwards, 422, json={"number": "none"})
    assert "body.number" in program.problem("POST", forwards, 422, json={})
    assert "body.id" in program.problem(
        "POST", forwards, 422, json={"number": "+15145550111", "id": 7}
    )
    said = program.problem("POST", forwards, 409, json={"number": "+11115550111"})
    assert "no telephone number" in said
    for uri in ("tel:+15145550111", "sip:a b@203.0.113.5", "sip:", f"sip:{'a' * 300}"):
        assert "body.uri" in program.problem("POST", uris, 422, json={"uri": uri})
    assert program.every(forwards) == program.every(uris) == []
    made = program.does("POST", forwards, 201, json={"number": "+15145550111"})
    path = f"{forwards}/{made['id']}"
    program.problem("PATCH", path, 422, json={"number": "5145550112x"})
    program.problem("PATCH", path, 409, json={"number": "+11115550111", "description": "new"})
    assert program.get(path) == made


def test_what_a_store_cannot_keep_is_told(program: Program) -> None:
    """PostgreSQL keeps no text with NUL; a file of SQLite does."""
    path, asked = f"{ALICE}/forwards", {"number": "+15145550111", "description": "a\0b"}
    if not on_postgres():
        assert program.does("POST", path, 201, json=asked)["description"] == "a\0b"
        return
    assert "NUL" in program.problem("POST", path, 422, json=asked)
    assert "NUL" in program.problem("GET", "/deposits", 422, params={"after": "\0"})
    assert program.every(path) == []


# --- ring groups -----------------------------------------------------------------------------


def test_a_ring_group_is_made_its_members_changed_and_removed(program: Program) -> None:
    forward = program.does("POST", f"{ALICE}/forwards", 201, json={"number": "+15145550111"})
    cell = f"fwd:{forward['id']}"
    members = [{"target": "account:alice", "delay_s": 0}, {"target": cell, "delay_s": 10}]
    asked = {"name": "desk", "members": [{"target": "account:alice"}, members[1]]}
    made = program.does("POST", f"{ALICE}/ring-groups", 201, json=asked)
    assert made == {"id": made["id"], "account": "alice", "name": "desk", "members": members}
    path = f"{ALICE}/ring-groups/{made['id']}"
    said = program.problem("DELETE", f"{ALICE}/forwards/{forward['id']}", 409)
    assert f"ring group {made['id']}" in said
    assert program.does("PATCH", path, json={"name": "door"})["members"] == members
    later = [{"target": "account:alice_home", "delay_s": 5}]
    assert program.does("PATCH", path, json={"members": later})["members"] == later
    assert program.get(path) == {**made, "name": "door", "members": later}
    program.does("PATCH", f"/dids/{DID}", json={"failover_busy": f"grp:{made['id']}"})
    assert DID in program.problem("DELETE", path, 409)
    program.does("PATCH", f"/dids/{DID}", json={"failover_busy": ""})
    program.does("DELETE", path, 204)
    program.does("DELETE", f"{ALICE}/forwards/{forward['id']}", 204)
    assert sql(program.api.conn, "SELECT count(*) FROM ring_group_member")[0] == 0


def test_a_ring_group_takes_no_members_that_cannot_ring(both: Program) -> None:
    path = f"{ALICE}/ring-groups"
    made = both.does(
        "POST", path, 201, json={"name": "desk", "members": [{"target": "account:alice"}]}
    )

    def refused(status: int, members: Any) -> str:
        said = both.problem("POST", path, status, json={"name": "x", "members": members})
        again = both.problem(
            "PATCH", f"{path}/{made['id']}", status, json={"name": "x", "members": members}
        )
        assert said == again
        return said

    assert "body.members" in refused(422, [])
    assert "body.members" in refused(422, [{"target": "account:alice"}] * 17)
    assert "body.members.0.target" in refused(422, [{"target": "sys:busy"}])
    assert "body.members.0.delay_s" in refused(422, [{"target": "account:alice", "delay_s": 301}])
    assert "body.members.0.delay_s" in refused(422, [{"target": "account:alice", "delay_s": "5"}])
    assert "account:bob" in refused(409, [{"target": "account:bob"}])
    assert "fwd:99" in refused(409, [{"target": "account:alice"}, {"target": "fwd:99"}])
    assert both.every(path) == [made]


# --- filters of callers ----------------------------------------------------------------------


def test_a_caller_filter_is_added_changed_and_removed(program: Program) -> None:
    path = f"{ALICE}/caller-filters"
    asked = {"caller": "+1900*", "routing": "sys:busy", "note": "adverts"}
    made = program.does("POST", path, 201, json=asked)
    nowhere = {"failover_busy": "", "failover_unreachable": "", "failover_noanswer": ""}
    assert made == {"id": made["id"], "account": "alice", "did": "", **asked, **nowhere}
    one = f"{path}/{made['id']}"
    changes = {"caller": "anonymous", "did": SUB_DID, "failover_busy": "account:alice"}
    assert program.does("PATCH", one, json=changes) == {**made, **changes}
    assert program.does("PATCH", one, json={"did": ""})["did"] == ""
    for caller in ("*", "+15145550111", "+1900*"):
        program.does("POST", path, 201, json={"caller": caller, "routing": "sys:hangup"})
    program.does("DELETE", one, 204)
    assert [row["caller"] for row in program.every(path, limit=2)] == [
        "*", "+15145550111", "+1900*",
    ]  # fmt: skip


def test_a_caller_filter_that_is_none_changes_nothing(both: Program) -> None:
    path = f"{ALICE}/caller-filters"
    made = both.does("POST", path, 201, json={"caller": "+1900*", "routing": "sys:busy"})
    other = both.does("POST", path, 201, json={"caller": "+1976*", "routing": "sys:busy"})

    def refused(status: int, **values: str) -> str:
        asked = {"caller": "*", "routing": "sys:busy", **values}
        said = both.problem("POST", path, status, json=asked)
        assert both.problem("PATCH", f"{path}/{other['id']}", status, json=values) == said
        return said

    assert "body.caller" in refused(422, caller="+1900x")
    assert "body.routing" in refused(422, routing="")
    assert "body.failover_busy" in refused(422, failover_busy="bob")
    assert "no DID of this customer" in refused(409, did="+12125550150")
    assert "account:bob" in refused(409, routing="account:bob")
    assert "already" in refused(409, caller="+1900*")
    assert "is no routing" in refused(409, routing="sys:music")
    assert both.every(path) == [made, other]


# --- customers -------------------------------------------------------------------------------

KINDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("forwards", {"number": "+15145550111"}, {"description": "mine"}),
    ("sip-uris", {"uri": "sip:a@203.0.113.5"}, {"description": "mine"}),
    (
        "ring-groups",
        {"name": "desk", "members": [{"target": "account:bob"}]},
        {"members": [{"target": "account:alice"}]},
    ),
    ("caller-filters", {"caller": "*", "routing": "account:bob"}, {"routing": "sys:busy"}),
]


@pytest.mark.parametrize(("kind", "asked", "change"), KINDS)
def test_what_is_another_customers_is_not_found(
    both: Program, kind: str, asked: dict[str, Any], change: dict[str, Any]
) -> None:
    made = both.does("POST", f"/accounts/bob/{kind}", 201, json=asked)
    stolen = f"{ALICE}/{kind}/{made['id']}"
    for verb, request in (("GET", {}), ("PATCH", {"json": change}), ("DELETE", {})):
        assert (
            f"alice has no {kind[:3]}".lower() in both.problem(verb, stolen, 404, **request).lower()
        )
    assert both.get(f"/accounts/bob/{kind}/{made['id']}") == made
    assert both.every(f"{ALICE}/{kind}") == []
    assert both.every(f"/accounts/bob/{kind}") == both.every(f"/{kind}") == [made]
    for path in (f"/accounts/nobody/{kind}", f"/accounts/nobody/{kind}/{made['id']}"):
        assert "no account 'nobody'" in both.problem("GET", path, 404)
    both.problem("POST", f"/accounts/nobody/{kind}", 404, json=asked)
    both.problem("GET", f"{ALICE}/{kind}/{made['id'] + 1}", 404)
    both.problem("GET", f"{ALICE}/{kind}/x", 422)


def test_lists_of_all_customers_come_in_parts(both: Program) -> None:
    for number in range(5):
        owner = ("alice", "bob")[number % 2]
        asked = {"number": f"+1514555011{number}"}
        both.does("POST", f"/accounts/{owner}/forwards", 201, json=asked)
    numbers = [one["number"][-1] for one in both.every("/forwards", limit=2)]
    assert numbers == ["0", "1", "2", "3", "4"]
    mine = both.every("/accounts/alice_home/forwards", limit=1)
    assert [one["number"][-1] for one in mine] == ["0", "2", "4"]


# --- POPs that do not match ------------------------------------------------------------------


def register(api: ApiWorld, account_id: int, listener: str) -> None:
    """As the store has it of a device over UDP."""
    api.conn.execute(
        "INSERT INTO binding VALUES ('host2', ?, ?, 'sip:a@b', 'c', 1, '10.0.0.1', 5060, ?, 1, ?, "
        "'', '')",
        (account_id, listener, listener, NOON + 600_000),
    )


def live_at(api: ApiWorld, **pops: str) -> None:
    """As the process that carries calls tells of devices over TCP."""
    numbers = dict(api.conn.execute("SELECT username, id FROM account").fetchall())
    told = [binding(numbers[name], username=name, pop=pop) for name, pop in pops.items()]
    told.sort(key=lambda one: one["account_id"])
    api.live_answers["registrations"] = lambda after: [
        one for one in told if one["account_id"] > after
    ][:1]


def pops_of(program: Program) -> dict[str, str]:
    return {one["number"]: one["pop"] for one in program.every("/dids")}


def test_dids_at_another_pop_than_their_account_are_listed(both: Program) -> None:
    assert both.every("/pop-mismatches") == []
    live_at(both.api, alice_home="toronto1", bob="toronto1")
    register(both.api, both.api.alice, "192.0.2.10:5060")
    register(both.api, both.api.alice, "192.0.2.11:5060")
    both.does("PATCH", "/dids/+12125550150", json={"pop": "montreal"})
    there = {"registered": ["toronto1"]}
    wrong = [
        {"number": SUB_DID, "pop": "newyork7", "account": "alice_home", **there},
        {"number": "+12125550150", "pop": "montreal", "account": "bob", **there},
    ]
    assert both.every("/pop-mismatches") == both.every("/pop-mismatches", limit=1) == wrong
    assert both.every("/pop-mismatches", account="alice") == wrong[:1]
    assert both.every("/pop-mismatches", account="bob") == wrong[1:]
    both.problem("GET", "/pop-mismatches", 404, params={"account": "nobody"})
    both.does("PATCH", f"/dids/{SUB_DID}", json={"routing": "sys:busy"})
    assert both.every("/pop-mismatches", account="alice") == []


def test_one_did_is_mended_and_the_others_stay(both: Program) -> None:
    live_at(both.api, alice="toronto1", alice_home="toronto1")
    before = pops_of(both)
    moved = both.does("POST", f"/dids/{DID}/mend-pop")
    assert moved == [{"number": DID, "account": "alice", "before": "newyork7", "pop": "toronto1"}]
    assert pops_of(both) == {**before, DID: "toronto1"}
    assert both.does("POST", f"/dids/{DID}/mend-pop") == []
    assert both.does("POST", "/dids/+12125550150/mend-pop") == []
    both.problem("POST", "/dids/+12125550199/mend-pop", 404)
    assert [one["number"] for one in both.every("/pop-mismatches")] == [SUB_DID]


def test_all_of_an_account_are_mended_at_once_and_no_other_customers(both: Program) -> None:
    live_at(both.api, alice="toronto1", alice_home="toronto1", bob="toronto1")
    before = pops_of(both)
    moved = both.does("POST", "/accounts/alice_home/mend-pops")
    assert [one["number"] for one in moved] == [SUB_DID]
    assert [one["number"] for one in both.does("POST", f"{ALICE}/mend-pops")] == [DID]
    assert pops_of(both) == {**before, DID: "toronto1", SUB_DID: "toronto1"}
    assert both.does("POST", f"{ALICE}/mend-pops") == []
    both.problem("POST", "/accounts/nobody/mend-pops", 404)


def test_who_is_registered_where_no_pop_is_known_is_let_be(both: Program) -> None:
    live_at(both.api, alice="toronto1")
    register(both.api, both.api.alice, "198.51.100.1:5060")
    assert both.every("/pop-mismatches") == []


def test_while_the_host_is_away_the_store_tells_who_is_registered(both: Program) -> None:
    register(both.api, both.api.alice, "192.0.2.10:5060")
    for away in (None, Refused("not now")):
        both.api.live_answers["registrations"] = away
        assert [one["number"] for one in both.every("/pop-mismatches")] == [DID]
    both.api.now_ms += 600_000
    assert both.every("/pop-mismatches") == []
