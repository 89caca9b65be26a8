"""Puts the parts of an image together: compressed kernel, initramfs and squashfs root.

The root is compressed by zstd, which a slow processor unpacks several times as fast as xz.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from boards.board import Board
from boards.hardware import Built
from boards.image import compiled
from boards.image.compiled import unpack
from boards.image.cpio import archive
from boards.image.lock import ImageBuildError, Lock
from boards.image.modules import in_order, listing
from boards.image.sources import PYTHON, Apt, Pip, Say

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
OURS = "usr/lib/loopstart"
"""Where the device's program stands in the root, with the wheels."""
CODE = f"firmware/dataclasses.cpython-{PYTHON.replace('.', '')}.code"
"""Where `firmware.start` looks for it."""
_ROOMS = ("boards", "hal", "firmware")
_NOT_ON_A_BOARD = ("boards/image", "boards/flash", "boards/rescue")
_KEPT = (".py", ".toml", ".ulaw", ".script")
_PRUNED = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/info"),
    *("usr/share/bug", "usr/share/gcc", "usr/share/python3", "usr/share/gdb", "usr/lib/valgrind"),
    *(
        "usr/lib/*/gconv",
        f"usr/lib/python{PYTHON}/config-{PYTHON}-*",
    ),
    *(f"usr/lib/python{PYTHON}/{one}" for one in ("idlelib", "lib2to3", "pydoc_data", "test")),
    *(
        f"usr/lib/python{PYTHON}/{one}"
        for one in ("ensurepip", "unittest", "tkinter", "turtledemo")
    ),
)
_SCRIPTS = (
    *(
        "init",
        "network",
        "restart",
        "persistent",
        "loopstart-ata",
        "loopstart-state",
        "loopstart-mailbox",
        "loopstart-update",
        "loopstart-panel",
        "factory-reset",
    ),
)
_FOLDERS = (
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "var",
    "mnt",
    "etc/loopstart",
    "root",
    "bin",
    "sbin",
)
_LINKS = {"etc/resolv.conf": "/run/resolv.conf", "var/run": "/run", "init": "/sbin/init"}


class Build:
    """One image of one board.

    Args:
        work: folder for what is built; emptied first.
    """

    def __init__(self, board: Board, lock: Lock, work: Path, apt: Apt, pip: Pip, say: Say) -> None:
        self._board, self._lock, self._apt, self._pip, self._say = board, lock, apt, pip, say
        self._work = work
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)

    def parts(self, public_key: bytes | None) -> dict[str, bytes]:
        """The parts in their order.

        Args:
            public_key: of the images that the board takes, 32 octets; None: it takes none.
        Raises:
            ImageBuildError: something cannot be had or made.
        """
        kernel = unpack([self._apt.fetch(self._lock.kernel)], self._work / "kernel")
        built = self._compiled(kernel)
        busybox = self._work / "root" / "bin" / "busybox"
        self._root(public_key)
        for file in built:
            shutil.copyfile(file, self._work / "root" / OURS / file.name)
        self._say("initramfs ...")
        initramfs = self._initramfs(kernel, busybox)
        self._say("kernel ...")
        image = next((kernel / "boot").glob("vmlinuz-*"), None)
        if image is None:
            raise ImageBuildError(f"{self._lock.kernel.file} has no kernel in it")
        return {
            "kernel": kernel_part(self._board, image),
            "initramfs": initramfs,
            "root": self._squashed(),
        }

    def _compiled(self, kernel: Path) -> list[Path]:
        """Compile what the recipe says: modules go to the kernel's, modules of Python come back."""
        assert self._board.root is not None
        assert self._board.architecture is not None
        what, architecture, built = self._board.root.built, self._board.architecture, []
        if absent := compiled.missing(what, architecture):
            needed = f"`sudo apt-get install --no-install-recommends {' '.join(absent)}`"
            raise ImageBuildError(f"{', '.join(what)} cannot be compiled: run {needed}")
        if not what:
            return []
        self._say(f"compiling {', '.join(what)} ...")
        needed_names = {*compiled.debian_sources(what, self._lock.kernel.name), "libasound2"}
        wanted = (*self._lock.sources, *self._lock.packages)
        packages = [self._apt.fetch(one) for one in wanted if one.name in needed_names]
        # Elsewhere, for the kernel's own build takes no folder with a space in its name.
        with tempfile.TemporaryDirectory(prefix="loopstart-") as folder:
            unpacked = unpack(packages, Path(folder) / "sources")
            for one in what:
                place = Path(folder) / one
                place.mkdir()
                built += self._compile_one(one, unpacked, place, kernel)
        return built

    def _compile_one(self, what: Built, unpacked: Path, place: Path, kernel: Path) -> list[Path]:
        if what == "dahdi":
            release = self._lock.kernel.name.removeprefix("linux-image-")
            extra = kernel / "lib" / "modules" / release / "extra"
            extra.mkdir()
            options = (*compiled.DAHDI, *compiled.CARDS)
            for module in compiled.dahdi_modules(unpacked, release, place, options):
                shutil.copyfile(module, extra / module.name)
            return []
        assert self._board.architecture is not None
        source = next(one for one in self._lock.sources if one.name == what)
        file = self._pip.fetch_source(source)
        module = compiled.sound_library(file, unpacked, self._board.architecture, place)
        return [Path(shutil.copy(module, self._work))]

    def _initramfs(self, kernel: Path, busybox: Path) -> bytes:
        tree = self._work / "initramfs"
        for name in ("bin", "lib", "proc", "sys", "dev", "root"):
            (tree / name).mkdir(parents=True)
        shutil.copyfile(busybox, tree / "bin" / "busybox")
        shutil.copyfile(HERE / "system" / "initramfs", tree / "init")
        for name in ("bin/busybox", "init"):
            (tree / name).chmod(0o755)
        assert self._board.kernel is not None
        names = (*self._board.kernel.modules, *self._board.kernel.more_modules)
        modules = in_order(kernel / "lib" / "modules", names)
        for module in modules:
            shutil.copyfile(module, tree / "lib" / module.name)
        (tree / "modules").write_text(listing(modules, names))
        (tree / "board").write_text(self._facts())
        octets = archive(tree, self._lock.build_time, {"dev/console": (5, 1), "dev/null": (1, 3)})
        return gzip.compress(octets, 9, mtime=0)

    def _facts(self) -> str:
        """What the scripts of the system know of the board, as variables of the shell."""
        flash, boot, console = self._board.flash, self._board.boot, self._board.console
        assert flash is not None
        assert console is not None
        values = {
            "BOARD": self._board.name,
            "BUILD_TIME": self._lock.build_time,
            "FLASH": flash.device,
            "BLOCK_OCTETS": flash.block_octets,
            "PERSISTENT_AT": flash.persistent.offset,
            "PERSISTENT_OCTETS": flash.persistent.octets,
            "MAILBOX_AT": flash.mailbox.offset if flash.mailbox else "",
            "MAILBOX_OCTETS": flash.mailbox.octets if flash.mailbox else "",
            "CONSOLE": f"/dev/{console.device}",
            "FEED": "; ".join(boot.feed) if boot else "",
            "SETUP": "; ".join(self._board.root.setup) if self._board.root else "",
            "PANEL": "1" if self._board.leds or self._board.button else "",
        }
        return "".join(f"{name}='{value}'\n" for name, value in values.items())

    def _root(self, public_key: bytes | None) -> None:
        self._say(f"root: {len(self._lock.packages)} packages ...")
        root = unpack(map(self._apt.fetch, self._lock.packages), self._work / "root")
        for pattern in _PRUNED:
            for path in sorted(root.glob(pattern)):
                shutil.rmtree(path)
        for name in _FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        for name, target in _LINKS.items():
            (root / name).unlink(missing_ok=True)
            (root / name).symlink_to(target)
        self._programs(root)
        for name in _SCRIPTS:
            program = root / "sbin" / name
            shutil.copyfile(HERE / "system" / name, program)
            program.chmod(0o755)
        etc = root / "etc"
        (etc / "board").write_text(self._facts())
        (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (etc / "group").write_text("root:x:0:\n")
        (etc / "hosts").write_text("127.0.0.1 localhost\n")
        if public_key is not None:
            (etc / "image-key.pub").write_text(public_key.hex() + "\n")
        certificates = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
        bundle = etc / "ssl" / "certs" / "ca-certificates.crt"
        bundle.parent.mkdir(parents=True, exist_ok=True)
        bundle.write_bytes(b"".join(one.read_bytes() for one in certificates))
        applets = (HERE / "system" / "applets").read_text().split()
        for name in applets:
            link = root / "bin" / name
            if not link.exists() and not link.is_symlink():
                link.symlink_to("/bin/busybox")
        self._compile(root)

    def _programs(self, root: Path) -> None:
        """The device's program and its wheels."""
        ours = root / OURS
        for room in _ROOMS:
            for path in sorted((REPOSITORY / room).rglob("*")):
                name = path.relative_to(REPOSITORY).as_posix()
                if path.suffix in _KEPT and not name.startswith(_NOT_ON_A_BOARD):
                    (ours / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, ours / name)
        for locked in self._lock.wheels:
            with zipfile.ZipFile(self._pip.fetch(locked)) as wheel:
                wheel.extractall(ours)

    def _compile(self, root: Path) -> None:
        """Compile what Python would compile at each start: the root is read-only."""
        if f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON:
            self._say(f"not compiled: this is not Python {PYTHON}; the board starts more slowly")
            return
        command = (
            sys.executable,
            "-I",
            "-X",
            "no_debug_ranges",
            "-m",
            "compileall",
            "-q",
            "-j",
            "1",
        )
        options = ("--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/")
        for folder in (f"usr/lib/python{PYTHON}", OURS):
            _run(*command, *options, str(root / folder), check=False)
        # By the modules of this checkout, whose wheels are for this computer's processor.
        written_by = str(root / f"usr/lib/python{PYTHON}/dataclasses.py")
        made = (sys.executable, "-X", "no_debug_ranges", "-m", "boards.image.dataclass_code")
        _run(*made, written_by, str(root / OURS / CODE))

    def _squashed(self) -> bytes:
        self._say("squashfs ...")
        root, target = self._work / "root", self._work / "root.squashfs"
        for path in root.rglob("*"):
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod(0o755 if executable else 0o644)
        root.chmod(0o755)
        time = str(self._lock.build_time)
        _run(
            *("mksquashfs", str(root), str(target), "-comp", "zstd", "-b", "128K", "-all-root"),
            *("-mkfs-time", time, "-all-time", time, "-no-xattrs", "-no-exports", "-noappend"),
            *("-no-progress", "-quiet"),
        )
        return target.read_bytes()


def kernel_part(board: Board, image: Path) -> bytes:
    """The kernel as its loader takes it: on a PC it unpacks itself, else the loader unpacks it."""
    octets = image.read_bytes()
    return octets if board.architecture == "amd64" else gzip.compress(octets, 9, mtime=0)


def _run(*command: str, check: bool = True) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(REPOSITORY)}
    environment.pop("SOURCE_DATE_EPOCH", None)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except FileNotFoundError:
        what = f"there is no program {command[0]}: run `sudo apt-get install squashfs-tools dpkg`"
        raise ImageBuildError(what) from None
    if done.returncode and check:
        raise ImageBuildError(f"{command[0]} says: {done.stderr.strip()[-500:]}")
