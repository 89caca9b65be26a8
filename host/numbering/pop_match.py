"""DIDs that are delivered to an account which is registered at another POP, and the mend."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from host.numbering.routings import parse_routing
from host.store.connection import Connection

_DELIVERED = """
SELECT did.number, did.pop, did.routing, account.id, account.username, account.contact
FROM did JOIN account ON account.id = did.account_id ORDER BY did.number"""

_BOUND = "SELECT account_id, listener FROM binding WHERE expires_utc_ms > ?"


class Mismatch(NamedTuple):
    """A DID whose calls are not delivered, since its POP is not the account's."""

    number: str
    pop: str
    account: str
    """Whose devices would ring."""
    registered: tuple[str, ...]
    """The POPs that it is registered at."""


def registered_pops(
    conn: Connection, utc_ms: int, pops: Mapping[str, str], live: Iterable[tuple[int, str]]
) -> dict[int, set[str]]:
    """POPs that accounts are registered at, by number of the account: what the store has of every
    host, and what the one on this machine says, which knows of those over TCP, too.

    An account that is registered at a listener of which no POP is known is left out: its DIDs may
    well be where they should.

    Args:
        pops: of the listeners, by `address:port`.
        live: number of the account and POP of each live registration.
    """
    found: dict[int, set[str]] = {}
    for account_id, pop in live:
        found.setdefault(account_id, set()).add(pop)
    unknown = set()
    for account_id, listener in conn.execute(_BOUND, (utc_ms,)):
        if listener in pops:
            found.setdefault(account_id, set()).add(pops[listener])
        else:
            unknown.add(account_id)
    return {number: at for number, at in found.items() if number not in unknown}


def mismatches(conn: Connection, registered: Mapping[int, Collection[str]]) -> list[Mismatch]:
    """All of them.

    Forwards, SIP URIs and what the host answers itself are at no POP, nor is a PBX at a fixed
    address; an account that is registered nowhere matches nothing and contradicts nothing.

    Args:
        registered: POPs by number of the account.
    """
    found = []
    for number, pop, routing, account_id, username, contact in conn.execute(_DELIVERED).fetchall():
        if routing:
            target = parse_routing(routing)
            if target.kind != "account":
                continue
            row = conn.execute(
                "SELECT id, username, contact FROM account WHERE username = ?", (target.value,)
            ).fetchone()
            if row is None:
                continue
            account_id, username, contact = row
        pops = tuple(sorted(registered.get(account_id, ())))
        if pops and pop not in pops and not contact:
            found.append(Mismatch(number, pop, username, pops))
    return found


def mend(conn: Connection, found: Collection[Mismatch]) -> None:
    """Move each DID to the POP that its account is registered at; to the first by name, if it is
    registered at several."""
    for one in found:
        conn.execute("UPDATE did SET pop = ? WHERE number = ?", (one.registered[0], one.number))
