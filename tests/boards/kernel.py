"""A kernel for tests: U-Boot starts it, and all that it does is to print some words."""

from __future__ import annotations

import gzip
import struct

_CODE = (
    0x10000101,  # adr x1, words
    0xD2A12002,  # mov x2, #0x09000000: the serial port of QEMU's `virt` (PL011)
    0x38401420,  # ldrb w0, [x1], #1
    0x34000060,  # cbz w0, the end
    0xB9000040,  # str w0, [x2]
    0x17FFFFFD,  # b to ldrb
    0xD503207F,  # wfi
    0x17FFFFFF,  # b to wfi
)


def kernel_that_says(words: bytes, octets: int = 0) -> bytes:
    """An arm64 `Image` (Documentation/arm64/booting.rst) of at least so many octets, in gzip."""
    code = struct.pack("<8I", *_CODE) + words + b"\0"
    size = max(octets, 64 + len(code))
    head = struct.pack("<IIQQQQQQ4sI", 0x14000010, 0, 0, size, 0xA, 0, 0, 0, b"ARM\x64", 0)
    return gzip.compress((head + code).ljust(size, b"\0"), mtime=0)
