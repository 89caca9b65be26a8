"""What clients set that the host does not act on: kept, and given back as it was."""

from __future__ import annotations

import json

from host.store.connection import Connection


def facts(conn: Connection, kind: str, number: int) -> dict[str, str]:
    """Of one thing; empty when there are none."""
    row = conn.execute(
        "SELECT facts FROM api_facts WHERE kind = ? AND id = ?", (kind, number)
    ).fetchone()
    return dict(json.loads(row[0])) if row else {}


def set_facts(conn: Connection, kind: str, number: int, changed: dict[str, str]) -> None:
    """Change those that are named; the others stay."""
    text = json.dumps({**facts(conn, kind, number), **changed})
    conn.execute(
        "INSERT INTO api_facts (kind, id, facts) VALUES (?, ?, ?) "
        "ON CONFLICT (kind, id) DO UPDATE SET facts = excluded.facts",
        (kind, number, text),
    )


def drop_facts(conn: Connection, kind: str, number: int) -> None:
    conn.execute("DELETE FROM api_facts WHERE kind = ? AND id = ?", (kind, number))
