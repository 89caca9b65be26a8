"""What commands print: tables on a terminal, aligned text in a pipe, JSON when asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from host.charging.money import format_usd

Row = Mapping[str, Any]

_MONEY = frozenset(
    (
        "cost",
        "funds",
        "held",
        "available",
        "amount",
        "fee",
        "per_minute",
        "monthly",
        "connect_fee",
        "debt",
        "threshold",
        "minimum",
        "fee_below",
        "carrier_cost",
        "margin",
        "american_callers",
        "canadian_callers",
        "max_per_minute",
        "daily_spend",
    )
)


def show(rows: Sequence[Row], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print rows; `empty` is said, on standard error, when there is none."""
    if as_json:
        print(json.dumps([_plain(row) for row in rows]))
        return
    if not rows:
        print(empty, file=sys.stderr)
        return
    cells = [[_cell(name, row[name]) for name in columns] for row in rows]
    right = [
        all(isinstance(row[name], int | None) and not name.endswith("utc_ms") for row in rows)
        for name in columns
    ]
    heads = [name.removesuffix("_ms").replace("_", " ") for name in columns]
    if sys.stdout.isatty():
        table = Table(box=None, header_style="bold")
        for head, is_right in zip(heads, right, strict=True):
            table.add_column(head, justify="right" if is_right else "left")
        for line in cells:
            table.add_row(*line)
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    for line in [heads, *cells]:
        padded = (
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        )
        print("  ".join(padded).rstrip())


def show_one(row: Row, *, as_json: bool) -> None:
    """Print one thing, a line a property."""
    if as_json:
        print(json.dumps(_plain(row)))
        return
    width = max(len(name.removesuffix("_ms")) for name in row)
    for name, value in row.items():
        head = name.removesuffix("_ms").replace("_", " ")
        print(f"{head.ljust(width)}  {_cell(name, value)}".rstrip())


def say(text: str, *, as_json: bool, **values: Any) -> None:
    """Confirm what was done: a sentence, or the values as JSON."""
    print(json.dumps(_plain(values)) if as_json else text)


def fail(text: str, code: int = 1) -> NoReturn:
    """End with an error: what happened, to what, and what to do next."""
    print(f"error: {text}", file=sys.stderr)
    raise typer.Exit(code)


def utc(ms: int | None) -> str:
    """Milliseconds since 1970 as people read them, UTC."""
    if ms is None:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _plain(row: Row) -> dict[str, Any]:
    # Money as a string: a JSON number is a float to most who read it.
    return {
        name: format_usd(value) if name in _MONEY and isinstance(value, int) else value
        for name, value in row.items()
    }


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in _MONEY and isinstance(value, int):
        return format_usd(value)
    if name.endswith("utc_ms"):
        return utc(value)
    if name.endswith("_ms") and isinstance(value, int):
        return f"{value // 1000}.{value % 1000:03d} s"
    return str(value)
