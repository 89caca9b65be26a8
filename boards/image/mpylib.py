"""Gets modules of micropython-lib, of which none is kept here.

In this order: a checkout that is given; an index as `mip` reads it, with the hash of each file; the
distributions of PyPI that a file pins, of which only few have code in them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin

from boards.image import manifest
from boards.image.lock import ImageBuildError
from boards.image.manifest import Source
from boards.image.sources import Say

PINS = Path(__file__).parents[1] / "rescue" / "modules.toml"
LIBRARIES = ("micropython", "python-stdlib", "python-ecosys")
"""Folders of a checkout whose modules run on any of MicroPython's ports."""
_HASH_DIGITS = 8
"""How much of a file's SHA-256 an index says, and calls it by."""
_LINK = re.compile(r'href="([^"#]+)(?:#[^"]*)?"')
_MOST_OCTETS = 1 << 20
_WAIT_S = 60.0


class Library:
    """Where modules come from. Each is given once, however often it is asked for.

    Args:
        folder: for what is fetched.
        checkout: of micropython-lib; None: there is none.
        index: address of an index, as `https://host/pi/v2`; empty: there is none.
        pins: file that names distributions of PyPI.
    """

    def __init__(
        self,
        folder: Path,
        say: Say,
        checkout: Path | None = None,
        index: str = "",
        pins: Path = PINS,
    ) -> None:
        if checkout is not None and not any((checkout / one).is_dir() for one in LIBRARIES):
            raise ImageBuildError(f"{checkout} is no checkout of micropython-lib")
        self._folder, self._say, self._checkout = folder, say, checkout
        self._index, self._pins = index.rstrip("/"), tomllib.loads(pins.read_text("utf-8"))
        self._listing: dict[str, str] | None = None
        self._given: set[str] = set()

    def __call__(self, name: str) -> list[Source]:
        """The files of a module and of those that it requires.

        Raises:
            ImageBuildError: it cannot be had, or is not as it was made.
        """
        if name in self._given:
            return []
        self._given.add(name)
        for place in (self._in_checkout, self._in_index, self._pinned):
            found = place(name)
            if found is not None:
                return found
        raise ImageBuildError(
            f"the module {name} of micropython-lib cannot be had: it is not in "
            f"{self._checkout or 'a checkout (none is given)'}, "
            f"not in {self._index or 'an index (none is given)'}, "
            "and modules.toml pins no distribution of it. Give a checkout of micropython-lib that "
            "has it as --mpy-lib DIR, or an index as --mip-index URL"
        )

    # --- a checkout ---

    def _in_checkout(self, name: str) -> list[Source] | None:
        if self._checkout is None:
            return None
        for library in LIBRARIES:
            for found in sorted((self._checkout / library).rglob(manifest.NAME)):
                if found.parent.name == name:
                    self._say(f"module {name}: {found.parent}")
                    return manifest.read(found, self)
        return None

    # --- an index ---

    def _in_index(self, name: str) -> list[Source] | None:
        if not self._index:
            return None
        if self._listing is None:
            self._listing = _versions(self._json("index.json"))
        version = self._listing.get(name)
        if version is None:
            return None
        self._say(f"module {name} {version}: {self._index}")
        package = self._json(f"package/py/{name}/{version}.json")
        files, needs = package.get("hashes", ()), package.get("deps", ())
        if package.get("urls") or not files:
            raise ImageBuildError(f"{self._index}: the module {name} has files without a hash")
        found = [source for needed, *_ in needs for source in self(str(needed))]
        return found + [self._indexed(name, str(path), str(said)) for path, said in files]

    def _indexed(self, module: str, name: str, short: str) -> Source:
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise ImageBuildError(f"{self._index}: the module {module} has a file called {name}")
        octets = self._octets(f"file/{short[:2]}/{short}")
        digest = hashlib.sha256(octets).hexdigest()
        if len(short) < _HASH_DIGITS or not digest.startswith(short.lower()):
            raise ImageBuildError(
                f"{self._index}: the file {name} of the module {module} is another one than the "
                f"index says: its SHA-256 begins with {digest[:_HASH_DIGITS]}, not {short}"
            )
        return _kept(self._folder / "index" / module, name, octets)

    def _json(self, path: str) -> Any:
        octets = self._octets(path)
        try:
            return json.loads(octets)
        except ValueError:
            raise ImageBuildError(f"{self._index}/{path} is no JSON: is it an index?") from None

    def _octets(self, path: str) -> bytes:
        try:
            return _fetched(f"{self._index}/{path}")
        except OSError as error:
            raise ImageBuildError(f"{self._index}/{path} cannot be fetched: {error}") from None

    # --- distributions of PyPI ---

    def _pinned(self, name: str) -> list[Source] | None:
        pin = self._pins.get(name)
        if pin is None:
            return None
        self._say(f"module {name}: {pin['file']}")
        found = [source for needed in pin.get("requires", ()) for source in self(needed)]
        path = self._folder / pin["file"]
        octets = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(octets).hexdigest() != pin["sha256"]:
            octets = _distribution(pin["distribution"], pin["file"])
        if hashlib.sha256(octets).hexdigest() != pin["sha256"]:
            raise ImageBuildError(f"{pin['file']} is not the one that modules.toml pins")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
        with tarfile.open(fileobj=io.BytesIO(octets)) as archive:
            source = archive.extractfile(pin["member"])
            assert source is not None
            body = source.read(_MOST_OCTETS)
        return [*found, _kept(self._folder / "pypi" / name, f"{name}.py", body)]


def _versions(listing: Any) -> dict[str, str]:
    """Version by name of all that an index has; what bears none has its newest alone."""
    try:
        packages = listing["packages"]
        return {str(one["name"]): str(one["version"] or "latest") for one in packages}
    except (KeyError, TypeError):
        raise ImageBuildError("index.json names no packages: is it an index of mip's?") from None


def _kept(folder: Path, name: str, octets: bytes) -> Source:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(octets)
    return Source(path, name)


def _fetched(address: str) -> bytes:
    """What an address has.

    Raises:
        OSError: it cannot be fetched, or is larger than any module.
    """
    with urllib.request.urlopen(address, timeout=_WAIT_S) as answer:
        octets = bytes(answer.read(_MOST_OCTETS + 1))
    if len(octets) > _MOST_OCTETS:
        raise OSError("it is larger than any module")
    return octets


def _distribution(name: str, file: str) -> bytes:
    """From the index that pip uses (PEP 503): such old distributions have no metadata for pip."""
    page = f"{_pip_index().rstrip('/')}/{name}/"
    try:
        links = _LINK.findall(_fetched(page).decode("utf-8", "replace"))
        link = next((one for one in links if one.endswith("/" + file)), None)
        if link is None:
            raise ImageBuildError(f"{name} has no {file} any more: pin another one")
        return _fetched(urljoin(page, link))
    except OSError as error:
        raise ImageBuildError(
            f"the distribution {name} cannot be fetched ({error}); a checkout of micropython-lib, "
            "given as --mpy-lib DIR, does as well"
        ) from None


def _pip_index() -> str:
    """Where pip looks, told or by default."""
    if "PIP_INDEX_URL" in os.environ:
        return os.environ["PIP_INDEX_URL"]
    told = _asked("-m", "pip", "config", "get", "global.index-url")
    by_default = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return told or _asked("-c", by_default)


def _asked(*words: str) -> str:
    """What this Python prints."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()
