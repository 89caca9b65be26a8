"""Versions that are broken on purpose are so in one way alone: nothing else would refuse them."""

from __future__ import annotations

import gzip
import random
import zlib
from pathlib import Path

import pytest

from boards.keys import make, signer
from boards.slot import decode_table, slot_octets
from firmware.wire.ed25519 import verify
from firmware.wire.image import assemble
from firmware.wire.image_check import ImageCheck
from tests.boards.broken import BROKEN, made_anew, parts_of, same

PARTS = {
    "kernel": gzip.compress(random.Random(1).randbytes(60_000), mtime=0),
    "initramfs": gzip.compress(b"070701", mtime=0),
    "root": b"hsqs" * 3_000,
}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make(tmp_path / "key.pem")
    return tmp_path / "key.pem"


def good(key: Path) -> bytes:
    return assemble("qemu-arm64", 1, "1.1", PARTS, signer(key)[1])


def test_an_image_is_taken_apart_and_put_together_again(key: Path) -> None:
    board, version, parts = parts_of(good(key))
    assert (board, version) == ("qemu-arm64", 1)
    assert {name: octets.rstrip(b"\0") for name, octets in parts.items()} == {
        name: octets.rstrip(b"\0") for name, octets in PARTS.items()
    }
    assert parts_of(made_anew(good(key), key, 2, same)) == ("qemu-arm64", 2, parts)


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_version_is_taken_by_all_that_check_it(how: str, key: Path) -> None:
    image = made_anew(good(key), key, 3, BROKEN[how])
    public = signer(key)[0]
    check = ImageCheck("qemu-arm64", 1, lambda *signed: verify(public, *signed))
    check.feed(image)
    check.finish()
    found = decode_table(slot_octets(image, "qemu-arm64")[:4096])
    assert found is not None
    assert found[0] == 3
    parts, before = parts_of(image)[2], parts_of(good(key))[2]
    altered = {name for name in PARTS if parts[name] != before[name]}
    assert altered == {"kernel" if "kernel" in how else "initramfs"}


def test_a_truncated_kernel_cannot_be_unpacked(key: Path) -> None:
    image = made_anew(good(key), key, 3, BROKEN["truncated kernel"])
    with pytest.raises((EOFError, zlib.error)):
        gzip.decompress(parts_of(image)[2]["kernel"])
