"""Accounts, POPs and carriers: the write side, for the command line, API and tests.

Each function is one or two statements on a connection that may write; the caller decides on
transactions. What cannot be done raises ProvisioningError, a sentence with what to do next.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from host.numbering.checks import ProvisioningError as ProvisioningError
from host.numbering.checks import account_row as account_row
from host.numbering.checks import address_of, known_pop, networks_of, number_of, range_of, taken
from host.numbering.countries import country_code
from host.numbering.deck import DEFAULT_DECK, import_deck, transaction
from host.numbering.dids import CHANNELS as CHANNELS
from host.numbering.dids import add_did as add_did
from host.numbering.dids import set_did as set_did
from host.numbering.e164 import parse_rules
from host.numbering.passwords import ha1
from host.numbering.pops import number_pops
from host.numbering.routings import unused
from host.numbering.values import Carrier
from host.store.connection import Connection

_CUSTOMERS_DECK = "SELECT 1 FROM deck WHERE carrier = '' AND state = 'ready' LIMIT 1"
_ACCOUNT_COLUMNS = frozenset(
    (
        "status",
        "route",
        "premium_fallback",
        "international",
        "channels",
        "calls_to_one_number",
        "caller_id",
        "area_code",
        "dial_rules",
        "address",
        "port",
        "contact",
        "number_range",
        "media",
        "call_token",
        "encryption",
        "trunk",
        "below_cost",
        "description",
        "protocol",
        "codecs",
        "route_us",
        "route_canada",
        "route_international",
        "own_channels",
        "networks",
        "pops",
        "countries",
        "max_per_minute",
        "max_call_s",
        "daily_spend",
        "daily_to_one_number",
    )
)
_MAY_LACK = frozenset(
    ("own_channels", "max_per_minute", "max_call_s", "daily_spend", "daily_to_one_number")
)
"""Limits that an account need not have; `NO_LIMIT` takes one away."""
NO_LIMIT = -1
CODECS = ("PCMU", "PCMA", "G722")
"""That an account may be held to."""


def seed(conn: Connection) -> None:
    """Give an empty store what a host cannot do without: a POP and a deck of rates."""
    conn.execute(
        "INSERT INTO pop (name, description) SELECT 'default', 'made at the first start' "
        "WHERE NOT EXISTS (SELECT 1 FROM pop)"
    )
    number_pops(conn)
    if conn.execute(_CUSTOMERS_DECK).fetchone() is None:
        with transaction(conn):
            # Two programs that start at once: the second one finds what the first one did.
            if conn.execute(_CUSTOMERS_DECK).fetchone() is None:
                with DEFAULT_DECK.open(encoding="utf-8", newline="") as lines:
                    import_deck(conn, lines, utc_ms=lambda: 0, name="default")


def add_account(
    conn: Connection,
    username: str,
    *,
    realm: str,
    password: str,
    parent: str = "",
    **columns: Any,
) -> int:
    """Make an account, or with `parent` a sub-account that the parent pays for.

    `columns` are those of `set_account`. Returns the new account's number.
    """
    if not username or len(username) > 64 or any(c in username for c in " @:;<>\"'?&=+$,/"):
        raise ProvisioningError(f"{username!r} cannot be a SIP user name: use letters and digits")
    parent_id = None
    if parent:
        parent_id, above = account_row(conn, parent)
        if above is not None:
            raise ProvisioningError(f"{parent} is a sub-account itself: name its main account")
    hashes = ha1(username, realm, password) if password else ("", "")
    columns = _checked(conn, columns)
    names = "".join(f", {name}" for name in columns)
    try:
        row = conn.execute(
            f"INSERT INTO account (username, parent_id, ha1_md5, ha1_sha256{names}) "
            f"VALUES (?, ?, ?, ?{', ?' * len(columns)})",
            (username, parent_id, *hashes, *columns.values()),
        ).lastrowid
    except sqlite3.IntegrityError as error:
        raise taken(error, f"account {username}") from error
    assert row is not None
    return row


def set_account(conn: Connection, username: str, **columns: Any) -> None:
    """Change what stands in an account: any of status, route, premium_fallback, international,
    channels, calls_to_one_number, caller_id, area_code, dial_rules, address, port, contact,
    number_range, media, call_token, encryption, trunk, below_cost; description, protocol, codecs
    (names, commas between), route_us, route_canada, route_international, own_channels (of a
    sub-account), networks, pops, countries (lists; empty: all), max_per_minute, max_call_s,
    daily_spend, daily_to_one_number (a day's calls). `NO_LIMIT` takes one of these limits away."""
    account_row(conn, username)
    columns = _checked(conn, columns)
    if not columns:
        return
    changes = ", ".join(f"{name} = ?" for name in columns)
    try:
        conn.execute(
            f"UPDATE account SET {changes} WHERE username = ?", (*columns.values(), username)
        )
    except sqlite3.IntegrityError as error:
        raise taken(error, f"account {username}") from error


def set_password(conn: Connection, username: str, realm: str, password: str) -> None:
    """Keep the hashes of a new password for this realm; for IAX2, where allowed, itself."""
    account_row(conn, username)
    conn.execute(
        "UPDATE account SET ha1_md5 = ?, ha1_sha256 = ?, "
        "iax2_secret = CASE WHEN iax2 = 1 THEN ? ELSE '' END WHERE username = ?",
        (*ha1(username, realm, password), password, username),
    )


def remove_account(conn: Connection, username: str) -> None:
    """Delete an account. Its CDRs and its money in the ledger stay; its DIDs are released, a
    sub-account's go to its main account."""
    account_id, parent_id = account_row(conn, username)
    unused(conn, f"account:{username}")
    if parent_id is not None:
        conn.execute("UPDATE did SET account_id = ? WHERE account_id = ?", (parent_id, account_id))
    else:
        paid = conn.execute(
            "SELECT number FROM did WHERE account_id = ? AND order_id IS NOT NULL", (account_id,)
        ).fetchall()
        if paid:
            raise ProvisioningError(
                f"{username} pays for {', '.join(number for (number,) in paid[:5])} by the month: "
                "`did release` those first"
            )
    conn.execute("DELETE FROM blocked_number WHERE account_id = ?", (account_id,))
    try:
        conn.execute("DELETE FROM account WHERE id = ?", (account_id,))
    except sqlite3.IntegrityError as error:
        raise ProvisioningError(f"{username} has sub-accounts: remove those first") from error


def add_pop(
    conn: Connection,
    name: str,
    description: str = "",
    *,
    number: int | None = None,
    country: str = "",
) -> None:
    """Name a point of presence, for listeners and DIDs to refer to. A number or country that is
    not given stays as it was, or is the usual one of that name (`host.numbering.pops`)."""
    if not name:
        raise ProvisioningError("a POP needs a name")
    try:
        conn.execute(
            "INSERT INTO pop (name, description, number, country) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET description = excluded.description, "
            "number = coalesce(excluded.number, pop.number), "
            "country = CASE excluded.country WHEN '' THEN pop.country ELSE excluded.country END",
            (name, description, number, country),
        )
    except sqlite3.IntegrityError as error:
        raise ProvisioningError(f"POP {name}: another one has number {number}") from error
    number_pops(conn)


def add_carrier(
    conn: Connection,
    carrier: Carrier,
    *,
    priority: int = 10,
    source_port: int | None = None,
) -> None:
    """Add a carrier, or change the one of that name.

    Its own calls are believed when they come from its address and `source_port`: its port if
    not given, any if 0 (as TCP needs).
    """
    assert carrier.transport == "iax2" or not carrier.trunk
    address = address_of(carrier.address)
    if source_port is None:
        source_port = carrier.port if carrier.transport in ("udp", "iax2") else 0
    try:
        conn.execute(
            "INSERT INTO carrier (name, priority, address, port, transport, "
            "source_port, prefix, media, codecs, username, secret, call_token, encryption, trunk) "
            "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14 "
            "WHERE NOT EXISTS (SELECT 1 FROM carrier WHERE name <> ?1 AND address = ?3 "
            "AND source_port = ?6) ON CONFLICT (name) DO UPDATE SET priority = ?2, address = ?3, "
            "port = ?4, transport = ?5, source_port = ?6, prefix = ?7, media = ?8, codecs = ?9, "
            "username = ?10, secret = ?11, call_token = ?12, encryption = ?13, trunk = ?14",
            (
                carrier.name,
                priority,
                address,
                carrier.port,
                carrier.transport,
                source_port,
                carrier.prefix,
                carrier.media,
                ",".join(carrier.codecs),
                carrier.username,
                carrier.secret,
                carrier.call_token,
                carrier.encryption,
                carrier.trunk,
            ),
        )
    except sqlite3.IntegrityError as error:
        raise taken(error, f"carrier {carrier.name}") from error
    found = conn.execute("SELECT address FROM carrier WHERE name = ?", (carrier.name,)).fetchone()
    if found != (address,):
        raise ProvisioningError(
            f"another carrier sends from {address} port {source_port}: their calls could not be "
            "told apart; give one of them its own source port"
        )


def enable_carrier(conn: Connection, name: str, enabled: bool) -> None:
    """Let calls go out and come in by a carrier, or not, but for those to emergency numbers."""
    changed = conn.execute("UPDATE carrier SET enabled = ? WHERE name = ?", (int(enabled), name))
    if not changed.rowcount:
        raise ProvisioningError(f"no carrier {name!r}: `carrier list` shows them")


def remove_carrier(conn: Connection, name: str) -> None:
    """Remove a carrier with its decks; rates that name it go on with their others."""
    conn.execute("UPDATE deck SET state = 'withdrawn' WHERE carrier = ? AND carrier <> ''", (name,))
    if not conn.execute("DELETE FROM carrier WHERE name = ?", (name,)).rowcount:
        raise ProvisioningError(f"no carrier {name!r}: `carrier list` shows them")


def _checked(conn: Connection, columns: dict[str, Any]) -> dict[str, Any]:
    checked = dict(columns)
    assert checked.keys() <= _ACCOUNT_COLUMNS, checked.keys() - _ACCOUNT_COLUMNS
    try:
        parse_rules(checked.get("dial_rules", ""))
    except ValueError as error:
        raise ProvisioningError(str(error)) from error
    if checked.get("caller_id"):
        checked["caller_id"] = number_of(checked["caller_id"])
    if checked.get("number_range"):
        checked["number_range"] = range_of(checked["number_range"])
    if checked.get("address"):
        checked["address"] = address_of(checked["address"])
    if checked.get("contact"):
        checked["contact"] = _contact(checked["contact"])
    if checked.get("networks"):
        checked["networks"] = networks_of(checked["networks"])
    if checked.get("pops"):
        checked["pops"] = ",".join(known_pop(conn, pop) for pop in _list(checked["pops"]))
    if checked.get("countries"):
        checked["countries"] = ",".join(map(country_code, _list(checked["countries"].upper())))
    if checked.get("codecs"):
        checked["codecs"] = ",".join(map(_codec, _list(checked["codecs"].upper())))
    for name in _MAY_LACK & checked.keys():
        if checked[name] == NO_LIMIT:
            checked[name] = None
    return checked


def _list(text: str) -> list[str]:
    return list(dict.fromkeys(text.replace(",", " ").split()))


def _codec(name: str) -> str:
    if name not in CODECS:
        raise ProvisioningError(f"codec {name!r} is unknown: use {', '.join(CODECS)}")
    return name


_CONTACT = re.compile(
    r"(?:sips?|iax2):(?:[^@\s<>]+@)?(\[[0-9A-Fa-f:.]+\]|[^:;\s<>@]+)(?::\d{1,5})?(?:;\S*)?"
)


def _contact(text: str) -> str:
    """The URI that a PBX trunk's calls are sent to; its host is an address."""
    found = _CONTACT.fullmatch(text)
    if found is None:
        raise ProvisioningError(
            f"{text!r} is no URI of a trunk: write it as sip:203.0.113.5:5060, or "
            "iax2:203.0.113.5:4569"
        )
    address_of(found[1])
    return text
