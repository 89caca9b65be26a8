"""What the write side checks of what it is given: numbers, addresses, names that have to be there.

What cannot be done raises ProvisioningError, a sentence with what to do next.
"""

from __future__ import annotations

import ipaddress
import sqlite3

from host.numbering.e164 import normalise
from host.store.connection import Connection

EVERY = 1 << 62
"""As the limit of a list: no limit."""


class ProvisioningError(ValueError):
    """What was asked for cannot be done; the text says why and what to do."""


class NotEnoughFunds(ProvisioningError):
    """A fee is due at once, and the balance does not cover it; nothing was changed."""


def account_row(conn: Connection, username: str) -> tuple[int, int | None]:
    """Number of an account, and of its main account if it is a sub-account."""
    found: tuple[int, int | None] | None = conn.execute(
        "SELECT id, parent_id FROM account WHERE username = ?", (username,)
    ).fetchone()
    if found is None:
        raise ProvisioningError(f"no account {username!r}: `account list` shows them")
    return found


def main_row(conn: Connection, username: str) -> int:
    """Number of the main account that this account is, or belongs to."""
    number, parent = account_row(conn, username)
    return number if parent is None else parent


def number_of(text: str) -> str:
    """A telephone number in E.164."""
    number = normalise(text)
    if number is None:
        raise ProvisioningError(f"{text!r} is no telephone number: write it as +12125550100")
    return number


def range_of(text: str) -> str:
    """How numbers begin, in E.164."""
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and 2 <= len(digits) <= 14):
        raise ProvisioningError(f"{text!r} is no range: write how its numbers begin, +1212555")
    return f"+{digits}"


def address_of(text: str) -> str:
    """An IP address as it is always written."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise ProvisioningError(
            f"{text!r} is no IP address: give the address itself, names are not looked up"
        ) from None


def networks_of(text: str) -> str:
    """IP addresses and networks, commas or spaces between, as they are always written."""
    networks = []
    for one in text.replace(",", " ").split():
        try:
            networks.append(str(ipaddress.ip_network(one, strict=False)))
        except ValueError:
            raise ProvisioningError(
                f"{one!r} is no IP address or network: write 203.0.113.5 or 203.0.113.0/24"
            ) from None
    return ",".join(dict.fromkeys(networks))


def known_pop(conn: Connection, pop: str) -> str:
    """A POP that there is."""
    if conn.execute("SELECT 1 FROM pop WHERE name = ?", (pop,)).fetchone() is None:
        raise ProvisioningError(f"no POP {pop!r}: add it by `pop add {pop}` first")
    return pop


def taken(error: sqlite3.IntegrityError, what: str) -> ProvisioningError:
    """What the store's refusal of a row means."""
    if "UNIQUE" in str(error):
        return ProvisioningError(f"{what}: there is one with that name, number or address already")
    return ProvisioningError(f"{what}: a value is out of its range ({error})")
