"""Keeps what an owner has set by service codes: one small JSON file, written atomically."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path

from firmware.phone import Features

_log = logging.getLogger("loopstart")
_MOST_OCTETS = 65_536


def state_folder(configured: str) -> Path:
    """The configured folder; else systemd's for this service, else the user's."""
    if configured:
        return Path(configured)
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    base = os.environ.get("XDG_STATE_HOME", "") or "~/.local/state"
    return Path(base).expanduser() / "loopstart-ata"


class Memory:
    """One account's file.

    Args:
        folder: made when there is something to keep.
        account: user name; the file is named after it.
    """

    def __init__(self, folder: Path, account: str) -> None:
        self._path = folder / (re.sub(r"[^A-Za-z0-9_.-]", "_", account).lstrip(".") + ".json")

    def load(self) -> Features:
        """What was kept last; nothing where there is no file, or one that cannot be read."""
        try:
            with self._path.open("rb") as stream:
                octets = stream.read(_MOST_OCTETS + 1)
            return Features.from_row(json.loads(octets))
        except FileNotFoundError:
            return Features()
        except (OSError, ValueError, RecursionError) as error:
            what = {"file": str(self._path), "detail": str(error)[:200]}
            _log.warning("settings of the handset are lost", extra=what)
            return Features()

    def save(self, features: Features) -> None:
        """Keep this. A disk that refuses costs a line in the log: it holds until a restart."""
        text = json.dumps(features.to_row(), indent=1)
        beside = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(beside, "w", encoding="utf-8", opener=_private) as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(beside, self._path)
        except OSError as error:
            what = {"file": str(self._path), "detail": error.strerror}
            _log.warning("settings of the handset are not kept", extra=what)


def _private(path: str, flags: int) -> int:
    """Who was called is nobody else's business."""
    return os.open(path, flags, 0o600)
