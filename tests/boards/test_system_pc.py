"""A whole PC in QEMU, from an image that `python3 tasks.py image --board qemu-x86_64` has built.

Tests are skipped where there is none: an image consists of packages that CI does not download.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from boards.board import load_board
from boards.keys import REPOSITORY
from tests.boards.machine import PC, Machine, needs_pc
from tests.boards.system import NETWORK, SIP_CONFIG, Console, lay_out, measure, over_limits, starts

IMAGE = REPOSITORY / ".cache" / "qemu-x86_64-1.img"
BOARD = load_board("qemu-x86_64")
pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    needs_pc,
    pytest.mark.skipif(
        not IMAGE.exists(),
        reason="needs an image: run `python3 tasks.py image --board qemu-x86_64`",
    ),
]


def machine(folder: Path, config: str = "") -> Machine:
    """A PC with a shell on its console."""
    image = IMAGE.read_bytes()
    lay_out(folder / "disk", image, {"ata.toml": config} if config else {}, BOARD)
    begins = starts(folder, image, BOARD, "loopstart.shell")
    return Machine(folder, folder / "disk", network=NETWORK, platform=PC, starts=begins)


def test_it_registers_over_sip_and_gives_dial_tone_within_its_limits(tmp_path: Path) -> None:
    found = measure(IMAGE, tmp_path)
    print(found)
    assert over_limits(found) == []


def test_it_keeps_what_it_is_given_and_listens_to_nobody(tmp_path: Path) -> None:
    with machine(tmp_path) as pc:
        console = Console(pc.port)
        pc.power_on()
        console.until("not provisioned: there is no /etc/loopstart/ata.toml", 120)
        console.type("netstat -ltn | grep -c LISTEN; echo LISTENERS")
        assert console.until(r"(\d+)\s+LISTENERS\r?\n", 20)[1] == "0"
        console.type("touch /usr/x; touch /etc/loopstart/kept; sync; mount | grep /etc/loopstart")
        console.until("Read-only file system", 20)
        console.until("on /etc/loopstart type ext4", 20)
        console.type("loopstart-state good 1 a; reboot -f")
        console.until("slot=a tries=3 good=1 floor=0 a=1 b=none", 30)
        console.until("not provisioned", 120)
        console.type("ls /etc/loopstart")
        console.until("kept", 20)
        console.close()


def test_a_system_whose_program_hangs_is_reset(tmp_path: Path) -> None:
    with machine(tmp_path, SIP_CONFIG.format(port=9)) as pc:
        console = Console(pc.port)
        pc.power_on()
        console.until("runs from slot", 120)
        # It is fed while all is well, past the half minute that the watchdog has.
        with pytest.raises(TimeoutError):
            console.until("Linux version", 60)
        console.type("echo 999999 >/run/alive")
        console.until("Linux version", 60)
        console.close()
