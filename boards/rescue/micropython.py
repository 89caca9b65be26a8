"""`python -m boards.rescue.micropython`: MicroPython for this computer, to try rescue on.

The interpreter is Debian's of the suite that has one, unpacked beside the cache, nothing installed;
the modules of micropython-lib that rescue requires and the compiler are pinned ones of PyPI.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from boards.image import manifest
from boards.image.lock import ImageBuildError
from boards.image.manifest import SCRIPTS
from boards.image.mpy import SUITE, cross_compiler
from boards.image.mpylib import Library
from boards.image.sources import Apt

_LOADER = "ld-linux-*.so.*"


def interpreter(cache: Path, architecture: str, folder: Path) -> Path:
    """Get it; answers a program that starts it.

    Raises:
        ImageBuildError: it cannot be had.
    """
    apt = Apt(cache, architecture, SUITE)
    root = folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    for name, version in apt.wanted(["micropython"], ()):
        package = apt.path(apt.download(name, version).file)
        done = subprocess.run(["dpkg", "-x", str(package), str(root)], check=False)
        if done.returncode:
            raise ImageBuildError(f"{package} cannot be unpacked")
    libraries = next((root / "usr/lib").glob("*-linux-gnu*"))
    loader = next(libraries.glob(_LOADER))
    program = folder / "micropython"
    words = f'"{loader}" --library-path "{libraries}" "{root}/usr/bin/micropython"'
    program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    program.chmod(0o755)
    return program


def modules(folder: Path, checkout: Path | None = None, index: str = "") -> None:
    """Get what rescue requires of micropython-lib; where from, see `Library`.

    Raises:
        ImageBuildError: one cannot be had, or is another one now.
    """
    library = Library(folder.parent.parent / "mpylib", lambda _words: None, checkout, index)
    required: list[manifest.Source] = []

    def require(name: str) -> list[manifest.Source]:
        required.extend(library(name))
        return []

    manifest.read(SCRIPTS, require)
    for source in required:
        path = folder / source.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.path.read_bytes())


def main() -> int:
    """Get all of them; exit status 1 where that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m boards.rescue.micropython")
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--mpy-lib", type=Path, metavar="DIR", help="checkout of micropython-lib")
    parser.add_argument("--mip-index", default="", metavar="URL", help="index of micropython-lib")
    given = parser.parse_args()
    folder: Path = given.cache / "micropython"
    try:
        asked = ["dpkg", "--print-architecture"]
        told = subprocess.run(asked, capture_output=True, text=True, check=True)
        modules(folder / "lib", given.mpy_lib, given.mip_index)
        cross_compiler(folder.parent.resolve())
        print(interpreter(folder.parent.resolve(), told.stdout.strip(), folder.resolve()))
    except (ImageBuildError, OSError, subprocess.CalledProcessError) as error:
        print(f"micropython: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
