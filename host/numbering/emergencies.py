"""Numbers that always pass, and the carrier that takes them: the write side, and the list."""

from __future__ import annotations

import re
from typing import NamedTuple

from host.numbering.checks import ProvisioningError
from host.store.connection import Connection


class Emergency(NamedTuple):
    """An emergency number."""

    number: str
    """As it is dialled: `911`."""
    carrier: str
    send: str
    """What the carrier is sent."""
    description: str


def set_emergency(
    conn: Connection, number: str, carrier: str, *, send: str = "", description: str = ""
) -> None:
    """Let calls to `number` pass always, and give them to this carrier."""
    for digits in (number, send or number):
        if not re.fullmatch(r"[0-9*#]{2,15}", digits):
            raise ProvisioningError(f"{digits!r} is no emergency number: write it as dialled, 911")
    if conn.execute("SELECT 1 FROM carrier WHERE name = ?", (carrier,)).fetchone() is None:
        raise ProvisioningError(f"no carrier {carrier!r}: `carrier list` shows them")
    conn.execute(
        "INSERT INTO emergency (number, carrier, send, description) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (number) DO UPDATE SET carrier = excluded.carrier, send = excluded.send, "
        "description = excluded.description",
        (number, carrier, send, description),
    )


def remove_emergency(conn: Connection, number: str) -> None:
    """Treat `number` like any other again."""
    if not conn.execute("DELETE FROM emergency WHERE number = ?", (number,)).rowcount:
        raise ProvisioningError(f"{number} is no emergency number: `emergency list` shows them")


def emergencies(conn: Connection) -> list[Emergency]:
    """All of them."""
    return [
        Emergency(*row)
        for row in conn.execute(
            "SELECT number, carrier, CASE send WHEN '' THEN number ELSE send END, description "
            "FROM emergency ORDER BY number"
        )
    ]
