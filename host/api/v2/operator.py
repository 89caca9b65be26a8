"""Who may use /api/v2: operators, by a token."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from host.api.access import token_of
from host.api.services import Services
from host.api.v2.problems import Refusal

_LONGEST = 256
_bearer = HTTPBearer(auto_error=False, description="`loopstart-host api token add NAME`")
_CHALLENGE = (
    "no token: send `Authorization: Bearer TOKEN`; `loopstart-host api token add` makes one"
)


def services_of(request: Request) -> Services:
    """What the application was made with."""
    found = request.app.state.services
    assert isinstance(found, Services)
    return found


Given = Annotated[Services, Depends(services_of)]


def operator(
    request: Request,
    services: Given,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> str:
    """The name of the token that asks; one that may read alone changes nothing.

    Raises:
        Refusal: 401, 403 or 429. Sources that guess are locked out.
    """
    source = request.client.host if request.client else ""
    now = services.now().mono_ms / 1000
    if services.sources.locked(source, now):
        raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens: wait some minutes")
    if credentials is None or len(credentials.credentials) > _LONGEST:
        raise Refusal(HTTPStatus.UNAUTHORIZED, _CHALLENGE)
    with services.store.reading() as conn:
        token = token_of(conn, credentials.credentials)
    if token is None:
        services.sources.failed(source, now)
        raise Refusal(HTTPStatus.UNAUTHORIZED, _CHALLENGE)
    if not services.pace.allows(f"operator {token.name}", now):
        raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many requests: wait a minute")
    if request.method not in ("GET", "HEAD") and not token.may_write:
        raise Refusal(HTTPStatus.FORBIDDEN, f"token {token.name} may read alone")
    return token.name


Operator = Depends(operator)
