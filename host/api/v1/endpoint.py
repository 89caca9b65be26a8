"""The one endpoint of the contract: any verb, query string or form, HTTP 200 and JSON always."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from host.api.services import Services
from host.api.v1.door import Door
from host.api.v1.methods import METHODS
from host.api.v1.request import Request
from host.api.v1.values import Status, plain, read_all

MAX_BODY = 64 * 1024


class Endpoint:
    """`/api/v1/rest.php`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._door = Door(services)
        self._log = structlog.get_logger("api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(scope, receive)
        source = request.client.host if request.client else ""
        try:
            given = await _parameters(request)
            answer = await run_in_threadpool(self.answer, given, source)
        except Status as status:
            answer = {"status": str(status)}
        body = json.dumps(plain(answer)).encode()
        headers = {"cache-control": "no-store"}
        response = Response(body, media_type="application/json", headers=headers)
        await response(scope, receive, send)

    def answer(self, given: Mapping[str, str], source: str) -> dict[str, Any]:
        """What is said to a request with these parameters."""
        try:
            return {"status": "success", **self._answer(given, source)}
        except Status as status:
            return {"status": str(status)}
        except Exception:
            # The contract has no other status of HTTP, whatever went wrong here.
            self._log.exception("api failed", method=given.get("method", "")[:64])
            return {"status": "internal_error"}

    def _answer(self, given: Mapping[str, str], source: str) -> dict[str, Any]:
        name = given.get("method", "")
        if not name:
            raise Status("missing_method")
        method = METHODS.get(name)
        if method is None:
            raise Status("invalid_method")
        store, door = self._services.store, self._door
        credentials = given.get("api_username", ""), given.get("api_password", "")
        with store.reading() as conn:
            caller = door.admit(conn, *credentials, source)
            values = read_all(method.parameters, given)
            if not method.writes:
                return method.answer(Request(conn, caller, values, self._services, source))
        with store.writing() as conn:
            return method.answer(Request(conn, caller, values, self._services, source))


async def _parameters(request: HttpRequest) -> dict[str, str]:
    """Of the query string, and of a form in the body, which counts more.

    Raises:
        Status: the body is too large, or is no form.
    """
    given = dict(request.query_params)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return given
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise Status("request_too_large")
    request._body = bytes(body)
    try:
        async with request.form(max_files=0, max_fields=200) as form:
            given |= {name: value for name, value in form.items() if isinstance(value, str)}
    except (MultiPartException, HTTPException, ValueError):
        raise Status("invalid_request") from None
    return given
