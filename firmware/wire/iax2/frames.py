"""Frames as values (RFC 5456, 8.1): full, mini and trunk frames, read and written with `struct`.

The paths that every 20 ms of audio takes, in `endpoint` and `voice`, use the structs alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from firmware.wire.errors import PeerError
from firmware.wire.iax2.elements import Elements
from firmware.wire.iax2.kinds import compress, uncompress

FULL = Struct("!HHIBBBB")
"""Source with the full bit, destination with the retransmission bit, timestamp, oseqno, iseqno,
type, subclass."""
MINI = Struct("!HH")
META = Struct("!HBBI")
"""Zeros, meta command, command data, timestamp."""
TRUNK_MINI = Struct("!HHH")
"""Octets of audio, call number, low half of the timestamp."""
TRUNK_ENTRY = Struct("!HH")
"""Call number, octets of audio."""

FULL_OCTETS = 12
FULL_BIT = 0x8000
META_TRUNK = 1
MAX_CALL_NUMBER = 0x7FFF


class Iax2PeerError(PeerError):
    """Octets that are no frame of IAX2, or a frame that we do not take."""


@dataclass(frozen=True, slots=True)
class FullFrame:
    """A frame that is delivered reliably (RFC 5456, 8.1.1)."""

    source: int
    """The sender's call number, 1 to 32767."""
    destination: int
    """Our call number, 0 where the sender does not know it yet."""
    timestamp_ms: int
    """Milliseconds since the call began at the sender, modulo 2**32."""
    oseqno: int
    iseqno: int
    type: int
    subclass: int
    payload: bytes = b""
    """Information elements for IAX frames, else media or text."""
    retransmission: bool = False

    @staticmethod
    def from_bytes(data: bytes) -> FullFrame:
        """Read one datagram.

        Raises:
            Iax2PeerError: too short, or no full frame.
        """
        if len(data) < FULL_OCTETS:
            raise Iax2PeerError("shorter than a full frame")
        source, destination, timestamp, oseqno, iseqno, kind, subclass = FULL.unpack_from(data)
        if not source & FULL_BIT:
            raise Iax2PeerError("not a full frame")
        return FullFrame(
            source & MAX_CALL_NUMBER,
            destination & MAX_CALL_NUMBER,
            timestamp,
            oseqno,
            iseqno,
            kind,
            uncompress(subclass),
            data[FULL_OCTETS:],
            bool(destination & FULL_BIT),
        )

    def to_bytes(self) -> bytes:
        """The frame as it travels."""
        subclass = 0xFF if self.subclass == -1 else compress(self.subclass)
        return self._head(subclass) + self.payload

    def _head(self, subclass: int) -> bytes:
        return FULL.pack(
            self.source | FULL_BIT,
            self.destination | (FULL_BIT if self.retransmission else 0),
            self.timestamp_ms,
            self.oseqno,
            self.iseqno,
            self.type,
            subclass,
        )

    @property
    def elements(self) -> Elements:
        """The information elements of an IAX frame.

        Raises:
            PeerError: an element is cut short.
        """
        return Elements.from_bytes(self.payload)


@dataclass(frozen=True, slots=True)
class MiniFrame:
    """Audio without guarantee (RFC 5456, 8.1.2)."""

    source: int
    timestamp_ms: int
    """Its low 16 bits."""
    payload: bytes

    @staticmethod
    def from_bytes(data: bytes) -> MiniFrame:
        """Read one datagram.

        Raises:
            Iax2PeerError: too short, or another kind of frame.
        """
        if len(data) < 4:
            raise Iax2PeerError("shorter than a mini frame")
        source, timestamp = MINI.unpack_from(data)
        if source & FULL_BIT or not source:
            raise Iax2PeerError("not a mini frame")
        return MiniFrame(source, timestamp, data[4:])

    def to_bytes(self) -> bytes:
        """The frame as it travels."""
        return MINI.pack(self.source, self.timestamp_ms) + self.payload


@dataclass(frozen=True, slots=True)
class TrunkEntry:
    """One call's audio in a trunk frame."""

    source: int
    timestamp_ms: int | None
    """Its low 16 bits; None in a frame without timestamps of its entries."""
    payload: bytes


@dataclass(frozen=True, slots=True)
class TrunkFrame:
    """Audio of many calls in one datagram (RFC 5456, 8.1.3.1)."""

    timestamp_ms: int
    timestamps: bool
    """Whether each entry bears its own."""
    entries: tuple[TrunkEntry, ...]

    @staticmethod
    def from_bytes(data: bytes) -> TrunkFrame:
        """Read one datagram.

        Raises:
            Iax2PeerError: cut short, meta video, or an unknown meta command.
        """
        if len(data) < META.size:
            raise Iax2PeerError("shorter than a meta frame")
        zeros, command, flags, timestamp = META.unpack_from(data)
        if zeros:
            raise Iax2PeerError("not a meta frame")
        if command != META_TRUNK or flags > 1:
            raise Iax2PeerError("meta video" if command & 0x80 else "unknown meta command")
        entries: list[TrunkEntry] = []
        at, end = META.size, len(data)
        while at < end:
            if at + (6 if flags else 4) > end:
                raise Iax2PeerError("a trunk entry is cut short")
            low: int | None = None
            if flags:
                length, source, low = TRUNK_MINI.unpack_from(data, at)
                at += 6
            else:
                source, length = TRUNK_ENTRY.unpack_from(data, at)
                at += 4
            if at + length > end:
                raise Iax2PeerError("a trunk entry is cut short")
            entries.append(TrunkEntry(source & MAX_CALL_NUMBER, low, data[at : at + length]))
            at += length
        return TrunkFrame(timestamp, bool(flags), tuple(entries))

    def to_bytes(self) -> bytes:
        """The frame as it travels."""
        parts = [META.pack(0, META_TRUNK, int(self.timestamps), self.timestamp_ms)]
        for entry in self.entries:
            if self.timestamps:
                assert entry.timestamp_ms is not None, "an entry without its timestamp"
                size = len(entry.payload)
                parts.append(TRUNK_MINI.pack(size, entry.source, entry.timestamp_ms))
            else:
                parts.append(TRUNK_ENTRY.pack(entry.source, len(entry.payload)))
            parts.append(entry.payload)
        return b"".join(parts)
