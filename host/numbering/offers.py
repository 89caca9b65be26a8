"""What a number costs a month and a minute: the price lists of DIDs and of toll-free numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from host.charging.money import parse_usd
from host.charging.values import Money
from host.numbering.e164 import prefixes

_DECKS = Path(__file__).parent / "decks"
_TOLL_FREE = frozenset(
    f"1{code}"
    for code in (
        800,
        822,
        833,
        844,
        855,
        866,
        877,
        880,
        881,
        882,
        883,
        884,
        885,
        886,
        887,
        888,
        889,
    )
)

Country = Literal["United States", "Canada"]
_COUNTRIES: tuple[Country, ...] = ("United States", "Canada")


class Offer(NamedTuple):
    """The price of a DID."""

    monthly: Money
    per_minute: Money


class TollFreeOffer(NamedTuple):
    """The price of a toll-free number, which is its carrier's, and the caller's country's."""

    carrier: Country
    """The country of the carrier that brings the calls."""
    monthly: Money
    american_callers: Money
    """A minute, of callers in the United States."""
    canadian_callers: Money

    def per_minute(self, caller: Country | None) -> Money:
        """What a minute costs; of a caller whose country is not known, the dearer rate."""
        if caller == "United States":
            return self.american_callers
        if caller == "Canada":
            return self.canadian_callers
        return max(self.american_callers, self.canadian_callers)


def find_offer(number: str, plan: str) -> Offer | None:
    """The price of a new DID with this number on this plan, if there is one in the list."""
    for row in did_offers():
        if row["plan"] == plan and number[1:].startswith(tuple(row["prefixes"].split())):
            return Offer(parse_usd(row["monthly"]), parse_usd(row["per_minute"]))
    return None


def did_offers() -> Iterator[dict[str, str]]:
    """The list of DIDs: place, prefixes, plan, monthly, per_minute."""
    yield from _rows("did.csv")


def toll_free_offers() -> tuple[TollFreeOffer, ...]:
    """The list of toll-free numbers, one for each country of a carrier."""
    return tuple(
        TollFreeOffer(
            row["carrier"],  # type: ignore[arg-type]  # the list that ships
            parse_usd(row["monthly"]),
            parse_usd(row["american_callers"]),
            parse_usd(row["canadian_callers"]),
        )
        for row in _rows("toll_free.csv")
    )


def callers_country(number: str) -> Country | None:
    """Where a caller (E.164 with +) is, as far as toll-free prices ask; None: elsewhere, or not
    known."""
    digits = number.removeprefix("+")
    if not number.startswith("+1") or len(digits) != 11 or digits[:4] in _TOLL_FREE:
        return None
    places = _places()
    place = next((places[one] for one in prefixes(digits) if one in places), "")
    for country in _COUNTRIES:
        if place.startswith(country):
            return country
    return None


@lru_cache(maxsize=1)
def _places() -> dict[str, str]:
    return {row["prefix"]: row["destination"] for row in _rows("default.csv")}


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (_DECKS / name).open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(line for line in lines if not line.startswith("#"))
