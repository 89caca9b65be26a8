"""The API as one application: customers' contract, operators' API, figures for Prometheus."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Route, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from host.api import metrics
from host.api.services import Services
from host.api.v1.endpoint import Endpoint
from host.api.v2 import (
    accounts,
    caller_filters,
    calls,
    decks,
    deposits,
    destinations,
    devices,
    numbers,
    pop_mismatches,
    problems,
    returns,
)
from host.api.v2.operator import Given, Operator
from host.devices.endpoint import Endpoint as Provision

V1_PATH = "/api/v1/rest.php"
V2 = "/api/v2"
MAX_BODY = 256 * 1024
_DESCRIPTION = (
    "For operators and their programs. Every request has `Authorization: Bearer TOKEN`, made by "
    "`loopstart-host api token add`. Lists come in parts: `next` of one is `after` of the next. "
    "Errors are problem details (RFC 9457) whose `detail` says what to do."
)
_PARTS = (
    accounts,
    deposits,
    returns,
    calls,
    decks,
    numbers,
    pop_mismatches,
    destinations,
    caller_filters,
    devices,
)

figures = APIRouter(tags=["figures"])


@figures.get("/metrics", response_class=PlainTextResponse, summary="Figures for Prometheus")
def scrape(services: Given) -> PlainTextResponse:
    return PlainTextResponse(metrics.exposition(services), media_type=metrics.CONTENT_TYPE)


class Bounded:
    """Middleware: no body is longer than it may be, whoever sends it. Decks are bounded where they
    are read, and forms of the contract are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in (V1_PATH, f"{V2}/decks"):
            await self._app(scope, receive, send)
            return
        length = 0

        async def bounded() -> Message:
            nonlocal length
            message = await receive()
            length += len(message.get("body", b""))
            if length > MAX_BODY:
                raise HTTPException(413, f"a body has at most {MAX_BODY} octets here")
            return message

        await self._app(scope, bounded, send)


def make_app(services: Services) -> FastAPI:
    """Make it; it opens nothing until it is asked."""
    app = FastAPI(
        title="Loopstart",
        version=_version(),
        description=_DESCRIPTION,
        openapi_url=f"{V2}/openapi.json",
        docs_url=f"{V2}/docs",
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.router.routes.append(Route(V1_PATH, Endpoint(services)))
    if services.settings.provisioning.enabled:
        app.router.routes += Provision(services).router.routes
    paths = [(compile_path("/metrics")[0], {"GET"})]
    for part in _PARTS:
        for route in part.router.routes:
            assert isinstance(route, APIRoute)
            paths.append((compile_path(f"{V2}{route.path}")[0], set(route.methods or ())))
        app.include_router(
            part.router, prefix=V2, dependencies=[Operator], responses=problems.responses()
        )
    app.include_router(figures, dependencies=[Operator], responses=problems.responses())
    problems.install(app, paths)
    app.add_middleware(Bounded)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The description, with our problem details in place of the framework's errors."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        models = schema["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            models.pop(name, None)
        models["Problem"] = problems.Problem.model_json_schema()
        app.openapi_schema = schema
    return app.openapi_schema


def _version() -> str:
    try:
        return version("loopstart")
    except PackageNotFoundError:  # run from a folder
        return "0"
