"""What the boot loader finds first: the sector with the part table, and the part with boot.scr.

Both are written once, by the flasher, and never by an update. They depend on the board file alone,
so that the same file gives the same octets. The FAT file system holds one file and is written here
rather than by mtools, since the flasher runs where a technician is; it is as Microsoft's "FAT:
General Overview of On-Disk Format" 1.03 has it.
"""

from __future__ import annotations

import binascii
import struct

from boards.board import Board
from boards.boot_script import script
from boards.hardware import Flash, Region

SECTOR = 512
SCRIPT_NAME = "boot.scr"
_CLUSTER_SECTORS = 8
_DIRECTORY_ENTRIES = 16
_FAT12_MOST_CLUSTERS = 4084
_DATE, _TIME = (40 << 9) | (1 << 5) | 1, 0  # of the file: 1 January 2020, whenever it is made
_ID = 0x4C4F4F50  # of disk and part: says LOOP
_MAGIC = 0x27051956
_ACTIVE, _FAT12, _LINUX = 0x80, 0x01, 0x83


def first_sector(flash: Flash, kind: int = _FAT12) -> bytes:
    """The master boot record: names the parts `boot`, active, and `persistent`; 512 octets.

    Args:
        kind: of the file system in `boot`, as part tables number them.
    """
    parts = _entry(_ACTIVE, kind, flash.boot) + _entry(0, _LINUX, flash.persistent)
    return bytes(440) + struct.pack("<IH", _ID, 0) + parts.ljust(64, b"\0") + b"\x55\xaa"


def boot_part(board: Board) -> bytes:
    """What the region `boot` begins with; whatever stands behind it does not count.

    Raises:
        ValueError: the board has no flash, or the script does not fit into its region.
    """
    if board.flash is None:
        raise ValueError(f"{board.name} has no [flash]: there is nothing to boot from")
    return file_system(board.flash.boot.octets // SECTOR, SCRIPT_NAME, legacy_image(script(board)))


def legacy_image(text: str) -> bytes:
    """A script in the envelope that `source` takes: U-Boot's legacy image, `mkimage -T script`."""
    body = text.encode("ascii")
    data = struct.pack(">II", len(body), 0) + body
    kind = (5, 2, 6, 0)  # Linux, ARM, script, not compressed; `source` looks at the third alone
    numbers = (_MAGIC, 0, 0, len(data), 0, 0, binascii.crc32(data))
    head = struct.pack(">7I4B32s", *numbers, *kind, b"Loopstart")
    return head[:4] + struct.pack(">I", binascii.crc32(head)) + head[8:] + data


def file_system(sectors: int, name: str, octets: bytes) -> bytes:
    """A FAT12 file system with one file: the octets up to the end of the file.

    Args:
        sectors: of the part.
        name: as in `boot.scr`, 8 and 3 letters at most.
    Raises:
        ValueError: the part is of a size that FAT12 is not for, or too small for the file.
    """
    clusters = sectors // _CLUSTER_SECTORS
    table_sectors = -(-(clusters + 2) * 3 // (2 * SECTOR))
    if not 1 <= clusters <= _FAT12_MOST_CLUSTERS:
        most = _FAT12_MOST_CLUSTERS * _CLUSTER_SECTORS * SECTOR
        raise ValueError(f"the region boot must have at most {most:#x} octets")
    used = -(-len(octets) // (_CLUSTER_SECTORS * SECTOR))
    system_sectors = 1 + 2 * table_sectors + _DIRECTORY_ENTRIES * 32 // SECTOR
    if system_sectors + used * _CLUSTER_SECTORS > sectors:
        raise ValueError(f"{len(octets)} octets do not fit into the region boot: make it bigger")
    table = _table(used).ljust(table_sectors * SECTOR, b"\0")
    base, _, extension = name.upper().partition(".")
    entry = struct.pack(
        "<8s3sBBBHHHHHHHI",
        *(base.encode().ljust(8), extension.encode().ljust(3)),
        *(0x21, 0, 0, _TIME, _DATE, _DATE, 0, _TIME, _DATE, 2 if used else 0, len(octets)),
    )
    directory = entry.ljust(_DIRECTORY_ENTRIES * 32, b"\0")
    return _boot_sector(sectors, table_sectors) + table + table + directory + octets


def _table(used: int) -> bytes:
    """A file allocation table of a file in the first clusters: chains of 12 bits."""
    chain = [0xFF8, 0xFFF, *range(3, 2 + used), 0xFFF][: 2 + used]
    packed: int = sum(value << (12 * at) for at, value in enumerate(chain))
    return packed.to_bytes(-(-len(chain) * 3 // 2), "little")


def _boot_sector(sectors: int, table_sectors: int) -> bytes:
    short, long = (sectors, 0) if sectors < 0x10000 else (0, sectors)
    head = struct.pack(
        "<3s8sHBHBHHBHHHII",
        *(b"\xeb\x3c\x90", b"LOOPSTRT", SECTOR, _CLUSTER_SECTORS, 1, 2, _DIRECTORY_ENTRIES),
        *(short, 0xF8, table_sectors, 63, 255, 0, long),
    )
    tail = struct.pack("<BBBI11s8s", 0x80, 0, 0x29, _ID, b"NO NAME    ", b"FAT12   ")
    return (head + tail).ljust(510, b"\0") + b"\x55\xaa"


def _entry(active: int, kind: int, region: Region) -> bytes:
    """An entry of the part table; places by cylinder and head are given up, as on any big disk."""
    nowhere = b"\xfe\xff\xff"
    start, sectors = region.offset // SECTOR, region.octets // SECTOR
    return struct.pack("<B3sB3sII", active, nowhere, kind, nowhere, start, sectors)
