"""Who sent a request: digest authentication (RFC 7616, RFC 8760) against accounts.

Nothing is kept for a sender that has not authenticated but a bounded count of failures. An
unknown user costs the same work and gets the same answer as a wrong password.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

from firmware.wire.sip import digest
from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import Request, Response, response_to
from host.charging.values import Reason
from host.numbering.values import Account
from host.settings import SipSettings
from host.sip.guard import Guard, UsedNonces
from host.sip.registrar import Registrar
from host.sip.transport import Flow

NONCE_AGE_S = 300
MD5_ONLY = ("MD5",)
MD5_ONLY_CLIENTS = ("baresip v0.", "baresip v1.")
"""Begin the User-Agent of clients that give up when a challenge they do not know comes first."""
MAX_USERNAME = 64
"""As `host.numbering.provisioning` has it."""
_NOBODY = {"MD5": "0" * 32, "SHA-256": "0" * 64}
"""What the response of an unknown user is compared with."""


class Accounts(Protocol):
    """What authentication asks of `host.numbering`."""

    def account_by_username(self, username: str) -> Account | None: ...


@dataclass(frozen=True, slots=True)
class Denied:
    """No account stands behind the request; `response` says so."""

    response: Response
    reason: Reason | None
    """None: only a challenge."""
    username: str = ""


class Authenticator:
    """Checks requests against the digest of accounts.

    Args:
        accounts: where accounts are looked up.
        registrar: lock-outs spare accounts that are registered from the source.
        secret: octets that nonces are made with; new ones make all nonces stale.
    """

    def __init__(
        self,
        settings: SipSettings,
        accounts: Accounts,
        registrar: Registrar,
        secret: bytes,
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._registrar = registrar
        self._nonces = digest.NonceFactory(secret)
        self._used = UsedNonces()
        self._mark = hashlib.blake2s(secret, digest_size=5, person=b"to-tag").hexdigest()
        self._needle = f";tag={self._mark}".encode()
        self.guard = Guard(settings.lockout_failures, settings.lockout_s)
        self.failures = 0

    def challenge(self, request: Request, flow: Flow, now: float, stale: bool = False) -> Response:
        """401 with one challenge for each algorithm, the strongest first."""
        response = response_to(request, 401, to_tag=self._stateless_tag(request))
        nonce = self._nonces.make(now, flow.address)
        algorithms = flow.listener.digest_algorithms or self._settings.digest_algorithms
        if (request.headers.get("User-Agent") or "").startswith(MD5_ONLY_CLIENTS):
            algorithms = MD5_ONLY
        for value in digest.challenge(self._settings.realm, nonce, algorithms, stale=stale):
            response.headers.add("WWW-Authenticate", value)
        return response

    def check(self, request: Request, flow: Flow, now: float) -> Account | Denied:
        """The account whose password the sender knows, or what to answer instead."""
        value = request.headers.get("Authorization")
        if value is None:
            return Denied(self.challenge(request, flow, now), None)
        try:
            credentials = digest.parse_authorization(value)
        except SipPeerError as error:
            return Denied(
                response_to(request, 400, error.reason, to_tag=self._stateless_tag(request)), None
            )
        username = credentials.username
        # A name that no account can have is nobody's, and no question to the store.
        readable = len(username) <= MAX_USERNAME and (username.isascii() or _is_text(username))
        account = self._accounts.account_by_username(username) if readable else None
        if self.guard.locked(flow.address, now) and not (
            account is not None and self._registrar.has_binding_from(account.id, flow.address)
        ):
            return self._forbidden(request, username)
        if credentials.realm != self._settings.realm:
            return Denied(self.challenge(request, flow, now), None)
        fresh = self._nonces.check(credentials.nonce, now, flow.address, NONCE_AGE_S)
        if fresh == "bad":
            return Denied(self.challenge(request, flow, now), None)
        # An account without a password (a trunk known by its address) has nobody's digest too:
        # the digest of an empty secret is anybody's to compute.
        if account is None or not account.ha1_md5 or not account.ha1_sha256:
            known, ha1 = False, _NOBODY
        else:
            known, ha1 = True, {"MD5": account.ha1_md5, "SHA-256": account.ha1_sha256}
        good = digest.verify(credentials, request.method, ha1, request.body)
        if account is None or not known or not good:
            self.failures += 1
            self.guard.failed(flow.address, now)
            return self._forbidden(request, username)
        if fresh == "stale":
            return Denied(self.challenge(request, flow, now, stale=True), None)
        # A nonce count passes once, but for the retransmission of a REGISTER, which is answered
        # without state. Other requests that come again are known to the transaction layer.
        bearer = 0
        if request.method == "REGISTER":
            branch = request.top_via.branch or ""
            bearer = hash((request.call_id, request.cseq[0], branch, flow.port))
        if not self._used.accept(credentials.nonce, credentials.nc, bearer):
            return Denied(self.challenge(request, flow, now, stale=True), None)
        self.guard.succeeded(flow.address)
        flow.prove()
        return account

    def _forbidden(self, request: Request, username: str) -> Denied:
        response = response_to(request, 403, to_tag=self._stateless_tag(request))
        response.headers.set("Reason", "Q.850;cause=21")
        return Denied(response, Reason.CREDENTIALS, username)

    def _stateless_tag(self, request: Request) -> str:
        """A To tag that is the same for each retransmission (RFC 3261, 8.2.7)."""
        mark = hash((request.call_id, request.top_via.branch or "", request.cseq[0]))
        return f"{self._mark}{mark & 0xFFFFFFFFFFFF:x}"

    def is_ack_of_ours(self, datagram: bytes) -> bool:
        """Whether this is the ACK of an answer that we gave without keeping state.

        Told by the tag without parsing: a challenge a call brings one of them.
        """
        return datagram[:4] == b"ACK " and self._needle in datagram


def _is_text(username: str) -> bool:
    """False where octets were no UTF-8 (they are kept as surrogates)."""
    try:
        username.encode()
    except UnicodeEncodeError:
        return False
    return True
