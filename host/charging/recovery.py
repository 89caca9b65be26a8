"""Calls that nobody ended: after a crash, and when a host forgot one or never came back.

What is not known is not billed: talk counts up to the last durable heartbeat of the host that
carried the call, measured on the monotonic clock if the boot is the same, else on UTC.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from host.charging.values import Ending, LegSettlement, Now

SETUP_VALIDITY_MS = 300_000
"""Validity of a hold while the call rings: longer than Timer C (RFC 3261, 16.6) of any leg."""

_CAUSE = 41
"""Q.850: temporary failure."""

Settle = Callable[[sqlite3.Connection, Now, str, int, Ending], tuple[LegSettlement, ...]]

_SELECT_OPEN = """
SELECT call.call_id, call.host_id, call.boot_id, started_utc_ms, started_mono_ms,
    answered_utc_ms, answered_mono_ms, granted_ms, validity_ms,
    host.boot_id, host.utc_ms, host.mono_ms
FROM call INDEXED BY call_open LEFT JOIN host ON host.host_id = call.host_id
WHERE call.state = 'open'"""


def heartbeat(conn: sqlite3.Connection, now: Now, host_id: str, boot_id: str) -> None:
    """Write the one heartbeat row of a host."""
    conn.execute(
        "INSERT INTO host (host_id, boot_id, utc_ms, mono_ms) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (host_id) DO UPDATE SET boot_id = excluded.boot_id, "
        "utc_ms = excluded.utc_ms, mono_ms = excluded.mono_ms",
        (host_id, boot_id, now.utc_ms, now.mono_ms),
    )


def recover(conn: sqlite3.Connection, now: Now, host_id: str, settle: Settle) -> int:
    """Settle all open calls of a host that has just started, and so carries none."""
    found = conn.execute(_SELECT_OPEN + " AND call.host_id = ?", (host_id,)).fetchall()
    for row in found:
        _settle_to_heartbeat(conn, now, row, settle, "the host stopped")
    return len(found)


def supervise(
    conn: sqlite3.Connection, now: Now, host_id: str, boot_id: str, settle: Settle
) -> int:
    """Settle open calls of any host that outlived twice the validity of their hold."""
    count = 0
    for row in conn.execute(_SELECT_OPEN).fetchall():
        _, its_host, its_boot, started, started_mono, answered, answered_mono = row[:7]
        # Our own monotonic clock where it applies: UTC may be stepped under a live call.
        own = its_host == host_id and its_boot == boot_id
        if answered is None:
            age_ms = now.mono_ms - started_mono if own else now.utc_ms - started
            due_ms = 2 * SETUP_VALIDITY_MS
        else:
            age_ms = now.mono_ms - answered_mono if own else now.utc_ms - answered
            granted, validity = row[7:9]
            due_ms = granted + validity
        if age_ms > due_ms:
            _settle_to_heartbeat(conn, now, row, settle, "not renewed in time")
            count += 1
    return count


def _settle_to_heartbeat(
    conn: sqlite3.Connection, now: Now, row: tuple[object, ...], settle: Settle, why: str
) -> None:
    call_id, boot, answered, answered_mono = row[0], row[2], row[5], row[6]
    granted, beat_boot, beat_utc, beat_mono = row[7], row[9], row[10], row[11]
    assert isinstance(call_id, str)
    assert isinstance(granted, int)
    talk_ms = 0
    if isinstance(answered, int) and isinstance(beat_utc, int):
        if beat_boot == boot and isinstance(answered_mono, int) and isinstance(beat_mono, int):
            talk_ms = beat_mono - answered_mono
        else:
            talk_ms = beat_utc - answered
        # UTC may have been stepped in between; a grant is a grant.
        talk_ms = max(0, min(talk_ms, granted))
    ended = now
    if isinstance(answered, int):
        ended = now._replace(utc_ms=answered + talk_ms)
    settle(
        conn,
        ended,
        call_id,
        talk_ms,
        Ending(
            disposition="failed" if answered is None else "answered",
            cause=_CAUSE,
            ended_by="crash",
            detail=why,
        ),
    )
