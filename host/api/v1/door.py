"""Who asks: a customer by name, API password and address; everybody else learns nothing."""

from __future__ import annotations

import hashlib
import secrets
from threading import BoundedSemaphore
from typing import NamedTuple

from host.api.access import is_enabled, networks_of
from host.api.limits import Lockout, Remembered
from host.api.passwords import is_right
from host.api.services import Services
from host.api.v1.values import Status
from host.store.connection import Connection

_AT_ONCE = 2
"""Passwords are worked out by so many at a time: guessers keep no more of the processor."""
_WAIT_S = 2.0
_LONGEST = 256
_FIND = """
SELECT account.id, username, status, enabled, password FROM account
JOIN api_access ON account_id = account.id WHERE username = ? AND parent_id IS NULL"""


class Caller(NamedTuple):
    """A customer who may ask."""

    id: int
    """Number of the main account."""
    username: str


class Door:
    """Lets customers in, by the contract's words.

    Sources that guess are locked out, and so are names that are guessed at: but whoever came in by
    the right password before, by that password, still does.
    """

    def __init__(self, services: Services) -> None:
        api = services.settings.api
        self._services = services
        self._names = Lockout(api.lockout_failures, api.lockout_s)
        self._known = Remembered()
        self._key = secrets.token_bytes(32)
        self._working = BoundedSemaphore(_AT_ONCE)

    def admit(self, conn: Connection, username: str, password: str, source: str) -> Caller:
        """The customer of these credentials.

        Raises:
            Status: missing_credentials, invalid_credentials, api_not_enabled, ip_not_enabled or
                api_limit_exceeded, which is said to those who are locked out, too.
        """
        if not username or not password:
            raise Status("missing_credentials")
        now = self._services.now().mono_ms / 1000
        sources = self._services.sources
        if sources.locked(source, now):
            raise Status("api_limit_exceeded")
        username, password = username[:_LONGEST], password[:_LONGEST]
        number, name, status, enabled, kept = conn.execute(_FIND, (username,)).fetchone() or (
            0, "", "", 0, "",
        )  # fmt: skip
        digest = self._digest(username, password, kept)
        if digest not in self._known:
            if self._names.locked(username, now):
                raise Status("api_limit_exceeded")
            if not self._is_right(password, kept):
                sources.failed(source, now)
                self._names.failed(username, now)
                raise Status("invalid_credentials")
            self._known.add(digest)
        sources.succeeded(source)
        if not enabled or status != "active":
            raise Status("api_not_enabled")
        if not is_enabled(source, networks_of(conn, number)):
            raise Status("ip_not_enabled")
        if not self._services.pace.allows(f"customer {number}", now):
            raise Status("api_limit_exceeded")
        return Caller(number, name)

    def _is_right(self, password: str, kept: str) -> bool:
        if not self._working.acquire(timeout=_WAIT_S):
            raise Status("api_limit_exceeded")
        try:
            return is_right(password, kept)
        finally:
            self._working.release()

    def _digest(self, username: str, password: str, kept: str) -> bytes:
        """Keyed by what this process alone knows: nothing is learnt of passwords by it."""
        text = "\0".join((username, password, kept)).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()
