"""Ordering and routing numbers, and what they are routed to, by /api/v1/rest.php."""

from __future__ import annotations

from typing import Any

import pytest

from host.numbering.dids import add_did
from tests.host.api.world import NOON, ApiWorld, sql

BOB = {"api_username": "bob", "api_password": "password of bob"}
ORDER = {
    "did": "2125550177", "routing": "account:alice_home", "pop": "45", "dialtime": "30",
    "cnam": "1", "billing_type": "1",
}  # fmt: skip


@pytest.fixture
def offered(api: ApiWorld) -> ApiWorld:
    """A world with a number that anybody may order, at 85 cents a month."""
    add_did(api.conn, "+12125550177", plan="per-minute", pop="newyork7")
    return api


# --- ordering -----------------------------------------------------------------------------------


def test_a_number_is_ordered_and_its_first_month_paid(offered: ApiWorld) -> None:
    api = offered
    assert api.succeeds("orderDID", **ORDER, failover_busy="sys:busy") == {}
    (told,) = api.succeeds("getDIDsInfo", did="2125550177")["dids"]
    expected = {
        "routing": "account:alice_home", "failover_busy": "sys:busy", "failover_noanswer": "",
        "pop": "45", "dialtime": "30", "cnam": "1", "billing_type": "1",
        "order_date": "2027-01-15 12:00:00", "next_billing": "2027-02-15",
    }  # fmt: skip
    assert {name: told[name] for name in expected} == expected
    assert api.succeeds("getBalance")["balance"]["current_balance"] == "9.15000000"
    (fee, _payment) = api.succeeds(
        "getTransactionHistory", date_from="2027-01-01", date_to="2027-01-31"
    )["transactions"]
    assert (fee["type"], fee["ammount"]) == ("Fee", "-0.85000000")
    assert api.status("orderDID", **ORDER) == "did_in_use"
    assert api.status("orderDID", **{**ORDER, "did": "2125550100"}) == "did_in_use"
    assert api.status("orderDID", **{**ORDER, "did": "2125550188"}) == "invalid_did"


def test_an_order_for_a_test_changes_nothing(offered: ApiWorld) -> None:
    assert offered.succeeds("orderDID", **ORDER, test="1") == {}
    assert offered.status("getDIDsInfo", did="2125550177") == "no_did"
    assert offered.succeeds("getBalance")["balance"]["current_balance"] == "10.00000000"


def test_an_order_that_cannot_be_paid_or_is_wrong_changes_nothing(offered: ApiWorld) -> None:
    api = offered
    api.account("bob", "password of bob")
    bobs = {**ORDER, "routing": "account:bob"}
    assert api.status("orderDID", **bobs, **BOB) == "non_sufficient_funds"
    for name, wrong, word in (
        ("routing", "account:bob", "routing"), ("routing", "vm:101", "routing"),
        ("pop", "1", "serverpop"), ("billing_type", "3", "billingtype"),
        ("dialtime", "500", "dialtime"), ("cnam", "maybe", "cnam"),
    ):  # fmt: skip
        assert api.status("orderDID", **{**ORDER, name: wrong}) == f"invalid_{word}"
        without = {key: value for key, value in ORDER.items() if key != name}
        assert api.status("orderDID", **without) == f"missing_{word}"
    assert api.status("orderDID", **ORDER, failover_noanswer="ivr:1") == "invalid_failover_noanswer"
    assert sql(api.conn, "SELECT count(*) FROM did_order") == (0,)


def test_a_flat_plan_and_giving_the_number_back(offered: ApiWorld) -> None:
    api = offered
    api.succeeds("orderDID", **{**ORDER, "billing_type": "2"})
    assert api.succeeds("getBalance")["balance"]["current_balance"] == "5.75000000"
    assert api.succeeds("cancelDID", did="2125550177", test="1") == {}
    api.succeeds("cancelDID", did="2125550177")
    assert api.status("cancelDID", did="2125550177") == "invalid_did"
    assert sql(api.conn, "SELECT account_id FROM did WHERE number = '+12125550177'") == (None,)


def test_the_plan_of_a_number_is_changed(api: ApiWorld) -> None:
    api.succeeds("setDIDBillingType", did="2125550100", billing_type="2")
    (told,) = api.succeeds("getDIDsInfo", did="2125550100")["dids"]
    assert told["billing_type"] == "2"
    assert api.status("setDIDBillingType", did="2125550100", billing_type="9") == (
        "invalid_billingtype"
    )


# --- routing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "routing",
    ["account:alice_home", "sys:hangup", "sys:busy", "sys:noservice", "sys:disconnected",
     "sys:echo", "none:"],
)  # fmt: skip
def test_every_routing_that_the_host_has(api: ApiWorld, routing: str) -> None:
    assert api.succeeds("setDIDRouting", did="2125550100", routing=routing) == {}
    (told,) = api.succeeds("getDIDsInfo", did="2125550100")["dids"]
    assert told["routing"] == routing


def test_routings_to_forwards_and_groups_that_are_ones_own(api: ApiWorld) -> None:
    forward = api.succeeds("setForwarding", phone_number="5145550100")["forwarding"]
    group = api.succeeds("setRingGroup", name="all", members="account:alice", voicemail="0")
    asked = {"did": "2125550100", "routing": f"fwd:{forward}"}
    others = {"failover_busy": f"grp:{group['ring_group']}", "failover_noanswer": "sys:busy"}
    api.succeeds("setDIDRouting", **asked, **others)
    (told,) = api.succeeds("getDIDsInfo", did="2125550100")["dids"]
    assert {name: told[name] for name in others} == others
    api.succeeds("setDIDRouting", **asked, failover_busy="")  # cleared; the other stays
    (told,) = api.succeeds("getDIDsInfo", did="2125550100")["dids"]
    assert (told["failover_busy"], told["failover_noanswer"]) == ("", "sys:busy")
    for wrong in ("fwd:99", "grp:99", "vm:1", "ivr:1", "account:bob", "nowhere", "sys:fire"):
        status = api.status("setDIDRouting", did="2125550100", routing=wrong)
        assert status == "invalid_routing"
    api.account("bob", "password of bob")
    add_did(api.conn, "+12125550199", plan="flat", pop="newyork7", account="bob")
    bobs = {"did": "2125550199", "routing": f"fwd:{forward}"}
    assert api.status("setDIDRouting", **bobs, **BOB) == "invalid_routing"
    assert api.status("setDIDRouting", **asked, **BOB) == "invalid_routing"


# --- forwards -----------------------------------------------------------------------------------


def test_a_forward_is_made_changed_told_of_and_removed(api: ApiWorld) -> None:
    assert api.status("getForwardings") == "no_forwarding"
    made = api.succeeds(
        "setForwarding", phone_number="15145550100", callerid_override="2125550100",
        description="cell", dtmf_digits="101", pause="1.5",
    )["forwarding"]  # fmt: skip
    told = {
        "forwarding": made, "phone_number": "5145550100", "callerid_override": "2125550100",
        "description": "cell", "dtmf_digits": "101", "pause": "1.5",
    }  # fmt: skip
    assert api.succeeds("getForwardings")["forwardings"] == [told]
    assert api.succeeds("setForwarding", **{**told, "description": "car"}) == {"forwarding": made}
    again = api.succeeds("setForwarding", forwarding=made, callerid_override="")
    assert again == {"forwarding": made}
    (now,) = api.succeeds("getForwardings", forwarding=made)["forwardings"]
    assert now == {**told, "description": "car", "callerid_override": ""}
    api.succeeds("setDIDRouting", did="2125550100", routing=f"fwd:{made}")
    assert api.status("delForwarding", forwarding=made) == "used_forwarding"
    api.succeeds("setDIDRouting", did="2125550100", routing="account:alice")
    assert api.succeeds("delForwarding", forwarding=made) == {}
    assert api.status("delForwarding", forwarding=made) == "invalid_forwarding"
    assert api.status("setForwarding", forwarding=made, phone_number="1") == "invalid_phonenumber"
    assert api.status("setForwarding", phone_number="") == "missing_phonenumber"


def test_nobody_reaches_the_forwards_of_another(api: ApiWorld) -> None:
    made = api.succeeds("setForwarding", phone_number="5145550100")["forwarding"]
    api.account("bob", "password of bob")
    assert api.status("getForwardings", forwarding=made, **BOB) == "no_forwarding"
    changed = api.status("setForwarding", forwarding=made, phone_number="9005550100", **BOB)
    assert changed == "invalid_forwarding"
    assert api.status("delForwarding", forwarding=made, **BOB) == "invalid_forwarding"


# --- ring groups ---------------------------------------------------------------------------------


def test_a_ring_group_is_made_changed_told_of_and_removed(api: ApiWorld) -> None:
    assert api.status("getRingGroups") == "no_ringgroup"
    forward = api.succeeds("setForwarding", phone_number="5145550100")["forwarding"]
    members = f"account:alice;account:alice_home,10;fwd:{forward}"
    made = api.succeeds(
        "setRingGroup", name="everybody", members=members, voicemail="101", music_on_hold="jazz"
    )["ring_group"]
    told = {
        "ring_group": made, "name": "everybody", "members": members, "voicemail": "101",
        "caller_announcement": "0", "music_on_hold": "jazz", "language": "en",
    }  # fmt: skip
    assert api.succeeds("getRingGroups", ring_group=made)["ring_groups"] == [told]
    assert api.succeeds("getRingGroups", ringgroup=made)["ring_groups"] == [told]
    api.succeeds("setRingGroup", **{**told, "members": "account:alice", "name": "one"})
    (now,) = api.succeeds("getRingGroups")["ring_groups"]
    assert now == {**told, "members": "account:alice", "name": "one"}
    second = {"name": "one", "members": "account:alice", "voicemail": "0"}
    assert api.status("setRingGroup", **second) == "used_name"
    assert api.status("setRingGroup", name="x", voicemail="0") == "missing_members"
    assert api.status("setRingGroup", members="account:alice") == "missing_name"
    for wrong in ("account:bob", "grp:1", "nonsense", "account:alice,soon"):
        assert api.status("setRingGroup", name="y", members=wrong) == "invalid_member"
    api.succeeds("setDIDRouting", did="2125550100", routing=f"grp:{made}")
    assert api.status("delRingGroup", ringgroup=made) == "used_ringgroup"
    api.succeeds("setDIDRouting", did="2125550100", routing="none:")
    assert api.succeeds("delRingGroup", ringgroup=made) == {}
    assert api.status("delRingGroup", ringgroup=made) == "invalid_ringgroup"


# --- filters -------------------------------------------------------------------------------------


def test_a_filter_is_made_changed_told_of_and_removed(api: ApiWorld) -> None:
    assert api.status("getCallerIDFiltering") == "no_filter"
    asked = {"callerid": "4165551212", "did": "all", "routing": "sys:noservice", "note": "bad"}
    made = api.succeeds("setCallerIDFiltering", **asked, failover_busy="sys:busy")["filtering"]
    told = {
        "filtering": made, **asked, "failover_busy": "sys:busy", "failover_unreachable": "",
        "failover_noanswer": "",
    }  # fmt: skip
    assert api.succeeds("getCallerIDFiltering")["filtering"] == [told]
    changed = {**asked, "did": "2125550100", "routing": "busy", "note": ""}
    assert api.succeeds("setCallerIDFiltering", filter=made, **changed) == {"filtering": made}
    (now,) = api.succeeds("getCallerIDFiltering", filtering=made)["filtering"]
    expected = {**told, "did": "2125550100", "routing": "sys:busy", "note": ""}
    assert now == expected
    assert api.status("setCallerIDFiltering", **changed) == "used_filter"
    assert api.status("setCallerIDFiltering", filter="99", **changed) == "invalid_filter"
    assert api.status("setCallerIDFiltering", **{**asked, "did": "2125550199"}) == "invalid_did"
    assert api.status("setCallerIDFiltering", **{**asked, "callerid": "1"}) == "invalid_callerid"
    assert api.succeeds("delCallerIDFiltering", filtering=made) == {}
    assert api.status("delCallerIDFiltering", filtering=made) == "invalid_filter"


@pytest.mark.parametrize(
    ("asked", "kept", "told"),
    [
        ("416-555-1212", "+14165551212", "4165551212"),
        ("900*", "+1900*", "900*"),
        ("1900*", "+1900*", "900*"),
        ("01144*", "+44*", "01144*"),
        ("+44*", "+44*", "01144*"),
        ("anonymous", "anonymous", "anonymous"),
        ("*", "*", "*"),
    ],
)
def test_patterns_of_callers(api: ApiWorld, asked: str, kept: str, told: str) -> None:
    api.succeeds("setCallerIDFiltering", callerid=asked, did="all", routing="sys:hangup")
    assert sql(api.conn, "SELECT caller FROM caller_filter") == (kept,)
    assert api.succeeds("getCallerIDFiltering")["filtering"][0]["callerid"] == told


# --- what a sub-account may do -------------------------------------------------------------------


def test_restrictions_of_a_sub_account(api: ApiWorld) -> None:
    made = api.succeeds(
        "createSubAccount", username="VoIP", protocol="1", auth_type="1", device_type="2",
        lock_international="0", international_route="2", canada_routing="1",
        password="Horse7battery", max_expiry="120", ip_restriction="203.0.113.0/24",
        pop_restriction="45,73",
    )  # fmt: skip
    columns = "route_canada, route_international, international, networks, pops"
    kept = sql(api.conn, f"SELECT {columns} FROM account WHERE id = ?", made["id"])
    assert kept == ("value", "premium", 1, "203.0.113.0/24", "toronto1,newyork7")

    def told() -> dict[str, Any]:
        (one,) = api.succeeds("getSubAccounts", account=made["id"])["accounts"]
        return one  # type: ignore[no-any-return]

    shown = told()
    assert (shown["pop_restriction"], shown["enable_pop_restriction"]) == ("45,73", "1")
    assert (shown["ip_restriction"], shown["max_expiry"]) == ("203.0.113.0/24", "120")
    api.succeeds("setSubAccount", id=made["id"], enable_pop_restriction="0", ip_restriction="")
    shown = told()
    assert (shown["pop_restriction"], shown["ip_restriction"]) == ("", "")
    wrong = {"pop_restriction": "1", "ip_restriction": "home", "max_expiry": "59"}
    for name, value in wrong.items():
        word = name if "restriction" in name else "maxexpiry"
        assert api.status("setSubAccount", id=made["id"], **{name: value}) == f"invalid_{word}"
    assert api.status("setSubAccount", id=made["id"], allowed_codecs="g729") == "invalid_codec"


def test_a_sub_account_that_numbers_are_routed_to_stays(api: ApiWorld) -> None:
    home = sql(api.conn, "SELECT id FROM account WHERE username = 'alice_home'")[0]
    api.succeeds("setDIDRouting", did="2125550100", routing="account:alice_home")
    assert api.status("delSubAccount", id=str(home)) == "used_subaccount"
    assert api.now_ms == NOON
