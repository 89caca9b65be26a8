"""What a DID's calls may go to besides accounts: forwards to numbers, SIP URIs, ring groups. The
write side, and lists. Each belongs to one main account, which is named by any of its accounts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from host.numbering.checks import EVERY, ProvisioningError, main_row, number_of
from host.numbering.routings import checked_routing, parse_routing, unused
from host.store.connection import Connection, Cursor

MOST_MEMBERS = 16
"""Of a ring group: so many devices one call may ring."""
LONGEST_DELAY_S = 300
_SIP_URI = re.compile(r"sips?:(?:[^@\s<>\"]+@)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?")


class Forwarding(NamedTuple):
    """A number that calls are forwarded to, which is charged as a call of the customer's."""

    id: int
    account: str
    number: str
    """E.164."""
    description: str
    caller_id: str
    """Shown in place of the caller's number; empty: the caller's."""


class SipUri(NamedTuple):
    """A place that calls go to over SIP, whatever it has to do with this host."""

    id: int
    account: str
    uri: str
    description: str


class Member(NamedTuple):
    """One that a ring group rings."""

    target: str
    """`account:NAME`, `fwd:ID` or `sip:ID`."""
    delay_s: int = 0
    """It begins to ring so long after the first."""


class RingGroup(NamedTuple):
    """Several that ring for one call; the first to answer has it."""

    id: int
    account: str
    name: str
    members: tuple[Member, ...]


def set_forwarding(
    conn: Connection,
    account: str,
    number: str,
    *,
    id: int | None = None,
    description: str = "",
    caller_id: str = "",
) -> int:
    """Add a forward to a number, or with `id` change the customer's own; returns its id."""
    values = (number_of(number), description, number_of(caller_id) if caller_id else "")
    owner = main_row(conn, account)
    if id is None:
        return _added(
            conn.execute(
                "INSERT INTO forwarding (number, description, caller_id, account_id) "
                "VALUES (?, ?, ?, ?)",
                (*values, owner),
            )
        )
    changed = conn.execute(
        "UPDATE forwarding SET number = ?, description = ?, caller_id = ? "
        "WHERE id = ? AND account_id = ?",
        (*values, id, owner),
    )
    return _changed(changed, id, "forward", "forward list")


def remove_forwarding(conn: Connection, account: str, id: int) -> None:
    """Remove a forward that nothing goes to."""
    _remove(conn, account, id, "forwarding", "fwd", "forward", "forward list")


def forwardings(
    conn: Connection, account: str = "", *, after: int = 0, limit: int = EVERY
) -> list[Forwarding]:
    """Of one customer, or of all: the first `limit` with a higher id than `after`."""
    return [
        Forwarding(*row)
        for row in conn.execute(
            "SELECT forwarding.id, username, number, forwarding.description, "
            "forwarding.caller_id FROM forwarding JOIN account ON account.id = account_id "
            "WHERE ? IN ('', username) AND forwarding.id > ? ORDER BY forwarding.id LIMIT ?",
            (_main_name(conn, account), after, limit),
        )
    ]


def set_sip_uri(
    conn: Connection,
    account: str,
    uri: str,
    *,
    id: int | None = None,
    description: str = "",
) -> int:
    """Add a SIP URI, or with `id` change the customer's own; returns its id."""
    if not _SIP_URI.fullmatch(uri) or len(uri) > 255:
        raise ProvisioningError(f"{uri!r} is no SIP URI: write it as sip:name@203.0.113.5:5060")
    owner = main_row(conn, account)
    if id is None:
        return _added(
            conn.execute(
                "INSERT INTO sip_uri (uri, description, account_id) VALUES (?, ?, ?)",
                (uri, description, owner),
            )
        )
    changed = conn.execute(
        "UPDATE sip_uri SET uri = ?, description = ? WHERE id = ? AND account_id = ?",
        (uri, description, id, owner),
    )
    return _changed(changed, id, "SIP URI", "sip-uri list")


def remove_sip_uri(conn: Connection, account: str, id: int) -> None:
    """Remove a SIP URI that nothing goes to."""
    _remove(conn, account, id, "sip_uri", "sip", "SIP URI", "sip-uri list")


def sip_uris(
    conn: Connection, account: str = "", *, after: int = 0, limit: int = EVERY
) -> list[SipUri]:
    """Of one customer, or of all: the first `limit` with a higher id than `after`."""
    return [
        SipUri(*row)
        for row in conn.execute(
            "SELECT sip_uri.id, username, uri, sip_uri.description FROM sip_uri "
            "JOIN account ON account.id = account_id WHERE ? IN ('', username) "
            "AND sip_uri.id > ? ORDER BY sip_uri.id LIMIT ?",
            (_main_name(conn, account), after, limit),
        )
    ]


def set_ring_group(
    conn: Connection,
    account: str,
    name: str,
    members: Sequence[Member],
    *,
    id: int | None = None,
) -> int:
    """Add a ring group, or with `id` change the customer's own; returns its id."""
    if not name:
        raise ProvisioningError("a ring group needs a name")
    if not 1 <= len(members) <= MOST_MEMBERS:
        raise ProvisioningError(f"a ring group has 1 to {MOST_MEMBERS} members, not {len(members)}")
    owner = main_row(conn, account)
    rows = []
    for position, member in enumerate(members, 1):
        if parse_routing(member.target).kind not in ("account", "fwd", "sip"):
            raise ProvisioningError(
                f"{member.target} cannot be in a ring group: account:, fwd: and sip: can"
            )
        if not 0 <= member.delay_s <= LONGEST_DELAY_S:
            raise ProvisioningError(
                f"a delay is 0 to {LONGEST_DELAY_S} seconds, not {member.delay_s}"
            )
        target = checked_routing(conn, owner, member.target)
        rows.append((position, target, member.delay_s))
    if id is None:
        id = _added(
            conn.execute("INSERT INTO ring_group (name, account_id) VALUES (?, ?)", (name, owner))
        )
    else:
        changed = conn.execute(
            "UPDATE ring_group SET name = ? WHERE id = ? AND account_id = ?", (name, id, owner)
        )
        _changed(changed, id, "ring group", "ring-group list")
        conn.execute("DELETE FROM ring_group_member WHERE group_id = ?", (id,))
    conn.executemany(
        "INSERT INTO ring_group_member (group_id, position, target, delay_s) VALUES (?, ?, ?, ?)",
        [(id, *row) for row in rows],
    )
    return id


def remove_ring_group(conn: Connection, account: str, id: int) -> None:
    """Remove a ring group that nothing goes to."""
    _remove(conn, account, id, "ring_group", "grp", "ring group", "ring-group list")


def ring_groups(
    conn: Connection, account: str = "", *, after: int = 0, limit: int = EVERY
) -> list[RingGroup]:
    """Of one customer, or of all: the first `limit` with a higher id than `after`."""
    rows = conn.execute(
        "SELECT ring_group.id, username, name FROM ring_group JOIN account "
        "ON account.id = account_id WHERE ? IN ('', username) AND ring_group.id > ? "
        "ORDER BY ring_group.id LIMIT ?",
        (_main_name(conn, account), after, limit),
    ).fetchall()
    return [RingGroup(id, owner, name, members_of(conn, id)) for id, owner, name in rows]


def members_of(conn: Connection, group_id: int) -> tuple[Member, ...]:
    """Whom a ring group rings, in order."""
    return tuple(
        Member(*row)
        for row in conn.execute(
            "SELECT target, delay_s FROM ring_group_member WHERE group_id = ? ORDER BY position",
            (group_id,),
        )
    )


def _main_name(conn: Connection, account: str) -> str:
    """User name of the main account of `account`; empty for all."""
    if not account:
        return ""
    owner = main_row(conn, account)
    (name,) = conn.execute("SELECT username FROM account WHERE id = ?", (owner,)).fetchone()
    return str(name)


def _added(cursor: Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _changed(cursor: Cursor, id: int, what: str, shown_by: str) -> int:
    if not cursor.rowcount:
        raise ProvisioningError(f"this customer has no {what} {id}: `{shown_by}` shows them")
    return id


def _remove(
    conn: Connection,
    account: str,
    id: int,
    table: str,
    kind: str,
    what: str,
    shown_by: str,
) -> None:
    owner = main_row(conn, account)
    unused(conn, f"{kind}:{id}")
    removed = conn.execute(f"DELETE FROM {table} WHERE id = ? AND account_id = ?", (id, owner))
    _changed(removed, id, what, shown_by)
