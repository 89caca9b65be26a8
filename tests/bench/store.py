"""What the store takes a second: durable authorisations and settlements, in batches as the writer
commits them, beside the bare database with the same rows in the same batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from host.charging import ledger
from host.charging.service import Charging
from host.charging.values import (
    BilledLeg,
    CallFacts,
    Ending,
    Grant,
    Limit,
    Money,
    Now,
    Reason,
    Tariff,
)
from host.numbering import provisioning
from host.settings import ChargingSettings
from host.store.connection import Connection
from host.store.opening import open_writer
from host.store.writer import Committer, Entry
from tests.bench.figures import Figure

PEER = "bare sqlite3"
BATCH = 64
ACCOUNTS = 100
_FUNDS = Money(10**16)
_TARIFF = Tariff(Money(520_000))
_TALK_MS = 61_000
_ENDING = Ending("answered", 16, "caller", "north")
_TABLES = ("call", "leg", "live_limit", "hold", "movement", "posting", "ledger_account")
"""What a call writes."""
_ENDED = (
    *("state", "ended_utc_ms", "talk_ms", "disposition", "cause", "ended_by", "answered_utc_ms"),
    *("detail", "carrier_cost", "carrier"),
)
"""What a settlement changes of a call."""

Row = dict[str, object]
Rows = dict[str, list[Row]]
Statements = list[tuple[str, tuple[object, ...]]]


def measure(
    folder: Path, rounds: int, calls: int, step: Callable[[str, float], None]
) -> Iterator[Figure]:
    """Both figures, ours and the peer's turn by turn, each on a store of its own."""
    ours: tuple[list[float], list[float]] = ([], [])
    theirs: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        step(f"the store, round {turn + 1}", 4)
        place = folder / f"store-{turn}"
        place.mkdir()
        begun, ended = charge(place / "host.sqlite", calls, ours)
        step(f"the bare database, round {turn + 1}", 1)
        _write_bare(place / "bare.sqlite", begun, ended, theirs)
    yield Figure.of("authorize_rate", ours[0], PEER, theirs[0])
    yield Figure.of("settle_rate", ours[1], PEER, theirs[1])


def charge(
    database: str | Path, calls: int, rates: tuple[list[float], list[float]]
) -> tuple[Rows, Rows]:
    """Authorise, then settle; returns what each left in the tables.

    Raises:
        RuntimeError: not every call was granted and charged, or the ledger is not in balance.
    """
    committer = Committer(database)
    conn = open_writer(database)
    accounts = [
        provisioning.add_account(conn, f"a{n}", realm="r", password="") for n in range(ACCOUNTS)
    ]
    for account in accounts:
        ledger.pay(conn, Now(0, 0), account, _FUNDS, "manual", str(account))
    charging = Charging("host1", "boot1", ChargingSettings())
    payers = [accounts[n % ACCOUNTS] for n in range(calls)]
    granted = _commit_ours(
        committer, [_authorize(charging, n, payer) for n, payer in enumerate(payers)], rates[0]
    )
    begun = rows_of(conn)
    # The notes of the answers are written, but no part of either figure.
    committer.transact([_answered(charging, n) for n in range(calls)])
    settled = _commit_ours(committer, [_settle(charging, n) for n in range(calls)], rates[1])
    ended = rows_of(conn)
    faults = ledger.check(conn)
    conn.close()
    if not all(isinstance(grant, Grant) for grant in granted) or not all(settled) or faults:
        raise RuntimeError(f"the store did not charge {calls} calls as it should: {faults[:3]}")
    return begun, ended


def _commit_ours(committer: Committer, entries: list[Entry], rates: list[float]) -> list[object]:
    """Commit operations a batch at a time; notes how many were durable a second."""
    results: list[object] = []
    began = time.perf_counter()
    for at in range(0, len(entries), BATCH):
        results += committer.transact(entries[at : at + BATCH])
    rates.append(len(entries) / (time.perf_counter() - began))
    return results


def _authorize(charging: Charging, number: int, payer: int) -> Entry:
    to = f"+1514555{number % 10_000:04}"
    call = CallFacts(_call_id(number), f"a{payer}", payer, "out", "+12125550100", to)
    limits = (
        Limit(f"account:{payer}:out", 1_000_000, Reason.ACCOUNT_CHANNELS),
        Limit(f"account:{payer}:to:{to}", 1_000_000, Reason.ONE_NUMBER),
    )
    leg = BilledLeg(0, "out", payer, _TARIFF, "value 1514", "value", limits)
    now = Now(number, number)
    return _entry(lambda conn: charging.authorize(conn, now, call, (leg,), 3_600_000))


def _answered(charging: Charging, number: int) -> Entry:
    now = Now(number + 1, number + 1)
    return _entry(lambda conn: charging.answered(conn, now, _call_id(number), "north"))


def _settle(charging: Charging, number: int) -> Entry:
    now = Now(number + _TALK_MS, number + _TALK_MS)
    return _entry(lambda conn: charging.settle(conn, now, _call_id(number), _TALK_MS, _ENDING))


def _call_id(number: int) -> str:
    return f"call-{number:012}"


def _entry(operation: Callable[[Connection], object]) -> Entry:
    return Entry(operation, lambda _: None, False, 0.0)


def rows_of(conn: Connection) -> Rows:
    rows: Rows = {}
    for table in _TABLES:
        cursor = conn.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
        names = [column[0] for column in cursor.description]
        rows[table] = [dict(zip(names, row, strict=True)) for row in cursor]
    return rows


# --- the peer ---


def _write_bare(
    path: Path, begun: Rows, ended: Rows, rates: tuple[list[float], list[float]]
) -> None:
    """Write the very rows that ours wrote, knowing each of them beforehand and asking nothing:
    the same tables, indexes, batches and durability, but no trigger and no foreign key.

    Raises:
        RuntimeError: it wrote other rows than ours.
    """
    conn = open_writer(path)
    conn.execute("PRAGMA foreign_keys = OFF")
    triggers = conn.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for (name,) in triggers:
        conn.execute(f"DROP TRIGGER {name}")
    conn.execute("DELETE FROM ledger_account")
    before, authorized, answered, settled = writes(begun, ended)
    commit(conn, before)
    rates[0].append(commit(conn, authorized))
    commit(conn, answered)
    rates[1].append(commit(conn, settled))
    if rows_of(conn) != ended:
        raise RuntimeError("the bare database holds other rows than the store: compared is nothing")
    conn.close()


def writes(begun: Rows, ended: Rows) -> tuple[list[Statements], ...]:
    """What was written before the calls, at their authorisation, answer and settlement."""
    paid = [row for row in begun["movement"] if row["call"] is None]
    known = {row["id"] for row in paid}
    before: Statements = [_insert("movement", row) for row in paid]
    before += [_insert("posting", row) for row in begun["posting"] if row["movement_id"] in known]
    before += [_insert("ledger_account", {**row, "held": 0}) for row in begun["ledger_account"]]
    answered: Statements = [
        (
            "UPDATE call SET answered_utc_ms = ?, answered_mono_ms = ? WHERE id = ?",
            (row["answered_utc_ms"], row["answered_mono_ms"], row["id"]),
        )
        for row in ended["call"]
    ]
    return [before], _authorized(begun), [answered], _settled(ended)


def _authorized(rows: Rows) -> list[Statements]:
    """What each call's authorisation wrote."""
    calls: dict[object, Statements] = {row["id"]: [_insert("call", row)] for row in rows["call"]}
    for table in ("leg", "live_limit", "hold"):
        for row in rows[table]:
            calls[row["call"]].append(_insert(table, row))
    for row in rows["hold"]:
        calls[row["call"]].append(
            (
                "UPDATE ledger_account SET held = held + ? WHERE id = ?",
                (row["amount"], row["account_id"]),
            )
        )
    return list(calls.values())


def _settled(rows: Rows) -> list[Statements]:
    """What each call's settlement wrote."""
    changes = ", ".join(f"{name} = ?" for name in _ENDED)
    calls: dict[object, Statements] = {
        row["id"]: [
            (
                f"UPDATE call SET {changes} WHERE id = ?",
                (*(row[name] for name in _ENDED), row["id"]),
            ),
            ("DELETE FROM live_limit WHERE call = ?", (row["id"],)),
        ]
        for row in rows["call"]
    }
    for row in rows["leg"]:
        key = (row["call"], row["leg"])
        calls[row["call"]].append(
            (
                "UPDATE leg SET billed_ms = ?, cost = ? WHERE call = ? AND leg = ?",
                (row["billed_ms"], row["cost"], *key),
            )
        )
    for row in rows["hold"]:
        key = (row["call"], row["leg"], row["sequence"])
        calls[row["call"]] += [
            (
                "UPDATE hold SET state = ? WHERE call = ? AND leg = ? AND sequence = ?",
                (row["state"], *key),
            ),
            (
                "UPDATE ledger_account SET held = held - ? WHERE id = ?",
                (row["amount"], row["account_id"]),
            ),
        ]
    moved = {row["id"]: row["call"] for row in rows["movement"] if row["call"] is not None}
    for row in rows["movement"]:
        if row["id"] in moved:
            calls[row["call"]].append(_insert("movement", row))
    for row in rows["posting"]:
        if row["movement_id"] in moved:
            calls[moved[row["movement_id"]]] += [
                _insert("posting", row),
                (
                    "UPDATE ledger_account SET balance = balance + ? WHERE id = ?",
                    (row["amount"], row["account_id"]),
                ),
            ]
    return list(calls.values())


def commit(conn: Any, calls: list[Statements], begin: str = "BEGIN IMMEDIATE") -> float:
    """Write calls a batch at a time; how many were durable a second."""
    began = time.perf_counter()
    for at in range(0, len(calls), BATCH):
        conn.execute(begin)
        for statements in calls[at : at + BATCH]:
            for statement, values in statements:
                conn.execute(statement, values)
        conn.execute("COMMIT")
    return len(calls) / (time.perf_counter() - began)


def _insert(table: str, row: Row) -> tuple[str, tuple[object, ...]]:
    marks = ", ".join("?" * len(row))
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
