"""Reads an image and proves it before a board is touched: board, hashes, signature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from boards.board import Board
from boards.boot_part import boot_part, first_sector
from boards.keys import KeyFileError, default_path, signer
from boards.loader_run import Write
from boards.slot import NOT_FOR_A_SLOT, NOT_FOR_RESCUE, RESCUE, slot_octets
from firmware.wire.image_check import ImageCheck, ImageError

Verify = Callable[[bytes, bytes], bool]
"""Says of a message and a signature whether the key that is trusted has made it."""
_HEX = 64
"""Digits of a public key."""


class Refused(Exception):
    """An image that is not sent: why, and what to do."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that has proved to be as it was made."""

    octets: bytes
    version: int
    label: str


def public_key(text: str) -> bytes:
    """The public key that images have to be signed with, 32 octets.

    Args:
        text: its 64 hexadecimal digits, as `tasks.py keys` says them; a file that holds them; the
            file of a signing key; empty: the signing key where `tasks.py keys` puts it.
    Raises:
        Refused: there is none.
    """
    path = Path(text) if text else default_path()
    if _is_hex(text):
        return bytes.fromhex(text)
    try:
        with path.open("rb") as stream:
            words = stream.read(200).decode("ascii", "replace").strip()
        if _is_hex(words):
            return bytes.fromhex(words)
        return signer(path)[0]
    except OSError as error:
        raise Refused(
            f"the public key is not known: {path} cannot be read ({error.strerror}). Give the 64 "
            "digits that `python3 tasks.py keys` said, or a file that holds them, as --key"
        ) from None
    except KeyFileError as error:
        raise Refused(str(error)) from None


def verifier(key: bytes) -> Verify:
    """Says whether this public key (32 octets) has signed a message (RFC 8032)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = Ed25519PublicKey.from_public_bytes(key)

    def verify(message: bytes, signature: bytes) -> bool:
        try:
            public.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return verify


def read_image(path: Path, board: str, verify: Verify, rescue: bool = False) -> Image:
    """Read and prove an image.

    Args:
        rescue: a rescue system is wanted, and no image for a slot.
    Raises:
        Refused: it cannot be read, or is not to be sent to this board, or not there.
    """
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise Refused(f"{path} cannot be read ({error.strerror})") from None
    check = ImageCheck(board, 0, verify)
    try:
        check.feed(octets)
        check.finish()
    except ImageError as error:
        raise Refused(f"{path} is not sent: {error}") from None
    if rescue != any(name == RESCUE for name, _, _ in check.parts):
        raise Refused(f"{path} is not sent: {NOT_FOR_RESCUE if rescue else NOT_FOR_A_SLOT}")
    return Image(octets, check.version, check.label or "")


def _is_hex(text: str) -> bool:
    return len(text) == _HEX and all(one in "0123456789abcdefABCDEF" for one in text)


def in_slot(image: Image, board: Board) -> bytes:
    """What a slot holds with this image in it.

    Raises:
        Refused: its parts do not stand where a slot can have them.
    """
    try:
        return slot_octets(image.octets, board.name)
    except ValueError as error:
        raise Refused(f"the image fits into no slot: {error}") from None


def boot_writes(board: Board) -> tuple[Write, ...]:
    """What a blank board gets besides: partition table, and the part with its boot script.

    None on one that has its loader there: it came to the prompt by what a disk's image has there.

    Raises:
        Refused: the board's file describes no boot part that can be made.
    """
    assert board.flash is not None
    if board.disk is not None:
        return ()
    try:
        part = boot_part(board)
    except ValueError as error:
        raise Refused(str(error)) from None
    return (
        Write(board.flash.boot.offset, part, blank_alone=True),
        Write(0, first_sector(board.flash), blank_alone=True),
    )
