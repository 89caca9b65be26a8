"""Compiles what no package has ready for a board: DAHDI's kernel modules, the sound library.

A recipe names it under `[root] built`; the sources are in the lock file, and the compilers are
this machine's. Paths and times of the build do not show in what comes out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

from boards.hardware import Built
from boards.image.lock import ImageBuildError

DAHDI = ("DAHDI", "DAHDI_DYNAMIC", "DAHDI_DYNAMIC_LOC", "DAHDI_ECHOCAN_MG2")
"""Spans in software, and what cards need, too."""
CARDS = (
    *("DAHDI_WCTDM", "DAHDI_WCTDM24XXP", "DAHDI_WCAXX", "DAHDI_OPVXA1200"),
    *("DAHDI_VOICEBUS", "DAHDI_OCT612X"),
)
"""Cards. The firmware that some ask for, which is not free, is for their own echo cancellers."""
SOUND = "pyalsaaudio"
COMPILERS = {
    ("dahdi", "amd64"): {"gcc-12": "gcc-12", "make": "make", "binutils": "strip", "bzip2": "bzip2"},
    ("pyalsaaudio", "arm64"): {
        "gcc-12-aarch64-linux-gnu": "aarch64-linux-gnu-gcc-12",
        "libc6-dev-arm64-cross": "/usr/aarch64-linux-gnu/include/stdio.h",
    },
}
"""By what is built and for which architecture: Debian packages, and a program of each."""
_TRIPLES = {"arm64": "aarch64-linux-gnu", "amd64": "x86_64-linux-gnu"}


def debian_sources(what: Iterable[Built], kernel: str) -> list[str]:
    """Packages that are only compiled from.

    Args:
        kernel: name of the kernel's package, `linux-image-6.1.0-1-amd64`.
    """
    release = kernel.removeprefix("linux-image-")
    common, version = release.rsplit("-", 1)[0], ".".join(release.split(".")[:2])
    named = {
        "dahdi": [
            *(f"linux-headers-{release}", f"linux-headers-{common}-common"),
            *(f"linux-kbuild-{version}", "dahdi-source"),
        ],
        "pyalsaaudio": ["libasound2-dev", "libpython3.11-dev"],
    }
    return [name for one in what for name in named[one]]


def missing(what: Iterable[Built], architecture: str) -> list[str]:
    """Debian packages that have to be installed first.

    Raises:
        ImageBuildError: one of these is not built for that architecture.
    """
    absent = []
    for one in what:
        programs = COMPILERS.get((one, architecture))
        if programs is None:
            raise ImageBuildError(f"{one} is not built for {architecture}: name it in to_be_built")
        absent += [name for name, program in programs.items() if not _is_there(program)]
    return absent


def _is_there(program: str) -> bool:
    return shutil.which(program) is not None or Path(program).is_file()


def dahdi_modules(unpacked: Path, release: str, place: Path, options: Iterable[str]) -> list[Path]:
    """Compile DAHDI's modules; their files, without what a debugger wants.

    Args:
        unpacked: the packages of `debian_sources`, as `dpkg -x` leaves them.
        release: of the kernel, as `uname -r` says it.
        place: an empty folder to work in.
        options: which, as Kconfig calls them.
    Raises:
        ImageBuildError: it does not compile.
    """
    headers = unpacked / "usr" / "src" / f"linux-headers-{release}"
    makefile = headers / "Makefile"
    text = makefile.read_text()
    if f" {unpacked}/usr/src/" not in text:  # the headers' one absolute path
        makefile.write_text(text.replace(" /usr/src/", f" {unpacked}/usr/src/"))
    run("tar", "xf", str(unpacked / "usr/src/dahdi.tar.bz2"), "-C", str(place))
    source = place / "modules" / "dahdi"
    version = (source / ".version").read_text().strip()
    header = run("sh", "build_tools/make_version_h", where=source, DAHDIVERSION=version)
    (source / "include/dahdi/version.h").write_text(header)
    drivers = source / "drivers" / "dahdi"
    run(
        *("make", "-C", str(headers), f"-j{os.cpu_count()}", f"M={drivers}"),
        *(f"DAHDI_INCLUDE={source / 'include'}", "DAHDI_BUILD_ALL=", "HOTPLUG_FIRMWARE=yes"),
        *(f"CONFIG_{name}=m" for name in options),
        f"KCFLAGS=-ffile-prefix-map={place}=. -ffile-prefix-map={unpacked}=.",
        *("LDFLAGS_MODULE=--build-id=none", "modules"),
    )
    modules = sorted(drivers.rglob("*.ko"))
    run("strip", "--strip-debug", *map(str, modules))
    return modules


def sound_library(source: Path, unpacked: Path, architecture: str, place: Path) -> Path:
    """Compile Python's binding of ALSA; the module's file.

    Args:
        source: its source as PyPI has it.
        unpacked: the packages of `debian_sources`, and the root's libasound2.
        place: an empty folder to work in.
    Raises:
        ImageBuildError: it does not compile.
    """
    code = place / "alsaaudio.c"
    with tarfile.open(source) as archive:
        found = next(one for one in archive if one.name.endswith(f"/{code.name}"))
        stream = archive.extractfile(found)
        assert stream is not None
        code.write_bytes(stream.read())
    version = found.name.partition("/")[0].rpartition("-")[2]
    triple = _TRIPLES[architecture]
    module = place / f"alsaaudio.cpython-311-{triple}.so"
    include = unpacked / "usr" / "include"
    run(
        *(f"{triple}-gcc-12", "-shared", "-fPIC", "-O2", "-s", "-DNDEBUG"),
        *(f"-ffile-prefix-map={place}=.", f"-ffile-prefix-map={unpacked}=."),
        *(f"-DPYALSAAUDIO_VERSION={version}", "-Wl,--build-id=none"),
        *(f"-I{include / 'python3.11'}", f"-I{include / triple}", f"-I{include}"),
        *(code.name, "-o", str(module)),
        str(next((unpacked / "usr" / "lib" / triple).glob("libasound.so.2"))),
        where=place,
    )
    return module


def unpack(packages: Iterable[Path], folder: Path) -> Path:
    """Unpack packages into a folder, which is made."""
    folder.mkdir(parents=True)
    for package in packages:
        run("dpkg", "-x", str(package), str(folder))
    return folder


def run(*command: str, where: Path | None = None, **environment: str) -> str:
    """Run a program; what it printed.

    Raises:
        ImageBuildError: it failed, or is not there.
    """
    try:
        done = subprocess.run(
            command,
            cwd=where,
            env={**os.environ, "LC_ALL": "C", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ImageBuildError(
            f"there is no program {error.filename}: install its package"
        ) from None
    if done.returncode:
        raise ImageBuildError(f"{command[0]} says: {done.stdout[-1_000:].strip()}")
    return done.stdout
