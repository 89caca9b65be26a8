"""The API's process: `python -m host.api --config FILE`, which `loopstart-host serve` starts."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from pathlib import Path
from threading import Thread

import structlog
import uvicorn

from host.api.app import make_app
from host.api.services import Services
from host.api.store import Store
from host.cli.config import ConfigError, load
from host.devices.endpoint import Endpoint
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
    beside = _Provisioning(settings, store)
    if not beside.start():
        return 1
    # When it has answered what was under way, uvicorn raises the signal again, for whom it is news.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    log.info("api", address=api.address, port=api.port)
    with listening:
        server.run(sockets=[listening])
    beside.stop()
    return 0


class _Provisioning:
    """The listener for devices that come without a proxy, in a thread of its own: however many
    they are, the API's connections are its own."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._server: uvicorn.Server | None = None
        self._thread: Thread | None = None

    def start(self) -> bool:
        """Listen, if it is configured; False: it cannot, and the log says why."""
        given = self._settings.provisioning
        if not given.enabled or not given.address:
            return True
        log = structlog.get_logger("provisioning")
        where = f"{given.address}:{given.port}"
        try:
            family = socket.AF_INET6 if ":" in given.address else socket.AF_INET
            listening = socket.create_server((given.address, given.port), family=family)
            config = uvicorn.Config(
                Endpoint(Services(self._settings, self._store)).router,
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=GRACE_S,
                lifespan="off",
                ws="none",
                ssl_certfile=given.certificate or None,
                ssl_keyfile=given.key or None,
            )
            config.load()
        except (OSError, ValueError) as error:
            remedy = "correct address, port, certificate and key in [provisioning]"
            log.error("cannot listen for devices", at=where, error=str(error), remedy=remedy)
            return False
        self._server = uvicorn.Server(config)
        self._thread = Thread(target=self._server.run, args=([listening],), daemon=True)
        self._thread.start()
        log.info("devices", address=given.address, port=given.port, tls=bool(given.certificate))
        return True

    def stop(self) -> None:
        """Answer what is under way, and end."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(GRACE_S + 1)


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
