"""The audio relay: rtp.io in this process, spoken to by the RTPproxy command protocol.

Packets never touch Python: rtp.io forwards them in threads of its own. It learns a customer's
address behind NAT from the first packet that comes. Commands are pipelined on a socket and
answered in order; nothing here waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import socket
import tempfile
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from host.settings import MediaSettings

Done = Callable[[int | None], None]
"""Gets the relay's port for the other side, or None when there is none to be had."""

NEVER_S = 10_000_000
JOURNAL = "rtpproxy_acct.csv"


class Peer(NamedTuple):
    """Where one side wants its media, from its session description."""

    address: str
    port: int
    pinned: bool
    """True: media comes from that address or not at all (a carrier, known by its address).
    False: the relay learns from the first packet where it comes from (NAT)."""


class MediaRelay(Protocol):
    """What a host needs of a relay, whichever program it is."""

    address: str
    """Where peers send their media."""

    def open(self, call_id: str, offerer: str, peer: Peer, done: Done) -> None:
        """The first offer of a call, when the answerer is not known yet."""

    def offer(self, call_id: str, sides: tuple[str, str], peer: Peer, done: Done) -> None:
        """One side's address, with its offer. `sides` are the tags of offerer and answerer."""

    def answer(self, call_id: str, sides: tuple[str, str], peer: Peer, done: Done) -> None:
        """The answerer's address; `sides` as in the offer."""

    def close_call(self, call_id: str, sides: tuple[str, str]) -> None:
        """Free the ports of a call; a call that is not there is no error."""


class RtpIoRelay:
    """rtp.io behind `MediaRelay`.

    Args:
        settings: address, ports, silence.
        ring_s: how long a call may stand without media before it is answered.
        silent: called with the call id when no media came for `settings.silence_s`.
    """

    def __init__(self, settings: MediaSettings, ring_s: int, silent: Callable[[str], None]) -> None:
        self.address = settings.address
        self._settings = settings
        self._ring_s = ring_s
        self._silent = silent
        self._waiting: deque[Done | None] = deque()
        self._input = b""
        self._proxy: Any = None
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._folder = ""
        self._notify = ""
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Make sure that rtp.io can be started, which the first call that needs it does: a host
        whose calls all have their media direct, or over IAX2, spares its threads and 7 MB.

        Raises:
            OSError: the notification socket can't be made, or the address is not ours.
            ImportError: rtp.io is not installed on this machine.
        """
        if importlib.util.find_spec("rtp.io") is None:
            raise ImportError("the audio relay needs rtp.io: pip install rtp.io")
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.bind((self.address, 0))
        self._loop = asyncio.get_running_loop()
        self._folder = tempfile.mkdtemp(prefix="loopstart-")
        path = os.path.join(self._folder, "silent")
        self._server = await asyncio.start_unix_server(self._notified, path)
        self._notify = f"unix:{path}"

    def _start_threads(self) -> socket.socket:
        """Start rtp.io's threads, which takes some 25 ms, once; answers the socket to it."""
        from rtp.io import rtpproxy

        silence_s = self._settings.silence_s or NEVER_S
        arguments = ["-F", "-l", self._settings.address, "-d", "crit"]
        arguments += ["-m", str(self._settings.min_port), "-M", str(self._settings.max_port)]
        arguments += ["-T", str(silence_s), "-W", str(max(silence_s, self._ring_s + 30))]
        arguments += ["-n", self._notify]
        # It keeps a journal in the working directory; nobody reads it.
        os.symlink(os.devnull, os.path.join(self._folder, JOURNAL))
        here = os.getcwd()
        os.chdir(self._folder)
        try:
            self._proxy = rtpproxy(extra_args=arguments)
        finally:
            os.chdir(here)
        made: socket.socket = self._proxy.rtpp_sock
        made.setblocking(False)
        assert self._loop is not None
        self._loop.add_reader(made.fileno(), self._readable)
        return made

    async def _notified(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """rtp.io names the sessions that have been silent for too long, one a line."""
        with contextlib.suppress(OSError, ValueError):
            while line := await reader.readline():
                self._silent(line.decode("ascii", "replace").strip())
        writer.close()

    def offer(self, call_id: str, sides: tuple[str, str], peer: Peer, done: Done) -> None:
        offerer, answerer = sides
        command = f"{_verb('U', peer)} {call_id} {peer.address} {peer.port} {offerer} {answerer}"
        command += f" {self._notify} {call_id}"
        self._send(command, done)

    def open(self, call_id: str, offerer: str, peer: Peer, done: Done) -> None:
        command = f"{_verb('U', peer)} {call_id} {peer.address} {peer.port} {offerer}"
        self._send(f"{command} {self._notify} {call_id}", done)

    def answer(self, call_id: str, sides: tuple[str, str], peer: Peer, done: Done) -> None:
        command = f"{_verb('L', peer)} {call_id} {peer.address} {peer.port} {sides[0]} {sides[1]}"
        self._send(command, done)

    def close_call(self, call_id: str, sides: tuple[str, str]) -> None:
        self._send(f"D {call_id} {sides[0]}", None)

    def _send(self, command: str, done: Done | None) -> None:
        try:
            if self._socket is None:
                self._socket = self._start_threads()
            self._socket.send(command.encode() + b"\n")
        except OSError:  # its queue is full, or it does not start: the call can't have media
            if done is not None:
                done(None)
            return
        self._waiting.append(done)

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(65536)
        except OSError:
            return
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            done = self._waiting.popleft()
            if done is not None:
                done(_port(line))

    async def close(self) -> None:
        """Stop the threads and free all ports."""
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self._folder, "silent"))
            os.unlink(os.path.join(self._folder, JOURNAL))
            os.rmdir(self._folder)


def _verb(letter: str, peer: Peer) -> str:
    """The command with its modifier: `A`, do not learn another address than the one given."""
    return f"{letter}A" if peer.pinned else letter


def _port(line: bytes) -> int | None:
    """The port of an answer (`30096 127.0.0.1`); None for an error (`E50`)."""
    first = line.split(b" ", 1)[0]
    return int(first) if first.isdigit() and int(first) else None
