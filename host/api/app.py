"""The API as one application: customers' contract, operators' API, figures for Prometheus."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import Route

from host.api.services import Services
from host.api.v1.endpoint import Endpoint

V1_PATH = "/api/v1/rest.php"


def make_app(services: Services) -> FastAPI:
    """Make it; it opens nothing until it is asked."""
    app = FastAPI()
    app.router.routes.append(Route(V1_PATH, Endpoint(services)))
    return app
