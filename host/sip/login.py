"""How we prove to a carrier who we are: digest, where it asks (RFC 3261, 22.2)."""

from __future__ import annotations

from collections.abc import Callable

from firmware.wire.sip import digest
from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import Request, Response

CHALLENGES = {401: ("WWW-Authenticate", "Authorization"),
              407: ("Proxy-Authenticate", "Proxy-Authorization")}  # fmt: skip
"""Status to the fields of challenge and answer."""
MAX_TRIES = 10
"""Of one leg: a carrier that calls every nonce stale is not asked for ever."""


class Login:
    """User name and password for one leg.

    Args:
        random_token: unguessable text for cnonces.
    """

    __slots__ = ("_random_token", "_secret", "_tries", "_username", "credentials")

    def __init__(self, username: str, secret: str, random_token: Callable[[], str]) -> None:
        self._username = username
        self._secret = secret
        self._random_token = random_token
        self._tries = MAX_TRIES
        self.credentials: tuple[tuple[str, str], ...] = ()
        """The field that the INVITE got through with; its ACK bears the same (13.2.2.4)."""

    def again(self, request: Request, response: Response) -> Request | None:
        """The request once more, its challenge answered; None where that is no use.

        A challenge that comes back is answered only if it says that the nonce was stale: else
        the password is wrong, and more of it would lock us out.
        """
        asked, answers = CHALLENGES[response.status]
        challenges = response.headers.raw_all(asked)
        if request.headers.get(answers) is not None and not any(map(_stale, challenges)):
            return None
        if not self._tries:
            return None
        self._tries -= 1
        value = digest.respond(
            challenges,
            username=self._username,
            password=self._secret,
            method=request.method,
            uri=request.uri,
            cnonce=self._random_token(),
            nc=1,
            body=request.body,
        )
        if value is None:
            return None
        request = request.copy()
        request.headers.set(answers, value)
        if request.method == "INVITE":
            self.credentials = ((answers, value),)
        return request


def _stale(value: str) -> bool:
    try:
        return digest.parse_challenge(value).stale
    except SipPeerError:
        return False
