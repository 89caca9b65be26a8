"""Who may call and register over IAX2, and what each has to show for it.

A name that nobody has, and one that may not use IAX2, is asked for the answer to a challenge like
any other, whose secret is random: it looks the same and takes the same work (RFC 5456, 6.1.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import structlog

from firmware.wire.iax2 import Access
from host.numbering.values import Account, Carrier
from host.settings import Iax2Settings
from host.sip.guard import Guard
from host.sip.registrar import Registrar

MAX_USERNAME = 64
"""As `host.numbering.provisioning` has it."""
Address = tuple[str, int]


class Peers(Protocol):
    """What IAX2 asks of `host.numbering` about who sends."""

    def refresh(self) -> None: ...
    def account_by_username(self, username: str) -> Account | None: ...
    def account_by_address(self, address: str, port: int) -> Account | None: ...
    def carrier_by_address(self, address: str, port: int, iax2: bool) -> Carrier | None: ...


class HostAuthority:
    """Implements `firmware.wire.iax2.Authority` over accounts and carriers.

    Args:
        guard: counts failures by source address, of SIP and IAX2 together.
        registrar: lock-outs spare accounts that are registered from the source.
        fresh: takes notice of a changed configuration, at most once a batch.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: Iax2Settings,
        peers: Peers,
        guard: Guard,
        registrar: Registrar,
        random: Callable[[int], bytes],
        fresh: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.failures = 0
        self._settings = settings
        self._peers = peers
        self._guard = guard
        self._registrar = registrar
        self._random = random
        self._fresh = fresh
        self._clock = clock
        self._log = structlog.get_logger("iax2")

    def access(
        self,
        username: str,
        address: Address,
        purpose: Literal["call", "register"],
        pop: str | None = None,
    ) -> Access:
        """Who names an account has to know its password; carriers and trunks, which name none,
        are known by their address, which the call token proves."""
        self._fresh()
        where, port = address
        account = self._account(username)
        if purpose == "call" and account is None:
            peer = self._known_by_address(where, port)
            if peer is not None:
                return self._of(peer, "address", "")
        if self._guard.locked(where, self._clock()) and not (
            account is not None and self._registrar.has_binding_from(account.id, where)
        ):
            return Access("refuse")
        if not username:
            return Access("refuse")
        if account is None or (
            purpose == "register"
            and (account.status != "active" or account.bounds.believes(where, pop, "iax2"))
        ):
            return Access("md5", self._random(16).hex())
        return self._of(account, "md5", account.iax2_secret)

    def failed(self, username: str, address: Address, now: float) -> None:
        """Wrong credentials: counted, so that guessing ends in a lock-out."""
        account = self._account(username)
        if account is None or account.status == "active":
            self.failures += 1
            if self._guard.failed(address[0], now):
                self._log.warning("locked out", source=address[0], user=username[:MAX_USERNAME])

    def succeeded(self, address: Address) -> None:
        self._guard.succeeded(address[0])

    def refresh(self, username: str, asked_s: int) -> int:
        settings = self._settings
        asked_s = asked_s or settings.min_refresh_s
        return max(settings.min_refresh_s, min(asked_s, settings.max_refresh_s))

    def messages(self, username: str) -> tuple[int, int] | None:
        """The host keeps no voice mail."""
        return None

    def who(self, username: str, address: Address) -> Carrier | Account | None:
        """Who stands behind a call that was let in by `access`; None when that has changed."""
        return self._account(username) if username else self._known_by_address(*address)

    def at(self, pop: str) -> LineAuthority:
        """The same, for the listeners of a POP."""
        return LineAuthority(self, pop)

    def _known_by_address(self, address: str, port: int) -> Carrier | Account | None:
        carrier = self._peers.carrier_by_address(address, port, True)
        if carrier is not None:
            return carrier
        account = self._peers.account_by_address(address, port)
        return account if account is not None and account.iax2 else None

    def _account(self, username: str) -> Account | None:
        """The account of that name that may use IAX2 with a password."""
        if not username or len(username) > MAX_USERNAME or not username.isprintable():
            return None
        account = self._peers.account_by_username(username)
        return account if account is not None and account.iax2 and account.iax2_secret else None

    def _of(
        self, peer: Carrier | Account, method: Literal["md5", "address"], secret: str
    ) -> Access:
        encryption = peer.encryption
        if not self._settings.encryption:
            if encryption == "require":
                return Access("refuse")
            encryption = "no"
        if method == "address":  # there is no secret to make a key of
            if encryption == "require":
                return Access("refuse")
            encryption = "no"
        most = None
        if isinstance(peer, Account) and peer.trunk:  # a PBX begins as many at once as it may have
            most = max(self._settings.max_unauthenticated_per_user, peer.channels)
        return Access(method, secret, peer.call_token, encryption, peer.trunk, most)


class LineAuthority:
    """The host's authority at one POP, which an account may have to keep to."""

    def __init__(self, whole: HostAuthority, pop: str) -> None:
        self._whole = whole
        self._pop = pop
        self.failed = whole.failed
        self.succeeded = whole.succeeded
        self.refresh = whole.refresh
        self.messages = whole.messages

    def access(
        self, username: str, address: Address, purpose: Literal["call", "register"]
    ) -> Access:
        """As the whole host, and by the POP."""
        return self._whole.access(username, address, purpose, self._pop)
