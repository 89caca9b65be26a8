"""Images and keys for tests."""

from __future__ import annotations

import random
from pathlib import Path

from boards.keys import make, signer
from boards.slot import RESCUE
from firmware.wire.image import assemble
from tests.boards.kernel import kernel_that_says

REGISTERED = (
    b"2026-01-01T00:00:00.000Z info event=registered server=pop1.example status=200 text=OK\r\n"
)


def signed_image(
    folder: Path,
    octets: int,
    version: int = 2,
    board: str = "qemu-arm64",
    says: bytes = REGISTERED,
    rescue: bool = False,
) -> tuple[Path, Path]:
    """An image of about so many octets that nothing compresses; its file, and its signing key's.

    Its kernel starts, and prints what it `says`. As a `rescue` system, it is marked as one.
    """
    key = folder / "key.pem"
    if not key.exists():
        make(key)
    parts = {
        "kernel": kernel_that_says(says),
        "initramfs": random.Random(version).randbytes(octets),
    }
    if rescue:
        parts[RESCUE] = b"{}"
    path = folder / f"{'rescue' if rescue else 'image'}-{version}.img"
    path.write_bytes(assemble(board, version, f"1.{version}", parts, signer(key)[1]))
    return path, key
