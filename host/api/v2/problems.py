"""Errors as problem details (RFC 9457): what happened, to what, and what to do next."""

from __future__ import annotations

import re
import sqlite3
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from host.charging.ledger import UnknownAccount
from host.control_client import Refused, Unreachable
from host.numbering.deck_csv import DeckError
from host.numbering.provisioning import ProvisioningError
from host.store.sqlite import StoreError

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """Problem details (RFC 9457, 3)."""

    type: str = "about:blank"
    title: str
    """The phrase of the status."""
    status: int
    detail: str
    """A sentence: what happened, to what, and what to do next."""
    errors: list[str] = []
    """One a line or a field, where there are several."""


class Refusal(Exception):
    """A request that cannot be carried out."""

    def __init__(self, status: HTTPStatus, detail: str, errors: list[str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors or []


def not_found(detail: str) -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, detail)


_WORDS = {
    401: "The token is missing, or is none: `loopstart-host api token add` makes one.",
    403: "The token may read alone.",
    404: "There is no such thing.",
    409: "It cannot be done as things stand; `detail` says why, and what to do.",
    413: "The body is too large.",
    422: "The request is not as it is described here; `errors` says where.",
    429: "Too many requests: wait a minute.",
    503: "The store is busy, or the process that carries calls does not answer: try again.",
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the description of an operation: the ways in which it may fail."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    every = sorted({401, 403, 422, 429, 503, *statuses})
    return {status: {"description": _WORDS[status], "content": content} for status in every}


def install(app: FastAPI, paths: list[tuple[re.Pattern[str], set[str]]]) -> None:
    """Every error of the application is told so.

    Args:
        paths: patterns of paths and their methods, so that one which does not fit is told all that
            do: each method is a route of its own.
    """

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refusal)
        return _told(error.status, error.detail, error.errors)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            path = request.url.path
            methods = {one for pattern, some in paths if pattern.match(path) for one in some}
            headers = {"Allow": ", ".join(sorted(methods))} if methods else error.headers
            return _told(405, f"{request.url.path} takes other methods", headers=headers)
        if error.status_code == HTTPStatus.BAD_REQUEST:
            return _told(422, f"{error.detail}: the body is no JSON in UTF-8")
        return _told(error.status_code, str(error.detail), headers=error.headers)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        faults = [
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        ]
        return _told(422, "the request is not as /api/v2/docs describes it", faults)

    async def conflict(_: Request, error: Exception) -> JSONResponse:
        lines = error.lines if isinstance(error, DeckError) else []
        return _told(409, str(error), list(lines))

    async def unfit(_: Request, error: Exception) -> JSONResponse:
        # What PostgreSQL cannot keep, and a file of SQLite can.
        return _told(422, f"there is a value in the request that the store cannot keep: {error}")

    async def away(_: Request, error: Exception) -> JSONResponse:
        text = str(error)
        if isinstance(error, sqlite3.Error):
            structlog.get_logger("api").error("store", error=text)
            text = "the store is busy, or cannot be read or written: try again"
        return _told(503, text, headers={"Retry-After": "5"})

    async def failed(request: Request, error: Exception) -> JSONResponse:
        structlog.get_logger("api").error("api failed", path=request.url.path, exc_info=error)
        return _told(500, "the host failed; its log says how")

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    conflicts: tuple[type[Exception], ...] = (ProvisioningError, DeckError, Refused, UnknownAccount)
    for kind in conflicts:
        app.add_exception_handler(kind, conflict)
    aways: tuple[type[Exception], ...] = (StoreError, sqlite3.OperationalError, Unreachable)
    for kind in aways:
        app.add_exception_handler(kind, away)
    app.add_exception_handler(sqlite3.DataError, unfit)
    app.add_exception_handler(Exception, failed)


def _told(
    status: int, detail: str, errors: list[str] | None = None, headers: Any = None
) -> JSONResponse:
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors or []
    )
    return JSONResponse(problem.model_dump(), status, headers, MEDIA_TYPE)
