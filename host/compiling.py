"""Makes machine code of the SIP core by mypyc and the C compiler; `host.compiled` has it run.

The sources are compiled as they are: one text, checked by mypy in strict mode, that runs either
way, and whose tests are run both ways.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from host import compiled

REMEDY = (
    "it needs mypyc, setuptools, a C compiler and Python's headers: "
    "`pip install 'loopstart[compiled]'` and `sudo apt-get install build-essential python3-dev`"
)
_SOURCES = "sources"
_TRY = (
    "import sys; from pathlib import Path; from host import compiled; "
    "compiled.prefer(Path(sys.argv[1])); "
    "from firmware.wire.sip import client, dialog, digest, message, sdp, server; "
    "message.parse(b'OPTIONS sip:a SIP/2.0\\r\\nVia: SIP/2.0/UDP b;branch=z9hG4bK1\\r\\n"
    "From: <sip:c@b>;tag=1\\r\\nTo: <sip:a>\\r\\nCall-ID: 1\\r\\nCSeq: 1 OPTIONS\\r\\n\\r\\n'); "
    "sys.exit(not compiled.in_use())"
)


class CompileError(Exception):
    """It could not be made; the text says why and what is to be done."""


def make() -> Path:
    """Compile the package, half a minute; where it has been put. At once where it is there.

    What does not load, or does not read a message, is not put there. Machine code of earlier
    sources goes.

    Raises:
        CompileError: a compiler or a library is missing, or the place cannot be written to.
    """
    place = compiled.place()
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".making-") as work:
            made = _compile(Path(work))
            _run([sys.executable, "-c", _TRY, str(made)], cwd=compiled.sources()[0].parents[3])
            for earlier in place.parent.glob("[0-9a-f]*"):
                shutil.rmtree(earlier)
            made.rename(place)
    except OSError as error:
        raise CompileError(f"{place.parent}: {error.strerror}") from error
    return place


def _compile(work: Path) -> Path:
    """In a copy, so that nothing is left beside the sources and no setting of theirs counts."""
    package = work / _SOURCES / Path(*compiled.PACKAGE.split("."))
    for path in compiled.sources():
        copy = package / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    wire = compiled.sources()[0].parents[1]
    for path in (wire / "errors.py", wire / "__init__.py", wire.parent / "__init__.py"):
        shutil.copyfile(path, work / _SOURCES / path.relative_to(wire.parents[1]))
    made = work / "made"
    _run([sys.executable, "-m", "host.compiling", str(made)], cwd=work / _SOURCES)
    return made


def _run(command: list[str], cwd: Path) -> None:
    root = str(Path(__file__).resolve().parents[1])
    told = {**os.environ, "PYTHONPATH": root, "CFLAGS": "-O2 -g0"}
    done = subprocess.run(command, cwd=cwd, env=told, capture_output=True, text=True, check=False)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        raise CompileError("\n".join([*last, REMEDY]))


def main(made: Path) -> None:
    """Compile what stands in the working directory. Internal: use `loopstart-host compile`."""
    from mypyc.build import mypycify
    from setuptools import setup

    names = [
        str(Path(*compiled.PACKAGE.split("."), path.name))
        for path in compiled.sources()
        if path.stem not in compiled.LEFT_OUT
    ]
    setup(
        name="compiled",
        packages=[],
        ext_modules=mypycify(["--python-version=3.11", "--strict", *names], opt_level="2"),
        script_args=["-q", "build_ext", "--build-lib", str(made), "--build-temp", "objects"],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
