"""In which country a number is, by how it begins (ITU-T E.164), and which route an account has to
choose for it."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

from host.numbering.checks import ProvisioningError
from host.numbering.e164 import prefixes

_TABLE = Path(__file__).parent / "decks" / "countries.csv"
_LONGEST = 7
"""Digits of the longest prefix in the table."""


@lru_cache(maxsize=1)
def _countries() -> dict[str, str]:
    with _TABLE.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(line for line in lines if not line.startswith("#"))
        return {row["prefix"]: row["country"] for row in rows}


def country_of(number: str) -> str:
    """The country of a number in E.164 (ISO 3166-1 alpha-2); empty: of none, or not known.

    >>> country_of("+441534123456"), country_of("+12125550100"), country_of("+8821612345678")
    ('JE', 'US', '')
    """
    known = _countries()
    return next((known[one] for one in prefixes(number[1 : 1 + _LONGEST]) if one in known), "")


def country_code(text: str) -> str:
    """A country that numbers are in.

    Raises:
        ProvisioningError: there is none of that code.
    """
    if text not in _countries().values():
        raise ProvisioningError(f"{text!r} is no country: write its ISO 3166-1 code, as in CA")
    return text
