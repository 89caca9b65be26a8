"""Numbers of ioctls, which differ from one processor family to the next (asm/ioctl.h of Linux).

A number holds the direction, the size of the argument, the letter of the subsystem and an index.
Most processors lay the direction out one way, MIPS, PowerPC, SPARC and Alpha another: a number
that was copied from a table for x86 calls something else there.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from enum import Enum


class Direction(Enum):
    """Which way the argument goes, seen from the program."""

    NONE = "none"
    WRITE = "write"
    READ = "read"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Layout:
    """How a family of processors lays a number out."""

    size_bits: int
    none: int
    read: int
    write: int

    def number(self, direction: Direction, letter: int, index: int, size: int) -> int:
        """The ioctl's number.

        Args:
            letter: the subsystem's, 0 to 255.
            index: the call's within the subsystem, 0 to 255.
            size: octets of the argument that it points to.
        """
        assert 0 <= size < 1 << self.size_bits, "the argument is too large for an ioctl"
        assert 0 <= letter < 256, "a letter is an octet"
        assert 0 <= index < 256, "an index is an octet"
        ways = {
            Direction.NONE: self.none,
            Direction.WRITE: self.write,
            Direction.READ: self.read,
            Direction.BOTH: self.read | self.write,
        }
        return ways[direction] << (16 + self.size_bits) | size << 16 | letter << 8 | index


GENERIC = Layout(size_bits=14, none=0, read=2, write=1)
OLDER = Layout(size_bits=13, none=1, read=2, write=4)
"""MIPS, PowerPC, SPARC, Alpha: they follow the UNIX that was there before Linux."""
PARISC = Layout(size_bits=14, none=0, read=1, write=2)

_FAMILIES = {
    "mips": OLDER, "ppc": OLDER, "powerpc": OLDER, "sparc": OLDER, "alpha": OLDER,
    "parisc": PARISC,
}  # fmt: skip


def layout_of(machine: str) -> Layout:
    """The layout of a machine as `uname -m` calls it."""
    return next(
        (layout for family, layout in _FAMILIES.items() if machine.startswith(family)), GENERIC
    )


HERE = layout_of(platform.machine())
"""The layout of the machine that this runs on."""
