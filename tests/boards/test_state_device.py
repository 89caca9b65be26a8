"""The boot state as the system on the board changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from boards.board import load_board
from boards.hardware import Flash
from boards.slot import slot_octets
from boards.state import BootState
from boards.state_device import StateDevice, give_back, main, mark_good
from firmware.wire.image import assemble

FOUND = load_board("qemu-arm64").flash
assert FOUND is not None
FLASH: Flash = FOUND


def put(path: Path, offset: int, octets: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(octets)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A board that boots slot b, of version 9, for the second time; a has version 7 and is good."""
    made = tmp_path / "flash"
    with made.open("wb") as stream:
        stream.truncate(FLASH.octets)
    for place, version in ((FLASH.slot_a, 7), (FLASH.slot_b, 9)):
        parts = {"kernel": b"k", "initramfs": b"i", "root": b"r"}
        image = assemble("qemu-arm64", version, "x", parts, None)
        put(made, place.offset, slot_octets(image, "qemu-arm64"))
    put(made, FLASH.state.offset, BootState(5, "b", 1, 1, 3).to_bytes())
    return made


def test_good_gives_all_tries_and_raises_the_floor_to_the_older_version(path: Path) -> None:
    device = StateDevice(FLASH, path)
    assert mark_good(device, 9, "b") == BootState(6, "b", 3, 3, 7)
    assert device.read() == BootState(6, "b", 3, 3, 7)
    assert path.read_bytes()[FLASH.state.offset :][:4096] == BootState(5, "b", 1, 1, 3).to_bytes()


def test_saying_so_twice_writes_once(path: Path) -> None:
    device = StateDevice(FLASH, path)
    mark_good(device, 9, "b")
    before = path.read_bytes()
    assert mark_good(device, 9, "b") == BootState(6, "b", 3, 3, 7)
    assert path.read_bytes() == before


def test_a_system_that_does_not_boot_next_is_not_marked(path: Path) -> None:
    before = path.read_bytes()
    assert mark_good(StateDevice(FLASH, path), 7, "a") is None
    assert path.read_bytes() == before


def test_a_start_without_a_configuration_gives_its_try_back(path: Path) -> None:
    device = StateDevice(FLASH, path)
    put(path, FLASH.state.offset, BootState(5, "b", 0, 1, 3).to_bytes())
    before = path.read_bytes()
    assert give_back(device, "b", configured=True) == BootState(5, "b", 0, 1, 3)
    assert give_back(device, "a", configured=False) is None
    assert path.read_bytes() == before
    command = ["--board", "qemu-arm64", "--device", str(path), "unspent", "b"]
    assert main([*command, "--configured"]) == 0
    assert path.read_bytes() == before
    assert main(command) == 0
    assert device.read() == BootState(6, "b", 1, 1, 3)


def test_the_command_shows_the_state(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--board", "qemu-arm64", "--device", str(path)]
    assert main([*command, "good", "9", "b"]) == 0
    assert main([*command, "show"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "slot=b tries=3 good=3 floor=7 a=7 b=9"


def test_no_flash_and_no_state_are_said(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none")
    assert main(["--board", "qemu-arm64", "--device", missing, "show"]) == 1
    assert "No such file" in capsys.readouterr().err
    put(path, FLASH.state.offset, bytes(0x2000))
    assert main(["--board", "qemu-arm64", "--device", str(path), "show"]) == 1
    assert "no valid state" in capsys.readouterr().err
    assert main(["--board", "sim", "show"]) == 1
