"""Which devices there are, how they prove it, and what each is to have. The write side and what
the endpoint asks; a caller's transaction is around it."""

from __future__ import annotations

import hmac
import secrets
import sqlite3
import tomllib
from typing import Any, NamedTuple

from firmware.wire.provisioning import (
    CONFIG_SCHEMA,
    MOST_CONFIG_OCTETS,
    ONCE,
    Configuration,
    Document,
    Firmware,
    digest_of,
    make_secret,
    normal_mac,
)
from host.charging import ledger
from host.charging.values import Money, Now
from host.numbering.provisioning import ProvisioningError
from host.store.connection import Connection

ONCE_FOR_MS = 7 * 86_400_000
"""A secret for one use that nobody has used is good for so long."""
_NOBODY = digest_of("")
_LIST = "`device list` shows the devices"


class Device(NamedTuple):
    """One device, and what it has said last."""

    mac: str
    board: str
    account: str
    description: str
    has_secret: bool
    once_until_utc_ms: int | None
    """A secret for one use is out until then."""
    configured: bool
    wanted_version: int | None
    wanted_sha256: str | None
    added_utc_ms: int
    seen_utc_ms: int | None
    source: str
    version: int
    label: str
    slot: str
    config_taken: bool
    """It uses the configuration that is meant for it."""
    problems: tuple[str, ...]


_DEVICES = """
SELECT mac, device.board, account, description, secret_digest, once_digest, once_until_utc_ms,
    config_schema, config, firmware.version, device.firmware, device.added_utc_ms, seen_utc_ms,
    source, device.version, device.label, slot, config_sha256, problems
FROM device LEFT JOIN firmware ON sha256 = device.firmware"""


def _mac(text: str) -> str:
    try:
        return normal_mac(text)
    except ValueError as error:
        raise ProvisioningError(str(error)) from None


def add(conn: Connection, now: Now, mac: str, **columns: str) -> tuple[str, str]:
    """Make a device; answers its MAC address as it is kept, and its first secret, for one use.

    Args:
        columns: board, account, description.
    """
    plain = _mac(mac)
    _known_account(conn, columns.get("account", ""))
    names = ", ".join(("mac", "added_utc_ms", *columns))
    marks = ", ".join("?" * (2 + len(columns)))
    try:
        conn.execute(
            f"INSERT INTO device ({names}) VALUES ({marks})",
            (plain, now.utc_ms, *columns.values()),
        )
    except sqlite3.IntegrityError as error:
        raise ProvisioningError(f"there is a device {plain}: {_LIST}") from error
    return plain, issue_once(conn, now, plain)


def change(conn: Connection, mac: str, **columns: str) -> str:
    """Change board, account or description; answers the MAC address as it is kept."""
    plain = known(conn, mac)
    _known_account(conn, columns.get("account", ""))
    for name, value in columns.items():
        conn.execute(f"UPDATE device SET {name} = ? WHERE mac = ?", (value, plain))
    return plain


def remove(conn: Connection, mac: str) -> str:
    """Forget a device, its secrets and its line tests."""
    plain = known(conn, mac)
    conn.execute("DELETE FROM device WHERE mac = ?", (plain,))
    return plain


def known(conn: Connection, mac: str) -> str:
    """The MAC address of a device that there is, as it is kept."""
    plain = _mac(mac)
    if conn.execute("SELECT 1 FROM device WHERE mac = ?", (plain,)).fetchone() is None:
        raise ProvisioningError(f"no device {plain}: {_LIST}, `device add {plain}` makes it")
    return plain


def _known_account(conn: Connection, username: str) -> None:
    query = "SELECT 1 FROM account WHERE username = ?"
    if username and conn.execute(query, (username,)).fetchone() is None:
        raise ProvisioningError(f"no account {username!r}: `account list` shows the accounts")


def devices(conn: Connection, after: str = "", limit: int = -1) -> list[Device]:
    """Devices by MAC address: all, or so many behind one."""
    rows = conn.execute(f"{_DEVICES} WHERE mac > ? ORDER BY mac", (after,))
    return [_device(row) for row in rows.fetchall()[: limit if limit >= 0 else None]]


def device(conn: Connection, mac: str) -> Device:
    """One device.

    Raises:
        ProvisioningError: there is none.
    """
    row = conn.execute(f"{_DEVICES} WHERE mac = ?", (known(conn, mac),)).fetchone()
    return _device(row)


def _device(row: Any) -> Device:
    (
        mac, board, account, description, secret, once, until_ms, schema, config, version, sha256,
        added_ms, seen_ms, source, runs, label, slot, config_sha256, problems,
    ) = row  # fmt: skip
    return Device(
        mac,
        board,
        account,
        description,
        has_secret=bool(secret),
        once_until_utc_ms=until_ms if once else None,
        configured=bool(config),
        wanted_version=version,
        wanted_sha256=sha256,
        added_utc_ms=added_ms,
        seen_utc_ms=seen_ms,
        source=source,
        version=runs,
        label=label,
        slot=slot,
        config_taken=bool(config) and Configuration(schema, config).sha256 == config_sha256,
        problems=tuple(problems.splitlines()),
    )


# --- secrets -----------------------------------------------------------------------------------


def issue_once(conn: Connection, now: Now, mac: str, *, revoke: bool = False) -> str:
    """Make a secret for one use, in place of one that is still out; it is told this once.

    The device's own secret is good until the device has another, or no more if it is revoked.
    """
    plain, secret = known(conn, mac), make_secret(secrets.token_bytes, ONCE)
    conn.execute(
        "UPDATE device SET once_digest = ?, once_until_utc_ms = ? WHERE mac = ?",
        (digest_of(secret), now.utc_ms + ONCE_FOR_MS, plain),
    )
    if revoke:
        conn.execute("UPDATE device SET secret_digest = '' WHERE mac = ?", (plain,))
    return secret


def has_secret(conn: Connection, mac: str, secret: str) -> bool:
    """Whether this is the device's own secret. Nothing shows how much of it is right."""
    row = conn.execute("SELECT secret_digest FROM device WHERE mac = ?", (mac,)).fetchone()
    kept = row[0] if row else ""
    return hmac.compare_digest(digest_of(secret), kept or _NOBODY) and bool(kept)


def may_exchange(conn: Connection, now: Now, mac: str, once: str) -> bool:
    """Whether this is a secret for one use that the device was given, and nobody has used yet."""
    row = conn.execute(
        "SELECT once_digest FROM device WHERE mac = ? AND once_until_utc_ms > ?", (mac, now.utc_ms)
    ).fetchone()
    kept = row[0] if row else ""
    return hmac.compare_digest(digest_of(once), kept or _NOBODY) and bool(kept)


def exchange(conn: Connection, now: Now, mac: str, once: str, own: str) -> bool:
    """Take a secret for one use for the device's own; False: it is used, or never was."""
    if not may_exchange(conn, now, mac, once):
        return False
    conn.execute(
        "UPDATE device SET secret_digest = ?, once_digest = '', once_until_utc_ms = 0 "
        "WHERE mac = ?",
        (digest_of(own), mac),
    )
    return True


# --- what it is to have ------------------------------------------------------------------------


def set_config(conn: Connection, mac: str, text: str) -> Configuration:
    """Give a device its configuration, TOML; empty: it keeps the one that it has.

    What keys a device knows it says itself: what it does not take it reports.
    """
    plain = known(conn, mac)
    if len(text.encode()) > MOST_CONFIG_OCTETS:
        raise ProvisioningError(f"a configuration has at most {MOST_CONFIG_OCTETS} octets")
    try:
        schema = tomllib.loads(text).get("schema", CONFIG_SCHEMA)
    except tomllib.TOMLDecodeError as error:
        raise ProvisioningError(f"the configuration is no TOML: {error}") from error
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise ProvisioningError("the configuration's `schema` is no whole number above 0")
    conn.execute(
        "UPDATE device SET config_schema = ?, config = ? WHERE mac = ?", (schema, text, plain)
    )
    return Configuration(schema, text)


def config_of(conn: Connection, mac: str) -> str:
    """The configuration that a device is to have; empty: it keeps its own."""
    row = conn.execute("SELECT config FROM device WHERE mac = ?", (known(conn, mac),))
    return str(row.fetchone()[0])


def document(conn: Connection, mac: str, interval_s: int) -> Document:
    """What a device is told when it asks."""
    schema, toml, sha256, board, version, label, octets = conn.execute(
        "SELECT config_schema, config, sha256, firmware.board, firmware.version, firmware.label, "
        "octets FROM device LEFT JOIN firmware ON sha256 = device.firmware WHERE mac = ?",
        (mac,),
    ).fetchone()
    return Document(
        interval_s,
        Configuration(schema, toml) if toml else None,
        Firmware(board, version, label, octets, sha256) if sha256 else None,
    )


def available(conn: Connection, mac: str) -> Money | None:
    """What the account of a device may still spend; None where it is nobody's."""
    row = conn.execute(
        "SELECT coalesce(parent_id, account.id) FROM device "
        "JOIN account ON username = device.account WHERE mac = ?",
        (mac,),
    ).fetchone()
    return ledger.balance(conn, row[0]).available if row else None
