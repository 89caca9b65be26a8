"""Checks an image while it comes in, piece by piece: no more than its header is ever held.

The format is described in `image`. Runs under MicroPython, too: standard library alone, no
dataclasses.
"""

import hashlib
import struct

from firmware.wire.errors import PeerError

MAGIC = b"LOOPIMG\n"
FORMAT = 1
NAME_OCTETS = 32
PART_NAME_OCTETS = 16
SIGNATURE_OCTETS = 64
MAX_PARTS = 8

_START = ">8sHBB"
_START_OCTETS = struct.calcsize(_START)
_NAMES = ">I32s32s"
_PART = ">16sI32s"


def head_octets(count: int) -> int:
    """Octets of header and signature of an image with so many parts: what stands before them."""
    fixed = _START_OCTETS + struct.calcsize(_NAMES) + SIGNATURE_OCTETS
    return fixed + count * struct.calcsize(_PART)


class ImageError(PeerError):
    """An image that is not taken. Its words say why, and what to do."""


class NotAnImage(ImageError):
    """Something else than an image, or one of a format that is not known here."""


class MissingSignature(ImageError):
    """Nobody has signed the image."""


class BadSignature(ImageError):
    """The header is not what was signed, or another key has signed it."""


class WrongBoard(ImageError):
    """The image is for another board."""


class BelowFloor(ImageError):
    """The image is older than what the board takes."""


class BadHash(ImageError):
    """A part is not the one that the header describes."""


class Truncated(ImageError):
    """The image ends too early."""


class TrailingOctets(ImageError):
    """The image goes on after its last part."""


class Piece:
    """Octets of one part, in order; they are not proved before the whole part has come in."""

    def __init__(self, part: str, offset: int, octets: bytes) -> None:
        self.part = part
        self.offset = offset
        self.octets = octets


class ImageCheck:
    """Takes an image in pieces of any length, and refuses it as soon as something is wrong.

    Attributes:
        board, version, label: of the header; None, 0 and None until it is proved.
        parts: `(name, octets, sha256)` of each part, in order; empty until then.
    """

    def __init__(self, board, floor, verify) -> None:  # type: ignore[no-untyped-def]
        """
        Args:
            board: name of the board that the image has to be for.
            floor: the lowest version that is taken.
            verify: `verify(message, signature)` says whether the key that this board trusts has
                signed these octets; None: signatures are not asked for.
        """
        self.wanted_board: str = board
        self.floor: int = floor
        self.board: str | None = None
        self.version = 0
        self.label: str | None = None
        self.parts: list[tuple[str, int, bytes]] = []
        self._verify = verify
        self._head = bytearray()
        self._at = 0
        """Index of the part that comes in."""
        self._taken = 0
        """Octets of it that have come in."""
        self._digest = hashlib.sha256()

    @property
    def complete(self) -> bool:
        """Has every part come in, and proved to be the right one?"""
        return bool(self.parts) and self._at == len(self.parts)

    def again(self) -> "ImageCheck":
        """One like this that has seen nothing yet: for what was written, when it is read back."""
        return ImageCheck(self.wanted_board, self.floor, self._verify)

    def feed(self, octets: bytes) -> list[Piece]:
        """Take the next octets of the image; what is of its parts comes back.

        Raises:
            ImageError: the image is refused; what came of it so far is not to be used.
        """
        if not self.parts:
            octets = self._header(octets)
            if not self.parts:
                return []
        pieces: list[Piece] = []
        while True:
            self._end_parts()
            if not octets:
                return pieces
            if self.complete:
                raise TrailingOctets(
                    "the image goes on after its last part: it is not as made; fetch it again"
                )
            name, length, _ = self.parts[self._at]
            piece = octets[: length - self._taken]
            octets = octets[len(piece) :]
            self._digest.update(piece)
            pieces.append(Piece(name, self._taken, piece))
            self._taken += len(piece)

    def finish(self) -> None:
        """Say that nothing more comes.

        Raises:
            Truncated: there should have been more.
        """
        if not self.parts:
            raise Truncated(
                f"the image ends after {len(self._head)} octets, within its header; fetch it again"
            )
        if not self.complete:
            name, length, _ = self.parts[self._at]
            raise Truncated(
                f"the image ends after {self._taken} of {length} octets of its part {name}; "
                "fetch it again"
            )

    def _end_parts(self) -> None:
        """Judge the part that has come in wholly, and empty ones behind it."""
        while not self.complete and self._taken == self.parts[self._at][1]:
            name, _, sha256 = self.parts[self._at]
            if self._digest.digest() != sha256:
                raise BadHash(f"the part {name} is damaged: its hash is wrong; fetch it again")
            self._at += 1
            self._taken = 0
            self._digest = hashlib.sha256()

    def _header(self, octets: bytes) -> bytes:
        """Gather the header; when it is whole, prove it. Gives what is behind it."""
        start, rest = self._gather(octets, _START_OCTETS)
        if not MAGIC.startswith(start[:8]):
            raise NotAnImage("this is no image of Loopstart: its first octets are others")
        if len(start) < _START_OCTETS:
            return b""
        _, form, count, zero = struct.unpack(_START, start)
        if form != FORMAT:
            raise NotAnImage(
                f"the image has format {form}, {FORMAT} is known here; update what reads it"
            )
        if not 1 <= count <= MAX_PARTS or zero:
            raise NotAnImage(f"the image says that it has {count} parts, 1 to {MAX_PARTS} can be")
        whole = head_octets(count)
        length = whole - SIGNATURE_OCTETS
        head, rest = self._gather(rest, whole)
        if len(head) < whole:
            return b""
        self._prove(head[:length], head[length:])
        self._read(head[_START_OCTETS:length], count)
        return rest

    def _gather(self, octets: bytes, wanted: int) -> tuple[bytes, bytes]:
        """The first `wanted` octets, or what there is of them, and what is behind."""
        more = max(0, wanted - len(self._head))
        self._head += octets[:more]
        return bytes(self._head[:wanted]), octets[more:]

    def _prove(self, signed: bytes, signature: bytes) -> None:
        if self._verify is None:
            return
        if signature == bytes(SIGNATURE_OCTETS):
            raise MissingSignature(
                "nobody has signed the image; sign it, or take one that is signed"
            )
        if not self._verify(signed, signature):
            raise BadSignature(
                "the signature is wrong: the header is damaged, or it was signed with another key"
            )

    def _read(self, octets: bytes, count: int) -> None:
        """Read the rest of a header that is proved."""
        version, board, label = struct.unpack(_NAMES, octets[: struct.calcsize(_NAMES)])
        size = struct.calcsize(_PART)
        parts: list[tuple[str, int, bytes]] = []
        for index in range(count):
            at = struct.calcsize(_NAMES) + index * size
            name, length, sha256 = struct.unpack(_PART, octets[at : at + size])
            parts.append((_text(name), length, sha256))
        named = _text(board)
        if named != self.wanted_board:
            raise WrongBoard(f"the image is for the board {named}, this is {self.wanted_board}")
        if version < self.floor:
            raise BelowFloor(
                f"the image has version {version}; the oldest that this board takes is {self.floor}"
            )
        self.board, self.version, self.label = named, version, _text(label)
        self.parts = parts


def _text(octets: bytes) -> str:
    name = octets.rstrip(b"\0")
    if any(not 32 < one < 127 for one in name) or not name:
        raise NotAnImage("the image has a name that is no text; make it anew")
    return name.decode()
