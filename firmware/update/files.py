"""Configuration files that are put in each other's place, and what an update keeps."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, replace
from pathlib import Path

from boards.schema import ConfigError, load_table, loads
from firmware.config import Config
from firmware.status import write_whole
from firmware.update.migration import MigrationError, migrated
from firmware.update.places import ProvisioningConfig
from firmware.update.values import Kept
from firmware.wire.provisioning import Configuration

_log = logging.getLogger("loopstart")
_MOST_OCTETS = 65_536


def load_kept(path: Path) -> Kept:
    """What was kept last; nothing where there is no file, or one that cannot be read."""
    try:
        with path.open("rb") as stream:
            kept = json.loads(stream.read(_MOST_OCTETS))
        return load_table(Kept, kept if isinstance(kept, dict) else {"": ""}, str(path))
    except FileNotFoundError:
        return Kept()
    except (OSError, ValueError, ConfigError, RecursionError) as error:
        _log.warning("what was kept of updates is lost", extra={"detail": str(error)[:200]})
        return Kept()


def save_kept(path: Path, kept: Kept) -> None:
    """Keep it, durably.

    Raises:
        OSError: the disk refuses.
    """
    write_whole(path, json.dumps(asdict(kept)))


class ConfigFiles:
    """The device's configuration file and, beside it, the one that was there before.

    Args:
        path: of the file that the device's program reads.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = path.with_name(path.name + ".before")
        self._taken = path.with_name(path.name + ".taken")

    def problem(self, given: Configuration, own: ProvisioningConfig) -> str:
        """What is wrong with a configuration that the host has sent; empty: it can be used."""
        try:
            text = migrated(given.toml, given.schema)
            config = loads(Config, text, "configuration")
        except (MigrationError, ConfigError) as error:
            return str(error)[:500]
        if config.provisioning is None:
            return "configuration: [provisioning] is missing; without it the device asks no more"
        if config.provisioning.run_dir != own.run_dir:
            return f"configuration: provisioning.run_dir is not {own.run_dir}"
        return ""

    def take(self, given: Configuration) -> None:
        """Put it in place; the one that was there stays beside it.

        A cut between the writes leaves the file as it was, and `settle` finds that out.

        Raises:
            OSError: the disk refuses; the file is as it was.
        """
        if self._is_taken(given.sha256):
            return
        text = migrated(given.toml, given.schema)
        write_whole(self._before, self._path.read_text("utf-8"))
        write_whole(self._taken, json.dumps({"sha256": given.sha256, "file": _digest(text)}))
        write_whole(self._path, text)

    def give_back(self) -> None:
        """Put the one that was there before in its place again. Twice does no harm.

        Raises:
            OSError: the disk refuses.
        """
        try:
            write_whole(self._path, self._before.read_text("utf-8"))
        except FileNotFoundError:
            return
        os.unlink(self._before)

    def settle(self, kept: Kept) -> Kept:
        """After a start: what was kept, as the files bear it out. Power may have been cut between
        what was kept and what was done, or somebody has changed the file by hand.

        Raises:
            OSError: the disk refuses.
        """
        if kept.config_failed and self._is_taken(kept.config_failed):
            self.give_back()
        if kept.config and not self._is_taken(kept.config):
            return replace(kept, config="", config_trial=False)
        return kept

    def _is_taken(self, sha256: str) -> bool:
        """Whether the file is this configuration of the host's, as it was put there."""
        try:
            taken = json.loads(self._taken.read_bytes())
            text = self._path.read_text("utf-8")
        except (OSError, ValueError, RecursionError):
            return False
        wanted = {"sha256": sha256, "file": _digest(text)}
        return isinstance(taken, dict) and taken == wanted


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
