"""Information elements (RFC 5456, 8.6, and those that came later): the table, and octets.

An element of the table whose length does not fit its type is kept as octets, like an unknown one:
what a peer adds to the protocol ends no call. `reference` describes the same with `construct`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import Literal, NamedTuple

from firmware.wire.errors import PeerError
from firmware.wire.iax2 import addresses

Value = int | str | bytes | tuple[str, int] | None
"""Text, number, octets, an address with its port; None for an element without content."""

Kind = Literal["text", "u8", "u16", "u32", "u64", "empty", "address", "octets"]
"""`u64` has an octet of version 0 before it; `address` is a socket address as C has it."""


class Ie(IntEnum):
    """Codes of information elements."""

    CALLED_NUMBER = 0x01
    CALLING_NUMBER = 0x02
    CALLING_ANI = 0x03
    CALLING_NAME = 0x04
    CALLED_CONTEXT = 0x05
    USERNAME = 0x06
    PASSWORD = 0x07
    CAPABILITY = 0x08
    FORMAT = 0x09
    LANGUAGE = 0x0A
    VERSION = 0x0B
    ADSICPE = 0x0C
    DNID = 0x0D
    AUTHMETHODS = 0x0E
    CHALLENGE = 0x0F
    MD5_RESULT = 0x10
    RSA_RESULT = 0x11
    APPARENT_ADDR = 0x12
    REFRESH = 0x13
    DPSTATUS = 0x14
    CALLNO = 0x15
    CAUSE = 0x16
    IAX_UNKNOWN = 0x17
    MSGCOUNT = 0x18
    AUTOANSWER = 0x19
    MUSICONHOLD = 0x1A
    TRANSFERID = 0x1B
    RDNIS = 0x1C
    PROVISIONING = 0x1D
    AESPROVISIONING = 0x1E
    DATETIME = 0x1F
    DEVICETYPE = 0x20
    SERVICEIDENT = 0x21
    FIRMWAREVER = 0x22
    FWBLOCKDESC = 0x23
    FWBLOCKDATA = 0x24
    PROVVER = 0x25
    CALLINGPRES = 0x26
    CALLINGTON = 0x27
    CALLINGTNS = 0x28
    SAMPLINGRATE = 0x29
    CAUSECODE = 0x2A
    ENCRYPTION = 0x2B
    ENCKEY = 0x2C
    CODEC_PREFS = 0x2D
    RR_JITTER = 0x2E
    RR_LOSS = 0x2F
    RR_PKTS = 0x30
    RR_DELAY = 0x31
    RR_DROPPED = 0x32
    RR_OOO = 0x33
    VARIABLE = 0x34
    OSPTOKEN = 0x35
    CALLTOKEN = 0x36
    CAPABILITY2 = 0x37
    FORMAT2 = 0x38


class Row(NamedTuple):
    """One element of the table."""

    ie: Ie
    kind: Kind
    section: str
    """Of RFC 5456, or what defines it."""


_LATER = "chan_iax2"
TABLE: dict[int, Row] = {
    row.ie: row
    for row in (
        Row(Ie.CALLED_NUMBER, "text", "8.6.1"),
        Row(Ie.CALLING_NUMBER, "text", "8.6.2"),
        Row(Ie.CALLING_ANI, "text", "8.6.3"),
        Row(Ie.CALLING_NAME, "text", "8.6.4"),
        Row(Ie.CALLED_CONTEXT, "text", "8.6.5"),
        Row(Ie.USERNAME, "text", "8.6.6"),
        Row(Ie.PASSWORD, "text", "8.6.7"),
        Row(Ie.CAPABILITY, "u32", "8.6.8"),
        Row(Ie.FORMAT, "u32", "8.6.9"),
        Row(Ie.LANGUAGE, "text", "8.6.10"),
        Row(Ie.VERSION, "u16", "8.6.11"),
        Row(Ie.ADSICPE, "u16", "8.6.12"),
        Row(Ie.DNID, "text", "8.6.13"),
        Row(Ie.AUTHMETHODS, "u16", "8.6.14"),
        Row(Ie.CHALLENGE, "text", "8.6.15"),
        Row(Ie.MD5_RESULT, "text", "8.6.16"),
        Row(Ie.RSA_RESULT, "text", "8.6.17"),
        Row(Ie.APPARENT_ADDR, "address", "8.6.18"),
        Row(Ie.REFRESH, "u16", "8.6.19"),
        Row(Ie.DPSTATUS, "u16", "8.6.20"),
        Row(Ie.CALLNO, "u16", "8.6.21"),
        Row(Ie.CAUSE, "text", "8.6.22"),
        Row(Ie.IAX_UNKNOWN, "u8", "8.6.23"),
        Row(Ie.MSGCOUNT, "u16", "8.6.24"),
        Row(Ie.AUTOANSWER, "empty", "8.6.25"),
        Row(Ie.MUSICONHOLD, "text", "8.6.26"),
        Row(Ie.TRANSFERID, "u32", "8.6.27"),
        Row(Ie.RDNIS, "text", "8.6.28"),
        Row(Ie.PROVISIONING, "octets", _LATER),
        Row(Ie.AESPROVISIONING, "octets", _LATER),
        Row(Ie.DATETIME, "u32", "8.6.29"),
        Row(Ie.DEVICETYPE, "text", _LATER),
        Row(Ie.SERVICEIDENT, "octets", _LATER),
        Row(Ie.FIRMWAREVER, "u16", _LATER),
        Row(Ie.FWBLOCKDESC, "u32", _LATER),
        Row(Ie.FWBLOCKDATA, "octets", _LATER),
        Row(Ie.PROVVER, "u32", _LATER),
        Row(Ie.CALLINGPRES, "u8", "8.6.30"),
        Row(Ie.CALLINGTON, "u8", "8.6.31"),
        Row(Ie.CALLINGTNS, "u16", "8.6.32"),
        Row(Ie.SAMPLINGRATE, "u16", "8.6.33"),
        Row(Ie.CAUSECODE, "u8", "8.6.34"),
        Row(Ie.ENCRYPTION, "u16", "8.6.35"),
        Row(Ie.ENCKEY, "octets", "8.6.36"),
        Row(Ie.CODEC_PREFS, "text", "8.6.37"),
        Row(Ie.RR_JITTER, "u32", "8.6.38"),
        Row(Ie.RR_LOSS, "u32", "8.6.39"),
        Row(Ie.RR_PKTS, "u32", "8.6.40"),
        Row(Ie.RR_DELAY, "u16", "8.6.41"),
        Row(Ie.RR_DROPPED, "u32", "8.6.42"),
        Row(Ie.RR_OOO, "u32", "8.6.43"),
        Row(Ie.VARIABLE, "octets", _LATER),
        Row(Ie.OSPTOKEN, "octets", "8.6.44"),
        Row(Ie.CALLTOKEN, "octets", "AST-2009-006"),
        Row(Ie.CAPABILITY2, "u64", _LATER),
        Row(Ie.FORMAT2, "u64", _LATER),
    )
}

_NUMBERS = {"u8": Struct("!B"), "u16": Struct("!H"), "u32": Struct("!I"), "u64": Struct("!xQ")}
_TEXTS = frozenset(code for code, row in TABLE.items() if row.kind == "text")
_STRUCTS = {code: _NUMBERS[row.kind] for code, row in TABLE.items() if row.kind in _NUMBERS}
_ADDRESSES = frozenset(code for code, row in TABLE.items() if row.kind == "address")
_EMPTY = frozenset(code for code, row in TABLE.items() if row.kind == "empty")


def _value(code: int, content: bytes) -> Value:
    if code in _TEXTS:
        return content.decode("utf-8", "surrogateescape")
    form = _STRUCTS.get(code)
    if form is not None:
        if len(content) != form.size or (form.size == 9 and content[0]):
            return content
        number: int = form.unpack(content)[0]
        return number
    if code in _EMPTY and not content:
        return None
    if code in _ADDRESSES:
        return addresses.from_octets(content) or content
    return content


def _content(code: int, value: Value) -> bytes:
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, int):
        return _STRUCTS[code].pack(value)
    if value is None:
        return b""
    assert isinstance(value, tuple)
    return addresses.to_octets(value)


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of one frame, in their order. Of two of a code the last one counts."""

    pairs: tuple[tuple[int, Value], ...] = ()
    values: dict[int, Value] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", dict(self.pairs))

    @staticmethod
    def of(pairs: Iterable[tuple[int, Value]]) -> Elements:
        """From pairs, in order."""
        return Elements(tuple(pairs))

    @staticmethod
    def from_bytes(data: bytes) -> Elements:
        """Read the body of an IAX frame.

        Raises:
            PeerError: an element is cut short.
        """
        pairs: list[tuple[int, Value]] = []
        at, end = 0, len(data)
        while at < end:
            if at + 2 > end or at + 2 + data[at + 1] > end:
                raise PeerError("an information element is cut short")
            code, start = data[at], at + 2
            at = start + data[at + 1]
            pairs.append((code, _value(code, data[start:at])))
        return Elements(tuple(pairs))

    def to_bytes(self) -> bytes:
        """The body as it travels. A text that does not fit is cut at 255 octets."""
        return encode(self.pairs)

    def __contains__(self, code: int) -> bool:
        return code in self.values

    def text(self, code: int) -> str:
        """A text, "" where it is missing."""
        value = self.values.get(code)
        return value if isinstance(value, str) else ""

    def number(self, code: int) -> int | None:
        """A number, None where it is missing."""
        value = self.values.get(code)
        return value if isinstance(value, int) else None

    def octets(self, code: int) -> bytes | None:
        """Octets, None where the element is missing."""
        value = self.values.get(code)
        return value if isinstance(value, bytes) else None

    def address(self, code: int) -> tuple[str, int] | None:
        """An address with its port, None where it is missing."""
        value = self.values.get(code)
        if isinstance(value, bytes):
            # What C left in the padding does not matter to who reads.
            return addresses.read(value)
        return value if isinstance(value, tuple) else None


def encode(pairs: Iterable[tuple[int, Value]]) -> bytes:
    """The body of an IAX frame made of these elements."""
    parts: list[bytes] = []
    for code, value in pairs:
        content = _content(code, value)
        if len(content) > 255:
            # Not within a character of UTF-8, which would be a mistake in the text.
            content = content[:255].decode("utf-8", "ignore").encode()
        parts.append(bytes((code, len(content))))
        parts.append(content)
    return b"".join(parts)


NOTHING = Elements()
