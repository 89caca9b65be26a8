"""Who is told what by mail: thresholds, addresses and languages of customers, and the outbox.

A trigger of the store writes the low-balance alert in the transaction that crossed the
threshold, so that none is lost and the path of calls does nothing more for it.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from host.charging.ledger import balance
from host.charging.values import Money, Now
from host.store.connection import Connection

LANGUAGES = ("en", "fr", "es")
_LONGEST_ADDRESS = 254
"""RFC 5321, 4.5.3.1.3."""


class Alert(NamedTuple):
    """When and where a customer is told of a low balance."""

    threshold: Money
    """0: never."""
    address: str
    language: str


def set_alert(
    conn: Connection,
    account_id: int,
    *,
    threshold: Money | None = None,
    address: str | None = None,
    language: str | None = None,
) -> Alert:
    """Change what is given of a main account's alert; None leaves it.

    Raises:
        ValueError: no such language, no mail address, or a threshold without one.
        UnknownAccount: there is no such main account.
    """
    before = alert(conn, account_id)
    after = Alert(
        before.threshold if threshold is None else threshold,
        before.address if address is None else address,
        before.language if language is None else language,
    )
    if after.threshold < 0:
        raise ValueError("a threshold is 0 or more; 0 switches the alert off")
    if after.language not in LANGUAGES:
        raise ValueError(f"no mail in {after.language!r}: use {', '.join(LANGUAGES)}")
    if after.threshold and not after.address:
        raise ValueError("an alert needs an address: give --email")
    if after.address and not is_address(after.address):
        raise ValueError(f"{after.address!r} is no mail address, as in alice@example.net")
    if after.address:
        conn.execute(
            "INSERT INTO mail_address (account_id, address, language) VALUES (?, ?, ?) "
            "ON CONFLICT (account_id) DO UPDATE SET address = excluded.address, "
            "language = excluded.language",
            (account_id, after.address, after.language),
        )
    else:
        conn.execute("DELETE FROM mail_address WHERE account_id = ?", (account_id,))
    conn.execute(
        "UPDATE ledger_account SET alert_below = ? WHERE id = ?", (after.threshold, account_id)
    )
    return after


def alert(conn: Connection, account_id: int) -> Alert:
    """A main account's alert.

    Raises:
        UnknownAccount: there is no such main account.
    """
    balance(conn, account_id)
    threshold, address, language = conn.execute(
        "SELECT alert_below, coalesce(address, ''), coalesce(language, 'en') "
        "FROM ledger_account LEFT JOIN mail_address ON account_id = id WHERE id = ?",
        (account_id,),
    ).fetchone()
    return Alert(Money(threshold), address, language)


def queue(
    conn: Connection,
    now: Now,
    account_id: int,
    kind: str,
    token: str,
    **facts: Any,
) -> bool:
    """Put mail to a main account into the outbox, in the transaction that it tells of.

    Args:
        kind: the template; each language has one of this name.
        token: names this very message for ever; the same again queues nothing.
        facts: what fills the template; amounts as integers of 10^-8 USD.

    Returns:
        False when the customer has no address, or the message was queued before.
    """
    return bool(
        conn.execute(
            "INSERT INTO outbox (token, kind, account_id, facts, utc_ms, due_utc_ms) "
            "SELECT ?, ?, ?, ?, ?, ? FROM mail_address WHERE account_id = ? "
            "ON CONFLICT (token) DO NOTHING",
            (token, kind, account_id, json.dumps(facts), now.utc_ms, now.utc_ms, account_id),
        ).rowcount
    )


def is_address(text: str) -> bool:
    """Whether mail could be sent there: one mailbox, nothing that could end a header line."""
    local, at, domain = text.rpartition("@")
    plain = text.isprintable() and text.isascii() and not set(text) & set(' <>()[],;:\\"')
    labels = domain.split(".")
    return bool(
        at and local and "@" not in local and plain and all(labels) and len(text) < _LONGEST_ADDRESS
    )
