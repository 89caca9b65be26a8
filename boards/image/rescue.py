"""Puts the rescue system together: the board's kernel, and an initramfs of MicroPython and ours.

All of it is in memory: what it mends is the flash. MicroPython is Debian's of the suite that has
one, with the libraries that it asks for; its first process is `boards/rescue/init`.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

from boards.board import Board
from boards.image import manifest
from boards.image.build import kernel_part
from boards.image.compiled import unpack
from boards.image.cpio import archive
from boards.image.lock import ImageBuildError, Lock, Locked
from boards.image.manifest import SCRIPTS
from boards.image.modules import in_order, listing
from boards.image.mpy import SUITE, compile_all, cross_compiler
from boards.image.mpylib import Library
from boards.image.sources import Apt, Say
from boards.slot import RESCUE, TABLE_OCTETS

MOST_OCTETS = 16_000_000
MICROPYTHON = "usr/bin/micropython"
MODULES = "usr/lib/micropython"
"""Where it looks for modules without being told."""
_KEPT = (MICROPYTHON, "usr/lib/*.so*", "usr/lib64/*.so*", "usr/lib/*/*.so*")
_LINKS = ("lib", "lib64")
_FOLDERS = ("dev", "proc", "sys", "etc")
_DEVICES = {"dev/console": (5, 1), "dev/null": (1, 3)}


def newest_rescue(cache: Path, board: Board, say: Say) -> tuple[Locked, ...]:
    """MicroPython's packages as they are offered today; none where no boot script starts it.

    Raises:
        ImageBuildError: they cannot be had.
    """
    starts = board.boot is not None or (board.disk is not None and board.disk.loader == "grub")
    if not starts or board.architecture is None:
        return ()
    apt = Apt(cache, board.architecture, SUITE)
    found = []
    for name, version in apt.wanted(["micropython"], ()):
        say(f"rescue: {name} {version}")
        found.append(apt.download(name, version))
    return tuple(found)


class RescueBuild:
    """One rescue system of one board.

    Args:
        work: folder for what is built; emptied first.
        cache: for what is fetched.
        apt: gets the kernel.
    """

    def __init__(
        self, board: Board, lock: Lock, work: Path, cache: Path, apt: Apt, say: Say
    ) -> None:
        if board.flash is None or board.console is None or board.architecture is None:
            raise ImageBuildError(f"{board.name} has no [flash] and [console]: nothing to rescue")
        if not lock.rescue:
            raise ImageBuildError(
                f"the lock of {board.name} has no rescue system; `image --board {board.name} "
                "--lock --rescue` adds it"
            )
        self._board, self._lock, self._work, self._cache = board, lock, work, cache
        self._flash, self._console = board.flash, board.console
        self._apt, self._later = apt, Apt(cache, board.architecture, SUITE)
        self._say = say
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)

    def library(self, checkout: Path | None, index: str) -> Library:
        """Where modules of micropython-lib come from; see `Library`."""
        return Library(self._cache / "mpylib", self._say, checkout, index)

    def parts(self, public_key: bytes, library: Library) -> dict[str, bytes]:
        """The parts in their order.

        Args:
            public_key: of the images that it takes, 32 octets.
        Raises:
            ImageBuildError: something cannot be had or made.
        """
        kernel = unpack([self._apt.fetch(self._lock.kernel)], self._work / "kernel")
        image = next((kernel / "boot").glob("vmlinuz-*"), None)
        if image is None:
            raise ImageBuildError(f"{self._lock.kernel.file} has no kernel in it")
        layout = self._layout(public_key)
        self._say("rescue's initramfs ...")
        tree = self._tree(kernel, layout, library)
        initramfs = archive(tree, self._lock.build_time, _DEVICES)
        self._say("kernel ...")
        return {
            "kernel": kernel_part(self._board, image),
            "initramfs": gzip.compress(initramfs, 9, mtime=0),
            RESCUE: layout,
        }

    def check_size(self, octets: int) -> None:
        """Is an image of so many small enough?

        Raises:
            ImageBuildError: it is not.
        """
        most = min(MOST_OCTETS, self._flash.rescue.octets - TABLE_OCTETS)
        if octets > most:
            raise ImageBuildError(f"the rescue system has {octets} octets, at most {most} may be")

    def _tree(self, kernel: Path, layout: bytes, library: Library) -> Path:
        tree = self._work / "initramfs"
        for name in _FOLDERS:
            (tree / name).mkdir(parents=True)
        self._interpreter(tree)
        sources = manifest.read(SCRIPTS, library)
        names = compile_all(cross_compiler(self._cache), sources, tree / MODULES)
        self._say(f"rescue: {len(names)} modules compiled")
        (tree / "etc" / "rescue.json").write_bytes(layout)
        shutil.copyfile(SCRIPTS / "init", tree / "init")
        (tree / "init").chmod(0o755)
        assert self._board.kernel is not None
        modules = in_order(kernel / "lib" / "modules", self._board.kernel.modules)
        folder = tree / "usr" / "lib" / "modules"
        folder.mkdir()
        for module in modules:
            shutil.copyfile(module, folder / module.name)
        (tree / "etc" / "modules").write_text(listing(modules, self._board.kernel.modules))
        return tree

    def _interpreter(self, tree: Path) -> None:
        """MicroPython, the loader of programs, and the libraries."""
        packages = [self._later.fetch(one) for one in self._lock.rescue]
        root = unpack(packages, self._work / "micropython")
        for pattern in _KEPT:
            for path in sorted(root.glob(pattern)):
                target = tree / path.relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target, follow_symlinks=False)
        if not (tree / MICROPYTHON).exists():
            raise ImageBuildError("there is no micropython among the packages of the rescue system")
        (tree / MICROPYTHON).chmod(0o755)
        for name in _LINKS:
            if (tree / "usr" / name).is_dir():
                (tree / name).symlink_to(f"usr/{name}")

    def _layout(self, public_key: bytes) -> bytes:
        """What rescue has to know of the board: see `boards.rescue.layout`."""
        flash = self._flash
        values = {
            "board": self._board.name,
            "key": public_key.hex(),
            "disk": flash.device,
            "console": f"/dev/{self._console.device}",
            "slot_octets": flash.slot_a.octets,
            "a": flash.slot_a.offset,
            "b": flash.slot_b.offset,
            "state": flash.state_blocks,
        }
        if self._board.disk is not None and self._board.disk.loader == "grub":
            assert self._board.kernel is not None
            values["starts"] = self._board.kernel.command_line
        return json.dumps(values, indent=1).encode() + b"\n"
