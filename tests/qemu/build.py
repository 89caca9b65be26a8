"""What the guest boots from: Debian's kernel, DAHDI's modules built for it, an initramfs.

All of it is unpacked and built under `.loopstart/dahdi`, which later runs use again; nothing of it
is installed on the machine.
"""

from __future__ import annotations

import gzip
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from boards.image import compiled
from boards.image.lock import ImageBuildError
from tests.scenarios.rig import ROOT

PLACE = ROOT / ".loopstart" / "dahdi"
PROGRAMS = {
    "qemu-system-x86": "qemu-system-x86_64",
    "gcc-12": "gcc-12",
    "make": "make",
    "iproute2": "ip",
    "bzip2": "bzip2",
}
"""Debian packages that have to be installed, and a program of each."""
UNPACKED = (
    *("dahdi-source", "dahdi", "libtonezone2.0", "busybox-static", "linux-kbuild-6.1"),
    *("libasound2", "libasound2-data", "libasound2-dev"),
)
"""Debian packages that are only unpacked, beside those of the kernel."""
KERNEL = "linux-headers-amd64"
BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
"""What the initramfs needs to mount the host's root; later ones come from there."""


class BuildError(RuntimeError):
    """Something is missing, or does not build; says what to do."""


class NotFetched(BuildError):
    """Debian's packages cannot be had as apt knows them now."""


@dataclass(frozen=True, slots=True)
class Built:
    """What is there to boot."""

    kernel: Path
    root: Path
    """Where the packages are unpacked."""
    release: str
    """As `uname -r` of the guest says it."""


def missing() -> list[str]:
    """Debian packages that have to be installed first."""
    return [package for package, program in PROGRAMS.items() if shutil.which(program) is None]


def build() -> Built:
    """Fetch, unpack and build what is not there yet.

    Raises:
        BuildError: it cannot be had; says what to do.
    """
    try:
        return _build(_release())
    except NotFetched:
        if os.geteuid() != 0:
            raise
    _run("apt-get", "update", "-qq")
    return _build(_release())


def _build(release: str) -> Built:
    place = PLACE / release
    root = place / "root"
    built = Built(root / "boot" / f"vmlinuz-{release}", root, release)
    stamp = place / ".built"
    if stamp.exists() and stamp.read_text() == " ".join(UNPACKED):
        return built
    shutil.rmtree(place, ignore_errors=True)
    (place / "debs").mkdir(parents=True)
    _unpack(place, release)
    _compile(place, root, release)
    stamp.write_text(" ".join(UNPACKED))
    shutil.rmtree(place / "debs")
    return built


def _run(*command: str, where: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        ["nice", "-n", "10", *command],
        cwd=where,
        env={**os.environ, "LC_ALL": "C", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stdout[-1_500:].strip()
        raise BuildError(f"`{shlex.join(command)}` failed in {where}:\n{said}")
    return done.stdout


def _release() -> str:
    """Of the kernel that this release of Debian has now, or the newest that was built before."""
    said = subprocess.run(
        ["apt-cache", "depends", KERNEL], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"Depends: linux-headers-(\S+)", said)
    if found:
        return found[1]
    before = sorted(stamp.parent.name for stamp in PLACE.glob("*/.built"))
    if not before:
        raise NotFetched(f"apt knows no {KERNEL}; run `sudo apt-get update` first")
    return before[-1]


def _unpack(place: Path, release: str) -> None:
    common = release.rsplit("-", 1)[0]
    packages = [f"linux-image-{release}", f"linux-headers-{release}"]
    packages += [f"linux-headers-{common}-common", *UNPACKED]
    debs = place / "debs"
    try:
        _run("apt-get", "-o", "APT::Sandbox::User=root", "download", *packages, where=debs)
    except BuildError as error:
        raise NotFetched(f"{error}\nrun `sudo apt-get update`, then try again") from None
    for package in sorted(debs.glob("*.deb")):
        _run("dpkg", "-x", str(package), str(place / "root"))


def _compile(place: Path, root: Path, release: str) -> None:
    work = place / "modules"
    work.mkdir()
    try:
        modules = compiled.dahdi_modules(root, release, work, compiled.DAHDI)
    except ImageBuildError as error:
        raise BuildError(f"DAHDI's modules do not compile: {error}") from None
    extra = root / "lib" / "modules" / release / "extra"
    extra.mkdir()
    for module in modules:
        shutil.copy(module, extra)
    busybox = str(root / "bin/busybox")
    _run(busybox, "depmod", "-b", str(root), release)
    shutil.rmtree(work)


def sound_library(built: Built, python: Path) -> dict[str, str]:
    """Build pyalsaaudio for an interpreter; the environment in which the guest finds it.

    Raises:
        BuildError: it does not build; says what to do.
    """
    libraries = built.root / "usr" / "lib" / "x86_64-linux-gnu"
    place = built.root.parent / f"pyalsaaudio-{sys.implementation.cache_tag}"
    if not place.exists():
        pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install")
        partial = place.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            _run(
                *(*pip, "--no-deps", "--target", str(partial), "pyalsaaudio>=0.10"),
                CC="gcc-12",
                CFLAGS=f"-I{built.root / 'usr' / 'include'}",
                LDFLAGS=f"-L{libraries}",
            )
        except BuildError as error:
            raise BuildError(f"{error}\nit may want `sudo apt-get install python3-dev`") from None
        partial.rename(place)
    return {"PYTHONPATH": str(place), "ALSA_CONFIG_DIR": str(built.root / "usr/share/alsa")}


def boot_modules(built: Built) -> list[Path]:
    """Files of the modules that the initramfs needs, each after those that it needs."""
    folder = built.root / "lib/modules" / built.release
    needs: dict[str, list[str]] = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    places = {Path(path).stem: path for path in needs}
    ordered: list[str] = []

    def add(path: str) -> None:
        for other in reversed(needs[path]):
            add(other)
        if path not in ordered:
            ordered.append(path)

    for name in BOOT_MODULES:
        if name not in places:
            raise BuildError(f"the kernel {built.release} has no module {name}")
        add(places[name])
    return [folder / path for path in ordered]


def write_initramfs(built: Built, python: Path, path: Path) -> None:
    """The archive that the kernel starts from: a shell, a few modules, `init.sh`."""
    modules = boot_modules(built)
    words = {"REPOSITORY": ROOT, "UNPACKED": built.root, "PYTHON": python}
    settings = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in words.items())
    names = "".join(f"{module.name}\n" for module in modules)
    busybox = (built.root / "bin" / "busybox").read_bytes()
    entries: list[tuple[str, int, bytes]] = [
        ("bin", 0o040755, b""),
        ("modules", 0o040755, b""),
        ("bin/busybox", 0o100755, busybox),
        ("init", 0o100755, Path(__file__).with_name("init.sh").read_bytes()),
        ("settings", 0o100644, settings.encode()),
        ("modules.list", 0o100644, names.encode()),
        *((f"modules/{module.name}", 0o100644, module.read_bytes()) for module in modules),
    ]
    with gzip.open(path, "wb", compresslevel=1) as archive:
        archive.write(cpio(entries))


def cpio(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """An archive in the "new" format of cpio, as the kernel unpacks it (initramfs buffer format).

    Args:
        entries: name, mode with the kind of file, contents.
    """
    archive = bytearray()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        raw = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        archive += b"070701" + b"".join(b"%08x" % field for field in fields) + raw
        archive += bytes(-len(archive) % 4) + data
        archive += bytes(-len(archive) % 4)
    return bytes(archive)
