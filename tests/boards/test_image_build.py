"""What images are built by: archives that others unpack, always the same; locks that hold."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from boards.board import known_boards, load_board
from boards.image import command, compiled, disk
from boards.image.build import HERE as BUILD
from boards.image.cpio import archive
from boards.image.lock import ImageBuildError, Lock, Locked, read, sha256_of
from boards.image.modules import in_order, listing
from boards.image.sources import Apt, Pip
from boards.slot import RESCUE, slot_octets
from firmware.wire.image import assemble

KERNEL = Locked("linux-image-x", "6.1-1", "linux-image-x_6.1-1_arm64.deb", "00" * 32)
LOCK = Lock(1_795_000_000, KERNEL, (KERNEL, KERNEL), (KERNEL,))

WITH_RECIPE = [name for name in known_boards() if load_board(name).root is not None]


def tree(folder: Path, umask: int) -> Path:
    """Files as a build makes them, under a user's umask."""
    before = os.umask(umask)
    try:
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "tool").write_bytes(b"\x7fELF" * 99)
        (folder / "bin" / "tool").chmod(0o777 & ~umask)
        (folder / "bin" / "alias").symlink_to("/bin/tool")
        (folder / "empty").mkdir()
        (folder / "text").write_text("words\n")
    finally:
        os.umask(before)
    return folder


def test_folder_umask_and_time_change_nothing(tmp_path: Path) -> None:
    first = tree(tmp_path / "one", 0o022)
    second = tree(tmp_path / "another", 0o077)
    for path in second.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    devices = {"dev/console": (5, 1)}
    assert archive(first, 1000, devices) == archive(second, 1000, devices)


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed")
def test_cpio_lists_and_unpacks_an_archive(tmp_path: Path) -> None:
    octets = archive(tree(tmp_path / "tree", 0o077), 1_000_000_000, {"dev/console": (5, 1)})
    listed = subprocess.run(
        ["cpio", "-tvn", "--quiet"], input=octets, capture_output=True, check=True
    ).stdout.decode()
    lines = {line.split()[-1]: line for line in listed.splitlines()}
    assert lines["dev/console"].startswith("crw-------   1 0        0          5,   1")
    assert lines["bin/tool"].startswith("-rwxr-xr-x   1 0        0 ")
    assert lines["text"].startswith("-rw-r--r--   1 0        0 ")
    assert "bin/alias -> /bin/tool" in listed
    target = tmp_path / "unpacked"
    target.mkdir()
    subprocess.run(
        ["cpio", "-idm", "--quiet", "--no-absolute-filenames", "bin/*", "text"],
        input=octets,
        cwd=target,
        check=True,
    )
    assert (target / "bin" / "tool").read_bytes() == b"\x7fELF" * 99
    assert (target / "text").stat().st_mtime == 1_000_000_000


def test_modules_come_behind_what_they_need(tmp_path: Path) -> None:
    needs = {"virtio": "", "virtio_ring": "virtio", "virtio-blk": "virtio_ring,virtio", "other": ""}
    for name, needed in needs.items():
        (tmp_path / f"{name}.ko").write_bytes(b"ELF\0license=GPL\0depends=%b\0x" % needed.encode())
    (tmp_path / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    found = [path.stem for path in in_order(tmp_path, ["virtio_blk", "ext4", "virtio"])]
    assert found == ["virtio", "virtio_ring", "virtio-blk"]
    with pytest.raises(ImageBuildError, match="no module squashfs"):
        in_order(tmp_path, ["squashfs"])


def test_a_lock_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "board.lock"
    path.write_text(LOCK.to_text())
    assert read(path) == LOCK


@pytest.mark.parametrize("text", ["", "build_time = 1\n", "x", '[[kernel]]\nname = "a"\n'])
def test_what_is_no_lock_is_said(text: str, tmp_path: Path) -> None:
    path = tmp_path / "board.lock"
    path.write_text(text)
    with pytest.raises(ImageBuildError, match="makes it anew"):
        read(path)
    with pytest.raises(ImageBuildError, match="makes it"):
        read(tmp_path / "none.lock")


@pytest.mark.parametrize("name", WITH_RECIPE)
def test_a_board_with_a_recipe_has_its_lock(name: str) -> None:
    board = load_board(name)
    lock = read(BUILD.parent / f"{name}.lock")
    assert board.root is not None
    assert {one.name for one in lock.wheels} == {
        wheel.partition("==")[0] for wheel in board.root.wheels
    }
    for wheel in board.root.wheels:
        pinned = wheel.partition("==")[2]
        assert not pinned or pinned in {one.version for one in lock.wheels}
    names = {one.name for one in lock.packages}
    assert set(board.root.packages) <= names
    assert not names & set(board.root.without)
    assert all(len(one.sha256) == 64 for one in (lock.kernel, *lock.packages, *lock.wheels))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lantiq-vgv7510", "16 MiB of flash hold no two slots.*OpenWrt.*loopstart-ata"),
        ("sim", r"no \[kernel\] and \[root\]"),
    ],
)
def test_a_board_without_an_image_says_why_and_what_to_do(
    name: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ((), ("--lock",), ("--rescue",)):
        assert command.main(["--board", name, *more]) == 1
        said = capsys.readouterr().err
        assert re.search(f"there is no image of {name}: .*{why}", said)
    assert not load_board("lantiq-vgv7510").verified


def test_a_pcs_disk_needs_the_key_of_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--board", "pc-dahdi", "--unsigned"]) == 1
    assert (
        "pc-dahdi cannot be --unsigned: its disk has the rescue system" in capsys.readouterr().err
    )


def test_grub_reads_the_rescue_system_by_its_blocks(tmp_path: Path) -> None:
    board = load_board("pc-dahdi")
    assert board.flash is not None
    parts = {"kernel": b"k" * 5_000, "initramfs": b"i" * 700, RESCUE: b"{}"}
    place = slot_octets(assemble(board.name, 1, "1", parts, None), board.name)
    menu = disk.menu(board, board.flash, place)
    start, count = map(int, re.search(r"linux \(\$disk\)(\d+)\+(\d+) ", menu).groups())  # type: ignore[union-attr]
    at = start * 512 - board.flash.rescue.offset
    assert place[at : at + count * 512].startswith(b"k" * 5_000)
    assert "loopstart.rescue" in menu
    assert "loopstart.shell" in menu
    assert "--speed=115200" in menu


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("mformat") is None, reason="mtools is not installed")
def test_the_first_part_of_a_disk_is_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for name, umask, zone in (("one", 0o022, "UTC"), ("a longer name", 0o077, "Asia/Tokyo")):
        work = tmp_path / name
        folder = tree(work / "files", umask)
        (folder / "bin" / "alias").unlink()
        monkeypatch.setenv("TZ", zone)
        made.append(disk.file_system(folder, 1 << 20, work, 1_795_000_000))
    assert made[0] == made[1]


def test_modules_bear_their_parameters(tmp_path: Path) -> None:
    assert listing(
        [tmp_path / "dahdi.ko", tmp_path / "snd-pcm.ko"], ["dahdi a=1 b=2", "snd_pcm"]
    ) == ("dahdi.ko a=1 b=2\nsnd-pcm.ko\n")


def test_what_cannot_be_compiled_for_a_board_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ImageBuildError, match="dahdi is not built for mips: name it in to_be_built"
    ):
        compiled.missing(["dahdi"], "mips")
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert compiled.missing(["pyalsaaudio"], "arm64")[0] == "gcc-12-aarch64-linux-gnu"


@pytest.mark.parametrize("name", WITH_RECIPE)
def test_a_lock_has_the_sources_of_what_is_compiled_and_of_the_disk(name: str) -> None:
    board = load_board(name)
    lock = read(BUILD.parent / f"{name}.lock")
    assert board.root is not None
    wanted = set(compiled.debian_sources(board.root.built, lock.kernel.name))
    wanted |= set(board.disk.packages if board.disk else ())
    wanted |= {compiled.SOUND} & set(board.root.built)
    assert {one.name for one in lock.sources} == wanted
    assert all(len(one.sha256) == 64 for one in lock.sources)


def test_a_package_that_is_another_one_now_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt = Apt(tmp_path, "arm64")
    wanted = Locked("tool", "1:2", "tool_1%3a2_arm64.deb", sha256_of(Path(__file__)))
    shutil.copyfile(__file__, apt.path(wanted.file))
    assert apt.fetch(wanted) == apt.path(wanted.file), "from the cache, without asking apt"

    def another(_name: str, _version: str) -> Locked:
        apt.path(wanted.file).write_bytes(b"another")
        return wanted

    monkeypatch.setattr(apt, "download", another)
    apt.path(wanted.file).write_bytes(b"damaged")
    with pytest.raises(ImageBuildError, match="make a new lock"):
        apt.fetch(wanted)


def test_a_package_of_another_architecture_in_the_cache_is_not_taken(tmp_path: Path) -> None:
    both = {name: Apt(tmp_path, name) for name in ("amd64", "arm64")}
    for name in ("tool_1%3a2_amd64.deb", "tool_1%3a2_arm64.deb", "data_3_all.deb"):
        shutil.copyfile(__file__, both["arm64"].path(name))
    for architecture, apt in both.items():
        assert apt.download("tool", "1:2").file == f"tool_1%3a2_{architecture}.deb"
        assert apt.download("data", "3").file == "data_3_all.deb"


def test_a_wheel_in_the_cache_is_taken_by_its_hash(tmp_path: Path) -> None:
    pip = Pip(tmp_path, "arm64")
    wheel = Locked("some", "1", "some-1-py3-none-any.whl", sha256_of(Path(__file__)))
    shutil.copyfile(__file__, pip.folder / wheel.file)
    assert pip.fetch(wheel) == pip.folder / wheel.file


@pytest.mark.parametrize(
    "name", ["init", "initramfs", "network", "persistent", "restart", "loopstart-ata"]
)
def test_the_systems_scripts_are_scripts(name: str) -> None:
    script = BUILD / "system" / name
    assert script.read_text().startswith("#!/bin/busybox sh\n")
    subprocess.run(["sh", "-n", str(script)], check=True)
