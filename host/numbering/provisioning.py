"""Accounts, DIDs, POPs and carriers: the write side, for the command line, portal and tests.

Each function is one or two statements on a connection that may write; the caller decides on
transactions. What cannot be done raises ProvisioningError, a sentence with what to do next.
"""

from __future__ import annotations

import ipaddress
import re
import sqlite3
from typing import Any

from host.charging.values import Money
from host.numbering.deck import DEFAULT_DECK, import_deck, transaction
from host.numbering.e164 import normalise, parse_rules
from host.numbering.offers import Offer, find_offer
from host.numbering.passwords import ha1
from host.numbering.pops import number_pops
from host.numbering.values import Carrier, Plan

CHANNELS: dict[Plan, int] = {"per-minute": 25, "flat": 2, "international": 2}
"""Simultaneous calls of a DID, by its plan."""

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
    )
)


class ProvisioningError(ValueError):
    """What was asked for cannot be done; the text says why and what to do."""


def seed(conn: sqlite3.Connection) -> None:
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
    conn: sqlite3.Connection,
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
    columns = _checked(columns)
    names = "".join(f", {name}" for name in columns)
    try:
        row = conn.execute(
            f"INSERT INTO account (username, parent_id, ha1_md5, ha1_sha256{names}) "
            f"VALUES (?, ?, ?, ?{', ?' * len(columns)})",
            (username, parent_id, *hashes, *columns.values()),
        ).lastrowid
    except sqlite3.IntegrityError as error:
        raise _taken(error, f"account {username}") from error
    assert row is not None
    return row


def set_account(conn: sqlite3.Connection, username: str, **columns: Any) -> None:
    """Change what stands in an account: any of status, route, premium_fallback, international,
    channels, calls_to_one_number, caller_id, area_code, dial_rules, address, port, contact,
    number_range, media, call_token, encryption, trunk, below_cost."""
    account_row(conn, username)
    columns = _checked(columns)
    if not columns:
        return
    changes = ", ".join(f"{name} = ?" for name in columns)
    try:
        conn.execute(
            f"UPDATE account SET {changes} WHERE username = ?", (*columns.values(), username)
        )
    except sqlite3.IntegrityError as error:
        raise _taken(error, f"account {username}") from error


def set_password(conn: sqlite3.Connection, username: str, realm: str, password: str) -> None:
    """Keep the hashes of a new password for this realm; for IAX2, where allowed, itself."""
    account_row(conn, username)
    conn.execute(
        "UPDATE account SET ha1_md5 = ?, ha1_sha256 = ?, iax2_secret = iif(iax2, ?, '') "
        "WHERE username = ?",
        (*ha1(username, realm, password), password, username),
    )


def remove_account(conn: sqlite3.Connection, username: str) -> None:
    """Delete an account. Its CDRs and its money in the ledger stay; its DIDs are released."""
    account_id, _ = account_row(conn, username)
    try:
        conn.execute("DELETE FROM account WHERE id = ?", (account_id,))
    except sqlite3.IntegrityError as error:
        raise ProvisioningError(f"{username} has sub-accounts: remove those first") from error


def add_pop(
    conn: sqlite3.Connection,
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


def add_did(
    conn: sqlite3.Connection,
    number: str,
    *,
    plan: Plan,
    pop: str,
    account: str = "",
    per_minute: Money | None = None,
    monthly: Money | None = None,
    channels: int | None = None,
    is_range: bool = False,
) -> str:
    """Own a number, or with `is_range` all that begin so. Returns it in E.164.

    A price that is not given is the offer's for this place and plan.
    """
    e164 = _range(number) if is_range else _number(number)
    if plan not in CHANNELS:
        raise ProvisioningError(f"unknown plan {plan!r}: use one of {', '.join(CHANNELS)}")
    offer = find_offer(e164, plan)
    if per_minute is None:
        if offer is None and plan == "per-minute":
            raise ProvisioningError(f"no offer for {e164} on {plan}: name its price a minute")
        per_minute = offer.per_minute if offer else Money(0)
    if monthly is None:
        monthly = offer.monthly if offer else Money(0)
    account_id = account_row(conn, account)[0] if account else None
    _known_pop(conn, pop)
    try:
        conn.execute(
            "INSERT INTO did (number, is_range, plan, per_minute, monthly, channels, pop, "
            "account_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                e164,
                is_range,
                plan,
                per_minute,
                monthly,
                CHANNELS[plan] if channels is None else channels,
                pop,
                account_id,
            ),
        )
    except sqlite3.IntegrityError as error:
        raise _taken(error, f"DID {e164}") from error
    return e164


def set_did(
    conn: sqlite3.Connection,
    number: str,
    *,
    pop: str | None = None,
    plan: Plan | None = None,
    account: str | None = None,
) -> str:
    """Move a DID to another POP, plan (with its channels and price) or account."""
    e164, old_plan = _did_row(conn, number)
    if pop is not None:
        _known_pop(conn, pop)
        conn.execute("UPDATE did SET pop = ? WHERE number = ?", (pop, e164))
    if plan is not None and plan != old_plan:
        if plan not in CHANNELS:
            raise ProvisioningError(f"unknown plan {plan!r}: use one of {', '.join(CHANNELS)}")
        offer = find_offer(e164, plan)
        if offer is None and plan == "per-minute":
            raise ProvisioningError(
                f"no offer for {e164} on {plan}: release it and add it with its price"
            )
        conn.execute(
            "UPDATE did SET plan = ?, channels = ?, per_minute = ?, monthly = ? WHERE number = ?",
            (plan, CHANNELS[plan], *reversed(offer or Offer(Money(0), Money(0))), e164),
        )
    if account is not None:
        account_id = account_row(conn, account)[0]
        conn.execute("UPDATE did SET account_id = ? WHERE number = ?", (account_id, e164))
    return e164


def release_did(conn: sqlite3.Connection, number: str) -> str:
    """Take a DID from its account; it stays ours and can be given to another."""
    e164, _ = _did_row(conn, number)
    conn.execute("UPDATE did SET account_id = NULL WHERE number = ?", (e164,))
    return e164


def add_carrier(
    conn: sqlite3.Connection,
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
    address = _address(carrier.address)
    if source_port is None:
        source_port = carrier.port if carrier.transport in ("udp", "iax2") else 0
    try:
        conn.execute(
            "INSERT OR REPLACE INTO carrier (name, priority, address, port, transport, "
            "source_port, prefix, media, codecs, username, secret, call_token, encryption, trunk) "
            "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14 "
            "WHERE NOT EXISTS (SELECT 1 FROM carrier WHERE name <> ?1 AND address = ?3 "
            "AND source_port = ?6)",
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
        raise _taken(error, f"carrier {carrier.name}") from error
    found = conn.execute("SELECT address FROM carrier WHERE name = ?", (carrier.name,)).fetchone()
    if found != (address,):
        raise ProvisioningError(
            f"another carrier sends from {address} port {source_port}: their calls could not be "
            "told apart; give one of them its own source port"
        )


def remove_carrier(conn: sqlite3.Connection, name: str) -> None:
    """Remove a carrier with its decks; rates that name it go on with their others."""
    conn.execute("UPDATE deck SET state = 'withdrawn' WHERE carrier = ? AND carrier <> ''", (name,))
    if not conn.execute("DELETE FROM carrier WHERE name = ?", (name,)).rowcount:
        raise ProvisioningError(f"no carrier {name!r}: `carrier list` shows them")


def _checked(columns: dict[str, Any]) -> dict[str, Any]:
    checked = dict(columns)
    assert checked.keys() <= _ACCOUNT_COLUMNS, checked.keys() - _ACCOUNT_COLUMNS
    try:
        parse_rules(checked.get("dial_rules", ""))
    except ValueError as error:
        raise ProvisioningError(str(error)) from error
    if checked.get("caller_id"):
        checked["caller_id"] = _number(checked["caller_id"])
    if checked.get("number_range"):
        checked["number_range"] = _range(checked["number_range"])
    if checked.get("address"):
        checked["address"] = _address(checked["address"])
    if checked.get("contact"):
        checked["contact"] = _contact(checked["contact"])
    return checked


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
    _address(found[1])
    return text


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise ProvisioningError(
            f"{text!r} is no IP address: give the address itself, names are not looked up"
        ) from None


def _number(text: str) -> str:
    number = normalise(text)
    if number is None:
        raise ProvisioningError(f"{text!r} is no telephone number: write it as +12125550100")
    return number


def _range(text: str) -> str:
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and 2 <= len(digits) <= 14):
        raise ProvisioningError(f"{text!r} is no range: write how its numbers begin, +1212555")
    return f"+{digits}"


def account_row(conn: sqlite3.Connection, username: str) -> tuple[int, int | None]:
    found: tuple[int, int | None] | None = conn.execute(
        "SELECT id, parent_id FROM account WHERE username = ?", (username,)
    ).fetchone()
    if found is None:
        raise ProvisioningError(f"no account {username!r}: `account list` shows them")
    return found


def _did_row(conn: sqlite3.Connection, number: str) -> tuple[str, str]:
    for e164 in (normalise(number), "+" + number.removeprefix("+")):
        found: tuple[str, str] | None = conn.execute(
            "SELECT number, plan FROM did WHERE number = ?", (e164,)
        ).fetchone()
        if found is not None:
            return found
    raise ProvisioningError(f"no DID {number}: `did list` shows them")


def _known_pop(conn: sqlite3.Connection, pop: str) -> None:
    if conn.execute("SELECT 1 FROM pop WHERE name = ?", (pop,)).fetchone() is None:
        raise ProvisioningError(f"no POP {pop!r}: add it by `pop add {pop}` first")


def _taken(error: sqlite3.IntegrityError, what: str) -> ProvisioningError:
    if "UNIQUE" in str(error):
        return ProvisioningError(f"{what}: there is one with that name, number or address already")
    return ProvisioningError(f"{what}: a value is out of its range ({error})")
