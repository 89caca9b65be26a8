"""Reads a manifest of MicroPython's: which source files go into a system, and their names there.

A reader of our own: MicroPython's (`tools/manifestfile.py`, which PyPI has within
micropython-stubber and its dependencies) looks for what is required in a checkout of
micropython-lib alone, and here an index and pinned distributions come behind that. A test has that
one read our manifest, too. A manifest is a program: it is run, so that only those are read which
are built upon anyhow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from boards.image.lock import ImageBuildError

NAME = "manifest.py"
SCRIPTS = Path(__file__).parents[1] / "rescue"
"""Where the rescue system's own manifest is."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file of Python."""

    path: Path
    name: str
    """Its path on the board, as in `boards/rescue/main.py`."""


Require = Callable[[str], Iterable[Source]]
"""Gives the files of a module of micropython-lib and of those that it requires itself."""


def read(path: Path, require: Require) -> list[Source]:
    """The files that a manifest names, in its order.

    Args:
        path: of the manifest, or of the folder that it is in.
        require: is asked for each module that it requires.
    Raises:
        ImageBuildError: it cannot be read or run, or names a file that is not there.
    """
    if path.is_dir():
        path = path / NAME
    try:
        code = compile(path.read_text("utf-8"), str(path), "exec")
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageBuildError(f"the manifest {path} cannot be read: {error}") from None
    manifest = _Manifest(path.parent, require)
    try:
        exec(code, manifest.words())
    except ImageBuildError:
        raise
    except Exception as error:
        raise ImageBuildError(f"the manifest {path} cannot be run: {error}") from None
    return manifest.sources


class _Manifest:
    """One manifest while it runs: its functions are what it may say."""

    def __init__(self, folder: Path, require: Require) -> None:
        self._folder, self._library = folder, require
        self.sources: list[Source] = []

    def words(self) -> dict[str, object]:
        """What it may say (MicroPython's manual, "Manifest files")."""
        said = (self.metadata, self.require, self.include, self.package, self.module)
        return {function.__name__: function for function in said}

    def metadata(self, **_values: str | bool) -> None:
        """Version, author and so on: for whoever publishes it."""

    def require(self, name: str, version: str | None = None, pypi: str | None = None) -> None:
        """A module of micropython-lib; which version is for where it comes from to say."""
        self.sources += self._library(name)

    def include(self, path: str) -> None:
        """Another manifest."""
        self.sources += read(self._folder / path, self._library)

    def package(
        self,
        package_path: str,
        files: Iterable[str] | None = None,
        base_path: str = ".",
        opt: int | None = None,
    ) -> None:
        """A folder with what is in it, or these files of it."""
        base = self._folder / base_path
        if files is None:
            found = sorted((base / package_path).rglob("*.py"))
            if not found:
                raise ImageBuildError(f"the package {package_path} has no files in {base}")
            files = [one.relative_to(base / package_path).as_posix() for one in found]
        for file in files:
            self._add(base, f"{package_path}/{file}")

    def module(self, module_path: str, base_path: str = ".", opt: int | None = None) -> None:
        """One file."""
        self._add(self._folder / base_path, module_path)

    def _add(self, base: Path, name: str) -> None:
        path = (base / name).resolve()
        if path.suffix != ".py" or not path.is_file():
            raise ImageBuildError(f"there is no {path}, which a manifest names as {name}")
        self.sources.append(Source(path, name))
