"""Who may use the API: customers by a password of its own and from enabled addresses, operators by
tokens. The write side, for the command line."""

from __future__ import annotations

import ipaddress
import secrets
import sqlite3
from typing import NamedTuple

from host.api.passwords import hashed, token_digest
from host.charging.values import Now
from host.numbering.provisioning import ProvisioningError, account_row
from host.store.connection import Connection

ANYWHERE = "0.0.0.0"
"""Stands for every address, as clients' manuals have it."""
_MOST_ADDRESSES = 100


class Access(NamedTuple):
    """A customer's."""

    account: str
    enabled: bool
    has_password: bool
    addresses: tuple[str, ...]


class Token(NamedTuple):
    """An operator's; the token itself is kept nowhere."""

    name: str
    may_write: bool
    made_utc_ms: int


def main(conn: Connection, account: str) -> int:
    """The number of a main account; a sub-account has no API of its own."""
    number, parent = account_row(conn, account)
    if parent is not None:
        raise ProvisioningError(f"{account} is a sub-account: its main account has the API")
    return number


def set_password(conn: Connection, account: str, password: str) -> None:
    """Give a main account a password for the API, in place of the one before."""
    kept = hashed(password, secrets.token_bytes(16))
    conn.execute(
        "INSERT INTO api_access (account_id, enabled, password) VALUES (?, 0, ?) "
        "ON CONFLICT (account_id) DO UPDATE SET password = excluded.password",
        (main(conn, account), kept),
    )


def enable(conn: Connection, account: str, enabled: bool) -> None:
    """Let a main account use the API, or not; its password and addresses stay."""
    number = main(conn, account)
    found = conn.execute("SELECT password FROM api_access WHERE account_id = ?", (number,))
    row = found.fetchone()
    if enabled and (row is None or not row[0]):
        raise ProvisioningError(f"{account} has no API password: `api password {account}` first")
    conn.execute("UPDATE api_access SET enabled = ? WHERE account_id = ?", (int(enabled), number))


def set_addresses(conn: Connection, account: str, addresses: list[str]) -> list[str]:
    """Enable these addresses and networks, and no others; answers them as they are kept."""
    number = main(conn, account)
    if len(addresses) > _MOST_ADDRESSES:
        raise ProvisioningError(f"at most {_MOST_ADDRESSES} addresses: name networks instead")
    networks = sorted({_network(text) for text in addresses})
    conn.execute("DELETE FROM api_address WHERE account_id = ?", (number,))
    conn.executemany(
        "INSERT INTO api_address (account_id, network) VALUES (?, ?)",
        [(number, network) for network in networks],
    )
    return networks


def _network(text: str) -> str:
    if text == ANYWHERE:
        return "0.0.0.0/0"
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ProvisioningError(
            f"{text!r} is no address or network ({error}): write 203.0.113.5 or 203.0.113.0/24"
        ) from None


def is_enabled(address: str, networks: list[str]) -> bool:
    """True when an address is in one of these networks; 0.0.0.0/0 is every address."""
    try:
        source = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(source, ipaddress.IPv6Address) and source.ipv4_mapped:
        source = source.ipv4_mapped
    return any(
        network == "0.0.0.0/0" or source in ipaddress.ip_network(network) for network in networks
    )


def accesses(conn: Connection) -> list[Access]:
    """All customers that the API knows."""
    rows = conn.execute(
        "SELECT account.id, username, enabled, password <> '' FROM api_access "
        "JOIN account ON account.id = account_id ORDER BY username"
    ).fetchall()
    return [
        Access(username, bool(enabled), bool(has), tuple(networks_of(conn, number)))
        for number, username, enabled, has in rows
    ]


def networks_of(conn: Connection, account_id: int) -> list[str]:
    """Where a main account may come from."""
    query = "SELECT network FROM api_address WHERE account_id = ? ORDER BY network"
    return [row[0] for row in conn.execute(query, (account_id,))]


# --- operators ---------------------------------------------------------------------------------


def add_token(conn: Connection, now: Now, name: str, may_write: bool) -> str:
    """Make an operator's token; it is told this once."""
    token = f"lsop_{secrets.token_urlsafe(32)}"
    try:
        conn.execute(
            "INSERT INTO api_token (name, digest, may_write, made_utc_ms) VALUES (?, ?, ?, ?)",
            (name, token_digest(token), int(may_write), now.utc_ms),
        )
    except sqlite3.IntegrityError as error:
        raise ProvisioningError(
            f"there is a token {name!r}, or a token needs a name: `api token list` shows them"
        ) from error
    return token


def remove_token(conn: Connection, name: str) -> None:
    """What was done with it stays; nothing more is."""
    if not conn.execute("DELETE FROM api_token WHERE name = ?", (name,)).rowcount:
        raise ProvisioningError(f"no token {name!r}: `api token list` shows them")


def tokens(conn: Connection) -> list[Token]:
    """All operators' tokens."""
    query = "SELECT name, may_write, made_utc_ms FROM api_token ORDER BY name"
    return [Token(name, bool(write), made) for name, write, made in conn.execute(query)]


def token_of(conn: Connection, token: str) -> Token | None:
    """The token that this is, if it is one."""
    row = conn.execute(
        "SELECT name, may_write, made_utc_ms FROM api_token WHERE digest = ?",
        (token_digest(token),),
    ).fetchone()
    return Token(row[0], bool(row[1]), row[2]) if row else None
