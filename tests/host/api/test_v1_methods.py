"""What each method of /api/v1/rest.php answers, value by value."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest

from host.charging import ledger
from host.charging.values import USD, Money, Now
from host.numbering.deck import import_deck
from tests.host.api.world import NOON, ApiWorld, sql

DAY_MS = 86_400_000
JANUARY = {"date_from": "2027-01-01", "date_to": "2027-01-31"}
UTC_ZONE = {**JANUARY, "timezone": "0"}


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


# --- money -------------------------------------------------------------------------------------


def test_balance_and_what_was_spent(api: ApiWorld) -> None:
    api.call(at("2027-01-14 23:59:00"), 60_000)
    api.call(at("2027-01-15 00:00:00"), 3_540_000, account="alice_home")
    api.call(at("2027-01-15 11:00:00"), 0, disposition="no answer")
    assert api.succeeds("getBalance") == {"balance": {"current_balance": "9.68800000"}}
    assert api.succeeds("getBalance", advanced="True")["balance"] == {
        "current_balance": "9.68800000",
        "spent_total": "0.31200000",
        "calls_total": "3",
        "time_total": "01:00:00",
        "spent_today": "0.30680000",
        "calls_today": "2",
        "time_today": "00:59:00",
    }
    api.call(at("2027-01-15 11:30:00"), 60_000)
    again = api.succeeds("getBalance", advanced="1")["balance"]
    assert (again["spent_total"], again["calls_total"]) == ("0.31720000", "4")


def test_a_balance_tells_what_is_owed(api: ApiWorld) -> None:
    api.conn.execute("BEGIN")
    api.conn.execute(
        "INSERT INTO ledger_account (id, kind) VALUES (?, 'debt')", (-1000 - api.alice,)
    )
    ledger.move(
        api.conn, Now(NOON, 0), "chargeback", "c", -1000 - api.alice, -2, Money(12 * USD), ""
    )
    api.conn.execute("COMMIT")
    assert api.succeeds("getBalance")["balance"]["current_balance"] == "-2.00000000"


def test_transactions_with_the_contracts_spelling(api: ApiWorld) -> None:
    told = api.succeeds("getTransactionHistory", **JANUARY)["transactions"]
    (payment,) = told
    assert payment["ammount"] == "10.00000000"
    assert (payment["type"], payment["date"]) == ("Deposit", "2027-01-14 12:00:00")
    assert payment["uniqueid"].isdigit()
    nothing = {"date_from": "2027-02-01", "date_to": "2027-02-02"}
    assert api.status("getTransactionHistory", **nothing) == "no_transactions"


def test_the_threshold_of_low_balance_mail(api: ApiWorld) -> None:
    client = {"client": str(api.alice)}
    assert api.status("setClientThreshold", **client, threshold="10") == "missing_email"
    mail = {"email": "alice@example.net"}
    api.succeeds("setClientThreshold", **client, threshold="10", **mail)
    kept = sql(api.conn, "SELECT alert_below FROM ledger_account WHERE id = ?", api.alice)
    assert kept == (10 * USD,)
    api.succeeds("setClientThreshold", **client, threshold="250")  # the address stays
    for wrong in ("0", "251", "1.5"):
        assert api.status("setClientThreshold", **client, threshold=wrong) == "invalid_threshold"
    assert api.status("setClientThreshold", client="999", threshold="10") == "invalid_client"
    bad = api.status("setClientThreshold", **client, threshold="10", email="a@b@c")
    assert bad == "invalid_email"


# --- POPs --------------------------------------------------------------------------------------


def test_pops_have_the_numbers_that_clients_know(api: ApiWorld) -> None:
    servers = api.succeeds("getServersInfo")["servers"]
    by_pop = {server["server_pop"]: server for server in servers}
    assert by_pop["45"] == {
        "server_name": "Toronto 1, ON",
        "server_shortname": "toronto1",
        "server_hostname": "toronto1.example",
        "server_ip": "192.0.2.10",
        "server_country": "Canada",
        "server_pop": "45",
        "server_recommended": "yes",
    }
    assert (by_pop["73"]["server_shortname"], by_pop["73"]["server_ip"]) == (
        "newyork7",
        "192.0.2.11",
    )
    assert by_pop["1002"]["server_shortname"] == "montreal"  # 1001 is the default's
    (one,) = api.succeeds("getServersInfo", server_pop="73")["servers"]
    assert one["server_country"] == "USA"
    assert api.status("getServersInfo", server_pop="1") == "invalid_serverpop"
    assert api.status("getServersInfo", server_pop="toronto1") == "invalid_serverpop"


# --- calls -------------------------------------------------------------------------------------


def test_a_call_record(api: ApiWorld) -> None:
    call_id = api.call(at("2027-01-15 10:00:00"), 61_000)
    (record,) = api.succeeds("getCDR", **UTC_ZONE)["cdr"]
    assert record == {
        "date": "2027-01-15 10:00:00",
        "callerid": "+12125550100",
        "destination": "15145550100",
        "description": "Canada",
        "account": "alice",
        "disposition": "ANSWERED",
        "duration": "00:01:01",
        "seconds": "61",
        "rate": "0.00520000",
        "total": "0.00572000",
        "uniqueid": call_id,
    }


def test_records_by_what_became_of_them(api: ApiWorld) -> None:
    whats = ("answered", "busy", "no answer", "failed", "cancelled")
    for minute, what in enumerate(whats):
        api.call(NOON - 60_000 * minute, 6_000 if what == "answered" else 0, disposition=what)

    def dispositions(**asked: str) -> list[str]:
        return [one["disposition"] for one in api.succeeds("getCDR", **UTC_ZONE, **asked)["cdr"]]

    everything = ["ANSWERED", "BUSY", "NO ANSWER", "FAILED", "NO ANSWER"]
    assert dispositions() == everything  # newest first
    assert dispositions(answered="1", noanswer="1", busy="1", failed="1") == everything
    assert dispositions(busy="true", failed="0") == ["BUSY"]
    assert dispositions(noanswer="1") == ["NO ANSWER", "NO ANSWER"]
    none = {"answered": "0", "noanswer": "0", "busy": "0", "failed": "0"}
    assert api.status("getCDR", **UTC_ZONE, **none) == "no_cdr"


def test_records_by_direction_billing_and_account(api: ApiWorld) -> None:
    api.call(NOON, 6_000)
    api.call(NOON - 1, 0, disposition="busy", account="alice_home")
    api.call(NOON - 2, 6_000, direction="in", callee="+12125550100")

    def ids(**asked: str) -> list[str]:
        return [one["uniqueid"] for one in api.succeeds("getCDR", **UTC_ZONE, **asked)["cdr"]]

    assert ids(calltype="outgoing") == ["c1", "c2"]
    assert ids(calltype="incoming") == ["c3"]
    assert ids(callbilling="free") == ["c2"]
    assert ids(callbilling="billed", calltype="all") == ["c1", "c3"]
    assert ids(account="alice_home") == ["c2"]
    assert ids(account="all") == ["c1", "c2", "c3"]
    incoming = api.succeeds("getCDR", **UTC_ZONE, calltype="incoming")["cdr"][0]
    assert (incoming["description"], incoming["destination"]) == ("Inbound DID", "12125550100")
    assert api.status("getCDR", **UTC_ZONE, account="bob") == "no_cdr"
    assert api.status("getCDR", **UTC_ZONE, calltype="strange") == "invalid_calltype"


def test_nobody_sees_the_calls_of_another(api: ApiWorld) -> None:
    api.call(NOON, 6_000)
    api.account("bob", "password of bob")
    bob = {"api_username": "bob", "api_password": "password of bob"}
    assert api.status("getCDR", **UTC_ZONE, **bob) == "no_cdr"
    assert api.status("getCDR", **UTC_ZONE, account="alice", **bob) == "no_cdr"


@pytest.mark.parametrize(
    ("zone", "shown"),
    [("0", "2027-01-15 03:00:00"), ("-5", "2027-01-14 22:00:00"), ("5.5", "2027-01-15 08:30:00")],
)
def test_dates_are_of_the_zone_that_is_asked_for(api: ApiWorld, zone: str, shown: str) -> None:
    api.call(at("2027-01-15 03:00:00"), 6_000)
    day = shown[:10]
    asked = {"date_from": day, "date_to": day, "timezone": zone}
    assert api.succeeds("getCDR", **asked)["cdr"][0]["date"] == shown
    other = "2027-01-14" if day.endswith("15") else "2027-01-15"
    asked |= {"date_from": other, "date_to": other}
    assert api.status("getCDR", **asked) == "no_cdr"


def test_ranges_of_dates(api: ApiWorld) -> None:
    api.call(at("2027-01-15 03:00:00"), 6_000)

    def status(first: str, last: str, **more: str) -> str:
        return api.status("getCDR", date_from=first, date_to=last, timezone="0", **more)

    assert status("2026-12-01", "2027-03-03") == "success"  # 92 days
    assert status("2026-12-01", "2027-03-04") == "invalid_daterange"
    assert status("2027-01-16", "2027-01-15") == "invalid_daterange"
    assert status("2027-01-15 02:59:59", "2027-01-15 03:00:00") == "success"
    assert status("2027-01-15 03:00:01", "2027-01-15 04:00:00") == "no_cdr"
    for wrong in ("2027-02-30", "15/01/2027", "now", "0000-00-00"):
        assert status(wrong, "2027-01-15") == "invalid_date"
    assert api.status("getCDR", date_from="2027-01-15", date_to="2027-01-15") == "missing_timezone"
    zone = {"date_from": "2027-01-15", "date_to": "2027-01-15", "timezone": "99"}
    assert api.status("getCDR", **zone) == "invalid_timezone"


def test_a_range_among_many_calls_is_found(api: ApiWorld) -> None:
    for day in range(60):
        api.call(at("2026-11-20 12:00:00") + day * DAY_MS, 6_000)
    asked = {"date_from": "2026-12-01", "date_to": "2026-12-10", "timezone": "0"}
    dates = [one["date"][:10] for one in api.succeeds("getCDR", **asked)["cdr"]]
    assert dates == [f"2026-12-{day:02}" for day in range(10, 0, -1)]


# --- rates -------------------------------------------------------------------------------------


def test_rates_by_name_and_by_number(api: ApiWorld) -> None:
    told = api.succeeds("getTerminationRates", route="1", query="australia")
    assert told["route"] == [{"value": "1", "description": "Value"}]
    assert {"destination": "Australia", "prefix": "61", "increment": "6", "rate": "0.01230000"} in (
        told["rates"]
    )
    premium = api.succeeds("getTerminationRates", route="2", query="61")["rates"]
    assert premium[0]["rate"] == "0.02010000"
    assert api.status("getTerminationRates", route="1", query="United States") == "no_rate"
    by_name = api.succeeds("getTerminationRates", route="premium", query="United States")["rates"]
    assert {one["rate"] for one in by_name} == {"0.01000000"}
    assert api.status("getTerminationRates", route="3", query="x") == "invalid_route"
    assert api.status("getTerminationRates", route="1", query="100%") == "no_rate"
    assert api.status("getTerminationRates", route="1") == "missing_query"


def test_rates_are_those_in_force(api: ApiWorld) -> None:
    deck = "prefix,destination,value\n61,Australia,0.5\n"
    import_deck(
        api.conn, io.StringIO(deck), utc_ms=lambda: NOON, effective_utc_ms=NOON + 1, name="next"
    )
    asked: dict[str, Any] = {"route": "1", "query": "61"}
    assert api.succeeds("getTerminationRates", **asked)["rates"][0]["rate"] == "0.01230000"
    api.now_ms += 2
    assert api.succeeds("getTerminationRates", **asked)["rates"][0]["rate"] == "0.50000000"


# --- registrations -----------------------------------------------------------------------------


def binding(account_id: int, **more: Any) -> dict[str, Any]:
    return {
        "account_id": account_id, "username": "alice", "contact": "sip:alice@198.51.100.7",
        "pop": "toronto1", "protocol": "SIP", "transport": "tls", "address": "198.51.100.7",
        "port": 40_000, "expires_s": 90, "user_agent": "phone", **more,
    }  # fmt: skip


def test_live_registrations_over_any_transport(api: ApiWorld) -> None:
    api.live_answers["registrations"] = lambda account_id: [binding(account_id)]
    told = api.succeeds("getRegistrationStatus", account="alice")
    assert (told["registered"], told["rerouted"]) == ("yes", "0")
    (one,) = told["registrations"]
    assert (one["server_pop"], one["server_hostname"]) == ("45", "toronto1.example")
    assert (one["register_ip"], one["register_port"]) == ("198.51.100.7", "40000")
    assert (one["register_protocol"], one["register_transport"]) == ("SIP", "TLS")
    assert one["register_next"] == "2027-01-15 12:01:30"
    assert api.asked == [("registrations", {"account_id": api.alice})]


def test_while_the_host_is_away_the_store_tells_of_registrations_over_udp(api: ApiWorld) -> None:
    api.conn.execute(
        "INSERT INTO binding (host_id, account_id, key, uri, call_id, cseq, address, port, "
        "listener, to_source, expires_utc_ms, q, user_agent) VALUES ('host1', ?, 'k', "
        "'sip:alice@198.51.100.7', 'c', 1, '198.51.100.7', 5060, '192.0.2.11:5060', 1, ?, '', 'p')",
        (api.alice, NOON + 60_000),
    )
    (one,) = api.succeeds("getRegistrationStatus", account="alice")["registrations"]
    assert (one["server_pop"], one["register_transport"]) == ("73", "UDP")
    api.live_answers["registrations"] = []  # it is there, and knows better
    assert api.succeeds("getRegistrationStatus", account="alice")["registered"] == "no"


def test_registrations_of_others_are_not_told(api: ApiWorld) -> None:
    api.account("bob")
    for name in ("bob", "nobody"):
        assert api.status("getRegistrationStatus", account=name) == "invalid_account"
    assert api.succeeds("getRegistrationStatus", account="alice_home")["registered"] == "no"
    assert api.asked[-1][0] == "registrations"


# --- numbers -----------------------------------------------------------------------------------


def test_numbers_of_a_customer(api: ApiWorld) -> None:
    per_minute, flat = api.succeeds("getDIDsInfo")["dids"]
    assert (per_minute["did"], per_minute["routing"]) == ("2125550100", "account:alice")
    assert (per_minute["pop"], per_minute["billing_type"]) == ("73", "1")
    assert (flat["routing"], flat["billing_type"]) == ("account:alice_home", "2")
    (one,) = api.succeeds("getDIDsInfo", did="12125550101", client=str(api.alice))["dids"]
    assert one["did"] == "2125550101"
    assert api.status("getDIDsInfo", did="2125550199") == "no_did"
    assert api.status("getDIDsInfo", client="77") == "invalid_client"
    assert api.status("getDIDsInfo", did="7") == "invalid_did"
    for by_account in ({"did": "alice_home"}, {"client": "alice_home"}):
        (one,) = api.succeeds("getDIDsInfo", **by_account)["dids"]
        assert one["did"] == "2125550101"


def test_a_number_moves_to_another_pop(api: ApiWorld) -> None:
    assert api.succeeds("setDIDPOP", did="2125550100", pop="45") == {}
    assert api.succeeds("getDIDsInfo", did="2125550100")["dids"][0]["pop"] == "45"
    assert api.status("setDIDPOP", did="2125550100", pop="1") == "invalid_serverpop"
    assert api.status("setDIDPOP", did="2125550199", pop="45") == "invalid_did"
    assert api.status("setDIDPOP", did="2125550100") == "missing_serverpop"


def test_a_number_of_another_customer_cannot_be_moved(api: ApiWorld) -> None:
    api.account("bob", "password of bob")
    bob = {"api_username": "bob", "api_password": "password of bob"}
    assert api.status("setDIDPOP", did="2125550100", pop="45", **bob) == "invalid_did"
    assert sql(api.conn, "SELECT pop FROM did WHERE number = '+12125550100'") == ("newyork7",)
    assert api.status("getDIDsInfo", did="2125550100", **bob) == "no_did"


# --- sub-accounts ------------------------------------------------------------------------------

NEW = {
    "username": "VoIP", "protocol": "1", "auth_type": "1", "device_type": "2",
    "lock_international": "1", "international_route": "1", "password": "Horse7battery",
    "music_on_hold": "default", "allowed_codecs": "ulaw;g722", "dtmf_mode": "auto", "nat": "yes",
}  # fmt: skip


def test_a_sub_account_is_made_told_of_changed_and_removed(api: ApiWorld) -> None:
    made = api.succeeds(
        "createSubAccount", **NEW, description="office", callerid_number="2125550100"
    )
    assert made["account"] == "alice_VoIP"
    number = made["id"]
    (told,) = api.succeeds("getSubAccounts", account="alice_VoIP")["accounts"]
    expected = {
        "id": number, "account": "alice_VoIP", "username": "VoIP", "protocol": "1",
        "auth_type": "1", "ip": "", "device_type": "2", "callerid_number": "2125550100",
        "lock_international": "1", "international_route": "1", "description": "office",
        "allowed_codecs": "ulaw;g722", "password": "",
    }  # fmt: skip
    assert {name: told[name] for name in expected} == expected
    row = "SELECT parent_id, route_international, international, ha1_md5 <> '', protocol, codecs "
    row += "FROM account WHERE username = ?"
    kept = sql(api.conn, row, "alice_VoIP")
    assert kept == (api.alice, "value", 0, 1, "sip", "PCMU,G722")
    api.succeeds(
        "setSubAccount", id=number, lock_international="0", international_route="2",
        description="", callerid_number="",
    )  # fmt: skip
    (told,) = api.succeeds("getSubAccounts", account=number)["accounts"]
    assert (told["lock_international"], told["international_route"]) == ("0", "2")
    assert (told["description"], told["callerid_number"], told["dtmf_mode"]) == ("", "", "auto")
    api.succeeds("delSubAccount", id=number)
    assert api.status("getSubAccounts", account=number) == "no_account"
    assert api.status("delSubAccount", id=number) == "invalid_id"


def test_what_is_told_of_a_sub_account_may_be_sent_back_whole(api: ApiWorld) -> None:
    made = api.succeeds("createSubAccount", **NEW)
    before = sql(api.conn, "SELECT ha1_md5 FROM account WHERE id = ?", made["id"])
    (told,) = api.succeeds("getSubAccounts", account=made["account"])["accounts"]
    api.succeeds("setSubAccount", **{k: v for k, v in told.items() if k not in ("username",)})
    assert api.succeeds("getSubAccounts", account=made["account"])["accounts"] == [told]
    assert sql(api.conn, "SELECT ha1_md5 FROM account WHERE id = ?", made["id"]) == before


def test_sub_accounts_known_by_address_and_over_iax2(api: ApiWorld) -> None:
    no_password = {name: value for name, value in NEW.items() if name != "password"}
    assert api.status("createSubAccount", **no_password) == "missing_password"
    by_address = {**no_password, "auth_type": "2"}
    assert api.status("createSubAccount", **by_address) == "missing_ip"
    assert api.status("createSubAccount", **by_address, ip="pbx.example") == "invalid_ip"
    made = api.succeeds("createSubAccount", **by_address, ip="198.51.100.30")
    (told,) = api.succeeds("getSubAccounts", account=made["id"])["accounts"]
    assert (told["auth_type"], told["ip"]) == ("2", "198.51.100.30")
    other = {**by_address, "username": "Two", "ip": "198.51.100.30"}
    assert api.status("createSubAccount", **other) == "used_ip"
    assert api.status("getSubAccounts", account="alice_Two") == "no_account"
    iax2 = {**NEW, "username": "Iax", "protocol": "3"}
    assert api.status("createSubAccount", **{**iax2, "password": ""}) == "missing_password"
    made = api.succeeds("createSubAccount", **iax2)
    (told,) = api.succeeds("getSubAccounts", account=made["id"])["accounts"]
    assert told["protocol"] == "3"
    kept = sql(api.conn, "SELECT iax2_secret FROM account WHERE id = ?", made["id"])
    assert kept == ("Horse7battery",)


def test_a_name_is_used_once_and_others_sub_accounts_are_out_of_reach(api: ApiWorld) -> None:
    made = api.succeeds("createSubAccount", **NEW)
    assert api.status("createSubAccount", **NEW) == "used_username"
    assert api.status("createSubAccount", **{**NEW, "username": "a b"}) == "invalid_username"
    for name in ("protocol", "auth_type", "device_type", "lock_international"):
        without = {key: value for key, value in NEW.items() if key != name}
        word = name.replace("_", "")
        assert api.status("createSubAccount", **without) == f"missing_{word}"
        assert api.status("createSubAccount", **{**NEW, name: "77"}) == f"invalid_{word}"
    api.account("bob", "password of bob")
    bob = {"api_username": "bob", "api_password": "password of bob"}
    assert api.status("delSubAccount", id="x") == "invalid_id"
    assert api.status("delSubAccount", id=made["id"], **bob) == "invalid_id"
    assert api.status("setSubAccount", id=made["id"], password="Stolen7", **bob) == "invalid_id"
    assert api.status("getSubAccounts", **bob) == "no_account"
