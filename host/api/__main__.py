"""The API's process: `python -m host.api --config FILE`, which `loopstart-host serve` starts."""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path

import structlog
import uvicorn

from host.api.app import make_app
from host.api.services import Services
from host.api.store import Store
from host.cli.config import ConfigError, load
from host.logs import configure
from host.settings import Settings
from host.store.sqlite import StoreError

GRACE_S = 3
"""Requests that are under way at SIGTERM have so long."""
MOST_CONNECTIONS = 200


def serve(settings: Settings) -> int:
    """Answer requests until SIGTERM or SIGINT; answers the exit status."""
    configure(settings.log_level, settings.log_json)
    log = structlog.get_logger("api")
    api = settings.api
    store = Store(settings.database)
    try:
        with store.writing():
            pass  # made, or brought to this version, before anybody asks
    except StoreError as error:
        log.error("api cannot start", error=str(error))
        return 1
    try:
        family = socket.AF_INET6 if ":" in api.address else socket.AF_INET
        listening = socket.create_server((api.address, api.port), family=family, backlog=128)
    except OSError as error:
        remedy = "name another address and port in [api], or write enabled = false there"
        where = f"{api.address}:{api.port}"
        log.error("api cannot listen", at=where, error=error.strerror, remedy=remedy)
        return 1
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(Services(settings, store)),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=bool(api.proxies),
            forwarded_allow_ips=list(api.proxies),
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_S,
            lifespan="off",
            ws="none",
        )
    )
    log.info("api", address=api.address, port=api.port)
    with listening:
        server.run(sockets=[listening])
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Internal: `loopstart-host serve` starts it.")
    parser.add_argument("--config", type=Path)
    try:
        settings = load(parser.parse_args().config)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return serve(settings)


if __name__ == "__main__":
    raise SystemExit(main())
