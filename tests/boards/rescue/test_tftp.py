"""Rescue reads by TFTP: from a server of paper over a bad network, and from atftpd."""

from __future__ import annotations

import grp
import os
import pwd
import random
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.rescue.tftp import BLOCK_OCTETS, TRIES, WINDOW, TftpReader

ME = ("192.0.2.1", 40_000)


class PaperServer:
    """A server as the RFCs have it; `knows` the options that it grants."""

    def __init__(self, octets: bytes, knows: tuple[str, ...] = ()) -> None:
        self.octets = octets
        self.knows = knows
        self.size, self.window = 512, 1
        self.acknowledged = -1
        """Blocks that the reader has."""

    def receive(self, datagram: bytes) -> list[bytes]:
        kind, number = struct.unpack(">HH", datagram[:4])
        if kind == 1:
            return self._start(datagram[2:].split(b"\0"))
        if kind != 4:
            return []
        last = len(self.octets) // self.size + 1
        at = self.acknowledged + ((number - self.acknowledged) & 0xFFFF)
        if at <= last:
            self.acknowledged = at
        return self._blocks(self.acknowledged + 1)

    def _start(self, words: list[bytes]) -> list[bytes]:
        asked = {words[at].decode(): words[at + 1].decode() for at in range(2, len(words) - 1, 2)}
        granted = {name: value for name, value in asked.items() if name in self.knows}
        self.size = int(granted.get("blksize", 512))
        self.window = int(granted.get("windowsize", 1))
        if "tsize" in granted:
            granted["tsize"] = str(len(self.octets))
        self.acknowledged = 0
        if not granted:
            return self._blocks(1)
        pairs = "".join(f"{name}\0{value}\0" for name, value in granted.items())
        return [struct.pack(">H", 6) + pairs.encode()]

    def _blocks(self, first: int) -> list[bytes]:
        out = []
        for number in range(first, first + self.window):
            at = (number - 1) * self.size
            if at <= len(self.octets):
                block = self.octets[at : at + self.size]
                out.append(struct.pack(">HH", 3, number & 0xFFFF) + block)
        return out


def read(server: PaperServer, loss: float = 0.0, seed: int = 0) -> tuple[TftpReader, bytes]:
    """The file, over a network that loses, doubles and reorders."""
    chance, now, parts = random.Random(seed), 0.0, []
    reader = TftpReader("x.img", now)
    waiting = reader.tick(now)
    while not reader.over and now < 10_000:
        answers = [one for datagram in waiting for one in server.receive(datagram)]
        answers = [one for one in answers for _ in range(1 + (chance.random() < loss / 4))]
        if chance.random() < loss / 4:
            chance.shuffle(answers)
        waiting = []
        for one in answers:
            if chance.random() >= loss:
                waiting += reader.receive(one, ME, now)
        waiting = [one for one in waiting if chance.random() >= loss]
        parts.append(reader.take())
        if not waiting:
            now = max(now + 0.001, reader.deadline)
            waiting = reader.tick(now)
    return reader, b"".join(parts)


@pytest.mark.parametrize("knows", [(), ("tsize",), ("blksize", "tsize", "windowsize")])
@pytest.mark.parametrize("octets", [0, 1, 511, 512, 1_468, 40_000])
def test_a_file_arrives_as_it_is(knows: tuple[str, ...], octets: int) -> None:
    content = random.Random(octets).randbytes(octets)
    reader, file = read(PaperServer(content, knows))
    assert (reader.failure, file) == ("", content)
    assert reader.length == (octets if "tsize" in knows else None)


@given(st.integers(0, 100_000), st.sampled_from([(), ("blksize", "windowsize")]))
def test_over_a_bad_network_too(seed: int, knows: tuple[str, ...]) -> None:
    content = random.Random(seed).randbytes(60_000)
    reader, file = read(PaperServer(content, knows), 0.1, seed)
    assert reader.failure or file == content
    assert content.startswith(file), "what was taken is the file's beginning, whatever comes"


def test_more_blocks_than_their_numbers_count() -> None:
    content = bytes(512 * 65_600 + 3)
    reader, file = read(PaperServer(content))
    assert (reader.failure, len(file)) == ("", len(content))


def test_the_server_does_not_answer() -> None:
    reader, now, sent = TftpReader("x", 0.0), 0.0, 0
    while not reader.over:
        now = reader.deadline
        sent += len(reader.tick(now))
    assert sent == TRIES
    assert "does not answer" in reader.failure


def test_the_server_refuses_in_its_own_words() -> None:
    reader = TftpReader("x", 0.0)
    reader.receive(b"\0\5\0\1File not found\0", ME, 0.1)
    assert reader.failure == "the server says: File not found"


def test_somebody_else_does_not_get_in_between() -> None:
    reader = TftpReader("x", 0.0)
    reader.receive(b"\0\3\0\1" + bytes(512), ME, 0.1)
    (answer,) = reader.receive(b"\0\3\0\2" + bytes(512), ("192.0.2.1", 666), 0.2)
    assert answer[:4] == b"\0\5\0\5"
    assert (reader.over, len(reader.take())) == (False, 512)


@given(st.lists(st.binary(max_size=600), max_size=40))
def test_garbage_ends_it_at_most(datagrams: list[bytes]) -> None:
    reader = TftpReader("x", 0.0)
    for number, datagram in enumerate(datagrams):
        reader.receive(datagram, ME, 0.01 * number)


@pytest.mark.skipif(shutil.which("atftpd") is None, reason="atftpd is not installed")
def test_atftpd_serves_it(tmp_path: Path) -> None:
    content = random.Random(5).randbytes(3_000_001)
    (tmp_path / "whole.img").write_bytes(content)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    me = f"{pwd.getpwuid(os.getuid()).pw_name}.{grp.getgrgid(os.getgid()).gr_name}"
    command = ["atftpd", "--daemon", "--no-fork", "--bind-address", "127.0.0.1", "--user", me]
    command += ["--port", str(port), "--logfile", "-", str(tmp_path)]
    with subprocess.Popen(command) as daemon:
        try:
            reader, file = _fetch("127.0.0.1", port, "whole.img")
        finally:
            daemon.kill()
    assert (reader.failure, reader.length) == ("", len(content))
    assert file == content
    assert (reader._octets, reader._window) == (BLOCK_OCTETS, WINDOW)


def _fetch(host: str, port: int, name: str) -> tuple[TftpReader, bytes]:
    reader, parts, until = TftpReader(name, time.monotonic()), [], time.monotonic() + 30
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.05)
        while not reader.over and time.monotonic() < until:
            for datagram in reader.tick(time.monotonic()):
                sock.sendto(datagram, reader.peer or (host, port))
            try:
                datagram, source = sock.recvfrom(2_000)
            except TimeoutError:
                continue
            for answer in reader.receive(datagram, source, time.monotonic()):
                sock.sendto(answer, source)
            parts.append(reader.take())
    return reader, b"".join(parts)
