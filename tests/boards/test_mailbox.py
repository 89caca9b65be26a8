"""A configuration gets to the board whole or not at all, and its mailbox is empty afterwards."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.board import load_board
from boards.flash import provision, session
from boards.hardware import Region
from boards.mailbox import decode, encode, main, take
from boards.prompt import FlashFailed
from boards.provision import ProvisionDialogue
from tests.boards.test_dialogue import FLASH, loader, play, used
from tests.boards.uboot import FakeBoard

KIB = 1024
ROOM = replace(FLASH, mailbox=Region(504 * KIB, 8 * KIB), persistent=Region(448 * KIB, 56 * KIB))
assert ROOM.mailbox is not None
AT = ROOM.mailbox.offset
CONFIG = b'[sip]\nusername = "100001"\n'


@given(st.binary(min_size=1, max_size=3_000), st.integers(0, 4_000), st.integers(0, 600))
def test_what_was_written_in_part_is_none(octets: bytes, cut: int, zeros: int) -> None:
    filled = encode(octets)
    assert decode(filled + bytes(zeros)) == octets
    part = filled[:cut]
    assert decode(part + bytes(len(filled) - len(part))) in (None, octets)
    assert decode(b"") is None


def test_the_boot_loader_writes_it_and_nothing_else() -> None:
    board = FakeBoard(used())
    before = bytes(board.flash)
    run = ProvisionDialogue(ROOM, loader(), CONFIG, 0.0)
    play(run, board)  # type: ignore[arg-type]
    assert run.failure == ""
    assert board.mode == "booted"
    assert decode(bytes(board.flash[AT : AT + 8 * KIB])) == CONFIG
    assert bytes(board.flash[:AT]) == before[:AT]


def test_the_system_takes_it_once(tmp_path: Path) -> None:
    device, target = tmp_path / "disk", tmp_path / "ata.toml"
    device.write_bytes(bytes(4_096) + encode(CONFIG) + b"rest" * 2_000)
    target.write_bytes(b"old")
    words = [str(device), "0x1000", "0x1000", str(target)]
    assert main(words) == 0
    assert target.read_bytes() == CONFIG
    assert stat.S_IMODE(os.stat(target).st_mode) == 0o600
    assert CONFIG not in device.read_bytes(), "no secret stays behind"
    assert device.read_bytes().endswith(b"rest" * 1_990)
    assert main(words) == 1
    assert target.read_bytes() == CONFIG


def test_a_file_system_that_is_full_leaves_all_as_it_was(tmp_path: Path) -> None:
    device = tmp_path / "disk"
    device.write_bytes(encode(CONFIG) + bytes(4_096))
    with pytest.raises(OSError, match="No such file"):
        take(device, 0, 4_096, tmp_path / "absent" / "ata.toml")
    assert decode(device.read_bytes()) == CONFIG


def test_a_board_without_room_for_it() -> None:
    with pytest.raises(FlashFailed, match=r"has no \[flash.mailbox\]"):
        ProvisionDialogue(FLASH, loader(), CONFIG, 0.0)
    with pytest.raises(FlashFailed, match="has 9000 octets; this board takes 8176"):
        ProvisionDialogue(ROOM, loader(), bytes(9_000), 0.0)


def test_a_configuration_that_is_wrong_is_not_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ata.toml"
    words = ["--board", "qemu-arm64", "--port", "/dev/ttyUSB77", "--json", "--config", str(path)]
    assert provision.main(words) == session.REFUSED
    assert "cannot be read" in json.loads(capsys.readouterr().out)["failure"]
    path.write_text('board = "sim"\nnonsense = 1\n')
    assert provision.main(words) == session.REFUSED
    assert "nonsense" in json.loads(capsys.readouterr().out)["failure"]
    example = Path(__file__).resolve().parents[2] / "firmware" / "example.toml"
    path.write_bytes(example.read_bytes())
    assert provision.main(words) == session.NO_PORT
    assert load_board("qemu-arm64").flash.mailbox is not None  # type: ignore[union-attr]
