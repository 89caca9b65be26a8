"""The socket through which others move a simulated handset: one JSON object a line, both ways.

`sim_client.py` shows every request. An answer has `ok`, and `error` where that is false.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from boards.lines import FaultSettings
from boards.schema import ConfigError, load_table
from hal.values import LineFault

if TYPE_CHECKING:
    from hal.drivers.sim import SimLine

_MOST_CLIENTS = 8
_LONGEST_LINE = 65_536
_LONGEST_WAIT_MS = 600_000
_WATCH_MS = 50.0
"""How often the state is looked at for those who wait for something."""

Request = dict[str, Any]


@dataclass(slots=True)
class _Client:
    stream: socket.socket
    received: bytearray = field(default_factory=bytearray)
    waits_for: tuple[str, Any, float] | None = None
    """Key of the state, the value wanted, and until when."""


class ControlServer:
    """A UNIX stream socket; never blocks, serves at most eight clients.

    Raises:
        LineFault: the socket cannot be opened.
    """

    def __init__(self, path: str, line: SimLine, clock: Callable[[], float]) -> None:
        self._path = path
        self._line = line
        self._clock = clock
        self._clients: list[_Client] = []
        if _answers(path):
            raise LineFault(
                f"another program has the handset at {path}; end it, or name another socket"
            )
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)
            self._server.bind(path)
            os.chmod(path, 0o600)
            self._server.listen(_MOST_CLIENTS)
        except OSError as error:
            self._server.close()
            raise LineFault(
                f"the handset's socket {path} cannot be opened ({error.strerror}); "
                "name a path in a folder that you may write, of at most 100 characters"
            ) from None
        self._server.setblocking(False)

    def descriptors(self) -> tuple[int, ...]:
        """Whatever may become readable."""
        return (self._server.fileno(), *(client.stream.fileno() for client in self._clients))

    def wake_at_ms(self) -> float | None:
        """When to look after those who wait."""
        if any(client.waits_for for client in self._clients):
            return self._clock() + _WATCH_MS
        return None

    def serve(self, now_ms: float) -> None:
        """Accept, read and answer whatever is there."""
        self._accept()
        for client in list(self._clients):
            try:
                octets = client.stream.recv(_LONGEST_LINE)
            except BlockingIOError:
                continue
            except OSError:
                octets = b""
            if not octets:
                self._drop(client)
                continue
            client.received += octets
            if len(client.received) > _LONGEST_LINE:
                self._drop(client)
        for client in list(self._clients):
            while client.waits_for is None and b"\n" in client.received:
                line, _, rest = bytes(client.received).partition(b"\n")
                client.received = bytearray(rest)
                self._reply(client, self._handle(line, client, now_ms))

    def answer_waiting(self, now_ms: float) -> None:
        """Answer those whose wish has come true, or whose time is up."""
        if not any(client.waits_for for client in self._clients):
            return
        state = self._line.state()
        for client in list(self._clients):
            if client.waits_for is None:
                continue
            key, wanted, until_ms = client.waits_for
            if state.get(key) == wanted:
                client.waits_for = None
                self._reply(client, {"ok": True, **state})
            elif now_ms >= until_ms:
                client.waits_for = None
                error = f"waited in vain for {key} to be {wanted!r}"
                self._reply(client, {**state, "ok": False, "error": error})

    def close(self) -> None:
        """Drop everybody and remove the socket."""
        for client in list(self._clients):
            self._drop(client)
        self._server.close()
        if os.path.exists(self._path):
            os.unlink(self._path)

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._server.accept()
            except BlockingIOError:
                return
            if len(self._clients) >= _MOST_CLIENTS:
                stream.close()
                continue
            stream.setblocking(False)
            self._clients.append(_Client(stream))

    def _drop(self, client: _Client) -> None:
        client.stream.close()
        if client in self._clients:
            self._clients.remove(client)

    def _reply(self, client: _Client, answer: Request | None) -> None:
        if answer is None:
            return
        try:
            client.stream.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            self._drop(client)

    def _handle(self, line: bytes, client: _Client, now_ms: float) -> Request | None:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ValueError("a request is a JSON object")
            action = _ACTIONS.get(str(request.get("do")))
            if request.get("do") == "wait":
                self._wait(request, client, now_ms)
                return None
            if action is None:
                raise ValueError(f"do one of {', '.join([*_ACTIONS, 'wait'])}")
            return {"ok": True, **action(self._line, request, now_ms)}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            return {"ok": False, "error": str(error) or type(error).__name__}

    def _wait(self, request: Request, client: _Client, now_ms: float) -> None:
        key = str(request["for"])
        if key not in self._line.state():
            raise ValueError(f"wait for one of {', '.join(self._line.state())}")
        timeout_ms = min(float(request.get("timeout_ms", 10_000)), _LONGEST_WAIT_MS)
        client.waits_for = (key, request.get("is", True), now_ms + timeout_ms)


def _answers(path: str) -> bool:
    """Whether a program listens there; one that was killed leaves a socket that answers nobody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.setblocking(False)
        try:
            stream.connect(path)
        except BlockingIOError:
            pass  # so many ask that it cannot listen to all of them
        except OSError:
            return False
    return True


Action = Callable[["SimLine", Request, float], Request]


def _off_hook(line: SimLine, request: Request, now_ms: float) -> Request:
    line.handset.lift(now_ms)
    return {}


def _on_hook(line: SimLine, request: Request, now_ms: float) -> Request:
    line.handset.hang_up(now_ms)
    return {}


def _flash(line: SimLine, request: Request, now_ms: float) -> Request:
    line.handset.flash(now_ms, float(request.get("ms", 500)))
    return {}


def _dtmf(line: SimLine, request: Request, now_ms: float) -> Request:
    on_ms, off_ms = int(request.get("on_ms", 80)), int(request.get("off_ms", 80))
    return {"ms": line.handset.press(str(request["digits"]), on_ms, off_ms)}


def _rotary(line: SimLine, request: Request, now_ms: float) -> Request:
    line.handset.rotary(now_ms, str(request["digits"]), float(request.get("pps", 10)))
    return {}


def _say(line: SimLine, request: Request, now_ms: float) -> Request:
    return {"ms": line.handset.say(str(request["file"])), "at_ms": line.next_frame_ms}


def _tone(line: SimLine, request: Request, now_ms: float) -> Request:
    hz = tuple(int(one) for one in request["hz"])
    if not 1 <= len(hz) <= 4 or not all(1 <= one < 4000 for one in hz):
        raise ValueError("hz is a list of one to four frequencies below 4000")
    line.handset.sound(hz, float(request.get("dbm0", -10)), int(request.get("ms", 1000)))
    return {}


def _hush(line: SimLine, request: Request, now_ms: float) -> Request:
    line.handset.hush()
    return {}


def _record(line: SimLine, request: Request, now_ms: float) -> Request:
    line.handset.record(str(request["file"]))
    return {"at_ms": line.next_frame_ms}


def _stop_record(line: SimLine, request: Request, now_ms: float) -> Request:
    return {"ms": line.handset.stop_record()}


def _forget_rings(line: SimLine, request: Request, now_ms: float) -> Request:
    line.handset.forget_rings()
    return {}


def _faults(line: SimLine, request: Request, now_ms: float) -> Request:
    """Whatever is not named is mended."""
    asked = {key: value for key, value in request.items() if key != "do"}
    try:
        line.faults = load_table(FaultSettings, asked, "faults")
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return {}


def _state(line: SimLine, request: Request, now_ms: float) -> Request:
    return line.state()


_ACTIONS: dict[str, Action] = {
    "off_hook": _off_hook,
    "on_hook": _on_hook,
    "flash": _flash,
    "dtmf": _dtmf,
    "rotary": _rotary,
    "say": _say,
    "tone": _tone,
    "hush": _hush,
    "record": _record,
    "stop_record": _stop_record,
    "forget_rings": _forget_rings,
    "faults": _faults,
    "state": _state,
}
