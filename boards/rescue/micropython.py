"""`python -m boards.rescue.micropython`: MicroPython for this computer, to try rescue on.

The interpreter is Debian's of the suite that has one, unpacked beside the cache, nothing installed;
the modules of micropython-lib that rescue requires are pinned distributions of PyPI.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

from boards.image.lock import ImageBuildError
from boards.image.sources import Apt

SUITE = "trixie"
_PINS = Path(__file__).with_name("modules.toml")
_LINK = re.compile(r'href="([^"#]+)(?:#[^"]*)?"')
_LOADER = "ld-linux-*.so.*"
_MOST_OCTETS = 1 << 20


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


def modules(folder: Path) -> None:
    """Get what rescue requires of micropython-lib, as `modules.toml` pins it.

    Raises:
        ImageBuildError: one cannot be had, or is another one now.
    """
    for name, pin in tomllib.loads(_PINS.read_text("utf-8")).items():
        octets = _file(pin["distribution"], pin["file"])
        if hashlib.sha256(octets).hexdigest() != pin["sha256"]:
            raise ImageBuildError(f"{pin['file']} is not the one that was pinned")
        with tarfile.open(fileobj=io.BytesIO(octets)) as archive:
            source = archive.extractfile(pin["member"])
            assert source is not None
            path = folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read(_MOST_OCTETS))


def _file(distribution: str, file: str) -> bytes:
    """From the index that pip uses (PEP 503): such old distributions have no metadata for pip."""
    asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    index = os.environ.get("PIP_INDEX_URL") or told or _default_index()
    page = f"{index.rstrip('/')}/{distribution}/"
    try:
        with urllib.request.urlopen(page, timeout=60) as answer:
            links = _LINK.findall(answer.read().decode("utf-8", "replace"))
        link = next((one for one in links if one.endswith("/" + file)), None)
        if link is None:
            raise ImageBuildError(f"{distribution} has no {file} any more: pin another one")
        with urllib.request.urlopen(urljoin(page, link), timeout=60) as answer:
            return bytes(answer.read(_MOST_OCTETS))
    except (urllib.error.URLError, OSError) as error:
        raise ImageBuildError(f"{distribution} cannot be fetched: {error}") from None


def _default_index() -> str:
    """Where pip looks if nobody has told it."""
    program = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    asked = [sys.executable, "-c", program]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def main() -> int:
    """Get both; exit status 1 where that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m boards.rescue.micropython")
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    folder: Path = parser.parse_args().cache / "micropython"
    try:
        asked = ["dpkg", "--print-architecture"]
        told = subprocess.run(asked, capture_output=True, text=True, check=True)
        modules(folder / "lib")
        print(interpreter(folder.parent.resolve(), told.stdout.strip(), folder.resolve()))
    except (ImageBuildError, OSError, subprocess.CalledProcessError) as error:
        print(f"micropython: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
