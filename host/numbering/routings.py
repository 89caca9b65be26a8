"""Where a DID's calls go, in one notation for stores, command line and API.

| notation | goes to |
|---|---|
| `account:alice` | the devices of an account or sub-account |
| `fwd:3` | a number, by the forwarding of that id |
| `sip:4` | the SIP URI of that id |
| `grp:5` | the ring group of that id |
| `sys:busy` | an answer of the host itself: `hangup`, `busy`, `noservice`, `disconnected`, `echo` |
| `none:` | nowhere |

An empty text is no routing: the account that has the DID, and for a fail-over nothing.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from host.numbering.checks import ProvisioningError
from host.store.connection import Connection

Kind = Literal["account", "fwd", "sip", "grp", "sys", "none"]
System = Literal["hangup", "busy", "noservice", "disconnected", "echo"]
SYSTEM: tuple[System, ...] = get_args(System)
FAILOVERS = ("failover_busy", "failover_unreachable", "failover_noanswer")
"""Columns of a DID and of a caller filter, each a routing."""

_TABLES = {"fwd": "forwarding", "sip": "sip_uri", "grp": "ring_group"}
_SHOWN_BY = {"fwd": "forward list", "sip": "sip-uri list", "grp": "ring-group list"}
_USERS = (
    "SELECT 'DID ' || number FROM did WHERE ? IN (routing, failover_busy, failover_unreachable, "
    "failover_noanswer)",
    "SELECT 'ring group ' || group_id FROM ring_group_member WHERE target = ?",
    "SELECT 'caller filter ' || id FROM caller_filter WHERE ? IN (routing, failover_busy, "
    "failover_unreachable, failover_noanswer)",
)


class Routing(NamedTuple):
    """One place that calls go to."""

    kind: Kind
    value: str
    """User name, id in decimal digits, or which system answer; empty for `none:`."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def parse_routing(text: str) -> Routing:
    """Read the notation.

    Raises:
        ProvisioningError: it is none; the sentence shows how it goes.
    """
    kind, colon, value = text.partition(":")
    if colon:
        if kind == "account" and value:
            return Routing("account", value)
        if kind in _TABLES and value.isascii() and value.isdigit():
            return Routing(kind, str(int(value)))  # type: ignore[arg-type]  # one of the three
        if kind == "sys" and value in SYSTEM:
            return Routing("sys", value)
        if kind == "none" and not value:
            return Routing("none", "")
        if kind in ("vm", "ivr"):
            raise ProvisioningError(f"{text!r}: this host has no voice mail and no menus")
    raise ProvisioningError(
        f"{text!r} is no routing: write account:NAME, fwd:ID, sip:ID, grp:ID, none: or sys: and "
        f"one of {', '.join(SYSTEM)}"
    )


def checked_routing(conn: Connection, owner_id: int, text: str) -> str:
    """A routing that the main account `owner_id` may use, as it is stored; empty stays empty.

    Raises:
        ProvisioningError: it is no routing, or what it names is not there or another customer's.
    """
    if not text:
        return ""
    routing = parse_routing(text)
    if routing.kind == "account":
        found = conn.execute(
            "SELECT 1 FROM account WHERE username = ? AND coalesce(parent_id, id) = ?",
            (routing.value, owner_id),
        ).fetchone()
        if found is None:
            raise ProvisioningError(
                f"{routing}: no such account of this customer: `account list` shows them"
            )
    elif routing.kind in _TABLES:
        found = conn.execute(
            f"SELECT 1 FROM {_TABLES[routing.kind]} WHERE id = ? AND account_id = ?",
            (int(routing.value), owner_id),
        ).fetchone()
        if found is None:
            raise ProvisioningError(
                f"{routing}: this customer has none of that id: `{_SHOWN_BY[routing.kind]}` shows "
                "them"
            )
    return str(routing)


def unused(conn: Connection, routing: str) -> None:
    """Make sure that nothing goes there.

    Raises:
        ProvisioningError: something does; the sentence names it.
    """
    users = [user for query in _USERS for (user,) in conn.execute(query, (routing,))]
    if users:
        raise ProvisioningError(
            f"{routing} is in use by {', '.join(users[:5])}: route those elsewhere first"
        )
