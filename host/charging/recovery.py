"""Calls that nobody ended: after a crash, and when a host forgot one or never came back.

What is not known is not billed: talk counts up to the last durable heartbeat of the host that
carried the call, measured on the monotonic clock if the boot is the same, else on UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from host.charging.values import Ending, LegSettlement, Now
from host.store.connection import Connection

SETUP_VALIDITY_MS = 300_000
"""Validity of a hold while the call rings: longer than Timer C (RFC 3261, 16.6) of any leg."""

_CAUSE = 41
"""Q.850: temporary failure."""

Settle = Callable[[Connection, Now, str, int, Ending], tuple[LegSettlement, ...]]


class Beat(NamedTuple):
    """A heartbeat of another host, and when it was first seen here."""

    boot_id: str | None
    """None: that host left none."""
    mono_ms: int | None
    """On the clock of that boot."""
    seen_mono_ms: int
    """On the clock of this one."""


_SELECT_OPEN = """
SELECT call.call_id, call.host_id, call.boot_id, started_utc_ms, started_mono_ms,
    answered_utc_ms, answered_mono_ms, granted_ms, validity_ms,
    host.boot_id, host.utc_ms, host.mono_ms
FROM call INDEXED BY call_open LEFT JOIN host ON host.host_id = call.host_id
WHERE call.state = 'open'"""


def heartbeat(conn: Connection, now: Now, host_id: str, boot_id: str) -> None:
    """Write the one heartbeat row of a host."""
    conn.execute(
        "INSERT INTO host (host_id, boot_id, utc_ms, mono_ms) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (host_id) DO UPDATE SET boot_id = excluded.boot_id, "
        "utc_ms = excluded.utc_ms, mono_ms = excluded.mono_ms",
        (host_id, boot_id, now.utc_ms, now.mono_ms),
    )


def recover(conn: Connection, now: Now, host_id: str, settle: Settle) -> int:
    """Settle all open calls of a host that has just started, and so carries none."""
    found = conn.execute(_SELECT_OPEN + " AND call.host_id = ?", (host_id,)).fetchall()
    for row in found:
        _settle_to_heartbeat(conn, now, row, settle, "the host stopped")
    return len(found)


def supervise(
    conn: Connection, now: Now, boot_id: str, beats: dict[str, Beat], settle: Settle
) -> int:
    """Settle open calls of any host that outlived twice the validity of their hold.

    No age is taken from UTC, which may be stepped under a live call: calls of this boot are as
    old as its monotonic clock says, those of another machine as old as they were at their host's
    last heartbeat, by that host's own clock, and as this one has seen no further heartbeat since.

    Args:
        now: the time of this very look, not of when it was asked for.
        beats: what this process saw of other hosts; kept from one time to the next.
    """
    count = 0
    for row in conn.execute(_SELECT_OPEN).fetchall():
        _, its_host, its_boot, _, started_mono, answered, answered_mono = row[:7]
        granted, validity, beat_boot, _, beat_mono = row[7:]
        began_ms = started_mono if answered is None else answered_mono
        due_ms = 2 * SETUP_VALIDITY_MS if answered is None else granted + validity
        if its_boot == boot_id:
            age_ms = now.mono_ms - began_ms
        else:
            beat = beats.get(its_host)
            if beat is None or (beat.boot_id, beat.mono_ms) != (beat_boot, beat_mono):
                beat = beats[its_host] = Beat(beat_boot, beat_mono, now.mono_ms)
            # A machine that was started anew shows since when: the call is older than that.
            at_beat_ms = (beat_mono or 0) - (began_ms if beat_boot == its_boot else 0)
            age_ms = max(0, at_beat_ms) + now.mono_ms - beat.seen_mono_ms
        if age_ms > due_ms:
            _settle_to_heartbeat(conn, now, row, settle, "not renewed in time")
            count += 1
    return count


def _settle_to_heartbeat(
    conn: Connection, now: Now, row: tuple[object, ...], settle: Settle, why: str
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
