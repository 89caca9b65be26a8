"""What devices tell: what they run, what they could not do, and how their lines are."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, NamedTuple

from firmware.wire.provisioning import LineTests, Report
from host.charging.values import Now
from host.store.connection import Connection

KEPT = 30
"""Line tests of one line; beside them the last that failed."""
LINES_KEPT = 32
"""Lines of one device: names are the device's, and it may change them."""


class KeptTests(NamedTuple):
    """All tests of one line, made at one time."""

    mac: str
    line: str
    utc_ms: int
    failed: bool
    tests: list[dict[str, Any]]
    """`test`, `verdict`, `measures`, `faults`, `note`."""


def take(conn: Connection, now: Now, mac: str, source: str, report: Report) -> None:
    """Keep a device's report; line tests that came before are kept once."""
    conn.execute(
        "UPDATE device SET seen_utc_ms = ?, source = ?, board = ?, version = ?, label = ?, "
        "slot = ?, config_sha256 = ?, problems = ? WHERE mac = ?",
        (
            now.utc_ms, source, report.board, report.version, report.label, report.slot,
            report.config_sha256, "\n".join(_one_line(one) for one in report.problems), mac,
        ),
    )  # fmt: skip
    for tests in report.line_tests:
        _keep(conn, now, mac, tests)


def seen(conn: Connection, now: Now, mac: str, source: str) -> None:
    """The device has asked."""
    conn.execute(
        "UPDATE device SET seen_utc_ms = ?, source = ? WHERE mac = ?", (now.utc_ms, source, mac)
    )


def _keep(conn: Connection, now: Now, mac: str, tests: LineTests) -> None:
    at_ms = max(0, now.utc_ms - tests.age_s * 1000)
    conn.execute(
        "INSERT INTO line_test (mac, line, id, utc_ms, failed, tests) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (mac, line, id) DO NOTHING",
        (
            mac, tests.line, tests.id, at_ms, int(tests.failed),
            json.dumps([asdict(one) for one in tests.tests]),
        ),
    )  # fmt: skip
    rows = conn.execute(
        "SELECT id, failed FROM line_test WHERE mac = ? AND line = ? ORDER BY utc_ms DESC, id DESC",
        (mac, tests.line),
    ).fetchall()
    failed = next((one for one, has_failed in rows if has_failed), None)
    for gone, _ in rows[KEPT:]:
        if gone != failed:
            conn.execute(
                "DELETE FROM line_test WHERE mac = ? AND line = ? AND id = ?",
                (mac, tests.line, gone),
            )
    lines = conn.execute(
        "SELECT line FROM line_test WHERE mac = ? GROUP BY line ORDER BY max(utc_ms) DESC, line",
        (mac,),
    ).fetchall()
    for (line,) in lines[LINES_KEPT:]:
        conn.execute("DELETE FROM line_test WHERE mac = ? AND line = ?", (mac, line))


def line_tests(conn: Connection, mac: str) -> list[KeptTests]:
    """Of each line the last tests and, where those found no fault, the last that did."""
    rows = conn.execute(
        "SELECT mac, line, utc_ms, failed, tests FROM line_test WHERE mac = ? "
        "ORDER BY line, utc_ms DESC, id DESC",
        (mac,),
    ).fetchall()
    found: list[KeptTests] = []
    for line in sorted({row[1] for row in rows}):
        own = [row for row in rows if row[1] == line]
        failed = next((row for row in own if row[3]), None)
        chosen = own[:1] if failed is None or failed is own[0] else [own[0], failed]
        found += [
            KeptTests(row[0], row[1], row[2], bool(row[3]), json.loads(row[4])) for row in chosen
        ]
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())
