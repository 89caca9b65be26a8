"""Messages of caller ID and message waiting, as GR-30, GR-31, GR-188 and EN 300 659-3 have them.

A message is a type, a length, contents, and a checksum that makes the sum of all octets a multiple
of 256. Its contents are fixed fields (SDMF) or parameters of the same shape (MDMF).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

SDMF_CALL = 0x04
SDMF_WAITING = 0x06
MDMF_CALL = 0x80
MDMF_WAITING = 0x82
TIME, NUMBER, NO_NUMBER, NAME, NO_NAME = 0x01, 0x02, 0x04, 0x07, 0x08
"""Parameters of a call (GR-30, 2.4; EN 300 659-3, 5.4)."""
INDICATOR = 0x0B
"""Visual indicator of a message-waiting message: 0xFF lights it, 0x00 puts it out."""
CALL_TYPE = 0x11
VOICE_CALL = 0x01
PRIVATE, UNAVAILABLE = "P", "O"
MOST_DIGITS = 20
_SDMF_LAMP = {True: b"\x42\x42\x42", False: b"\x6f\x6f\x6f"}
_NO_TIME = "01010000"
_MOST_CONTENTS = 254

Format = Literal["sdmf", "mdmf"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as the network says it."""

    number: str = ""
    """Digits, perhaps with a leading +; empty when there is none."""
    name: str = ""
    withheld: bool = False
    """The caller wants neither number nor name shown: `private`, where else `unavailable`."""

    def digits(self, keep_plus: bool = False) -> str:
        """The number without separators, at most 20 digits; empty if it is none, or withheld."""
        if self.withheld:
            return ""
        bare = "".join(one for one in self.number if one not in " -.()")
        digits = bare.removeprefix("+")
        if not digits or not (digits.isascii() and digits.isdigit()):
            return ""
        return ("+" if keep_plus and bare != digits else "") + digits[:MOST_DIGITS]

    def shown_name(self, most: int) -> str:
        """The name in ASCII, at most so long; a user name where the number is none."""
        if self.withheld:
            return ""
        name = self.name or ("" if self.digits() else self.number)
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
        return "".join(one for one in plain if one.isprintable())[:most].strip()


NOBODY = Caller()
"""The network says nothing of who calls."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, whatever it says."""

    kind: int
    contents: bytes

    def __post_init__(self) -> None:
        assert 0 <= self.kind <= 255, "a type is an octet"
        assert len(self.contents) <= _MOST_CONTENTS, "the length is an octet"

    def to_bytes(self) -> bytes:
        """As it travels, with its checksum."""
        octets = bytes((self.kind, len(self.contents))) + self.contents
        return octets + bytes((-sum(octets) % 256,))

    @staticmethod
    def from_bytes(octets: bytes) -> Message:
        """Read one.

        Raises:
            ValueError: it is cut short, or its checksum is wrong.
        """
        if len(octets) < 3 or len(octets) < octets[1] + 3:
            raise ValueError("the message is cut short")
        octets = octets[: octets[1] + 3]
        if sum(octets) % 256:
            raise ValueError("the checksum is wrong")
        return Message(octets[0], octets[2:-1])

    def parameters(self) -> dict[int, bytes]:
        """Parameters of an MDMF message by type.

        Raises:
            ValueError: one is cut short.
        """
        found: dict[int, bytes] = {}
        rest = self.contents
        while rest:
            if len(rest) < 2 or len(rest) < rest[1] + 2:
                raise ValueError("a parameter is cut short")
            found[rest[0]] = rest[2 : rest[1] + 2]
            rest = rest[rest[1] + 2 :]
        return found


def call_message(
    caller: Caller,
    local: datetime | None,
    shape: Format,
    most_name: int = 15,
    keep_plus: bool = False,
    call_type: bool = False,
) -> Message:
    """Caller ID of a call.

    Args:
        local: the time at the telephone; None if the device does not know it. MDMF leaves it out
            then; SDMF has to say something.
        most_name: letters of a name (15 in GR-1188, 50 in EN 300 659-3).
        keep_plus: an international number keeps its +.
        call_type: begin with the type of call, as EN 300 659-3 and SIN 227 do.
    """
    time = f"{local:%m%d%H%M}" if local is not None else ""
    number = caller.digits(keep_plus)
    reason = PRIVATE if caller.withheld else UNAVAILABLE
    if shape == "sdmf":
        return Message(SDMF_CALL, f"{time or _NO_TIME}{number or reason}".encode("ascii"))
    contents = bytes((CALL_TYPE, 1, VOICE_CALL)) if call_type else b""
    if time:
        contents += _parameter(TIME, time)
    contents += _parameter(NUMBER, number) if number else _parameter(NO_NUMBER, reason)
    name = caller.shown_name(most_name)
    contents += _parameter(NAME, name) if name else _parameter(NO_NAME, reason)
    return Message(MDMF_CALL, contents)


def waiting_message(waiting: bool, shape: Format) -> Message:
    """Visual message waiting indicator (VMWI): on or off."""
    if shape == "sdmf":
        return Message(SDMF_WAITING, _SDMF_LAMP[waiting])
    return Message(MDMF_WAITING, bytes((INDICATOR, 1, 0xFF if waiting else 0x00)))


def _parameter(kind: int, text: str) -> bytes:
    octets = text.encode("ascii")
    return bytes((kind, len(octets))) + octets
