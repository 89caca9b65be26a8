"""Who is registered where: what is live in this host, or what the store has of it and of others."""

from __future__ import annotations

from typing import NamedTuple

import structlog

from host.api.services import Services
from host.control_client import Refused, Unreachable
from host.store.connection import Connection

_STORED = """
SELECT account_id, username, uri, listener, binding.address, binding.port, expires_utc_ms,
    user_agent
FROM binding JOIN account ON account.id = account_id
WHERE expires_utc_ms > ? AND host_id <> ?"""


class Registration(NamedTuple):
    """One contact of one account."""

    account_id: int
    account: str
    contact: str
    pop: str
    protocol: str
    """SIP or IAX2."""
    transport: str
    """udp, tcp or tls."""
    address: str
    port: int
    expires_s: int
    user_agent: str


def registrations(services: Services, conn: Connection, account_id: int) -> list[Registration]:
    """All of one account. Those of other hosts, and of this one while it is away, are what the
    store has, which is those over UDP."""
    live: list[Registration] | None = None
    try:
        live = [_live(one) for one in services.live("registrations", account_id=account_id)]
    except (Unreachable, Refused) as error:
        structlog.get_logger("api").warning("no live registrations", error=str(error))
    here = services.settings.host_id if live is not None else ""
    rows = conn.execute(f"{_STORED} AND account_id = ?", (services.now().utc_ms, here, account_id))
    return [*(live or ()), *(_stored(services, row) for row in rows)]


def page(services: Services, conn: Connection, after: int, limit: int) -> list[Registration]:
    """Of all accounts with a higher number than `after`, some whole ones: at least one, and about
    `limit` registrations; none when there are no more."""
    live: list[Registration] | None = None
    try:
        live = [_live(one) for one in services.live("registrations", after=after)]
    except (Unreachable, Refused) as error:
        structlog.get_logger("api").warning("no live registrations", error=str(error))
    here = services.settings.host_id if live is not None else ""
    rows = conn.execute(
        f"{_STORED} AND account_id > ? ORDER BY account_id LIMIT ?",
        (services.now().utc_ms, here, after, limit + 100),
    )
    stored = [_stored(services, row) for row in rows]
    if len(stored) == limit + 100:  # the last account's may be a part of them
        stored = [one for one in stored if one.account_id < stored[-1].account_id]
    # Beyond what either tells of there may be more in it: that is for the next page.
    cut = min((part[-1].account_id for part in (live, stored) if part), default=0)
    found = [one for one in (*(live or ()), *stored) if one.account_id <= cut]
    found.sort(key=lambda one: one.account_id)
    if len(found) > limit:
        last = found[limit].account_id
        whole = [one for one in found if one.account_id < last]
        found = whole or [one for one in found if one.account_id == last]
    return found


def _live(told: dict[str, object]) -> Registration:
    names = {**told, "account": told["username"]}
    return Registration(*(names[name] for name in Registration._fields))  # type: ignore[arg-type]


def _stored(services: Services, row: tuple[int, str, str, str, str, int, int, str]) -> Registration:
    number, name, uri, listener, address, port, expires, user_agent = row
    at = {f"{one.address}:{one.port}": one for one in services.settings.listeners}.get(listener)
    iax2 = uri.startswith("iax2:")
    left_s = max(0, (expires - services.now().utc_ms) // 1000)
    return Registration(
        number, name, uri, at.pop if at else "", "IAX2" if iax2 else "SIP", "udp", address, port,
        left_s, user_agent,
    )  # fmt: skip
