"""Rescue on a board in QEMU: from its region of the flash, by key, by word, or when nothing boots.

`LOOPSTART_RESCUE` names a rescue system that `tasks.py image --rescue` has built,
`LOOPSTART_IMAGE` an image, `LOOPSTART_KEY` the key of both. Without the first, the slow tests
build one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from boards import keys
from boards.boot_part import boot_part, first_sector
from boards.flash import session
from boards.slot import TABLE_OCTETS, slot_octets
from boards.state import BootState, installed
from tests.boards.images import signed_image
from tests.boards.machine import Machine, blank, needs_qemu
from tests.boards.network import BOARD, SERVER, namespace, needs_netns
from tests.boards.system import BOARD as FILE
from tests.boards.system import FLASH, Console
from tests.boards.test_flash_real import TAP, holds, run_tool, slow, state_on

KIB = 1024
SAYS = b"\r\nthis is rescue\r\n"
pytestmark = [needs_qemu, pytest.mark.timeout(600)]


def put(disk: Path, offset: int, octets: bytes) -> None:
    with disk.open("r+b") as stream:
        stream.seek(offset)
        stream.write(octets)


# --- what CI tries: U-Boot, and a kernel that only says that it was started ---


def test_rescue_is_flashed_and_started_at_the_prompt_and_where_nothing_else_boots(
    tmp_path: Path,
) -> None:
    rescue, key = signed_image(tmp_path, 20 * KIB, 1, says=SAYS, rescue=True)
    disk = blank(tmp_path / "disk", FLASH.octets)
    with Machine(tmp_path, disk, "tcp") as machine:
        line = [sys.executable, "-m", "boards.flash.command", "--board", "qemu-arm64", "--json"]
        line += ["--key", str(key), "--port", machine.port, "--rescue", str(rescue)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as tool:
            assert tool.stdout is not None
            tool.stdout.readline()
            machine.power_on()
            said = tool.stdout.read()
        assert tool.returncode == session.REGISTERED, said
        machine.wait_for("Loopstart: there is no boot state", 20)
        machine.wait_for("this is rescue", 20)
    with disk.open("rb") as stream:
        stream.seek(FLASH.rescue.offset)
        assert stream.read(TABLE_OCTETS + rescue.stat().st_size)[TABLE_OCTETS:] == (
            rescue.read_bytes()
        )
    assert state_on(disk) is None


# --- the system as it is built ---


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The file of a rescue system, and of the key that it knows."""
    if "LOOPSTART_RESCUE" in os.environ:
        return Path(os.environ["LOOPSTART_RESCUE"]), Path(os.environ["LOOPSTART_KEY"])
    folder = tmp_path_factory.mktemp("rescue")
    output, key = folder / "rescue.img", folder / "key.pem"
    keys.make(key)
    words = ["--board", "qemu-arm64", "--rescue", "--key", str(key), "--output", str(output)]
    command = [sys.executable, "-m", "boards.image.command", *words, "--work", str(folder / "work")]
    done = subprocess.run(command, cwd=keys.REPOSITORY, check=False)
    if done.returncode:
        pytest.skip("the rescue system cannot be built here, for what is said above")
    return output, key


def lay_out(disk: Path, rescue: Path, state: BootState | None) -> None:
    """A board with rescue, and slots that nothing is in."""
    blank(disk, FLASH.octets)
    put(disk, 0, first_sector(FLASH))
    put(disk, FLASH.boot.offset, boot_part(FILE))
    put(disk, FLASH.rescue.offset, slot_octets(rescue.read_bytes(), FILE.name))
    if state is not None:
        put(disk, FLASH.state.offset, state.to_bytes())


@contextmanager
def tftp_server(netns: str, folder: Path) -> Iterator[None]:
    """atftpd in the board's network."""
    command = ["ip", "netns", "exec", netns, "atftpd", "--daemon", "--no-fork", "--logfile"]
    command += ["/dev/null", "--user", "root.root", "--bind-address", SERVER, str(folder)]
    with subprocess.Popen(command) as daemon:
        try:
            yield
        finally:
            daemon.kill()


def at_rescue(machine: Machine) -> Console:
    """Switched on, until rescue asks."""
    console = Console(machine.port)
    time.sleep(1.1)  # QEMU looks once a second whether somebody has opened a pty
    machine.power_on()
    console.until("rescue> ", 60)
    return console


@slow
@pytest.mark.skipif(shutil.which("sb") is None, reason="lrzsz is not installed")
def test_both_slots_are_gone_and_an_image_comes_over_the_console(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copyfile(built[1], tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    image, _ = signed_image(tmp_path, 20 * KIB, 7)
    disk = tmp_path / "disk"
    lay_out(disk, built[0], replace(installed(), good=1, floor=5))
    with Machine(tmp_path, disk) as machine:
        console = at_rescue(machine)
        assert "Loopstart: a is damaged" in machine.console(), "and b has never proved good"
        assert "Loopstart: starting rescue" in machine.console()
        console.type("y")
        console.until("start the transfer now", 20)
        console.send(image)
        # By the board's log: lrzsz, which ends when it likes, takes what is said meanwhile.
        machine.wait_for("version 7 is written and proved; restarting", 120)
        machine.wait_for("event=registered", 120)
        console.close()
    assert holds(disk, "b", image)
    state = state_on(disk)
    assert state is not None
    assert (state.slot, state.floor) == ("b", 5)


@slow
def test_the_key_that_is_held_leads_to_rescue_though_a_slot_boots(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    image, _ = signed_image(tmp_path, 20 * KIB, 7)
    disk = tmp_path / "disk"
    before = replace(installed(), good=1)
    lay_out(disk, built[0], before)
    put(disk, FLASH.slot_a.offset, slot_octets(image.read_bytes(), FILE.name))
    with Machine(tmp_path, disk) as machine:
        console = Console(machine.port)
        time.sleep(1.1)
        machine.power_on()
        console.until("Hold the key r for rescue", 60)
        while "Loopstart: starting" not in machine.console():
            console.key("r")
            time.sleep(0.05)
        console.until("Loopstart: starting rescue", 20)
        console.until("rescue> ", 120)
        assert state_on(disk) == before, "it counts nothing"
        console.type("")  # after what the held key has typed
        console.until("rescue> ", 20)
        console.type("r")
        console.until("Loopstart: starting a, tries left: 2", 60)
        console.until("event=registered", 60)
        console.close()


@slow
@needs_netns
@pytest.mark.skipif(shutil.which("atftpd") is None, reason="atftpd is not installed")
def test_by_word_at_the_prompt_and_what_is_not_for_the_board_is_refused(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copyfile(built[1], tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    refused = {
        signed_image(tmp_path, KIB, 8, "pc-dahdi")[0]: "the image is for the board pc-dahdi",
        signed_image(tmp_path, KIB, 4)[0]: "version 4; the oldest that this board takes is 5",
        signed_image(tmp_path, KIB, 9, rescue=True)[0]: "this is a rescue system",
    }
    other = tmp_path / "other"
    other.mkdir()
    forged = signed_image(other, KIB, 6)[0].rename(tmp_path / "forged.img")
    refused[forged] = "the signature is wrong"
    image, _ = signed_image(tmp_path, 600 * KIB, 7)
    disk = tmp_path / "disk"
    before = replace(installed(), good=1, floor=5)
    lay_out(disk, built[0], before)
    with (
        namespace() as net,
        tftp_server(net, tmp_path),
        Machine(tmp_path, disk, network=TAP, netns=net) as machine,
    ):
        console = Console(machine.port)
        time.sleep(1.1)
        machine.power_on()
        console.until("Hit any key", 30)
        console.key(" ")
        console.until("=> ", 10)
        console.type("setenv rescue 1; boot")
        console.until("rescue: this is qemu-arm64; slot a has proved good", 60)
        for file, words in refused.items():
            console.until("rescue> ", 30)
            console.type(f"t {BOARD} {SERVER} {file.name}")
            console.until(f"refused: .*{words}", 60)
            assert state_on(disk) == before, "which counts nothing, and refused is refused"
        console.until("rescue> ", 30)
        console.type(f"t {BOARD} {SERVER} {image.name}")
        console.until("slot b is written; images from version 5 on are taken", 30)
        console.until("version 7 is written and proved; restarting", 120)
        console.until("event=registered", 60)
        console.close()
    assert holds(disk, "b", image)


@slow
@needs_netns
@pytest.mark.skipif("LOOPSTART_IMAGE" not in os.environ, reason="needs an image: LOOPSTART_IMAGE")
@pytest.mark.skipif("LOOPSTART_RESCUE" not in os.environ, reason="needs rescue: LOOPSTART_RESCUE")
def test_the_whole_system_is_flashed_destroyed_and_restored(tmp_path: Path) -> None:
    image, key = Path(os.environ["LOOPSTART_IMAGE"]), Path(os.environ["LOOPSTART_KEY"])
    disk = blank(tmp_path / "disk", FLASH.octets)
    how = ("--via", "tftp", "--address", BOARD, "--server", SERVER)
    with namespace() as net:
        with Machine(tmp_path, disk, network=TAP, netns=net) as machine:
            rescue = ("--rescue", os.environ["LOOPSTART_RESCUE"])
            tool = run_tool(machine, image, key, *how, *rescue, netns=net)
        assert tool.status == session.UNREGISTERED
        assert "has no configuration yet" in tool.result["failure"]
        put(disk, FLASH.slot_a.offset, bytes(FLASH.slot_a.octets + FLASH.slot_b.octets))
        with (
            tftp_server(net, image.parent),
            Machine(tmp_path, disk, network=TAP, netns=net) as machine,
        ):
            console = at_rescue(machine)
            began = time.monotonic()
            console.type(f"t {BOARD} {SERVER} {image.name}")
            console.until("is written and proved; restarting", 400)
            print(f"{image.stat().st_size} octets in {time.monotonic() - began:.0f} s")
            console.until("runs from slot b", 120)
            console.close()
    assert holds(disk, "b", image)
