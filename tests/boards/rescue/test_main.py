"""Rescue's shell under MicroPython, at a terminal, with lrzsz and atftpd at the other end."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import socket
import subprocess
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from boards import slot, state
from firmware.wire.image import assemble
from tests.micropython import COMMAND, ENVIRONMENT, needs_micropython

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
STATE = (0x20000, 0x21000)
SLOT = {"a": 1 << 20, "b": 2 << 20}

pytestmark = needs_micropython


def image(version: int = 7, board: str = "qemu-arm64", key: Ed25519PrivateKey = KEY) -> bytes:
    parts = {name: random.Random(name).randbytes(20_001) for name in slot.SYSTEM}
    return assemble(board, version, f"1.{version}", parts, key.sign)


class Board:
    """A flash, rescue on it, and the cable to its console."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.disk = folder, folder / "disk"
        self.disk.touch()
        os.truncate(self.disk, 4 << 20)
        self.console, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self._behind = ""
        """What came while something else listened."""
        layout = {
            "board": "qemu-arm64",
            "key": KEY.public_key().public_bytes_raw().hex(),
            "disk": str(self.disk),
            "console": os.ttyname(self._theirs),
            "slot_octets": 1 << 20,
            "state": STATE,
            **SLOT,
        }
        (folder / "rescue.json").write_text(json.dumps(layout))

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        words = ["-m", "boards.rescue.main", "--layout", str(self.folder / "rescue.json")]
        with subprocess.Popen([COMMAND, *words], cwd=self.folder, env=ENVIRONMENT) as rescue:
            try:
                self.until("rescue> ")
                yield rescue
            finally:
                rescue.kill()

    def until(self, words: str, seconds: float = 20.0) -> str:
        """What is said until these words."""
        end, said = time.monotonic() + seconds, self._behind
        self._behind = ""
        while words not in said:
            assert time.monotonic() < end, f"{words!r} was not said: {said!r}"
            if select.select([self.console], [], [], 0.1)[0]:
                said += os.read(self.console, 1).decode("ascii", "replace")
        return said

    def type(self, words: str) -> None:
        os.write(self.console, f"{words}\r".encode())

    def send(self, file: Path) -> None:
        """By lrzsz, at a cable's other end."""
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        command = ["sb", "-k", "-q", str(file)]
        with subprocess.Popen(command, stdin=theirs, stdout=theirs) as sb:
            end, other = time.monotonic() + 60, {ours: self.console, self.console: ours}
            while sb.poll() is None and time.monotonic() < end:
                for one in select.select(list(other), [], [], 0.05)[0]:
                    octets = os.read(one, 512)
                    os.write(other[one], octets)
                    if one == self.console:
                        self._behind += octets.decode("ascii", "replace")
            sb.kill()
        for one in (ours, theirs):
            os.close(one)

    def boot_state(self) -> state.BootState | None:
        octets = self.disk.read_bytes()
        found = state.newest(*(octets[at : at + state.STATE_OCTETS] for at in STATE))
        return found[1] if found else None

    def holds(self, name: str) -> bytes:
        return self.disk.read_bytes()[SLOT[name] :][: 1 << 20]

    def write_state(self, one: state.BootState) -> None:
        with self.disk.open("r+b") as disk:
            disk.seek(STATE[0])
            disk.write(one.to_bytes())


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def same_slot(held: bytes, octets: bytes) -> bool:
    """Whether a slot holds this image: its table says the same, in whatever order."""
    whole = slot.slot_octets(octets, "qemu-arm64")
    table = slot.TABLE_OCTETS
    tables = slot.decode_table(held[:table]) == slot.decode_table(whole[:table])
    return tables and held[table:].startswith(whole[table:])


@pytest.mark.skipif(shutil.which("sb") is None, reason="lrzsz is not installed")
def test_an_image_comes_over_the_console(board: Board) -> None:
    file = board.folder / "a.img"
    file.write_bytes(image())
    with board.running() as rescue:
        board.type("y")
        board.until("start the transfer now")
        board.send(file)
        board.until("version 7 is written and proved")
        assert rescue.wait(10) == 0
    assert same_slot(board.holds("a"), image())
    assert board.boot_state() == state.installed("a")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """atftpd with the test's folder; its port."""
    if shutil.which("atftpd") is None:
        pytest.skip("atftpd is not installed")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = ["atftpd", "--daemon", "--no-fork", "--bind-address", "127.0.0.1", "--user"]
    command += [f"{Path.home().owner()}.{Path.home().group()}", "--port", str(port)]
    with subprocess.Popen([*command, "--logfile", "/dev/null", str(tmp_path)]) as daemon:
        yield port
        daemon.kill()


def test_an_image_comes_over_the_network_into_the_slot_that_is_not_good(
    board: Board, server: int
) -> None:
    before = state.BootState(4, "a", 0, 2, 5)
    board.write_state(before)
    (board.folder / "b.img").write_bytes(image(9))
    with board.running() as rescue:
        board.type(f"t 127.0.0.1/8 127.0.0.1:{server} b.img")
        board.until("slot a is written; images from version 5 on are taken")
        board.until("version 9 is written and proved")
        assert rescue.wait(10) == 0
    assert same_slot(board.holds("a"), image(9))
    after = board.boot_state()
    assert after is not None
    assert (after.slot, after.tries, after.good, after.floor) == ("a", 1, 2, 5)


@pytest.mark.parametrize(
    ("name", "octets", "words"),
    [
        ("old", image(4), "version 4; the oldest that this board takes is 5"),
        ("other", image(board="pc-dahdi"), "the image is for the board pc-dahdi"),
        (
            "forged",
            image(key=Ed25519PrivateKey.from_private_bytes(bytes(range(32)))),
            "the signature is wrong",
        ),
        ("unsigned", assemble("qemu-arm64", 7, "1", {"kernel": b"k"}, None), "nobody has signed"),
        (
            "rescue",
            assemble("qemu-arm64", 7, "1", {"kernel": b"k", slot.RESCUE: b"{}"}, KEY.sign),
            "this is a rescue system: it goes to its own place",
        ),
        ("short", image()[:-4_097], "the image ends after"),
        ("damaged", image()[:-9] + b"!" + image()[-8:], "its hash is wrong"),
        ("long", image() + b"x", "goes on after its last part"),
        ("text", b"GIF89a" * 900, "no image of Loopstart"),
    ],
)
def test_what_is_not_for_this_board_is_refused_in_its_own_words(
    board: Board, server: int, name: str, octets: bytes, words: str
) -> None:
    before = state.BootState(4, "a", 0, 0, 5)
    board.write_state(before)
    (board.folder / name).write_bytes(octets)
    with board.running():
        board.type(f"t 127.0.0.1/8 127.0.0.1:{server} {name}")
        assert words in board.until("rescue> ")
        board.type(f"t 127.0.0.1/8 127.0.0.1:{server} nothing")
        assert "the server says" in board.until("rescue> "), "and it is still there"
    after = board.boot_state()
    assert after is not None
    assert (after.slot, after.tries, after.good, after.floor) == ("a", 0, 0, 5)
    assert slot.decode_table(board.holds(before.spare)[: slot.TABLE_OCTETS]) is None


def test_what_is_typed_wrongly_is_explained(board: Board) -> None:
    with board.running() as rescue:
        board.type("help")
        assert "by YMODEM" in board.until("rescue> ")
        board.type("t here there file")
        assert "write addresses as in" in board.until("rescue> ")
        os.write(board.console, b"x\x7fr\r")
        assert rescue.wait(10) == 0
