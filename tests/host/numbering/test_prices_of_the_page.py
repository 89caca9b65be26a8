"""Each sentence of the service's page that states a price or a rule of rates, and that we keep it.

The tests name their sentence as the page has it; `host/README.md` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from host.charging.money import parse_usd
from host.charging.values import Refusal
from host.numbering import provisioning
from host.numbering.directory import Directory
from host.numbering.offers import callers_country, find_offer, toll_free_offers
from host.numbering.quoting import Quote, quote
from host.numbering.values import Carrier, IncomingPlan, OutgoingPlan, Route
from host.store.opening import open_reader, open_writer


class House:
    """A host at its first start, with a carrier and a customer."""

    def __init__(self, path: Path) -> None:
        self.conn = open_writer(path)
        provisioning.seed(self.conn)
        provisioning.add_carrier(self.conn, Carrier("north", "192.0.2.9", 5060, "udp"))
        provisioning.add_account(
            self.conn, "alice", realm="r", password="x", international=True, route="value"
        )
        self.directory = Directory(open_reader(path), "r")

    def per_minute(self, number: str, route: Route) -> str | None:
        """What a minute to a number costs on a route; None: there is no such rate."""
        found = quote(self.directory, number, 60_000, None, route)
        if isinstance(found, Refusal):
            return None
        assert isinstance(found, Quote)
        assert found.cost == found.leg.tariff.per_minute
        return f"{found.cost / 10**8:.4f}"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "host.sqlite")
    yield made
    made.conn.close()


def test_incoming_and_outgoing_are_charged_separately(house: House) -> None:
    """With us the INCOMING and OUTGOING calls are charged and handled SEPARATELY, the incoming
    calls are charged depending on the plan of the DID"""
    provisioning.add_did(
        house.conn, "+12125550100", plan="per-minute", pop="default", account="alice"
    )
    alice = house.directory.account_by_username("alice")
    assert alice is not None
    incoming = house.directory.route_incoming("12125550100", "north")
    outgoing = house.directory.route_outgoing(alice, "15145550100")
    assert isinstance(incoming, IncomingPlan)
    assert isinstance(outgoing, OutgoingPlan)
    assert incoming.legs[0].tariff.per_minute == parse_usd("0.009")
    assert outgoing.legs[0].tariff.per_minute == parse_usd("0.0052")
    keys = [{limit.key for limit in plan.legs[0].limits} for plan in (incoming, outgoing)]
    assert not keys[0] & keys[1]


def test_outgoing_calls_are_charged_by_their_termination(house: House) -> None:
    """and the outgoing calls will be charged always per minute depending on the termination of
    the calls / The outgoing calls will be charged depending on the termination of the call"""
    for number in ("15145550100", "01161255501000", "011551155501000"):
        for minutes in (1, 7):
            one, many = (
                quote(house.directory, number, 60_000 * count, None, "value")
                for count in (1, minutes)
            )
            assert isinstance(one, Quote)
            assert isinstance(many, Quote)
            assert many.cost == minutes * one.cost
    prices = {house.per_minute(n, "value") for n in ("15145550100", "01161255501000")}
    assert len(prices) == 2


def test_no_did_is_needed_to_call(house: House) -> None:
    """Also note that it is not necessary to have a DID to start placing outgoing calls"""
    assert house.conn.execute("SELECT count(*) FROM did").fetchone() == (0,)
    alice = house.directory.account_by_username("alice")
    assert alice is not None
    assert isinstance(house.directory.route_outgoing(alice, "15145550100"), OutgoingPlan)


@pytest.mark.parametrize("number", ["12125550100", "13105550100", "19075550100", "18085550100"])
def test_united_states(house: House, number: str) -> None:
    """United states: - (value) $0.01 per minute (premium)"""
    assert house.per_minute(number, "value") is None
    assert house.per_minute(number, "premium") == "0.0100"


_CANADA = """
    204 226 236 249 250 257 263 289 306 343 354 365 367 368 382 387 403 416 418 428 431 437 438 450
    460 468 474 506 514 519 548 579 581 584 587 604 613 639 647 672 683 705 709 742 753 778 780 782
    807 819 825 873 879 902 905 942
"""


@pytest.mark.parametrize("area", _CANADA.split())
def test_canada(house: House, area: str) -> None:
    """Canada: $0.0052 per minute (value) $0.01 per minute (premium)"""
    assert house.per_minute(f"1{area}5550100", "value") == "0.0052"
    assert house.per_minute(f"1{area}5550100", "premium") == "0.0100"


def test_canada_the_second_time(house: House) -> None:
    """Canada: $0.0247 per minute (value) $0.0446 per minute (premium): taken as the northern
    territories, which the deck says"""
    assert house.per_minute("18675550100", "value") == "0.0247"
    assert house.per_minute("18675550100", "premium") == "0.0446"
    (name,) = house.conn.execute(
        "SELECT DISTINCT destination FROM rate WHERE prefix = '1867'"
    ).fetchone()
    assert name == "Canada (northern territories)"


def test_australia(house: House) -> None:
    """Australia: $0.0123 per minute (value) $0.0201 per minute (premium)"""
    assert house.per_minute("01161255501000", "value") == "0.0123"
    assert house.per_minute("+61255501000", "premium") == "0.0201"


def test_brazil(house: House) -> None:
    """Brazil: $0.0307 per minute (value) $0.0331 per minute (premium)"""
    assert house.per_minute("011551155501000", "value") == "0.0307"
    assert house.per_minute("+551155501000", "premium") == "0.0331"


@pytest.mark.parametrize("number", ["18765550100", "12425550100", "19005550100", "+4930555010"])
def test_what_the_page_has_no_price_for_cannot_be_called(house: House, number: str) -> None:
    """(no sentence: the examples are all that ships)"""
    assert house.per_minute(number, "value") is None
    assert house.per_minute(number, "premium") is None


@pytest.mark.parametrize("area", ["212", "332", "347", "646", "718", "917", "929"])
@pytest.mark.parametrize(
    ("plan", "monthly", "per_minute"), [("per-minute", "0.85", "0.009"), ("flat", "4.25", "0.00")]
)
def test_new_york_did(area: str, plan: str, monthly: str, per_minute: str) -> None:
    """New York DID $0.85 per Month / $0.009 per minute, $4.25 per Month / $0.00 per minute"""
    offer = find_offer(f"+1{area}5550100", plan)
    assert offer == (parse_usd(monthly), parse_usd(per_minute))


@pytest.mark.parametrize("area", ["204", "431", "584"])
@pytest.mark.parametrize(
    ("plan", "monthly", "per_minute"), [("per-minute", "1.70", "0.0125"), ("flat", "5.15", "0.00")]
)
def test_winnipeg_did(area: str, plan: str, monthly: str, per_minute: str) -> None:
    """Winnipeg DID $1.70 per month / $0.0125per minute, $5.15 per month / $0.00 per minute"""
    offer = find_offer(f"+1{area}5550100", plan)
    assert offer == (parse_usd(monthly), parse_usd(per_minute))


def test_toll_free_by_carrier_and_by_the_callers_country() -> None:
    """The Toll Free numbers will be charged depending on the carrier: American carrier $0.99 per
    month / $0.019 per minute (American callers) $0.99 per month / $0.080 per minute (Canadian
    callers), Canadian carrier $1.49 per month / $0.032 per minute (both)"""
    american, canadian = toll_free_offers()
    assert (american.carrier, canadian.carrier) == ("United States", "Canada")
    assert (american.monthly, canadian.monthly) == (parse_usd("0.99"), parse_usd("1.49"))
    assert american.per_minute("United States") == parse_usd("0.019")
    assert american.per_minute("Canada") == parse_usd("0.080")
    assert canadian.per_minute("United States") == parse_usd("0.032")
    assert canadian.per_minute("Canada") == parse_usd("0.032")
    # A caller whose country is not known costs the dearer rate.
    assert american.per_minute(None) == parse_usd("0.080")


@pytest.mark.parametrize(
    ("caller", "country"),
    [
        ("+12125550100", "United States"),
        ("+19075550100", "United States"),
        ("+15145550100", "Canada"),
        ("+18675550100", "Canada"),
        ("+18765550100", None),
        ("+18005550100", None),
        ("+442079460000", None),
        ("anonymous", None),
        ("", None),
        ("+1514", None),
    ],
)
def test_where_a_caller_is(caller: str, country: str | None) -> None:
    """American callers / Canadian callers"""
    assert callers_country(caller) == country
