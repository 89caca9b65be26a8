"""How far an image has come into a slot: what a download goes on from after a restart.

The record is a claim and no more. Whoever goes on hashes what the medium holds and compares: a slot
that somebody else has written meanwhile, or that a power cut has left otherwise, begins anew.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from boards.schema import ConfigError, load_table
from boards.state import Slot
from firmware.status import write_whole

_log = logging.getLogger("loopstart")
_MOST_OCTETS = 4_096


@dataclass(frozen=True, slots=True)
class Received:
    """The beginning of an image, as it was on the medium when this was kept."""

    sha256: str
    """Of the whole image, as the host has announced it."""
    slot: Slot
    octets: int
    digest: str
    """SHA-256 of these octets, hexadecimal."""


class Progress(Protocol):
    """Keeps one record."""

    def load(self) -> Received | None:
        """The one kept last; None where there is none that can be read."""

    def keep(self, received: Received) -> None:
        """Keep it in place of the one before. What cannot be kept is fetched again."""


class Nowhere:
    """A download begins anew after each restart."""

    def load(self) -> Received | None:
        """See `Progress`."""
        return None

    def keep(self, received: Received) -> None:
        """See `Progress`."""


class ProgressFile:
    """`Progress` in a file of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Received | None:
        """See `Progress`."""
        try:
            with self._path.open("rb") as stream:
                read = json.loads(stream.read(_MOST_OCTETS))
            return load_table(Received, read if isinstance(read, dict) else {"": ""})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, ConfigError, RecursionError) as error:
            _log.warning("a download begins anew", extra={"detail": str(error)[:200]})
            return None

    def keep(self, received: Received) -> None:
        """See `Progress`."""
        try:
            write_whole(self._path, json.dumps(asdict(received)))
        except OSError as error:
            what = {"file": str(self._path), "detail": error.strerror}
            _log.warning("a download would begin anew", extra=what)
