"""Where a call goes, and what it costs: the directory over a real store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from host.charging.money import parse_usd
from host.charging.values import Money, Now, Reason, Refusal, Rule
from host.numbering import provisioning
from host.numbering.directory import Directory
from host.numbering.orders import release_did
from host.numbering.values import Account, Carrier, IncomingPlan, OutgoingPlan
from host.store.opening import open_reader, open_writer
from tests.stores import dump

REALM = "example.net"


@dataclass
class House:
    """The writer's connection beside the directory's own."""

    path: Path
    conn: sqlite3.Connection
    directory: Directory

    def account(self, name: str = "alice", **columns: object) -> Account:
        provisioning.add_account(self.conn, name, realm=REALM, password="secret", **columns)  # type: ignore[arg-type]
        return self.find(name)

    def find(self, name: str) -> Account:
        account = self.directory.account_by_username(name)
        assert account is not None
        return account

    def out(self, account: Account, dialled: str) -> OutgoingPlan:
        plan = self.directory.route_outgoing(account, dialled)
        assert isinstance(plan, OutgoingPlan), plan
        return plan

    def refused(self, account: Account, dialled: str) -> Reason:
        plan = self.directory.route_outgoing(account, dialled)
        assert isinstance(plan, Refusal), plan
        return plan.reason


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    path = tmp_path / "host.sqlite"
    conn = open_writer(path)
    provisioning.seed(conn)
    provisioning.add_carrier(conn, Carrier("north", "192.0.2.9", 5060, "udp"))
    yield House(path, conn, Directory(open_reader(path), REALM))
    conn.close()


@pytest.mark.parametrize(
    ("route", "dialled", "used", "per_minute"),
    [
        ("value", "5145550100", "value 1514", "0.0052"),
        ("premium", "5145550100", "premium 1514", "0.01"),
        ("value", "2125550100", "premium 1", "0.01"),
        ("premium", "2125550100", "premium 1", "0.01"),
        ("value", "18675550100", "value 1867", "0.0247"),
        ("premium", "18675550100", "premium 1867", "0.0446"),
        ("value", "01161255501000", "value 61", "0.0123"),
        ("premium", "+61255501000", "premium 61", "0.0201"),
        ("value", "+551155501000", "value 55", "0.0307"),
        ("premium", "011551155501000", "premium 55", "0.0331"),
    ],
)
def test_the_rates_of_the_page(
    house: House, route: str, dialled: str, used: str, per_minute: str
) -> None:
    plan = house.out(house.account(route=route, international=True), dialled)
    (leg,) = plan.legs
    assert (leg.tariff_ref, leg.tariff.per_minute) == (used, parse_usd(per_minute))
    assert leg.route == used.split()[0]


def test_value_without_a_rate_and_without_fallback_is_no_destination(house: House) -> None:
    alice = house.account(route="value", premium_fallback=False)
    assert house.refused(alice, "2125550100") is Reason.NO_DESTINATION
    assert house.out(alice, "5145550100").number == "+15145550100"


@pytest.mark.parametrize(
    ("dialled", "reason"),
    [
        ("911", Reason.NO_DESTINATION),
        ("", Reason.NO_DESTINATION),
        ("5551234", Reason.NO_DESTINATION),
        ("1145550100", Reason.NO_DESTINATION),
        ("12125550100x", Reason.NO_DESTINATION),
        ("+1876" + "5550100", Reason.NO_DESTINATION),
        ("+4930555010", Reason.BLOCKED),
        ("+" + "4" * 16, Reason.NO_DESTINATION),
        ("９145550100", Reason.NO_DESTINATION),
    ],
)
def test_what_cannot_be_dialled(house: House, dialled: str, reason: Reason) -> None:
    assert house.refused(house.account(), dialled) is reason


def test_abroad_is_off_until_it_is_allowed(house: House) -> None:
    alice = house.account()
    assert house.refused(alice, "01161255501000") is Reason.BLOCKED
    provisioning.set_account(house.conn, "alice", international=True)
    assert house.out(house.find("alice"), "01161255501000").number == "+61255501000"
    assert house.refused(house.find("alice"), "+4930555010") is Reason.NO_DESTINATION


def test_dial_rules_and_area_code(house: House) -> None:
    alice = house.account(dial_rules="9=;00=+;*1=+1514", area_code="212", international=True)
    for dialled, number in (
        ("5550100", "+12125550100"),
        ("95145550100", "+15145550100"),
        ("0061255501000", "+61255501000"),
        ("*15550100", "+15145550100"),
    ):
        assert house.out(alice, dialled).number == number
    with pytest.raises(provisioning.ProvisioningError, match="dial rule"):
        provisioning.set_account(house.conn, "alice", dial_rules="9")


def test_limits_are_those_of_the_account_that_pays(house: House) -> None:
    main = house.account("alice", channels=7)
    sub = house.account("alice_home", parent="alice", channels=99)
    (leg,) = house.out(sub, "5145550100").legs
    assert leg.account_id == sub.billing_id == main.id
    assert [(limit.key, limit.most, limit.reason) for limit in leg.limits] == [
        (f"account:{main.id}:out", 7, Reason.ACCOUNT_CHANNELS),
        (f"account:{main.id}:to:+15145550100", 2, Reason.ONE_NUMBER),
    ]


def test_new_accounts_have_five_channels_and_two_calls_to_one_number(house: House) -> None:
    alice = house.account()
    assert (alice.channels, alice.calls_to_one_number) == (5, 2)


def test_carriers_in_order_and_by_rate(house: House) -> None:
    alice = house.account(route="premium")
    provisioning.add_carrier(house.conn, Carrier("first", "192.0.2.8", 5060, "tcp"), priority=1)
    assert [one.name for one in house.out(alice, "5145550100").carriers] == ["first", "north"]
    house.conn.execute("UPDATE rate SET carriers = 'north,gone' WHERE prefix = '1514'")
    assert [one.name for one in house.out(alice, "5145550100").carriers] == ["north"]
    provisioning.remove_carrier(house.conn, "north")
    assert house.refused(alice, "5145550100") is Reason.NO_CARRIER


def test_a_change_is_seen_by_the_next_call(house: House) -> None:
    alice = house.account(route="value")
    assert house.out(alice, "5145550100").legs[0].tariff.per_minute == 520_000
    house.conn.execute("UPDATE rate SET per_minute = 1 WHERE prefix = '1514'")
    assert house.out(alice, "5145550100").legs[0].tariff.per_minute == 1
    provisioning.set_account(house.conn, "alice", status="blocked")
    assert house.refused(house.find("alice"), "5145550100") is Reason.BLOCKED
    provisioning.remove_account(house.conn, "alice")
    assert house.directory.account_by_username("alice") is None


def test_blocking_the_main_account_blocks_its_devices(house: House) -> None:
    house.account("alice")
    house.account("alice_home", parent="alice")
    provisioning.set_account(house.conn, "alice", status="blocked")
    assert house.find("alice_home").status == "blocked"


def test_with_route_choice_off_everything_is_value(house: House) -> None:
    alice = house.account(route="premium")
    off = Directory(open_reader(house.path), REALM, frozenset({Rule.ROUTE_CHOICE}))
    plan = off.route_outgoing(alice, "5145550100")
    assert isinstance(plan, OutgoingPlan)
    assert plan.legs[0].route == "value"


@pytest.mark.parametrize(
    ("number", "plan", "channels", "per_minute"),
    [
        ("+12125550100", "per-minute", 25, "0.009"),
        ("+12125550100", "flat", 2, "0"),
        ("+12045550100", "per-minute", 25, "0.0125"),
        ("+12045550100", "flat", 2, "0"),
        ("+442079460000", "international", 2, "0"),
    ],
)
def test_plans_of_dids(
    house: House, number: str, plan: str, channels: int, per_minute: str
) -> None:
    alice = house.account()
    provisioning.add_did(house.conn, number, plan=plan, pop="default", account="alice")  # type: ignore[arg-type]
    found = house.directory.route_incoming(number.removeprefix("+1"), "north")
    assert isinstance(found, IncomingPlan)
    (leg,) = found.legs
    assert (found.account.id, found.pop, leg.direction) == (alice.id, "default", "in")
    assert (leg.route, leg.tariff.per_minute) == (plan, parse_usd(per_minute))
    assert [(limit.key, limit.most, limit.reason) for limit in leg.limits] == [
        (f"did:{number}", channels, Reason.DID_CHANNELS)
    ]


def test_dids_move_are_released_and_are_not_ours(house: House) -> None:
    house.account()
    incoming = house.directory.route_incoming
    assert incoming("2125550100", "north") is None
    provisioning.add_did(
        house.conn, "2125550100", plan="per-minute", pop="default", account="alice"
    )
    provisioning.add_pop(house.conn, "toronto")
    provisioning.set_did(house.conn, "2125550100", pop="toronto", plan="flat")
    plan = incoming("+12125550100", "north")
    assert isinstance(plan, IncomingPlan)
    assert (plan.pop, plan.legs[0].tariff.per_minute, plan.legs[0].limits[0].most) == (
        "toronto",
        0,
        2,
    )
    provisioning.set_account(house.conn, "alice", status="blocked")
    blocked = incoming("12125550100", "north")
    assert isinstance(blocked, Refusal)
    assert blocked.reason is Reason.BLOCKED
    release_did(house.conn, "2125550100", Now(0, 0))
    released = incoming("12125550100", "north")
    assert isinstance(released, Refusal)
    assert released.reason is Reason.NO_DESTINATION


def test_a_trunk_with_a_range(house: House) -> None:
    trunk = house.account(
        "pbx", address="192.0.2.50", number_range="+1212555", caller_id="2125550000"
    )
    provisioning.add_did(
        house.conn, "+1212555", plan="per-minute", pop="default", account="pbx", is_range=True
    )
    plan = house.directory.route_incoming("2125550123", "north")
    assert isinstance(plan, IncomingPlan)
    assert (plan.number, plan.account) == ("+12125550123", trunk)
    assert plan.legs[0].limits[0].key == "did:+1212555"
    assert house.directory.account_by_address("192.0.2.50", 40_000) == trunk
    assert house.directory.account_by_address("192.0.2.51", 5060) is None
    assert house.directory.shown_caller(trunk, "12125550199") == "+12125550199"
    assert house.directory.shown_caller(trunk, "3125550199") == "+12125550000"


def test_callers_may_show_what_is_theirs(house: House) -> None:
    house.account("alice")
    bob = house.account("bob")
    provisioning.add_did(house.conn, "2125550100", plan="flat", pop="default", account="alice")
    alice = house.find("alice")
    assert house.directory.caller_allowed(alice, "2125550100")
    assert not house.directory.caller_allowed(bob, "2125550100")
    assert not house.directory.caller_allowed(alice, "alice")
    assert house.directory.shown_caller(bob, "2125550100") == ""


def test_carriers_are_known_by_address_and_port(house: House) -> None:
    find = house.directory.carrier_by_address
    north = find("192.0.2.9", 5060)
    assert north is not None
    assert north.name == "north"
    assert find("192.0.2.9", 5061) is None
    provisioning.add_carrier(house.conn, Carrier("tcp", "192.0.2.7", 5060, "tcp"))
    assert find("192.0.2.7", 49_152) is not None
    with pytest.raises(provisioning.ProvisioningError, match="told apart"):
        provisioning.add_carrier(house.conn, Carrier("twin", "192.0.2.9", 5060, "udp"))


def test_a_flood_of_made_up_names_drives_nobody_out(house: House) -> None:
    alice = house.account()
    for n in range(10_000):
        assert house.directory.account_by_username(f"no{n}") is None
    cache = house.directory._accounts
    assert len(cache._missing) <= 4_096
    assert cache._found == {"alice": alice}


def test_digest_secrets_are_per_realm_and_the_password_is_not_kept(house: House) -> None:
    alice = house.account()
    before = (alice.ha1_md5, alice.ha1_sha256)
    assert (len(alice.ha1_md5), len(alice.ha1_sha256)) == (32, 64)
    provisioning.set_password(house.conn, "alice", "other.example", "secret")
    again = house.find("alice")
    assert before != (again.ha1_md5, again.ha1_sha256)
    text = "\n".join(dump(house.conn))
    assert "'secret'" not in text


def test_prices_not_offered_have_to_be_named(house: House) -> None:
    with pytest.raises(provisioning.ProvisioningError, match="price"):
        provisioning.add_did(house.conn, "+13125550100", plan="per-minute", pop="default")
    provisioning.add_did(
        house.conn, "+13125550100", plan="per-minute", pop="default", per_minute=Money(5)
    )
    with pytest.raises(provisioning.ProvisioningError, match="already"):
        provisioning.add_did(
            house.conn, "+13125550100", plan="per-minute", pop="default", per_minute=Money(5)
        )
