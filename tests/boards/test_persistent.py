"""The persistent part, when a power cut tears its superblock or the group descriptors behind it.

Made, mounted and mended by the very commands of `boards/image/system/init`, on this computer's own
Linux; needs root, for the loop device.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boards.image.build import HERE
from tests.boards.cuts import FLASH

SECTOR = 512
INIT = (HERE / "system" / "init").read_text()
OPTIONS = re.findall(r"mount -t ext4 -o (\S+) \$PERSISTENT", INIT)[0]
CONFIG = "".join(f"{number} = 1\n" for number in range(300))


def _words(program: str) -> list[str]:
    """The command's words in the script, without what follows the device's name."""
    found = re.search(rf"/sbin/{program} .*?(?= \$PERSISTENT)", INIT)
    assert found is not None
    return found[0].split()


@contextmanager
def mounted(path: Path) -> Iterator[Path | None]:
    """Where it can be read and written; None: Linux does not mount it."""
    place = path.parent / "mounted"
    place.mkdir(exist_ok=True)
    command = ("mount", "-t", "ext4", "-o", f"loop,{OPTIONS}", str(path), str(place))
    if subprocess.run(command, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


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
    made = [*_words("mke2fs"), str(path), str(FLASH.persistent.octets // 4096)]
    subprocess.run(made, check=True)
    for count in (3, 90):
        snapshot = path.with_name("snapshot")
        with mounted(path) as place:
            if place is None:
                pytest.skip("no loop device can be mounted here")
            if not (place / "ata.toml").exists():
                _write(place, "ata.toml", CONFIG)
            for number in range(count):
                _write(place, f"kept{number % 50}.json", str(number))
            shutil.copyfile(path, snapshot)
        snapshot.replace(path)
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a loop device")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("noise", [True, False], ids=["noise", "zeros"])
def test_a_torn_sector_of_its_first_blocks_costs_nothing(
    cut_off: Path, tmp_path: Path, noise: bool
) -> None:
    chance, mended = random.Random(2026), set()
    for sector in range(2 * 4096 // SECTOR):
        path = tmp_path / "part"
        shutil.copyfile(cut_off, path)
        with path.open("r+b") as stream:
            stream.seek(sector * SECTOR)
            stream.write(chance.randbytes(SECTOR) if noise else bytes(SECTOR))
        with mounted(path) as place:
            readable = place is not None
        if not readable:
            subprocess.run([*_words("e2fsck"), str(path)], check=False, capture_output=True)
            mended.add(sector)
        with mounted(path) as place:
            assert place is not None, f"sector {sector} has gone, and with it everything"
            assert (place / "ata.toml").read_text() == CONFIG
            assert (place / "kept39.json").read_text() == "89"
    assert {2, 8} <= mended, "Linux mounts neither without a superblock nor without descriptors"
