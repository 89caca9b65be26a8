"""Points of presence by the numbers that clients of the API know: a table, not their order."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from host.store.connection import Connection

_TABLE = Path(__file__).parent / "decks" / "pops.csv"
FIRST_OTHER = 1_001
"""The first number of POPs that are not in the table."""


class Known(NamedTuple):
    """A POP of the table."""

    number: int
    description: str
    country: str


class Pop(NamedTuple):
    """A point of presence."""

    name: str
    description: str
    number: int
    country: str


@lru_cache(maxsize=1)
def known() -> dict[str, Known]:
    """The table, by name."""
    with _TABLE.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(line for line in lines if not line.startswith("#"))
        return {
            row["name"]: Known(int(row["number"]), row["description"], row["country"])
            for row in rows
        }


def number_pops(conn: Connection) -> None:
    """Give POPs that have no number the table's, or the next that no POP has had."""
    without = conn.execute("SELECT name FROM pop WHERE number IS NULL ORDER BY name").fetchall()
    for (name,) in without:
        usual = known().get(name)
        taken = usual and conn.execute("SELECT 1 FROM pop WHERE number = ?", (usual.number,))
        if usual is None or (taken and taken.fetchone()):
            (number,) = conn.execute(
                "SELECT coalesce(max(number), 0) + 1 FROM pop WHERE number >= ?", (FIRST_OTHER,)
            ).fetchone()
            usual = Known(max(number, FIRST_OTHER), "", "")
        conn.execute(
            "UPDATE pop SET number = ?, description = CASE description WHEN '' THEN ? "
            "ELSE description END, country = CASE country WHEN '' THEN ? ELSE country END "
            "WHERE name = ?",
            (*usual, name),
        )


def pops(conn: Connection) -> list[Pop]:
    """All that have a number, by it."""
    query = "SELECT name, description, number, country FROM pop WHERE number IS NOT NULL"
    return [Pop(*row) for row in conn.execute(f"{query} ORDER BY number")]
