"""Asks the host over HTTPS (RFC 9110), with the standard library alone. It waits: not for a thread
that carries calls."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from urllib.parse import urlsplit

from firmware.wire.provisioning import (
    MOST_OCTETS,
    Document,
    DocumentError,
    Report,
    balance_of,
    new_secret_bytes,
)

TIMEOUT_S = 20.0
"""A host that has said nothing for so long is away."""
_PIECE = 1 << 16


class HostError(Exception):
    """The host has not done what it was asked for.

    Attributes:
        status: of HTTP; 0: it was not reached.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status

    @property
    def reached(self) -> bool:
        """It has answered by itself; a proxy before it that found nobody is no host."""
        return 0 < self.status < 500

    @property
    def refused(self) -> bool:
        """It does not know this secret."""
        return self.status == HTTPStatus.UNAUTHORIZED


class Stopped(Exception):
    """A download was told to stop; what came is there."""


class HostClient:
    """One host, as one device sees it.

    Args:
        url: of the host, without `/provision`.
        mac: twelve lower-case digits.
        context: how the host proves who it is; unused where the URL is http://.
    """

    def __init__(self, url: str, mac: str, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None, "the configuration was checked"
        self._https = parts.scheme == "https"
        self._where = parts.hostname, parts.port
        self._base = f"{parts.path}/provision/{mac}"
        self._context = context
        self._document: tuple[str, Document] | None = None

    def ask(self, secret: str) -> Document:
        """What this device is to run.

        Raises:
            HostError: it was not told, or what was told is not understood.
        """
        headers = {"If-None-Match": self._document[0]} if self._document is not None else {}
        with closing(self._connect()) as connection:
            answer = self._send(connection, "GET", "", secret, headers)
            if answer.status == HTTPStatus.NOT_MODIFIED and self._document is not None:
                return self._document[1]
            octets = self._body(answer, HTTPStatus.OK)
            try:
                document = Document.from_bytes(octets)
            except DocumentError as error:
                raise HostError(f"what the host says is not understood: {error}", 200) from None
            self._document = answer.getheader("ETag") or "", document
            return document

    def balance(self, secret: str) -> str:
        """What this device's account may still spend, as `12.50`.

        Raises:
            HostError: it is not told.
        """
        with closing(self._connect()) as connection:
            answer = self._send(connection, "GET", "/balance", secret, {})
            octets = self._body(answer, HTTPStatus.OK)
        try:
            return balance_of(octets)
        except DocumentError as error:
            raise HostError(f"what the host says is not understood: {error}", 200) from None

    def report(self, secret: str, report: Report) -> None:
        """Tell what this device runs, and how its lines are.

        Raises:
            HostError: it was not taken.
        """
        self._post("/report", secret, report.to_bytes())

    def exchange(self, once: str, own: str) -> None:
        """Give a secret for one use for one of this device's own.

        Raises:
            HostError: it was not taken; or the answer was lost, and it may have been.
        """
        self._post("/secret", once, new_secret_bytes(own))

    def fetch(
        self,
        secret: str,
        sha256: str,
        offset: int,
        take: Callable[[bytes], None],
        stop: Callable[[], bool],
    ) -> None:
        """An image, from `offset` on; what comes is given to `take`, whose errors pass through.

        Raises:
            HostError: it broke off, or is not what was asked for.
            Stopped: `stop` has said so.
        """
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": f'"{sha256}"'}
        with closing(self._connect()) as connection:
            answer = self._send(connection, "GET", f"/firmware/{sha256}", secret, headers)
            if answer.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                self._body(answer, HTTPStatus.OK)
            skip = 0
            if answer.status == HTTPStatus.OK:
                skip = offset  # it gives the whole, whatever was asked for
            elif not (answer.getheader("Content-Range") or "").startswith(f"bytes {offset}-"):
                raise HostError("the host gives another part of the image", answer.status)
            left = answer.length
            while not stop():
                try:
                    octets = answer.read(_PIECE)
                except (OSError, http.client.HTTPException) as error:
                    raise HostError(f"the image has broken off: {_words(error)}") from None
                if not octets:
                    if left:
                        raise HostError(f"the image has broken off: {left} octets are missing")
                    return
                left = left - len(octets) if left is not None else None
                fresh = octets[min(skip, len(octets)) :]
                skip -= len(octets) - len(fresh)
                if fresh:
                    take(fresh)
            raise Stopped

    # --- HTTP ---

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._where
        if self._https:
            return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=self._context)
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        secret: str,
        headers: dict[str, str],
        body: bytes | None = None,
    ) -> http.client.HTTPResponse:
        told = {"Authorization": f"Bearer {secret}", "User-Agent": "loopstart-ata", **headers}
        try:
            connection.request(method, self._base + path, body, told)
            return connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            raise HostError(
                f"{self._where[0]} does not prove who it is ({error.verify_message}); "
                "see `ca` and `ca_file` in [provisioning], and the clock"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise HostError(f"{self._where[0]} does not answer: {_words(error)}") from None

    def _post(self, path: str, secret: str, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        with closing(self._connect()) as connection:
            answer = self._send(connection, "POST", path, secret, headers, body)
            self._body(answer, HTTPStatus.NO_CONTENT)

    def _body(self, answer: http.client.HTTPResponse, wanted: HTTPStatus) -> bytes:
        """Of an answer that is as it should be; redirections are not followed, with a secret."""
        try:
            octets = answer.read(MOST_OCTETS + 1)
        except (OSError, http.client.HTTPException) as error:
            raise HostError(f"the answer has broken off: {_words(error)}") from None
        if answer.status == wanted:
            return octets
        detail = octets[:300].decode("utf-8", "replace") if answer.status < 500 else ""
        raise HostError(f"the host has answered {answer.status} {detail}".strip(), answer.status)


def _words(error: Exception) -> str:
    if isinstance(error, socket.timeout):
        return "time-out"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]


def tls_context(ca_file: str, verify: bool, ca: str = "") -> ssl.SSLContext:
    """How a host has to prove who it is: to the authorities of a file, or of a text in PEM.

    Raises:
        OSError: there is no such file, or it holds no certificate.
    """
    context = ssl.create_default_context(cafile=ca_file or None, cadata=ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
