"""TFTP's sending side: to a reader of ours over a bad network, and to curl."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.flash.tftp_server import ServerError, TftpServer
from boards.rescue.tftp import TftpReader
from boards.tftp import MOST_OCTETS, TRIES, Request, Transfer, answer, parse_request

SERVER = ("192.0.2.1", 40_000)


def request(*options: str, name: str = "x", mode: str = "octet") -> bytes:
    return struct.pack(">H", 1) + "\0".join([name, mode, *options]).encode() + b"\0"


def read(octets: bytes, loss: float, seed: int) -> tuple[TftpReader, bytes, int]:
    """Reader and server over a network that loses and doubles; the file, and blocks sent."""
    chance, now, parts, blocks = random.Random(seed), 0.0, [], 0
    reader, transfer = TftpReader("x", now), None
    to_server = reader.tick(now)
    while not reader.over and now < 1_000:
        to_reader: list[bytes] = []
        for one in to_server:
            if chance.random() < loss:
                continue
            if one[1] == 1:
                begun = answer(one, {"x": octets}.get, now)
                assert isinstance(begun, Transfer)
                transfer = begun
                to_reader += transfer.begin()
            elif transfer is not None:
                to_reader += transfer.receive(one, now)
        if transfer is not None:
            to_reader += transfer.tick(now)
        blocks += len(to_reader)
        to_server = []
        for one in to_reader:
            for _ in range(0 if chance.random() < loss else 1 + (chance.random() < loss)):
                to_server += reader.receive(one, SERVER, now)
        parts.append(reader.take())
        if not to_server:
            now += 0.5
            to_server = reader.tick(now)
    return reader, b"".join(parts), blocks


@given(st.integers(0, 200_000), st.floats(0, 0.25), st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_a_file_arrives_whole_or_the_reader_says_why(length: int, loss: float, seed: int) -> None:
    octets = random.Random(seed).randbytes(length)
    reader, came, _ = read(octets, loss, seed)
    assert reader.failure or came == octets
    assert loss > 0.05 or not reader.failure


def test_a_clean_network_gets_each_block_once() -> None:
    octets = random.Random(1).randbytes(1_000_000)
    reader, came, blocks = read(octets, 0.0, 1)
    assert (reader.failure, came) == ("", octets)
    assert reader.length == len(octets)
    assert blocks == len(octets) // MOST_OCTETS + 2, "options, then all blocks"


@pytest.mark.parametrize("length", [0, 1, MOST_OCTETS - 1, MOST_OCTETS, 16 * MOST_OCTETS])
def test_the_last_block_is_a_short_one(length: int) -> None:
    reader, came, _ = read(bytes(length), 0.0, 0)
    assert (reader.failure, len(came)) == ("", length)


def test_block_numbers_go_round() -> None:
    octets = bytes(70_000 * 8)
    transfer = Transfer(octets, Request("x", {"blksize": "8", "windowsize": "64"}), 0.0)
    transfer.begin()
    out = transfer.receive(b"\0\4\0\0", 0.0)
    while not transfer.over:
        out = transfer.receive(b"\0\4" + out[-1][2:4], 0.0)
    assert (transfer.failure, transfer.acknowledged) == ("", len(octets))


def test_options_are_granted_as_far_as_they_are_sound() -> None:
    asked = request("BLKSIZE", "9000", "tsize", "0", "timeout", "3", "windowsize", "16", "new", "1")
    begun = answer(asked, {"x": bytes(5_000)}.get, 0.0)
    assert isinstance(begun, Transfer)
    (agreed,) = begun.begin()
    assert agreed == (
        b"\0\6blksize\0" + b"1468\0" + b"timeout\0" + b"3\0" + b"tsize\0" + b"5000\0"
        b"windowsize\0" + b"16\0"
    )
    assert begun.tick(0.9) == []
    nothing = answer(request("blksize", "7", "windowsize", "0"), {"x": b""}.get, 0.0)
    assert isinstance(nothing, Transfer)
    assert nothing.begin() == [b"\0\3\0\1"]


def test_a_doubled_acknowledgement_doubles_no_block() -> None:
    transfer = Transfer(bytes(2_000), Request("x", {}), 0.0)
    transfer.begin()
    assert len(transfer.receive(b"\0\4\0\1", 0.0)) == 1
    assert transfer.receive(b"\0\4\0\1", 0.0) == []


def test_a_board_that_is_switched_off_is_given_up() -> None:
    transfer, now, sent = Transfer(bytes(2_000), Request("x", {}), 0.0), 0.0, 0
    transfer.begin()
    while not transfer.over:
        now += 1.0
        sent += len(transfer.tick(now))
    assert "does not acknowledge" in transfer.failure
    assert sent == TRIES - 1


@pytest.mark.parametrize(
    ("datagram", "wanted"),
    [
        (request(name="y"), b"\0\5\0\1no such file\0"),
        (b"\0\2x\0octet\0", b"\0\5\0\2nothing is taken here\0"),
        (request(mode="netascii"), b"\0\5\0\0files are sent as they are: ask for mode octet\0"),
        (b"\0\1x", b"\0\5\0\4not a request\0"),
        (b"\0\5\0\1gone\0", b""),
        (b"\0", b""),
    ],
)
def test_what_is_refused(datagram: bytes, wanted: bytes) -> None:
    assert answer(datagram, {"x": b""}.get, 0.0) == wanted


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_no_datagram_ends_the_server(first: bytes, second: bytes) -> None:
    parse_request(first)
    transfer = Transfer(bytes(3_000), Request("x", {}), 0.0)
    transfer.receive(second, 0.0)


# --- the shell ---


def nothing(_: str) -> None:
    """No file."""


class Served:
    """The server, on a thread of its own."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.server = TftpServer("127.0.0.1", files.get, port=0)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ends.wait(0.001):
            self.server.serve(time.monotonic())

    def close(self) -> None:
        self._ends.set()
        self._thread.join()
        self.server.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("blocks", ["512", "1468"])
def test_curl_fetches_a_file(blocks: str) -> None:
    octets = random.Random(3).randbytes(100_000)
    served = Served({"image": octets})
    try:
        url = f"tftp://127.0.0.1:{served.server.port}/image"
        command = ["curl", "--silent", "--max-time", "20", "--tftp-blksize", blocks, url]
        came = subprocess.run(command, stdout=subprocess.PIPE, timeout=30, check=False)
    finally:
        served.close()
    assert came.returncode == 0
    assert came.stdout == octets


def test_a_port_that_is_taken_is_named() -> None:
    first = TftpServer("127.0.0.1", nothing, port=0)
    try:
        with pytest.raises(ServerError, match=f"port {first.port} .Address already in use.: end"):
            TftpServer("127.0.0.1", nothing, port=first.port)
    finally:
        first.close()


def test_without_leave_the_command_that_grants_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket.bind", refuses)
    with pytest.raises(ServerError, match=r"sysctl -w net\.ipv4.ip_unprivileged_port_start=69"):
        TftpServer("127.0.0.1", nothing)
