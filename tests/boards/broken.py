"""Versions that do not work, made of one that does: each is whole, signed, and for the board.

Nothing is built anew: one part is altered, or a part of another kind put in its place, and header
and signature are made for the result. What a device downloads it has no reason to refuse.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path

from boards.image.cpio import archive
from boards.keys import signer
from firmware.wire.image import HEADER, PAD, assemble
from firmware.wire.image_check import head_octets
from tests.boards.kernel import kernel_that_says

Parts = dict[str, bytes]

HANGS = b"Loopstart: this kernel hangs\r\n"
_INIT = Path(__file__).parents[2] / "boards" / "image" / "system" / "initramfs"
_SILENT = "#!/bin/busybox sh\nwhile :; do sleep 60; done\n"
"""A program in the place of `loopstart-ata` that lives, and registers with nobody."""


def parts_of(image: bytes) -> tuple[str, int, Parts]:
    """Board, version and parts of an image, without what fills up."""
    header = HEADER.parse(image)
    at, parts = head_octets(header.count), {}
    for part in header.parts:
        parts[part.name] = image[at : at + part.octets]
        at += part.octets
    parts.pop(PAD, None)
    return header.board, header.version, parts


def made_anew(image: bytes, key: Path, version: int, alter: Callable[[Parts], Parts]) -> bytes:
    """The image as another version, its parts altered, signed by the key in a file."""
    board, _, parts = parts_of(image)
    return assemble(board, version, f"1.{version}", alter(parts), signer(key)[1])


def same(parts: Parts) -> Parts:
    """A version that works."""
    return parts


def truncated_kernel(parts: Parts) -> Parts:
    """Half of the kernel: its check sum is right, but nothing can be unpacked from it."""
    return {**parts, "kernel": parts["kernel"][: len(parts["kernel"]) // 2]}


def init_exits(parts: Parts) -> Parts:
    """The first process ends, for which the kernel panics."""
    return {**parts, "initramfs": parts["initramfs"] + _more({"init": "#!/bin/busybox false\n"})}


def kernel_hangs(parts: Parts) -> Parts:
    """It starts, says so, and does nothing more: the watchdog alone gets the board out of that."""
    return {**parts, "kernel": kernel_that_says(HANGS)}


def never_registers(parts: Parts) -> Parts:
    """The system is up, and its program does not do what it is there for."""
    last = "exec $b switch_root"
    init = _INIT.read_text()
    assert last in init, "the first program goes on to the root by this"
    bind = "$b mount -o bind /silent /root/sbin/loopstart-ata\n"
    files = {"init": init.replace(last, bind + last), "silent": _SILENT}
    return {**parts, "initramfs": parts["initramfs"] + _more(files)}


BROKEN: dict[str, Callable[[Parts], Parts]] = {
    "truncated kernel": truncated_kernel,
    "init that exits": init_exits,
    "kernel that hangs": kernel_hangs,
    "system that never registers": never_registers,
}


def _more(files: dict[str, str]) -> bytes:
    """An archive behind the first one, whose files take the place of those of the same name
    (Linux, Documentation/driver-api/early-userspace/buffer-format.rst)."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.write_text(text)
            path.chmod(0o755)
        return gzip.compress(archive(Path(folder), 0, {}), 9, mtime=0)
