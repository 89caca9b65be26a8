"""Moves a simulated handset from another process. Standard library only.

>>> handset = HandsetClient("/run/handset.sock")  # doctest: +SKIP
>>> handset.wait("registered")  # doctest: +SKIP
>>> handset.off_hook()  # doctest: +SKIP
>>> handset.dtmf("15145550123")  # doctest: +SKIP
"""

from __future__ import annotations

import json
import socket
import time
from typing import Any


class HandsetError(Exception):
    """The handset refused, or waited in vain; the message says why."""


class HandsetClient:
    """One connection to the control socket of a simulated handset.

    Args:
        path: the socket's path, as the board file or the configuration names it.
        timeout_s: how long to wait for the socket to be there, and for an answer.
    Raises:
        HandsetError: there is no device behind the path.
    """

    def __init__(self, path: str, timeout_s: float = 10.0) -> None:
        self.timeout_s = timeout_s
        self._stream = self._connect(path, time.monotonic() + timeout_s)
        self._received = b""

    def __enter__(self) -> HandsetClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the handset stays as it is."""
        self._stream.close()

    def ask(self, request: dict[str, Any], timeout_s: float | None = None) -> dict[str, Any]:
        """Send one request and wait for its answer.

        Raises:
            HandsetError: the answer says no, or none came.
        """
        self._stream.settimeout(self.timeout_s if timeout_s is None else timeout_s)
        try:
            self._stream.sendall(json.dumps(request).encode() + b"\n")
            while b"\n" not in self._received:
                octets = self._stream.recv(65_536)
                if not octets:
                    raise HandsetError("the device closed the connection")
                self._received += octets
        except OSError as error:
            raise HandsetError(f"no answer to {request}: {error}") from None
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if not answer.pop("ok", False):
            raise HandsetError(str(answer.get("error", answer)))
        return answer

    def off_hook(self) -> None:
        """Lift the receiver."""
        self.ask({"do": "off_hook"})

    def on_hook(self) -> None:
        """Put the receiver back."""
        self.ask({"do": "on_hook"})

    def flash(self, ms: float = 500) -> None:
        """Break the loop for so long."""
        self.ask({"do": "flash", "ms": ms})

    def dtmf(self, digits: str, on_ms: int = 80, off_ms: int = 80) -> None:
        """Press keys, and wait until they have sounded."""
        self.ask({"do": "dtmf", "digits": digits, "on_ms": on_ms, "off_ms": off_ms})
        self.wait("quiet", timeout_s=len(digits) * (on_ms + off_ms) / 1000 + 5)

    def rotary(self, digits: str, pps: float = 10) -> None:
        """Dial by the dial, and wait until it has run back."""
        self.ask({"do": "rotary", "digits": digits, "pps": pps})
        self.wait("quiet", timeout_s=len(digits) * (10 / pps + 0.7) + 5)

    def say(self, file: str) -> int:
        """Play a WAV file into the mouthpiece; its length in milliseconds."""
        return int(self.ask({"do": "say", "file": file})["ms"])

    def tone(self, hz: list[int], ms: int = 1000, dbm0: float = -10) -> None:
        """Play sines into the mouthpiece."""
        self.ask({"do": "tone", "hz": hz, "ms": ms, "dbm0": dbm0})

    def hush(self) -> None:
        """Say nothing more."""
        self.ask({"do": "hush"})

    def record(self, file: str) -> None:
        """Record what the ear hears."""
        self.ask({"do": "record", "file": file})

    def stop_record(self) -> int:
        """Close the recording; its length in milliseconds."""
        return int(self.ask({"do": "stop_record"})["ms"])

    def forget_rings(self) -> None:
        """Count rings anew."""
        self.ask({"do": "forget_rings"})

    def faults(self, **faults: float) -> None:
        """Spoil the line, by the names of `boards.lines.FaultSettings`; none: it is sound."""
        self.ask({"do": "faults", **faults})

    def state(self) -> dict[str, Any]:
        """Hook, ringing, cadence, voltage, registration, states, level in the ear."""
        return self.ask({"do": "state"})

    def wait(self, key: str, value: Any = True, timeout_s: float = 10.0) -> dict[str, Any]:
        """Wait until the state's `key` is `value`; the state then.

        Raises:
            HandsetError: it did not come to that in time.
        """
        request = {"do": "wait", "for": key, "is": value, "timeout_ms": int(timeout_s * 1000)}
        return self.ask(request, timeout_s + self.timeout_s)

    @staticmethod
    def _connect(path: str, until_s: float) -> socket.socket:
        while True:
            stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                stream.connect(path)
                return stream
            except OSError as error:
                stream.close()
                if time.monotonic() >= until_s:
                    raise HandsetError(f"no handset at {path}: {error.strerror}") from None
                time.sleep(0.05)
