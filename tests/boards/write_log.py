"""What a disk was written, in order, and what a power cut at any moment leaves of it.

QEMU's `blklogwrites` records in the format of Linux's dm-log-writes
(Documentation/admin-guide/device-mapper/log-writes.rst): a super block, then for each request a
sector that describes it and what was written. What came before the last flush is on the disk; of
the requests behind it each may have arrived, or not, or in part.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
_MAGIC = 0x6A736677736872
_FLUSH, _FUA, _DISCARD = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the disk."""

    offset: int
    octets: bytes
    """What was written; empty for a flush alone."""
    flush: bool
    """All requests before it are on the disk when it begins."""
    fua: bool
    """It is itself on the disk when it ends."""


def parse(path: Path) -> list[Request]:
    """The requests of a log, in order.

    Raises:
        ValueError: it is none, or was cut short.
    """
    log = path.read_bytes()
    magic, version, count, size = struct.unpack_from("<QQQI", log)
    if magic != _MAGIC or version != 1 or size != SECTOR:
        raise ValueError(f"{path} is no log of writes with sectors of {SECTOR} octets")
    at, requests = SECTOR, []
    for _ in range(count):
        sector, sectors, flags, _ = struct.unpack_from("<QQQQ", log, at)
        at += SECTOR
        length = 0 if flags & _DISCARD else sectors * SECTOR
        octets = log[at : at + length]
        if len(octets) != length:
            raise ValueError(f"{path} ends within a request")
        at += length
        requests.append(Request(sector * SECTOR, octets, bool(flags & _FLUSH), bool(flags & _FUA)))
    return requests


def recording(disk: Path, log: Path) -> tuple[str, ...]:
    """QEMU's options for a flash whose writes are recorded."""
    log.write_bytes(b"")
    return (
        *("-blockdev", f"driver=file,filename={disk},node-name=file"),
        *("-blockdev", f"driver=file,filename={log},node-name=log"),
        *("-blockdev", "driver=blklogwrites,file=file,log=log,log-sector-size=512,node-name=flash"),
    )


@dataclass(slots=True)
class Disk:
    """A disk as a power cut leaves it: sectors over what it was before the recording."""

    base: Path
    sectors: dict[int, bytes] = field(default_factory=dict)

    def write(self, offset: int, octets: bytes) -> None:
        """Whole sectors alone."""
        assert offset % SECTOR == 0
        assert len(octets) % SECTOR == 0
        for at in range(0, len(octets), SECTOR):
            self.sectors[(offset + at) // SECTOR] = octets[at : at + SECTOR]

    def read(self, offset: int, length: int) -> bytes:
        """Octets, from the start of a sector."""
        assert offset % SECTOR == 0
        with self.base.open("rb") as stream:
            stream.seek(offset)
            octets = bytearray(stream.read(length))
        for at in range(0, length, SECTOR):
            written = self.sectors.get((offset + at) // SECTOR)
            if written is not None:
                octets[at : at + SECTOR] = written
        return bytes(octets[:length])

    def save(self, path: Path) -> None:
        """Make it a file of its own, as sparse as its base."""
        size = self.base.stat().st_size
        with self.base.open("rb") as source, path.open("wb") as out:
            out.truncate(size)
            for at in range(0, size, 1 << 20):
                piece = source.read(1 << 20)
                if piece.strip(b"\0"):
                    out.seek(at)
                    out.write(piece)
            for number, octets in self.sectors.items():
                out.seek(number * SECTOR)
                out.write(octets)


def cut(base: Path, requests: list[Request], index: int, seed: int) -> Disk:
    """The disk when the power goes within the request `index`.

    Everything flushed before is there. Of each request behind the last flush, and of this one,
    chance says how many sectors have arrived; the one under the head may hold anything.
    """
    chance, disk = random.Random(seed), Disk(base)
    durable = max((at for at in range(index + 1) if requests[at].flush), default=0)
    for at, request in enumerate(requests[: index + 1]):
        whole = at < durable or (request.fua and at < index)
        if whole or (at < index and chance.random() < 0.5):
            disk.write(request.offset, request.octets)
            continue
        arrived = chance.randint(0, len(request.octets) // SECTOR)
        disk.write(request.offset, request.octets[: arrived * SECTOR])
        if arrived * SECTOR < len(request.octets) and chance.random() < 0.5:
            disk.write(request.offset + arrived * SECTOR, chance.randbytes(SECTOR))
    return disk
