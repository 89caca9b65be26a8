"""Firmware that devices may be told to run: files named by their SHA-256, and a row for each."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from construct import ConstructError

from firmware.wire.ed25519 import verify
from firmware.wire.image import HEADER
from firmware.wire.image_check import ImageCheck, ImageError
from host.charging.values import Now
from host.devices import registry
from host.numbering.provisioning import ProvisioningError
from host.store.connection import Connection

_PIECE = 1 << 20
_HEADER_MOST = 4_096
_LIST = "`device firmware list` shows what there is"


class Image(NamedTuple):
    """One version for one board."""

    sha256: str
    board: str
    version: int
    label: str
    octets: int
    added_utc_ms: int
    devices: int
    """So many are to run it."""


_IMAGES = """
SELECT sha256, board, version, label, octets, added_utc_ms,
    (SELECT count(*) FROM device WHERE device.firmware = sha256) FROM firmware"""


def path_of(folder: Path, sha256: str) -> Path:
    """Where the file of an image is."""
    return folder / f"{sha256}.img"


def add(conn: Connection, now: Now, folder: Path, file: Path, public_key: bytes) -> Image:
    """Check an image and take a copy of it.

    Args:
        public_key: whoever has signed the image has to have its other half; empty: it has to be
            signed, and devices alone know by whom.
    Raises:
        ProvisioningError: it is no image, is damaged or not signed; or there is one already.
    """
    before = images(conn)
    try:
        with file.open("rb") as stream:
            board, octets = _board_of(stream.read(_HEADER_MOST)), 0
            stream.seek(0)
            check = ImageCheck(
                board, 0, lambda *signed: not public_key or verify(public_key, *signed)
            )
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            digest, beside = hashlib.sha256(), folder / f".{os.getpid()}.part"
            try:
                with beside.open("wb") as copy:
                    while piece := stream.read(_PIECE):
                        check.feed(piece)
                        digest.update(piece)
                        copy.write(piece)
                        octets += len(piece)
                    check.finish()
                    copy.flush()
                    os.fsync(copy.fileno())
                os.replace(beside, path_of(folder, digest.hexdigest()))
            finally:
                with contextlib.suppress(FileNotFoundError):
                    beside.unlink()
    except ImageError as error:
        raise ProvisioningError(f"{file}: {error}") from error
    except OSError as error:
        raise ProvisioningError(f"{error.filename or file}: {error.strerror}") from error
    sha256 = digest.hexdigest()
    try:
        conn.execute(
            "INSERT INTO firmware (sha256, board, version, label, octets, added_utc_ms) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (sha256, board, check.version, check.label, octets, now.utc_ms),
        )
    except sqlite3.IntegrityError as error:
        if sha256 not in {one.sha256 for one in before}:
            path_of(folder, sha256).unlink(missing_ok=True)
        raise ProvisioningError(
            f"there is a version {check.version} for {board}: {_LIST}; give this one another"
        ) from error
    return Image(sha256, board, check.version, str(check.label), octets, now.utc_ms, 0)


def _board_of(head: bytes) -> str:
    try:
        return str(HEADER.parse(head).board)
    except (ConstructError, UnicodeDecodeError):
        return "?"  # what it is, and is not, the check says


def images(conn: Connection) -> list[Image]:
    """All, the newest version of each board first."""
    rows = conn.execute(f"{_IMAGES} ORDER BY board, version DESC")
    return [Image(*row) for row in rows]


def find(conn: Connection, named: str, board: str) -> Image:
    """By version, label, or the beginning of its SHA-256; for this board, if one is named.

    Raises:
        ProvisioningError: there is none, or several.
    """
    found = [
        one
        for one in images(conn)
        if board in ("", one.board)
        and (
            named in (str(one.version), one.label)
            or (len(named) >= 8 and one.sha256.startswith(named))
        )
    ]
    whose = f" for {board}" if board else ""
    if not found:
        raise ProvisioningError(f"no firmware {named!r}{whose}: {_LIST}")
    if len(found) > 1:
        raise ProvisioningError(f"{named!r}{whose} names several: {_LIST}; give the SHA-256")
    return found[0]


def want(conn: Connection, macs: Iterable[str], named: str) -> list[str]:
    """Let devices run a version, or with an empty name keep what they have; answers their MAC
    addresses. One whose board is not known is told by its image's board when it takes it."""
    changed = []
    for mac in macs:
        one = registry.device(conn, mac)
        image = find(conn, named, one.board) if named else None
        conn.execute(
            "UPDATE device SET firmware = ? WHERE mac = ?",
            (image.sha256 if image else None, one.mac),
        )
        changed.append(one.mac)
    return changed


def remove(conn: Connection, folder: Path, named: str) -> Image:
    """Forget a version that no device is to run, and its file."""
    image = find(conn, named, "")
    if image.devices:
        raise ProvisioningError(
            f"{image.devices} devices are to run it: give them another by `device firmware set`"
        )
    conn.execute("DELETE FROM firmware WHERE sha256 = ?", (image.sha256,))
    with contextlib.suppress(FileNotFoundError):
        path_of(folder, image.sha256).unlink()
    return image
