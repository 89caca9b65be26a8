"""How an image stands in a slot: U-Boot's tools read the table, and no damaged one boots."""

from __future__ import annotations

import binascii
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards import environment
from boards.slot import (
    ALIGNED,
    TABLE_OCTETS,
    Part,
    Placing,
    decode_table,
    encode_table,
    slot_octets,
)
from firmware.wire.image import assemble
from firmware.wire.image_check import ImageCheck, ImageError

PARTS = {"kernel": b"kernel" * 2000, "initramfs": b"i" * 4096, "root": b"hsqs" * 3001}
IMAGE = assemble("qemu-arm64", 7, "0.7.0", PARTS, None)
BODIES = st.dictionaries(
    st.sampled_from(["kernel", "initramfs", "root"]), st.binary(max_size=9000), min_size=1
)


@given(BODIES, st.integers(1, 0xFFFFFFFF), st.integers(1, 5000))
def test_the_table_says_where_the_slot_has_each_part(
    parts: dict[str, bytes], version: int, step: int
) -> None:
    image = assemble("qemu-arm64", version, "0.7.0", parts, None)
    slot = slot_octets(image, "qemu-arm64")
    assert slot[TABLE_OCTETS:] == image
    decoded = decode_table(slot[:TABLE_OCTETS])
    assert decoded is not None
    assert decoded[0] == version
    for part in decoded[1]:
        octets = slot[part.offset : part.offset + part.octets]
        assert part.offset % ALIGNED == 0
        assert octets.rstrip(b"\0") == parts[part.name].rstrip(b"\0")
        assert binascii.crc32(octets) == part.crc
    assert {part.name for part in decoded[1]} == set(parts)

    check = ImageCheck("qemu-arm64", 0, None)
    placing = Placing(check)
    for at in range(0, len(image), step):
        placing.take(check.feed(image[at : at + step]))
    assert placing.table() == slot[:TABLE_OCTETS], "the same, however the image comes in"


@given(st.integers(0, TABLE_OCTETS - 1), st.integers(1, 255))
def test_a_damaged_table_is_none(at: int, change: int) -> None:
    table = bytearray(slot_octets(IMAGE, "qemu-arm64")[:TABLE_OCTETS])
    table[at] ^= change
    assert decode_table(bytes(table)) is None


@pytest.mark.parametrize(
    "values",
    [{"kernel_at": "8"}, {"version": "7", "kernel_at": "8"}, {"version": "7", "kernel_at": "x"}],
)
def test_a_table_that_says_too_little_is_none(values: dict[str, str]) -> None:
    assert decode_table(environment.encode(values)) is None
    assert decode_table(bytes(TABLE_OCTETS)) is None


def test_a_damaged_or_foreign_image_gets_no_slot() -> None:
    with pytest.raises(ImageError, match="damaged"):
        slot_octets(IMAGE[:-1] + b"x", "qemu-arm64")
    with pytest.raises(ImageError, match="is for the board qemu-arm64"):
        slot_octets(IMAGE, "sim")


def test_a_part_that_no_block_device_could_read_is_refused() -> None:
    with pytest.raises(ValueError, match="begins within a block"):
        encode_table(1, [Part("kernel", 4097, 1, 0)])


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("fw_printenv") is None, reason="libubootenv-tool is not installed")
def test_uboots_own_tool_reads_a_table(tmp_path: Path) -> None:
    table = slot_octets(IMAGE, "qemu-arm64")[:TABLE_OCTETS]
    (tmp_path / "table").write_bytes(table)
    (tmp_path / "config").write_text(f"{tmp_path}/table 0 0x1000\n")
    said = subprocess.run(
        ["fw_printenv", "-c", str(tmp_path / "config")], check=True, capture_output=True, text=True
    )
    values = dict(line.split("=", 1) for line in said.stdout.splitlines())
    kernel = PARTS["kernel"] + bytes(-len(PARTS["kernel"]) % ALIGNED)
    assert values["version"] == "7"
    assert int(values["kernel_at"], 16) * 512 == 2 * ALIGNED
    assert int(values["kernel_octets"], 16) == len(kernel)
    assert values["kernel_crc"] == f"{binascii.crc32(kernel):08x}"
