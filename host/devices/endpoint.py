"""What devices ask over HTTPS: `/provision/<mac>`, in the API's process or beside it.

| | |
|---|---|
| `GET /provision/<mac>` | the provisioning document; ETag, 304 |
| `GET /provision/<mac>/firmware/<sha256>` | the image that it names; ETag, Range (RFC 9110) |
| `GET /provision/<mac>/balance` | what its account may still spend, for the voice menu |
| `POST /provision/<mac>/report` | what it runs, what it could not do, its line tests |
| `POST /provision/<mac>/secret` | its own secret in exchange for one that was issued for one use |

Each with `Authorization: Bearer SECRET` (RFC 6750). Whoever cannot prove who he is learns nothing,
not even which devices there are, and leaves nothing behind but a count in fixed space.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, Router

from firmware.wire.provisioning import (
    MOST_OCTETS,
    DocumentError,
    Report,
    balance_bytes,
    is_secret,
    new_secret_of,
    normal_mac,
)
from host.api.limits import Lockout, Pace
from host.api.services import Services
from host.charging.money import format_usd
from host.devices import registry, reports
from host.devices.firmware import path_of
from host.funds.notices import CENT, CURRENCY
from host.store.sqlite import StoreError

REQUESTS_PER_MINUTE = 60
"""Of one device: it asks once an hour, and in pieces where its network is bad."""
STRANGERS_PER_MINUTE = 600
"""Of one address, behind which there may be many devices; more are not even looked up."""
_MEDIA_TYPE = "application/problem+json"
_UNKNOWN = "no such device, or another secret: `loopstart-host device secret` issues a new one"


class _Refused(Exception):
    """A request that is not carried out."""

    def __init__(self, status: HTTPStatus, detail: str, errors: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors

    def response(self) -> Response:
        body = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            "errors": list(self.errors),
        }
        headers = {"cache-control": "no-store"}
        if self.status is HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = 'Bearer realm="provision"'
        if self.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            headers["retry-after"] = "60"
        return JSONResponse(body, self.status, headers, _MEDIA_TYPE)


class Endpoint:
    """Answers devices. `router` is what a server is given."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._given = services.settings.provisioning
        self._folder = Path(self._given.firmware_dir)
        api = services.settings.api
        self._guesses = Lockout(api.lockout_failures, api.lockout_s)
        """By address and device: those behind one address do not lock each other out."""
        self._strangers = Pace(STRANGERS_PER_MINUTE)
        self._devices = Pace(REQUESTS_PER_MINUTE)
        self._log = structlog.get_logger("provisioning")
        self.router = Router(
            [
                self._route("", self._document, "GET"),
                self._route("/firmware/{sha256}", self._firmware, "GET"),
                self._route("/balance", self._balance, "GET"),
                self._route("/report", self._report, "POST"),
                self._route("/secret", self._secret, "POST"),
            ],
            redirect_slashes=False,
        )

    def _route(self, path: str, answer: Callable[..., Response], method: str) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                body = await _body(request) if method == "POST" else b""
                return await run_in_threadpool(self._answer, request, body, answer)
            except _Refused as refused:
                return refused.response()
            except (StoreError, sqlite3.Error) as error:
                self._log.error("store", error=str(error))
                words = "the store is busy, or cannot be read or written: try again"
                return _Refused(HTTPStatus.SERVICE_UNAVAILABLE, words).response()

        return Route(f"/provision/{{mac}}{path}", endpoint, methods=[method])

    def _answer(self, request: Request, body: bytes, answer: Callable[..., Response]) -> Response:
        """Let in whoever may come in."""
        if request.url.scheme != "https" and not self._given.plain_http:
            raise _Refused(
                HTTPStatus.FORBIDDEN,
                "only over HTTPS: a secret was sent in clear, let `device secret` issue another",
            )
        source = request.client.host if request.client else ""
        now = self._services.now()
        secret = _bearer(request)
        try:
            mac = normal_mac(request.path_params["mac"])
        except ValueError:
            mac = ""
        key = f"{source} {mac}"
        if self._guesses.locked(key, now.mono_ms / 1000):
            raise _Refused(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong secrets: wait")
        if not self._strangers.allows(source, now.mono_ms / 1000):
            raise _Refused(HTTPStatus.TOO_MANY_REQUESTS, "too many requests: wait a minute")
        if not mac or not is_secret(secret) or not self._knows(mac, secret, answer):
            if secret:
                self._guesses.failed(key, now.mono_ms / 1000)
            raise _Refused(HTTPStatus.UNAUTHORIZED, _UNKNOWN)
        if not self._devices.allows(mac, now.mono_ms / 1000):
            raise _Refused(HTTPStatus.TOO_MANY_REQUESTS, "too many requests: wait a minute")
        return answer(request, mac, source, secret, body)

    def _knows(self, mac: str, secret: str, answer: Callable[..., Response]) -> bool:
        with self._services.store.reading() as conn:
            if answer == self._secret:
                return registry.may_exchange(conn, self._services.now(), mac, secret)
            return registry.has_secret(conn, mac, secret)

    # --- what is asked ---

    def _document(
        self, request: Request, mac: str, source: str, _secret: str, _body: bytes
    ) -> Response:
        with self._services.store.writing() as conn:
            reports.seen(conn, self._services.now(), mac, source)
            told = registry.document(conn, mac, self._given.interval_s).to_bytes()
        etag = f'"{hashlib.sha256(told).hexdigest()}"'
        headers = {"etag": etag, "cache-control": "no-store"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(told, media_type="application/json", headers=headers)

    def _firmware(
        self, request: Request, mac: str, _source: str, _secret: str, _body: bytes
    ) -> Response:
        sha256 = request.path_params["sha256"]
        with self._services.store.reading() as conn:
            wanted = registry.document(conn, mac, self._given.interval_s).firmware
        path = path_of(self._folder, sha256)
        if wanted is None or wanted.sha256 != sha256:
            raise _Refused(HTTPStatus.NOT_FOUND, "that is not what this device is to run: ask anew")
        if not path.is_file():
            self._log.error("firmware is gone", file=str(path))
            raise _Refused(HTTPStatus.NOT_FOUND, "the host has lost this file: add it again")
        headers = {"etag": f'"{sha256}"', "cache-control": "private, no-transform"}
        return FileResponse(path, media_type="application/octet-stream", headers=headers)

    def _balance(
        self, _request: Request, mac: str, _source: str, _secret: str, _body: bytes
    ) -> Response:
        with self._services.store.reading() as conn:
            available = registry.available(conn, mac)
        if available is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "no account: `device set` says whose it is")
        whole_cents = available // CENT * CENT  # never more than there is
        told = balance_bytes(format_usd(whole_cents), CURRENCY)
        headers = {"cache-control": "no-store"}
        return Response(told, media_type="application/json", headers=headers)

    def _report(
        self, _request: Request, mac: str, source: str, _secret: str, body: bytes
    ) -> Response:
        report = _checked(Report.from_bytes, body)
        with self._services.store.writing() as conn:
            reports.take(conn, self._services.now(), mac, source, report)
        for tests in report.line_tests:
            if tests.failed:
                self._log.warning("line test failed", device=mac, line=tests.line)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def _secret(
        self, _request: Request, mac: str, source: str, secret: str, body: bytes
    ) -> Response:
        own = _checked(new_secret_of, body)
        with self._services.store.writing() as conn:
            taken = registry.exchange(conn, self._services.now(), mac, secret, own)
        if not taken:
            raise _Refused(HTTPStatus.UNAUTHORIZED, _UNKNOWN)
        self._log.info("secret exchanged", device=mac, source=source)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _checked(read: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return read(body)
    except DocumentError as error:
        words = "the body is not as it should be; `errors` says where"
        raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, words, error.problems) from None


def _bearer(request: Request) -> str:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


async def _body(request: Request) -> bytes:
    """Of a request, which is no longer than it may be.

    Raises:
        _Refused: it is, or ends too early.
    """
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MOST_OCTETS:
                words = f"a body has at most {MOST_OCTETS} octets here"
                raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words)
    except ClientDisconnect:
        raise _Refused(HTTPStatus.BAD_REQUEST, "the body has ended too early") from None
    return bytes(body)
