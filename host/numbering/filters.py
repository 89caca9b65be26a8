"""Callers for whom a DID's calls go elsewhere, and numbers that may not be called: the write side,
and lists."""

from __future__ import annotations

import re
import sqlite3
from typing import NamedTuple

from host.numbering.checks import EVERY, ProvisioningError, account_row, main_row, number_of
from host.numbering.routings import checked_routing
from host.store.connection import Connection

ANONYMOUS = "anonymous"
"""The pattern of a caller who shows no number."""


class CallerFilter(NamedTuple):
    """Where the calls of some callers go."""

    id: int
    account: str
    caller: str
    """A number in E.164; how numbers begin, with `*` behind; `anonymous`; or `*`: every caller."""
    did: str
    """E.164; empty: all of the customer's."""
    routing: str
    failover_busy: str
    failover_unreachable: str
    failover_noanswer: str
    note: str


class BlockedNumber(NamedTuple):
    """Numbers that may not be called."""

    account: str
    """Empty: by nobody."""
    prefix: str
    """How they begin, E.164."""
    note: str


def set_caller_filter(
    conn: Connection,
    account: str,
    caller: str,
    routing: str,
    *,
    did: str = "",
    failover_busy: str = "",
    failover_unreachable: str = "",
    failover_noanswer: str = "",
    note: str = "",
    id: int | None = None,
) -> int:
    """Add a caller filter, or with `id` change the customer's own; returns its id.

    `caller` and `did` as of `CallerFilter`; an empty `did` is all of the customer's.
    """
    owner = main_row(conn, account)
    if not routing:
        raise ProvisioningError("a caller filter needs a routing, as in sys:busy")
    row = (
        caller_pattern(caller),
        _own_did(conn, owner, did) if did else "",
        checked_routing(conn, owner, routing),
        checked_routing(conn, owner, failover_busy),
        checked_routing(conn, owner, failover_unreachable),
        checked_routing(conn, owner, failover_noanswer),
        note,
        owner,
    )
    try:
        if id is None:
            added = conn.execute(
                "INSERT INTO caller_filter (caller, did, routing, failover_busy, "
                "failover_unreachable, failover_noanswer, note, account_id) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            ).lastrowid
            assert added is not None
            return added
        changed = conn.execute(
            "UPDATE caller_filter SET caller = ?, did = ?, routing = ?, failover_busy = ?, "
            "failover_unreachable = ?, failover_noanswer = ?, note = ? "
            "WHERE account_id = ? AND id = ?",
            (*row, id),
        ).rowcount
    except sqlite3.IntegrityError as error:
        raise ProvisioningError(
            f"there is a filter of {row[0]} for {row[1] or 'all DIDs'} already: change that one"
        ) from error
    if not changed:
        raise _no_filter(id)
    return id


def remove_caller_filter(conn: Connection, account: str, id: int) -> None:
    """Remove a caller filter of this customer."""
    removed = conn.execute(
        "DELETE FROM caller_filter WHERE id = ? AND account_id = ?", (id, main_row(conn, account))
    )
    if not removed.rowcount:
        raise _no_filter(id)


def caller_filters(
    conn: Connection, account: str = "", *, after: int = 0, limit: int = EVERY
) -> list[CallerFilter]:
    """Of one customer, or of all: the first `limit` with a higher id than `after`."""
    owner = main_row(conn, account) if account else 0
    return [
        CallerFilter(*row)
        for row in conn.execute(
            "SELECT caller_filter.id, username, caller, did, routing, failover_busy, "
            "failover_unreachable, failover_noanswer, note FROM caller_filter "
            "JOIN account ON account.id = account_id WHERE ? IN (0, account_id) "
            "AND caller_filter.id > ? ORDER BY caller_filter.id LIMIT ?",
            (owner, after, limit),
        )
    ]


def caller_pattern(text: str) -> str:
    """A pattern of callers as it is stored.

    Raises:
        ProvisioningError: it is none.
    """
    if text.lower() == ANONYMOUS:
        return ANONYMOUS
    if text == "*":
        return text
    if text.endswith("*"):
        if re.fullmatch(r"\+?[0-9]{1,14}\*", text):
            return "+" + text.removeprefix("+")
        raise ProvisioningError(
            f"{text!r} is no pattern of callers: write how numbers begin, as in +1900*"
        )
    return number_of(text)


def block_number(conn: Connection, prefix: str, *, account: str = "", note: str = "") -> str:
    """Let no calls go to numbers that begin so: of one account (a main account's sub-accounts
    too), or without one of nobody. Returns the prefix in E.164."""
    begin = _prefix(prefix)
    account_id = account_row(conn, account)[0] if account else 0
    conn.execute(
        "INSERT INTO blocked_number (account_id, prefix, note) VALUES (?, ?, ?) "
        "ON CONFLICT (account_id, prefix) DO UPDATE SET note = excluded.note",
        (account_id, begin, note),
    )
    return begin


def unblock_number(conn: Connection, prefix: str, *, account: str = "") -> str:
    """Take back `block_number`."""
    begin = _prefix(prefix)
    account_id = account_row(conn, account)[0] if account else 0
    removed = conn.execute(
        "DELETE FROM blocked_number WHERE account_id = ? AND prefix = ?", (account_id, begin)
    )
    if not removed.rowcount:
        whose = f"{account}'s" if account else "everybody's"
        raise ProvisioningError(f"{begin} is not among {whose} blocked numbers: `blocked list`")
    return begin


def blocked_numbers(conn: Connection, account: str = "") -> list[BlockedNumber]:
    """All, or those of one account and everybody's."""
    account_id = account_row(conn, account)[0] if account else -1
    return [
        BlockedNumber(*row)
        for row in conn.execute(
            "SELECT coalesce(username, ''), prefix, note FROM blocked_number "
            "LEFT JOIN account ON account.id = account_id WHERE ?1 = -1 OR account_id IN (0, ?1) "
            "ORDER BY account_id, prefix",
            (account_id,),
        )
    ]


def _prefix(text: str) -> str:
    digits = text.removeprefix("+").removesuffix("*")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise ProvisioningError(f"{text!r} is no begin of numbers: write it as +1900")
    return f"+{digits}"


def _own_did(conn: Connection, owner: int, text: str) -> str:
    did = number_of(text)
    found = conn.execute(
        "SELECT 1 FROM did JOIN account ON account.id = account_id "
        "WHERE number = ? AND coalesce(parent_id, account.id) = ?",
        (did, owner),
    ).fetchone()
    if found is None:
        raise ProvisioningError(f"{did} is no DID of this customer: `did list` shows them")
    return did


def _no_filter(id: int) -> ProvisioningError:
    return ProvisioningError(
        f"this customer has no caller filter {id}: `caller-filter list` shows them"
    )
