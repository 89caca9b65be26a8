"""The format of an image, described with `construct`, and how one is made.

Header, signature, then the parts one after the other, nothing between or behind them. The header
has the board, the version and the SHA-256 of each part; the Ed25519 signature is over all of the
header, so that no octet of an image can change unnoticed. Numbers are big-endian, names ASCII,
filled up with NULs. `image_check` reads images, also where `construct` is not: under MicroPython.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from construct import (
    Array,
    Bytes,
    Const,
    Int8ub,
    Int16ub,
    Int32ub,
    PaddedString,
    Padding,
    Struct,
    this,
)

from firmware.wire.image_check import (
    FORMAT,
    MAGIC,
    MAX_PARTS,
    NAME_OCTETS,
    PART_NAME_OCTETS,
    SIGNATURE_OCTETS,
    head_octets,
)

PART = Struct(
    "name" / PaddedString(PART_NAME_OCTETS, "ascii"),
    "octets" / Int32ub,
    "sha256" / Bytes(32),
)
HEADER = Struct(
    "magic" / Const(MAGIC),
    "format" / Const(FORMAT, Int16ub),
    "count" / Int8ub,
    Padding(1),
    "version" / Int32ub,
    "board" / PaddedString(NAME_OCTETS, "ascii"),
    "label" / PaddedString(NAME_OCTETS, "ascii"),
    "parts" / Array(this.count, PART),
)
ALIGNED = 4096
"""Parts of an image that boots begin at multiples of so many octets: it lies in a slot as it is,
and boot loaders and block devices read whole blocks alone."""
PAD = "pad"
"""The part that fills up what is behind the signature."""
UNSIGNED = bytes(SIGNATURE_OCTETS)
"""Stands where the signature of an image would that has none."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an image: a kernel, a root file system."""

    name: str
    """At most 16 letters."""
    octets: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """What an image is for and consists of."""

    board: str
    version: int
    """Grows with each release, 1 to 2**32 - 1; what a board's floor is compared with."""
    label: str
    """The version as people call it."""
    parts: tuple[Part, ...]

    def to_bytes(self) -> bytes:
        """The octets that are signed.

        Raises:
            ValueError: a name that is empty, too long or not ASCII, or parts that cannot be.
        """
        for what, name, most in [
            ("board", self.board, NAME_OCTETS),
            ("label", self.label, NAME_OCTETS),
            *(("part", part.name, PART_NAME_OCTETS) for part in self.parts),
        ]:
            if not 1 <= len(name) <= most or any(not " " < one <= "~" for one in name):
                raise ValueError(f"{what}: {name!r} is not 1 to {most} printable letters")
        if len({part.name for part in self.parts}) < len(self.parts):
            raise ValueError("two parts have one name")
        if not 1 <= len(self.parts) <= MAX_PARTS:
            raise ValueError(f"{len(self.parts)} parts; an image has 1 to {MAX_PARTS}")
        if not 1 <= self.version <= 0xFFFFFFFF:
            raise ValueError(f"version {self.version} is not 1 to 2**32 - 1")
        parts = [
            {"name": part.name, "octets": part.octets, "sha256": part.sha256} for part in self.parts
        ]
        values = {"count": len(parts), "version": self.version, "parts": parts}
        return bytes(HEADER.build({**values, "board": self.board, "label": self.label}))


def part_of(name: str, octets: Iterable[bytes]) -> Part:
    """Describe a part by its octets, which come in pieces of any length."""
    digest, length = hashlib.sha256(), 0
    for piece in octets:
        digest.update(piece)
        length += len(piece)
    return Part(name, length, digest.digest())


def seal(header: Header, sign: Callable[[bytes], bytes] | None) -> bytes:
    """Header and signature: what an image begins with; the parts follow in their order.

    Args:
        header: describes the parts.
        sign: makes the Ed25519 signature of the octets that it is given, 64 octets; None: the
            image has none, and only what checks none takes it.
    """
    octets = header.to_bytes()
    signature = UNSIGNED if sign is None else sign(octets)
    assert len(signature) == SIGNATURE_OCTETS
    return octets + signature


def assemble(
    board: str,
    version: int,
    label: str,
    parts: dict[str, bytes],
    sign: Callable[[bytes], bytes] | None,
) -> bytes:
    """A whole image whose parts begin at multiples of `ALIGNED`, each filled up with zeros.

    Args:
        parts: by name, in their order; the part `PAD` is put before them.
        sign: see `seal`.
    Raises:
        ValueError: see `Header.to_bytes`.
    """
    bodies = {PAD: bytes(-head_octets(len(parts) + 1) % ALIGNED)}
    for name, octets in parts.items():
        bodies[name] = octets + bytes(-len(octets) % ALIGNED)
    described = tuple(part_of(name, [octets]) for name, octets in bodies.items())
    return seal(Header(board, version, label, described), sign) + b"".join(bodies.values())
