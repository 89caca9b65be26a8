"""What the voice menu says of the device, and how it finds out."""

from __future__ import annotations

import ipaddress
import socket

from firmware.prompts import PAUSE, words_of_address, words_of_amount

_ANYWHERE = ("192.0.2.1", "2001:db8::1")
"""Documentation addresses (RFC 5737, RFC 3849): the way there is the way to everybody."""
_PORT = 9


def sentences(what: str, address: str, registered: bool, balance: str = "") -> list[str]:
    """The words of an answer of the menu: `all`, `address`, `registration` or `balance`.

    `all` has no balance: who is asked for it answers later, and then it is said.

    Args:
        balance: units of money as `12.50`; empty: not known.
    """
    parts = {
        "address": words_of_address(address),
        "registration": ["registered" if registered else "not_registered"],
        "balance": ["balance", *(words_of_amount(balance) or ["not_known"])],
    }
    if what in parts:
        return parts[what]
    return [*parts["address"], PAUSE, *parts["registration"]]


def own_address(server: str, bound: str = "") -> str:
    """The address that others reach this device at; empty where it has none.

    Nothing is sent, and no name is looked up.

    Args:
        server: where it is registered, `host:port`; a name says nothing of the way to it.
        bound: address that the device was told to use; empty for any.
    """
    if bound:
        return bound
    host = server.partition(";")[0].rpartition(":")[0].strip("[]")
    for target in (host, *_ANYWHERE):
        found = _way_to(target)
        if found:
            return found
    return ""


def _way_to(target: str) -> str:
    try:
        version = ipaddress.ip_address(target).version
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, _PORT))
            return str(probe.getsockname()[0])
    except (ValueError, OSError):
        return ""
