"""The defaults come back over the cable, and nothing else changes."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.factory_reset import CLEAR_S, FactoryResetDialogue, ResetWatch
from boards.flash import factory_reset, session
from boards.hardware import Region
from boards.image.build import HERE as BUILD
from boards.mailbox import WIPE, decode, encode
from boards.prompt import FlashFailed
from tests.boards.test_dialogue import FLASH, loader, play, used
from tests.boards.uboot import FakeBoard

KIB = 1024
ROOM = replace(FLASH, mailbox=Region(504 * KIB, 8 * KIB), persistent=Region(448 * KIB, 56 * KIB))
AT = 504 * KIB
INIT = (BUILD / "system" / "init").read_text()
CLEARED = (
    b"Loopstart: starting a, tries left: 2\r\nStarting kernel ...\r\n"
    b"Loopstart: factory reset: clearing the configuration\r\nLoopstart: factory reset: done\r\n"
    b"Loopstart: version 3 runs from slot a\r\n"
)


def test_the_boot_loader_writes_the_request_and_nothing_else() -> None:
    board = FakeBoard(used())
    board.flash[AT : AT + 64] = encode(b"a configuration that nobody has taken")[:64].ljust(64)
    before = bytes(board.flash)
    run = FactoryResetDialogue(ROOM, loader(), 0.0)
    play(run, board)  # type: ignore[arg-type]
    assert run.failure == ""
    assert board.mode == "booted"
    assert bytes(board.flash[AT : AT + 512]) == WIPE.ljust(512, b"\0")
    assert bytes(board.flash[:AT]) == before[:AT], "slots and boot state are left alone"
    assert decode(bytes(board.flash[AT : AT + 8 * KIB])) is None, "it is no configuration"


def test_a_board_without_a_mailbox_cannot_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FlashFailed, match=r"has no \[flash.mailbox\]"):
        FactoryResetDialogue(FLASH, loader(), 0.0)
    words = ["--board", "sim", "--port", "/dev/ttyUSB77", "--json"]
    assert factory_reset.main(words) == session.REFUSED
    assert "not one that is flashed" in json.loads(capsys.readouterr().out)["failure"]
    words[1] = "qemu-arm64"
    assert factory_reset.main(words) == session.NO_PORT


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_it_is_over_when_the_system_has_cleared_it_in_whatever_pieces(lengths: list[int]) -> None:
    watch, octets, said = ResetWatch(0.0), CLEARED, []
    for length in lengths:
        said += watch.receive(octets[:length], 1.0)
        octets = octets[length:]
    said += watch.receive(octets, 1.0)
    assert (watch.over, watch.failure) == (True, "")
    assert "the configuration is cleared" in said


@pytest.mark.parametrize(
    ("console", "at_s", "words"),
    [
        (b"Loopstart: version 1 runs from slot a\r\n", 9.0, "flash a newer one"),
        (b"Loopstart: factory reset: the flash cannot be written\r\n", 9.0, "worn out"),
        (b"Loopstart: starting rescue, tries left: 0\r\n", 9.0, "starts neither slot"),
        (b"", CLEAR_S, "has not restored its defaults"),
    ],
)
def test_why_they_have_not_come_back(console: bytes, at_s: float, words: str) -> None:
    watch = ResetWatch(0.0)
    watch.receive(console, at_s)
    assert watch.over
    assert words in watch.failure


def clears(folder: Path, mailbox: bytes) -> tuple[bytes, str]:
    """What `init` makes of a flash with this mailbox: its own words, run by this computer's
    shell. Octets of the flash afterwards, and what was said."""
    start = INIT.index("mailbox() {")
    end = INIT.index("\nfi\n", start) + 4
    part = folder / "part"
    part.write_bytes(b"secret" * 3_000)
    disk = folder / "disk"
    disk.write_bytes(b"head" * 256 + mailbox.ljust(2_048, b"\0") + b"tail" * 256)
    values = (
        f"FLASH={disk} PERSISTENT={part} PERSISTENT_OCTETS=12288 MAILBOX_AT=1024 "
        "MAILBOX_OCTETS=2048"
    )
    script = f'{values}\nsay() {{ echo "$1"; }}\n' + INIT[start:end].replace(
        "conv=fsync", "conv=fsync,notrunc"
    )
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    return part.read_bytes() + disk.read_bytes(), said


@pytest.mark.skipif(shutil.which("dd") is None, reason="needs dd")
def test_the_system_clears_the_part_and_then_the_request(tmp_path: Path) -> None:
    octets, said = clears(tmp_path, WIPE)
    assert said.splitlines()[-1] == "factory reset: done"
    assert octets[:12_288] == bytes(12_288)
    assert octets[12_288:18_000] == (b"secret" * 3_000)[12_288:], "what is behind the part stays"
    assert octets[18_000:] == b"head" * 256 + bytes(2_048) + b"tail" * 256


@pytest.mark.parametrize("mailbox", [b"", encode(b"configuration"), WIPE[:4]])
def test_without_the_request_nothing_is_cleared(tmp_path: Path, mailbox: bytes) -> None:
    octets, said = clears(tmp_path, mailbox)
    assert said == ""
    assert octets.startswith(b"secret" * 3_000 + b"head" * 256 + mailbox)
