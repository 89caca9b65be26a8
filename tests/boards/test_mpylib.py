"""Modules of micropython-lib come from a checkout, an index or PyPI, in this order."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boards.image.lock import ImageBuildError
from boards.image.manifest import SCRIPTS, Source, read
from boards.image.mpylib import PINS, Library


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A web server that says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which it is served."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def checkout(folder: Path) -> Path:
    """As micropython-lib is laid out: `logging`, which requires `lazy`, and a module of C's own."""
    stdlib = folder / "python-stdlib"
    write(
        stdlib / "logging" / "manifest.py",
        'metadata(version="0.6.2", pypi="logging")\nrequire("lazy")\nmodule("logging.py", opt=3)\n',
    )
    write(stdlib / "logging" / "logging.py", "FROM = 'checkout'\n")
    write(folder / "micropython" / "lazy" / "manifest.py", 'package("lazy")\n')
    write(folder / "micropython" / "lazy" / "lazy" / "__init__.py", "")
    write(folder / "micropython" / "lazy" / "lazy" / "more" / "deep.py", "")
    write(folder / "unix-ffi" / "secret" / "manifest.py", 'module("secret.py")\n')
    return folder


def index(folder: Path, octets: bytes = b"FROM = 'index'\n", name: str = "logging.py") -> None:
    """As micropython-lib's tools/build.py lays one out."""
    short = hashlib.sha256(octets).hexdigest()[:8]
    package = {"v": 1, "hashes": [[name, short]], "deps": [], "version": "0.6.1"}
    packages = [{"name": "logging", "version": "0.6.1", "versions": {"py": ["0.6.1"]}}]
    write(folder / "index.json", json.dumps({"v": 2, "packages": packages}))
    write(folder / "package" / "py" / "logging" / "0.6.1.json", json.dumps(package))
    path = folder / "file" / short[:2] / short
    path.parent.mkdir(parents=True)
    path.write_bytes(octets)


def pypi(folder: Path, pins: Path, octets: bytes = b"FROM = 'pypi'\n") -> Path:
    """A page of links with a distribution, and the file that pins it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("micropython-logging-9/logging.py")
        member.size = len(octets)
        archive.addfile(member, io.BytesIO(octets))
    page = '<a href="../../files/micropython-logging-9.tar.gz#sha256=0">micropython-logging-9</a>'
    write(folder / "micropython-logging" / "index.html", page.replace("../..", ".."))
    write(folder / "files" / "x", "").with_name("micropython-logging-9.tar.gz").write_bytes(
        packed.getvalue()
    )
    lines = {
        "distribution": "micropython-logging",
        "file": "micropython-logging-9.tar.gz",
        "sha256": hashlib.sha256(packed.getvalue()).hexdigest(),
        "member": "micropython-logging-9/logging.py",
    }
    text = "[logging]\n" + "".join(f'{key} = "{value}"\n' for key, value in lines.items())
    return write(pins, text)


def texts(sources: list[Source]) -> dict[str, str]:
    return {one.name: one.path.read_text() for one in sources}


Make = Callable[..., Library]


@pytest.fixture
def library(tmp_path: Path) -> tuple[Make, list[str]]:
    """Makes a library without pins, unless they are given; and what it says."""
    said: list[str] = []
    none = write(tmp_path / "none.toml", "")

    def make(place: Path | None = None, address: str = "", pins: Path = none) -> Library:
        return Library(tmp_path / "fetched", said.append, place, address, pins)

    return make, said


def test_a_checkout_gives_a_module_and_what_its_own_manifest_requires(
    tmp_path: Path, library: tuple[Make, list[str]]
) -> None:
    found = library[0](checkout(tmp_path / "lib"))("logging")
    assert list(texts(found)) == ["lazy/__init__.py", "lazy/more/deep.py", "logging.py"]
    assert library[1][0].endswith("python-stdlib/logging")


def test_an_index_gives_a_module_by_its_hash(
    web: tuple[Path, str], library: tuple[Make, list[str]]
) -> None:
    index(web[0])
    assert texts(library[0](None, web[1] + "/")("logging")) == {"logging.py": "FROM = 'index'\n"}
    assert library[1] == [f"module logging 0.6.1: {web[1]}"]


def test_pypi_gives_a_module_as_it_is_pinned_and_is_asked_once(
    tmp_path: Path,
    web: tuple[Path, str],
    library: tuple[Make, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pins = pypi(web[0], tmp_path / "pins.toml")
    monkeypatch.setenv("PIP_INDEX_URL", web[1])
    assert texts(library[0](pins=pins)("logging")) == {"logging.py": "FROM = 'pypi'\n"}
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9")
    assert texts(library[0](pins=pins)("logging")) == {"logging.py": "FROM = 'pypi'\n"}


def test_the_first_that_has_it_is_taken(
    tmp_path: Path,
    web: tuple[Path, str],
    library: tuple[Make, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index(web[0])
    pins = pypi(web[0], tmp_path / "pins.toml")
    monkeypatch.setenv("PIP_INDEX_URL", web[1])
    place = checkout(tmp_path / "lib")
    make = library[0]
    assert texts(make(place, web[1], pins)("logging"))["logging.py"] == "FROM = 'checkout'\n"
    (place / "python-stdlib" / "logging" / "manifest.py").unlink()
    assert texts(make(place, web[1], pins)("logging"))["logging.py"] == "FROM = 'index'\n"
    write(web[0] / "index.json", json.dumps({"v": 2, "packages": []}))
    assert texts(make(place, web[1], pins)("logging"))["logging.py"] == "FROM = 'pypi'\n"


def test_a_module_is_given_once(tmp_path: Path, library: tuple[Make, list[str]]) -> None:
    lazy = library[0](checkout(tmp_path / "lib"))
    assert len(lazy("lazy")) == 2
    assert list(texts(lazy("logging"))) == ["logging.py"]


def test_a_module_that_is_nowhere_is_named_with_the_remedy(
    tmp_path: Path, web: tuple[Path, str], library: tuple[Make, list[str]]
) -> None:
    index(web[0])
    place = checkout(tmp_path / "lib")
    with pytest.raises(ImageBuildError, match="the module secret of micropython-lib") as refused:
        library[0](place, web[1])("secret")
    assert "--mpy-lib DIR" in str(refused.value)
    assert "--mip-index URL" in str(refused.value)
    assert str(place) in str(refused.value)
    with pytest.raises(ImageBuildError, match="none is given"):
        library[0]()("logging")


@pytest.mark.parametrize(
    ("octets", "name", "words"),
    [
        (b"FROM = 'somebody'\n", "logging.py", "is another one than the index says"),
        (b"FROM = 'index'\n", "../../logging.py", "has a file called"),
    ],
)
def test_an_index_that_is_not_as_it_was_made_is_refused(
    octets: bytes,
    name: str,
    words: str,
    web: tuple[Path, str],
    library: tuple[Make, list[str]],
) -> None:
    index(web[0], name=name)
    path = next((web[0] / "file").rglob("????????"))
    path.write_bytes(octets)
    with pytest.raises(ImageBuildError, match=words):
        library[0](None, web[1])("logging")


def test_an_index_that_is_none_is_said(
    web: tuple[Path, str], library: tuple[Make, list[str]]
) -> None:
    with pytest.raises(ImageBuildError, match=r"index.json cannot be fetched: .*404"):
        library[0](None, web[1])("logging")
    write(web[0] / "index.json", "[]")
    with pytest.raises(ImageBuildError, match="is it an index of mip's"):
        library[0](None, web[1])("logging")
    write(web[0] / "index.json", "<html>")
    with pytest.raises(ImageBuildError, match="is no JSON"):
        library[0](None, web[1])("logging")


def test_a_distribution_that_is_another_one_now_is_refused(
    tmp_path: Path,
    web: tuple[Path, str],
    library: tuple[Make, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pins = pypi(web[0], tmp_path / "pins.toml")
    (web[0] / "files" / "micropython-logging-9.tar.gz").write_bytes(b"another")
    monkeypatch.setenv("PIP_INDEX_URL", web[1])
    with pytest.raises(ImageBuildError, match=r"is not the one that modules\.toml pins"):
        library[0](pins=pins)("logging")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9")
    with pytest.raises(ImageBuildError, match="given as --mpy-lib DIR, does as well"):
        library[0](pins=pins)("logging")


def test_a_folder_that_is_no_checkout_is_said(
    tmp_path: Path, library: tuple[Make, list[str]]
) -> None:
    with pytest.raises(ImageBuildError, match="is no checkout of micropython-lib"):
        library[0](tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("module(", "cannot be read"),
        ("modul('x.py')", "cannot be run: name 'modul' is not defined"),
        ("module('x.py')", "which a manifest names as x.py"),
        ("package('x')", "the package x has no files"),
        ("require('x', colour='red')", "unexpected keyword"),
        ("include('nothing.py')", "cannot be read"),
    ],
)
def test_a_manifest_that_is_wrong_is_said(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ImageBuildError, match=words):
        read(write(tmp_path / "manifest.py", text), lambda _name: [])


def test_rescues_manifest_requires_what_is_pinned_and_names_files_that_are_there() -> None:
    required: list[str] = []

    def require(name: str) -> list[Source]:
        required.append(name)
        return []

    names = [one.name for one in read(SCRIPTS, require)]
    assert "boards/rescue/main.py" in names
    assert "firmware/wire/ed25519.py" in names
    pins = PINS.read_text()
    assert all(f"[{name}]" in pins for name in required)
