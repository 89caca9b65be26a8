"""`python3 tasks.py image`: builds the image of a board, or its lock file."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from boards import keys
from boards.board import HERE as BOARDS
from boards.board import Board, load_board
from boards.hardware import Kernel, Root
from boards.image import compiled, disk
from boards.image.build import Build
from boards.image.compiled import SOUND, debian_sources, unpack
from boards.image.lock import ImageBuildError, Lock, Locked, read
from boards.image.rescue import RescueBuild, newest_rescue
from boards.image.sources import Apt, Pip, Say, newest
from boards.schema import ConfigError
from boards.slot import TABLE_OCTETS
from firmware.wire.image import assemble

CACHE = keys.REPOSITORY / ".cache"
EXAMPLES = """examples:
  python3 tasks.py image --board qemu-arm64 --version 2 --label 0.2.0
  python3 tasks.py image --board qemu-arm64 --lock      take Debian's and PyPI's newest
  python3 tasks.py image --board qemu-arm64 --rescue    what is left when no slot boots
"""


def main(words: list[str] | None = None) -> int:
    """Build; exit status 1 if that cannot be done, 2 if the command is wrong."""
    parser = argparse.ArgumentParser(
        prog="python3 tasks.py image",
        description="Builds a board's image from the packages that its lock file names.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--board", required=True, help="its name, or the path of its file")
    parser.add_argument("--lock", action="store_true", help="make the lock file anew, no image")
    parser.add_argument(
        "--missing", action="store_true", help="only name Debian's packages that have to be there"
    )
    parser.add_argument("--rescue", action="store_true", help="the rescue system, no image")
    parser.add_argument("--mpy-lib", type=Path, help="with --rescue: checkout of micropython-lib")
    parser.add_argument("--mip-index", default="", help="with --rescue: index, https://host/pi/v2")
    parser.add_argument("--version", type=int, default=1, help="a number that grows; default 1")
    parser.add_argument("--label", default="", help="the version as people call it")
    parser.add_argument("--key", type=Path, help="signing key; default: that of `keys`")
    parser.add_argument("--unsigned", action="store_true", help="no signature: boards refuse it")
    parser.add_argument("--output", type=Path, help="default: .cache/BOARD-VERSION.img")
    parser.add_argument("--work", type=Path, help="folder to build in; default: .cache/build")
    given = parser.parse_args(words)
    try:
        if given.missing:
            return _missing(given)
        if given.lock:
            return _lock_rescue(given) if given.rescue else _lock(given)
        return _rescue(given) if given.rescue else _image(given)
    except (ConfigError, ImageBuildError, keys.KeyFileError, ValueError) as error:
        print(f"image: {error}", file=sys.stderr)
        return 1


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def _recipe(name: str) -> tuple[Board, Kernel, Root, Apt, Pip]:
    board = load_board(name)
    if board.kernel is None or board.root is None or board.architecture is None:
        why = board.no_image or "its file has no [kernel] and [root]; boards/README.md shows them"
        raise ImageBuildError(f"there is no image of {board.name}: {why}")
    apt, pip = (
        Apt(CACHE, board.architecture, components=board.root.components),
        Pip(CACHE, board.architecture),
    )
    return board, board.kernel, board.root, apt, pip


def _missing(given: argparse.Namespace) -> int:
    board, _, root, _, _ = _recipe(given.board)
    assert board.architecture is not None
    absent = compiled.missing(root.built, board.architecture)
    if board.disk is not None:
        absent += disk.missing(board.disk)
    print("\n".join(absent))
    return 0


def _lock(given: argparse.Namespace) -> int:
    board, kernel, root, apt, pip = _recipe(given.board)
    kernel_locked, *others = newest(root, kernel.package, apt, pip, say)
    wheels = tuple(one for one in others if one.file.endswith(".whl"))
    packages = tuple(one for one in others if not one.file.endswith(".whl"))
    rescue = newest_rescue(CACHE, board, say)
    sources = newest_sources(board, root, kernel_locked.name, apt, pip, say)
    lock = Lock(int(time.time()), kernel_locked, packages, wheels, rescue, sources)
    path = BOARDS / f"{board.name}.lock"
    path.write_text(lock.to_text(), "utf-8")
    say(f"{path}: kernel, {len(packages)} packages, {len(wheels)} wheels")
    return 0


def newest_sources(
    board: Board, root: Root, kernel: str, apt: Apt, pip: Pip, say: Say
) -> tuple[Locked, ...]:
    """What is compiled from, and what the first part of a disk is filled from, as of today."""
    found = []
    for name in (*debian_sources(root.built, kernel), *(board.disk.packages if board.disk else ())):
        say(f"source {name}")
        found.append(apt.download(*apt.candidate(name)))
    if SOUND in root.built:
        say(f"source {SOUND}")
        found.append(pip.source(SOUND))
    return tuple(found)


def _lock_rescue(given: argparse.Namespace) -> int:
    """Take what the rescue system alone has; all else stays as it is locked."""
    board = _recipe(given.board)[0]
    path = BOARDS / f"{board.name}.lock"
    lock = replace(read(path), rescue=newest_rescue(CACHE, board, say))
    path.write_text(lock.to_text(), "utf-8")
    say(f"{path}: {len(lock.rescue)} packages of the rescue system")
    return 0


def _rescue(given: argparse.Namespace) -> int:
    board, _, _, apt, _ = _recipe(given.board)
    if given.unsigned:
        raise ImageBuildError("--rescue has to know the key of images: it cannot be --unsigned")
    public, sign = keys.signer(given.key or keys.default_path())
    lock = read(BOARDS / f"{board.name}.lock")
    work = given.work or CACHE / "build" / f"{board.name}-rescue"
    build = RescueBuild(board, lock, work, CACHE, apt, say)
    parts = build.parts(public, build.library(given.mpy_lib, given.mip_index))
    label = given.label or str(given.version)
    octets = assemble(board.name, given.version, label, parts, sign)
    build.check_size(len(octets))
    _write(given.output or CACHE / f"{board.name}-rescue-{given.version}.img", octets, parts)
    return 0


def _image(given: argparse.Namespace) -> int:
    board, _, root, apt, pip = _recipe(given.board)
    lock = read(BOARDS / f"{board.name}.lock")
    public, sign = (None, None)
    if given.unsigned and board.disk is not None and board.disk.loader == "grub":
        what = "its disk has the rescue system on it, which has to know the key of images"
        raise ImageBuildError(f"{board.name} cannot be --unsigned: {what}")
    if not given.unsigned:
        public, sign = keys.signer(given.key or keys.default_path())
    for name in root.to_be_built:
        say(f"without {name}: it has no wheel for {board.architecture} and would have to be built")
    work = given.work or CACHE / "build" / board.name
    parts = Build(board, lock, work, apt, pip, say).parts(public)
    label = given.label or str(given.version)
    octets = assemble(board.name, given.version, label, parts, sign)
    _write(given.output or CACHE / f"{board.name}-{given.version}.img", octets, parts)
    if board.disk is not None:
        _disk(given, board, lock, octets, apt, work)
    if board.flash is not None and len(octets) + TABLE_OCTETS > board.flash.slot_a.octets:
        raise ImageBuildError("the image does not fit into a slot: make it smaller, or the slots")
    return 0


def _disk(
    given: argparse.Namespace, board: Board, lock: Lock, image: bytes, apt: Apt, work: Path
) -> None:
    assert board.disk is not None
    assert board.flash is not None
    wanted = [one for one in lock.sources if one.name in board.disk.packages]
    packages = [apt.fetch(one) for one in (lock.kernel, *wanted)]
    unpacked = unpack(packages, work / "disk" / "packages")
    place = work / "disk"
    if board.disk.loader == "grub":
        public, sign = keys.signer(given.key or keys.default_path())
        build = RescueBuild(board, lock, work.with_name(f"{work.name}-rescue"), CACHE, apt, say)
        parts = build.parts(public, build.library(given.mpy_lib, given.mip_index))
        rescue = assemble(board.name, given.version, str(given.version), parts, sign)
        build.check_size(len(rescue))
        writes = disk.pc(board, image, rescue, unpacked, place, lock.build_time)
    else:
        writes = disk.card(board, image, unpacked, place, lock.build_time)
    path = (given.output or CACHE / f"{board.name}-{given.version}.img").with_suffix(".disk")
    disk.write(path, board.flash.octets, writes)
    say(f"{path}: a disk of {board.flash.octets / 1e6:.0f} MB, for dd")


def _write(output: Path, octets: bytes, parts: dict[str, bytes]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(octets)
    sizes = ", ".join(f"{name} {len(body) / 1e6:.1f} MB" for name, body in parts.items())
    say(f"{output}: {len(octets) / 1e6:.1f} MB ({sizes})")


if __name__ == "__main__":
    raise SystemExit(main())
