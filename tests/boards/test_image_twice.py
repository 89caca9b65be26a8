"""The same lock gives the same image: `python3 tasks.py test-image`, some minutes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boards.keys import REPOSITORY, make

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "LOOPSTART_IMAGE_TWICE" not in os.environ,
        reason="builds two images: run `python3 tasks.py test-image`",
    ),
]


BOARD = os.environ.get("LOOPSTART_IMAGE_TWICE", "")


def built(folder: Path, umask: int, zone: str, key: Path) -> bytes:
    folder.mkdir()
    output = folder / "image"
    command = [sys.executable, "-m", "boards.image.command", "--board", BOARD, "--key", str(key)]
    subprocess.run(
        [*command, "--work", str(folder / "work"), "--output", str(output)],
        cwd=REPOSITORY,
        env={**os.environ, "TZ": zone, "PYTHONHASHSEED": str(umask)},
        umask=umask,
        check=True,
    )
    disk = output.with_suffix(".disk")
    return output.read_bytes() + (disk.read_bytes() if disk.exists() else b"")


def test_folder_umask_and_time_of_day_change_no_octet(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    make(key)
    first = built(tmp_path / "one", 0o022, "UTC", key)
    second = built(tmp_path / "a longer name", 0o077, "Pacific/Auckland", key)
    assert hashlib.sha256(first).hexdigest() == hashlib.sha256(second).hexdigest()
