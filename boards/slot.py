"""How an image stands in a slot: a table in the first 4096 octets, then the image as it is.

The table is one block in the format of U-Boot's environment, hexadecimal like all there: for each
part its place (`kernel_at`) and length (`kernel_blocks`) in blocks of 512 octets counted from the
start of the slot, what it is in octets (`kernel_octets`) and its CRC-32 (`kernel_crc`), and the
`version`. A boot script reads it by `env import -c`. Whoever fills a slot writes the table last, so
that a slot which was filled in part has none and does not boot. Rescue has one of its own, of the
same kind. Runs under MicroPython, too: standard library alone, no dataclasses.
"""

import binascii

from boards import environment
from firmware.wire.image_check import ImageCheck, Piece, head_octets

TABLE_OCTETS = environment.BLOCK_OCTETS
"""The image begins behind it."""
BLOCK = 512
"""Octets; the unit of the places in a table."""
ALIGNED = 4096
"""Parts begin at multiples of so many octets in a slot: any block device can read them there."""
SYSTEM = ("kernel", "initramfs", "root")
"""Parts that a system boots from; rescue has no `root`."""
RESCUE = "rescue"
"""The part that tells a rescue system from one for a slot: neither goes to the other's place."""
NOT_FOR_A_SLOT = "this is a rescue system: it goes to its own place by `tasks.py flash --rescue`"
NOT_FOR_RESCUE = "this is a system for a slot: flash it without --rescue"


class Part:
    """Where a part stands."""

    def __init__(self, name: str, offset: int, octets: int, crc: int) -> None:
        """
        Args:
            offset: octets from the start of the slot, a multiple of `BLOCK`.
            crc: CRC-32 of its `octets`.
        """
        self.name = name
        self.offset = offset
        self.octets = octets
        self.crc = crc

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Part) and self._all() == other._all()

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return f"Part({self.name!r}, {self.offset:#x}, {self.octets:#x}, {self.crc:#x})"

    def _all(self) -> "tuple[str, int, int, int]":
        return self.name, self.offset, self.octets, self.crc


def encode_table(version: int, parts: "list[Part]") -> bytes:
    """The table of a slot, `TABLE_OCTETS` long.

    Raises:
        ValueError: a part does not begin at a block, or has a name that U-Boot does not take.
    """
    values = {"version": f"{version:x}"}
    for part in parts:
        if part.offset % BLOCK:
            raise ValueError(f"the part {part.name} begins within a block: make the image anew")
        values[part.name + "_at"] = f"{part.offset // BLOCK:x}"
        values[part.name + "_blocks"] = f"{-(-part.octets // BLOCK):x}"
        values[part.name + "_octets"] = f"{part.octets:x}"
        values[part.name + "_crc"] = f"{part.crc:08x}"
    return environment.encode(values)


def decode_table(block: bytes) -> "tuple[int, list[Part]] | None":
    """Version and parts of a table; None where it is damaged, blank, or says what cannot be."""
    values = environment.decode(block)
    if values is None:
        return None
    try:
        parts = [
            Part(
                key[:-3],
                int(values[key], 16) * BLOCK,
                int(values[key[:-3] + "_octets"], 16),
                int(values[key[:-3] + "_crc"], 16),
            )
            for key in values
            if key.endswith("_at")
        ]
        return int(values["version"], 16), sorted(parts, key=lambda part: part.offset)
    except (KeyError, ValueError):
        return None


class Placing:
    """Makes the table while an image comes in through an `ImageCheck`: nothing is held."""

    def __init__(self, check: ImageCheck) -> None:
        self._check = check
        self._crcs: dict[str, int] = {}

    def take(self, pieces: "list[Piece]") -> None:
        """Take what `ImageCheck.feed` gave back."""
        for piece in pieces:
            crc = self._crcs.get(piece.part, 0)
            self._crcs[piece.part] = binascii.crc32(piece.octets, crc)

    def table(self) -> bytes:
        """The table, to be written last; the image has to be complete.

        Raises:
            ValueError: see `encode_table`.
        """
        assert self._check.complete
        offset = TABLE_OCTETS + head_octets(len(self._check.parts))
        parts = []
        for name, octets, _ in self._check.parts:
            if name in SYSTEM:
                parts.append(Part(name, offset, octets, self._crcs.get(name, 0)))
            offset += octets
        return encode_table(self._check.version, parts)


def slot_octets(image: bytes, board: str) -> bytes:
    """What a slot holds with this image in it, from its start; signatures are not looked at.

    Raises:
        ImageError: the image is damaged, or another board's.
        ValueError: see `encode_table`.
    """
    check = ImageCheck(board, 0, None)
    placing = Placing(check)
    placing.take(check.feed(image))
    check.finish()
    return placing.table() + image
