"""The control socket: how operators, and the API's process, reach what is live in this one.

A Unix stream socket that only this user and root may use (its mode, and SO_PEERCRED). One request
a connection, a line of JSON, and one line back: `{"ok": ...}` or `{"error": "a sentence"}`. It
costs nothing while nobody asks; `host.control_client` is the other side.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from host.calls.call import State
from host.devices import check_sync
from host.figures import WAIT_BOUNDS_MS
from host.sip.registrar import Binding
from host.store.writer import AUTHORIZE, SETTLE

if TYPE_CHECKING:
    from host.main import Host

MAX_REQUEST = 4_096
MAX_CONNECTIONS = 16
IDLE_S = 5.0
"""A connection that has not asked by then is closed."""
PAGE = 500
"""At most so many registrations are told at once."""
_LONGEST_PATH = 107
"""Of a Unix socket (unix(7))."""


class ControlError(Exception):
    """What was asked cannot be done; the text is for the one who asked."""


class ControlSocket:
    """The server's side, within the event loop of the host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._connections = 0
        self._actions: dict[str, Callable[[dict[str, Any]], Any]] = {
            "end": self._end,
            "figures": self._figures,
            "registrations": self._registrations,
            "sync": self._sync,
        }

    async def open(self) -> None:
        """Bind the socket, in place of one that a crash left; without it calls go on."""
        path = Path(self._host.settings.control) if self._host.settings.control else None
        if path is None:
            return
        try:
            if len(os.fsencode(path)) > _LONGEST_PATH:
                raise OSError(f"it is longer than {_LONGEST_PATH} octets")
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(path.stat().st_mode):
                    path.unlink()
            before = os.umask(0o177)
            try:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                sock.bind(str(path))
            finally:
                os.umask(before)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: _Connection(self), sock=sock)
        except OSError as error:
            self._host.log.error("no control socket", path=str(path), error=str(error))
            return
        self._path = path

    def close(self) -> None:
        if self._server is not None and self._path is not None:
            self._server.close()
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._server = self._path = None

    def enter(self) -> bool:
        """One more connection; False: there are too many."""
        if self._connections >= MAX_CONNECTIONS:
            return False
        self._connections += 1
        return True

    def leave(self) -> None:
        self._connections -= 1

    def answer(self, line: bytes) -> bytes:
        """What is said to one request."""
        try:
            asked = json.loads(line)
            do = asked.get("do") if isinstance(asked, dict) else None
            if not isinstance(do, str) or do not in self._actions:
                raise ControlError(f"no such request; there are {', '.join(self._actions)}")
            said = {"ok": self._actions[do](asked)}
        except ControlError as error:
            said = {"error": str(error)}
        except (ValueError, RecursionError):
            said = {"error": "a request is one line of JSON"}
        return json.dumps(said).encode() + b"\n"

    # --- what may be asked ---

    def _end(self, asked: dict[str, Any]) -> Any:
        """End one live call; it is settled as any other."""
        host, call_id = self._host, asked.get("call_id")
        call = host.control.calls.get(call_id) if isinstance(call_id, str) else None
        if call is None or call.state is State.ENDED:
            raise ControlError(f"no live call {call_id} on this host: see `calls`")
        host.control.end(call, host.enter(), "ended by an operator")
        host.flush()
        host.log.info("ended by an operator", call=call.id, account=call.facts.account)
        return {"call_id": call.id}

    def _registrations(self, asked: dict[str, Any]) -> Any:
        """Live registrations: of one account, or a page of all by rising account number."""
        host = self._host
        account, after = asked.get("account_id"), asked.get("after", 0)
        now = host.clock()
        found = [b for b in host.registrar.bindings() if b.expires_at > now]
        if isinstance(account, int):
            found = [b for b in found if b.account_id == account]
        elif isinstance(after, int):
            found = sorted((b for b in found if b.account_id > after), key=lambda b: b.account_id)
            if len(found) > PAGE:  # whole accounts, so that the next page begins with another
                last = found[PAGE].account_id
                found = [b for b in found if b.account_id < last] or [
                    b for b in found if b.account_id == last
                ]
        else:
            raise ControlError("account_id and after are numbers")
        return [_told(binding, now) for binding in found]

    def _sync(self, asked: dict[str, Any]) -> Any:
        """Let the devices of one account ask for their configuration now."""
        host, account = self._host, asked.get("account_id")
        if not isinstance(account, int):
            raise ControlError("account_id is a number")
        host.enter()
        told, deaf = check_sync.send(host.sip, account, asked.get("restart") is True, host.log)
        host.flush()
        return {"told": told, "over_iax2": deaf}

    def _figures(self, _asked: dict[str, Any]) -> Any:
        """A snapshot of all counters."""
        host = self._host
        stats = host.writer.stats
        return {
            "host_id": host.settings.host_id,
            "started_utc_ms": host.started_utc_ms,
            "live_calls": len(host.control.calls),
            "waiting": host.control.waiting,
            "outcomes": dict(host.outcomes),
            "registrations": host.registrar.count,
            "lag": host.lag.plain(),
            "commits": stats.commits,
            "failed_commits": stats.failed_commits,
            "failed_writes": dict(host.unwritten.counts),
            "operations": stats.operations,
            "waits": {
                name: {
                    "bounds": [bound / 1000 for bound in WAIT_BOUNDS_MS],
                    "within": stats.waits_within(kind, WAIT_BOUNDS_MS),
                    "sum": stats.wait_ms_sums[kind] / 1000,
                }
                for name, kind in (("authorize", AUTHORIZE), ("settle", SETTLE))
            },
        }


def _told(binding: Binding, now: float) -> dict[str, Any]:
    flow = binding.flow
    return {
        "account_id": binding.account_id,
        "username": binding.username,
        "contact": binding.uri,
        "pop": flow.listener.pop,
        "protocol": "IAX2" if flow.listener.transport == "iax2" else "SIP",
        "transport": "udp" if flow.listener.transport == "iax2" else flow.listener.transport,
        "address": flow.address,
        "port": flow.port,
        "expires_s": max(0, round(binding.expires_at - now)),
        "user_agent": binding.user_agent,
    }


class _Connection(asyncio.Protocol):
    """One asker: one request, one answer, closed."""

    def __init__(self, server: ControlSocket) -> None:
        self._server = server
        self._asked = b""
        self._entered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._entered = self._server.enter()
        if not self._entered or not _is_allowed(transport.get_extra_info("socket")):
            self._transport.abort()
            return
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        self._asked += data
        line, end, _rest = self._asked.partition(b"\n")
        if end:
            self._transport.write(self._server.answer(line))
            self._transport.close()
        elif len(self._asked) > MAX_REQUEST:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._entered:
            self._server.leave()
            if hasattr(self, "_timer"):
                self._timer.cancel()


def _is_allowed(sock: Any) -> bool:
    """True for this user and root; the socket's mode says the same, where modes are kept."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    size = struct.calcsize("3i")
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _pid, uid, _gid = struct.unpack("3i", found)
    return uid in (0, os.geteuid())
