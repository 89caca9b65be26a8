"""What a provider tells by HTTP, as a function of headers and body; a shell puts it on a socket.

A notice is answered with 200 once it is durable, and again when it comes again; with 400 when
it is not the provider's; with 503 when the store or the provider cannot be asked, so that it
is sent again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import NamedTuple

from host.charging.ledger import UnknownAccount
from host.charging.values import Now
from host.funds import deposits
from host.funds.deposits import Outcome
from host.funds.notices import Approved, NotGenuine, PaymentProvider, ProviderError
from host.store.connection import Connection
from host.store.sqlite import StoreError

MAX_BODY = 262_144
"""Octets; a shell need not read more."""
Transact = Callable[[Callable[[Connection], Outcome]], Outcome]
"""Runs an operation in one transaction and returns once it is durable."""


class Reply(NamedTuple):
    """What is answered."""

    status: int
    text: str
    outcome: Outcome | None = None


def receive(
    provider: PaymentProvider,
    transact: Transact,
    now: Now,
    headers: Mapping[str, str],
    body: bytes,
) -> Reply:
    """Take one webhook. Waits for the provider and the store: not for an event loop's thread."""
    if len(body) > MAX_BODY:
        return Reply(400, "too large")
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        notice = provider.read(lower, body)
        if isinstance(notice, Approved):
            notice = provider.look(notice.reference)
        if notice is None:
            return Reply(200, "nothing to do")
        told = notice
        outcome = transact(lambda conn: deposits.apply(conn, now, told))
    except NotGenuine as error:
        return Reply(400, f"not taken: {error}")
    except UnknownAccount:
        return Reply(200, "its account is gone")
    except ProviderError as error:
        return Reply(200 if error.final else 503, str(error))
    except (StoreError, sqlite3.OperationalError):
        return Reply(503, "the store cannot be written: send it again")
    return Reply(200, outcome.what, outcome)
