"""The persistent part, when a power cut tears its superblock, the group descriptors behind it, or
the making of it.

Made, mounted and mended by the very script of the board, on this computer's own Linux; needs root,
for the loop device.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.boards.cuts import FLASH
from tests.boards.persistent import is_sound, made, opened

SECTOR, BLOCK = 512, 4096
CONFIG = "".join(f"{number} = 1\n" for number in range(300))
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a loop device"),
    pytest.mark.timeout(120),
]


def _write(place: Path, name: str, text: str) -> None:
    """As the updater writes: beside, flushed, renamed."""
    with (place / "new").open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    (place / "new").rename(place / name)
    folder = os.open(place, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A persistent part whose power goes while it is mounted, for the second time."""
    path = tmp_path_factory.mktemp("persistent") / "part"
    with path.open("wb") as stream:
        stream.truncate(FLASH.persistent.octets)
    for count in (3, 90):
        snapshot = path.with_name("snapshot")
        with opened(path) as place:
            assert place is not None
            if not (place / "ata.toml").exists():
                _write(place, "ata.toml", CONFIG)
            for number in range(count):
                _write(place, f"kept{number % 50}.json", str(number))
            shutil.copyfile(path, snapshot)
        snapshot.replace(path)
    return path


@pytest.mark.parametrize("noise", [True, False], ids=["noise", "zeros"])
def test_a_torn_sector_or_block_at_its_start_costs_nothing(
    cut_off: Path, tmp_path: Path, noise: bool
) -> None:
    chance = random.Random(2026)
    torn = [(sector, SECTOR) for sector in range(2 * BLOCK // SECTOR)]
    for sector, octets in [*torn, (0, BLOCK), (8, BLOCK)]:
        path = tmp_path / "part"
        shutil.copyfile(cut_off, path)
        with path.open("r+b") as stream:
            stream.seek(sector * SECTOR)
            stream.write(chance.randbytes(octets) if noise else bytes(octets))
        with opened(path) as place:
            assert place is not None, f"sector {sector} has gone, and with it everything"
            assert (place / "ata.toml").read_text() == CONFIG
            assert (place / "kept39.json").read_text() == "89"
        assert path.read_bytes()[:8] == b"LOOPMADE", "and the next damage does not make it anew"


@pytest.mark.parametrize("seed", range(24))
def test_a_power_cut_while_it_is_made_has_it_made_again(tmp_path: Path, seed: int) -> None:
    """Given some of its blocks, in whatever order they came, and a torn one among them; it was not
    marked yet."""
    chance = random.Random(seed)
    whole = made(tmp_path / "whole").read_bytes()
    blocks = [at for at in range(0, len(whole), BLOCK) if whole[at : at + BLOCK].strip(b"\0")]
    path = tmp_path / "part"
    with path.open("wb") as stream:
        stream.truncate(FLASH.persistent.octets)
        arrived = [at for at in blocks if chance.random() < chance.choice([0.3, 0.7, 0.95])]
        for at in arrived:
            stream.seek(at)
            stream.write(whole[at : at + BLOCK])
        stream.seek(chance.choice(blocks) + SECTOR * chance.randrange(8))
        stream.write(chance.randbytes(SECTOR))
    with opened(path) as place:
        assert place is not None, "nobody could ever configure this board"
        _write(place, "ata.toml", CONFIG)
    assert is_sound(path)
    with opened(path) as place:
        assert place is not None
        assert (place / "ata.toml").read_text() == CONFIG


def test_one_that_was_whole_and_cannot_be_mended_is_left_as_it_is(
    cut_off: Path, tmp_path: Path
) -> None:
    path = tmp_path / "part"
    shutil.copyfile(cut_off, path)
    with path.open("r+b") as stream:
        for at in (2 * SECTOR, 16 * 1024 * 1024):  # the superblock, and its copy
            stream.seek(at)
            stream.write(bytes(SECTOR))
    before = path.read_bytes()
    with opened(path) as place:
        assert place is None
    assert path.read_bytes() == before
