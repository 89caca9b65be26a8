"""A small HTTP server for webhooks of providers, behind a proxy that speaks TLS.

POST /card and /paypal, a thread a request and a few at once; everything else is refused.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import structlog

from host.charging.values import Now
from host.funds.deposits import Outcome
from host.funds.notices import PaymentProvider
from host.funds.webhooks import MAX_BODY, Reply, receive
from host.store.connection import Connection
from host.store.opening import open_writer

MOST_AT_ONCE = 8
"""Requests; more get 503 and come again."""
IDLE_S = 15
"""A client that sends nothing for so long is let go."""


class WebhookServer(ThreadingHTTPServer):
    """Takes webhooks; `serve_forever` until `shutdown`."""

    daemon_threads = True

    def __init__(
        self,
        address: str,
        port: int,
        database: str | Path,
        providers: Mapping[str, PaymentProvider],
    ) -> None:
        """Listen; providers by the path that they post to."""
        super().__init__((address, port), _Handler)
        self._database = database
        self._providers = providers
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._log = structlog.get_logger("webhooks")

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one request."""
        provider = self._providers.get(path.strip("/"))
        if provider is None:
            return Reply(404, "no such provider here")
        if not self._free.acquire(blocking=False):
            return Reply(503, "busy: send it again")
        try:
            now = Now(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)
            reply = receive(provider, self._transact, now, headers, body)
        finally:
            self._free.release()
        outcome = reply.outcome
        log = self._log.warning if reply.status != 200 else self._log.info
        if outcome is not None and outcome.what in ("review", "unknown"):
            log = self._log.warning
        log(
            "webhook",
            provider=provider.method,
            status=reply.status,
            what=reply.text,
            detail=outcome.detail if outcome else "",
            account=outcome.account_id if outcome else 0,
        )
        return reply

    def _transact(self, operation: Callable[[Connection], Outcome]) -> Outcome:
        with contextlib.closing(open_writer(self._database)) as conn:
            conn.execute("BEGIN IMMEDIATE")
            # Closing without COMMIT undoes it.
            outcome = operation(conn)
            conn.execute("COMMIT")
            return outcome


class _Handler(BaseHTTPRequestHandler):
    timeout = IDLE_S
    server: WebhookServer

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal() or int(length[:9]) > MAX_BODY:
            self._answer(Reply(411 if not length else 413, "say how long, and not too long"))
            return
        body = self.rfile.read(int(length))
        if len(body) == int(length):
            self._answer(self.server.take(self.path, dict(self.headers.items()), body))

    def _answer(self, reply: Reply) -> None:
        text = reply.text.encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words: object) -> None:
        """Said once, by the server's log."""
