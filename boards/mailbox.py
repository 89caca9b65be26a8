"""A device's configuration on its way through the boot loader: a region that the system empties.

The boot loader writes blocks and knows no file system that it could safely write; a login on the
console, through which Linux could take a file, would be open to anybody with a cable. So the
configuration is written as it is into a region of its own, and the system in the slot, when it
starts, puts it in its place and clears the region: `take`. Head: magic, length and CRC-32 of what
follows, big-endian; what was written in part is none. Another magic alone, `WIPE`, asks for the
defaults: the system clears the persistent part before it mounts it, then the region, so that a
power cut on the way has it begin anew.
"""

from __future__ import annotations

import argparse
import binascii
import os
import struct
import sys
from pathlib import Path

HEAD_OCTETS = 16
_HEAD = struct.Struct(">8sII")
_MAGIC = b"LOOPMAIL"
WIPE = b"LOOPWIPE"
"""At the start of a mailbox: restore the defaults. `boards/image/system/init` does."""


def encode(octets: bytes) -> bytes:
    """A mailbox that holds these octets."""
    return _HEAD.pack(_MAGIC, len(octets), binascii.crc32(octets)) + octets


def decode(region: bytes) -> bytes | None:
    """What a mailbox holds; None where it is empty, or was written in part.

    A head whose second half did not arrive is that of no octets at all, with their CRC.
    """
    if len(region) < _HEAD.size:
        return None
    magic, length, crc = _HEAD.unpack_from(region)
    octets = region[_HEAD.size : _HEAD.size + length]
    if magic != _MAGIC or not length or len(octets) != length or binascii.crc32(octets) != crc:
        return None
    return octets


def take(device: Path, offset: int, octets: int, target: Path) -> bool:
    """Put what the mailbox holds in its place, and clear it; False where it holds nothing.

    A power cut leaves the old file or the new one, and a mailbox that is not cleared yet is taken
    again.

    Raises:
        OSError: the device cannot be read or written, or the file not be written.
    """
    with device.open("r+b") as stream:
        stream.seek(offset)
        held = decode(stream.read(octets))
        if held is None:
            return False
        fresh = target.with_name(target.name + ".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(held)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        stream.seek(offset)
        stream.write(bytes(_HEAD.size + len(held)))
        stream.flush()
        os.fsync(stream.fileno())
    return True


def main(words: list[str]) -> int:
    """On the board: exit status 0 where the mailbox was taken, 1 where it is empty, 2 on errors."""
    parser = argparse.ArgumentParser(description="Puts what the mailbox holds in its place.")
    parser.add_argument("device", type=Path)
    parser.add_argument("offset", type=lambda text: int(text, 0))
    parser.add_argument("octets", type=lambda text: int(text, 0))
    parser.add_argument("target", type=Path)
    given = parser.parse_args(words)
    try:
        return 0 if take(given.device, given.offset, given.octets, given.target) else 1
    except OSError as error:
        print(f"mailbox: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
