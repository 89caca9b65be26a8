"""The persistent part of a board, by the script of its own system, on this computer's Linux.

Needs root, for a loop device.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boards.image.build import HERE
from tests.boards.cuts import FLASH

SCRIPT = HERE / "system" / "persistent"
_MADE = re.search(r"/sbin/mke2fs .*?(?= \"\$device\")", SCRIPT.read_text())
assert _MADE is not None
MAKE = tuple(_MADE[0].split())
"""The command that makes it, without the file's name and the number of its blocks."""


def made(path: Path, *words: str, octets: int = FLASH.persistent.octets) -> Path:
    """A whole one in a file of its own, but for the mark that the script puts there."""
    size = str(octets // 4096)
    subprocess.run([*MAKE, *words, str(path), size], check=True, stdout=subprocess.DEVNULL)
    return path


@contextmanager
def opened(path: Path) -> Iterator[Path | None]:
    """Where the board would find it; None: it says that it cannot be read."""
    place = path.parent / "mounted"
    place.mkdir(exist_ok=True)
    ask = ("losetup", "--find", "--show", str(path))
    device = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    try:
        command = ("sh", str(SCRIPT), device, str(FLASH.persistent.octets), str(place))
        if subprocess.run(command, check=False, capture_output=True).returncode:
            yield None
            return
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def is_sound(path: Path) -> bool:
    """Has e2fsck nothing to say against it?"""
    command = ("/sbin/e2fsck", "-fn", str(path))
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
