"""One block in the format of U-Boot's environment: a CRC-32, then `name=value` strings.

The four octets at the start are the CRC-32 of all that follows, little-endian; each string ends
with a NUL, and an empty one ends the list (U-Boot, `env export -c`, `env import -c`; `mkenvimage`).
What fills the rest of the block counts for the CRC alone. Runs under MicroPython, too.
"""

import binascii
import struct

BLOCK_OCTETS = 4096
_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"


def encode(values: dict[str, str], octets: int = BLOCK_OCTETS) -> bytes:
    """A block with these values, in their order.

    Args:
        values: names of letters, digits and `_`; values of printable ASCII.
        octets: length of the whole block.
    Raises:
        ValueError: a name or value that U-Boot would not read back, or more than fits.
    """
    body = bytearray()
    for name, value in values.items():
        if not name or any(one not in _NAME_CHARACTERS for one in name):
            raise ValueError(f"{name!r} is no name of U-Boot's environment")
        if any(not " " <= one <= "~" for one in value):
            raise ValueError(f"{name}: {value!r} is not printable ASCII")
        body += f"{name}={value}".encode() + b"\0"
    body += b"\0"
    room = octets - 4
    if len(body) > room:
        raise ValueError(f"{len(body)} octets do not fit into {room}")
    body += b"\0" * (room - len(body))
    return struct.pack("<I", binascii.crc32(body)) + bytes(body)


def decode(block: bytes) -> dict[str, str] | None:
    """The values of a block, or None where its CRC is wrong or it is no list of values.

    Of a name that stands there twice the last value counts, as in U-Boot.
    """
    if len(block) < 6 or struct.unpack("<I", block[:4])[0] != binascii.crc32(block[4:]):
        return None
    strings, end, _ = block[4:].partition(b"\0\0")
    if not end:
        return None
    values = {}
    for entry in strings.split(b"\0"):
        name, sign, value = entry.partition(b"=")
        if not sign or not name or any(not 32 <= one <= 126 for one in entry):
            return None
        values[name.decode()] = value.decode()
    return values
