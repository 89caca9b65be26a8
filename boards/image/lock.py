"""The lock file of a board: which packages and wheels an image consists of, octet for octet."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path


class ImageBuildError(Exception):
    """An image that cannot be built; says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Locked:
    """One file that is downloaded."""

    name: str
    """Of the package."""
    version: str
    file: str
    sha256: str
    """Hexadecimal."""


@dataclass(frozen=True, slots=True)
class Lock:
    """All that is downloaded, and the time that files in the image bear."""

    build_time: int
    """Seconds since 1970; the board's clock never stands before it."""
    kernel: Locked
    packages: tuple[Locked, ...]
    wheels: tuple[Locked, ...]
    rescue: tuple[Locked, ...] = ()
    """Packages of the rescue system: MicroPython and its libraries, of a later suite."""
    sources: tuple[Locked, ...] = ()
    """Debian's packages and PyPI's sources that are only compiled from."""

    def to_text(self) -> str:
        """The file: TOML."""
        lines = ["# Made by `python3 tasks.py image --board B --lock`; do not edit."]
        lines += [f"build_time = {self.build_time}"]
        for table, entries in (
            ("kernel", (self.kernel,)),
            ("package", self.packages),
            ("wheel", self.wheels),
            ("rescue", self.rescue),
            ("source", self.sources),
        ):
            for entry in entries:
                lines += ["", f"[[{table}]]"]
                for key in ("name", "version", "file", "sha256"):
                    lines += [f'{key} = "{getattr(entry, key)}"']
        return "\n".join(lines) + "\n"


def read(path: Path) -> Lock:
    """The lock in a file.

    Raises:
        ImageBuildError: there is none, or it is no lock file.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        kernel, packages, wheels, rescue, sources = (
            tuple(Locked(**entry) for entry in values.get(table, ()))
            for table in ("kernel", "package", "wheel", "rescue", "source")
        )
        return Lock(values["build_time"], kernel[0], packages, wheels, rescue, sources)
    except OSError as error:
        raise ImageBuildError(
            f"{path} cannot be read ({error.strerror}); `image --board B --lock` makes it"
        ) from None
    except (tomllib.TOMLDecodeError, TypeError, KeyError, IndexError) as error:
        raise ImageBuildError(
            f"{path} is no lock file ({error}); `image --board B --lock` makes it anew"
        ) from None


def sha256_of(path: Path) -> str:
    """Of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
