"""Asks the process that carries calls, by its control socket (`host.control`)."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

TIMEOUT_S = 5.0


class Unreachable(Exception):
    """The process that carries calls does not answer; the text says where it was sought."""


class Refused(Exception):
    """It answered that it cannot do that, and why."""


def ask(path: str, do: str, **values: Any) -> Any:
    """Ask one thing.

    Args:
        path: of the socket (`Settings.control`).
        do: end, figures, registrations or sync.

    Raises:
        Unreachable: nobody listens there, or no answer came within 5 s.
        Refused: it cannot be done.
    """
    request = json.dumps({"do": do, **values}).encode() + b"\n"
    received = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(TIMEOUT_S)
            sock.connect(path)
            sock.sendall(request)
            while not received.endswith(b"\n"):
                data = sock.recv(65_536)
                if not data:
                    break
                received += data
        answer = json.loads(received)
    except (OSError, ValueError) as error:
        raise Unreachable(
            f"the host does not answer at {path} ({error}): is `serve` running, and by this user?"
        ) from error
    if "error" in answer:
        raise Refused(answer["error"])
    return answer["ok"]


def live_pops(registrations: Callable[..., Any]) -> list[tuple[int, str]]:
    """Number of the account and POP of every live registration; none while the process is away.

    Args:
        registrations: asks for those of accounts with a higher number than `after`.
    """
    found: list[tuple[int, str]] = []
    after = 0
    try:
        while page := registrations(after=after):
            found += [(one["account_id"], one["pop"]) for one in page]
            after = page[-1]["account_id"]
    except (Unreachable, Refused):
        pass  # it does not run: nobody is registered over TCP
    return found
