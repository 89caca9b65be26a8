"""Registrations that outlive the process: kept in the store, found again at the next start.

A binding over UDP is an address that still reaches the device after a restart, so incoming calls
need not wait until it registers again. A connection ends with the process, and so does what was
registered over it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from host.charging.values import Now
from host.sip.registrar import Binding
from host.sip.transport import Flow
from host.store.connection import Connection

FlowTo = Callable[[str, str, int], Flow | None]
"""A flow from one of our listeners (`address:port`) to an address and port; None: not ours now."""

_SAVE = """
INSERT INTO binding (host_id, account_id, key, uri, call_id, cseq, address, port, listener,
    to_source, expires_utc_ms, q, user_agent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (host_id, account_id, key) DO UPDATE SET
    uri = excluded.uri, call_id = excluded.call_id, cseq = excluded.cseq,
    address = excluded.address, port = excluded.port, listener = excluded.listener,
    to_source = excluded.to_source, expires_utc_ms = excluded.expires_utc_ms, q = excluded.q,
    user_agent = excluded.user_agent"""
_DROP = "DELETE FROM binding WHERE host_id = ? AND account_id = ? AND key = ?"
_LOAD = """
SELECT account_id, account.username, key, uri, call_id, cseq, binding.address, binding.port,
    listener, to_source, expires_utc_ms, q, user_agent
FROM binding JOIN account ON account.id = account_id
WHERE host_id = ? AND expires_utc_ms > ? AND status = 'active'"""


def listener_name(flow: Flow) -> str:
    """How a listener is told from others, from one start to the next."""
    return f"{flow.listener.address}:{flow.listener.port}"


def rows_of(
    host_id: str, changes: Mapping[tuple[int, str], Binding | None], now: Now
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What to save and what to drop, as rows: plain values, made before another thread writes."""
    saved: list[tuple[object, ...]] = []
    dropped: list[tuple[object, ...]] = []
    for (account_id, key), b in changes.items():
        if b is None or b.flow.reliable:
            dropped.append((host_id, account_id, key))
            continue
        expires_utc_ms = now.utc_ms + round(b.expires_at * 1000) - now.mono_ms
        flow = b.flow
        row = (host_id, account_id, key, b.uri, b.call_id, b.cseq, flow.address, flow.port)
        rest = (listener_name(flow), b.to_source, expires_utc_ms, b.q, b.user_agent)
        saved.append(row + rest)
    return saved, dropped


def save(
    conn: Connection,
    saved: list[tuple[object, ...]],
    dropped: list[tuple[object, ...]],
) -> None:
    """Write the rows of `rows_of`; an account that was deleted meanwhile is passed over."""
    for row in saved:
        if conn.execute("SELECT 1 FROM account WHERE id = ?", (row[1],)).fetchone():
            conn.execute(_SAVE, row)
    conn.executemany(_DROP, dropped)


def load(conn: Connection, host_id: str, now: Now, flow_to: FlowTo) -> list[Binding]:
    """Bindings of this host that have not expired and whose listener is there again.

    The others are deleted, so that the table never grows beyond what is registered.
    """
    bindings: list[Binding] = []
    for row in conn.execute(_LOAD, (host_id, now.utc_ms)).fetchall():
        account_id, username, key, uri, call_id, cseq, address, port = row[:8]
        listener, to_source, expires_utc_ms, q, user_agent = row[8:]
        flow = flow_to(listener, address, port)
        if flow is not None:
            expires_at = (now.mono_ms + expires_utc_ms - now.utc_ms) / 1000
            bindings.append(
                Binding(
                    account_id,
                    username,
                    uri,
                    key,
                    call_id,
                    cseq,
                    flow,
                    bool(to_source),
                    expires_at,
                    q,
                    user_agent,
                )
            )
    kept = {(b.account_id, b.key) for b in bindings}
    every = conn.execute("SELECT account_id, key FROM binding WHERE host_id = ?", (host_id,))
    gone = [(host_id, *row) for row in every.fetchall() if row not in kept]
    conn.executemany(_DROP, gone)
    return bindings
