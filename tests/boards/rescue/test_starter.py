"""The choice of a slot where the boot loader cannot count: under MicroPython, by `boot`'s rule."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from boards import slot
from boards.state import BootState, boot, newest
from firmware.wire.image import assemble
from tests.micropython import COMMAND, ENVIRONMENT, needs_micropython

pytestmark = needs_micropython
STATE = (0x1000, 0x2000)
PLACES = {"a": 1 << 20, "b": 2 << 20}
PARTS = {"kernel": b"kernel" * 20_000, "initramfs": b"initramfs" * 999, "root": b"root"}
PROGRAM = """
import json, sys
from boards.rescue import starter, system
layout = json.loads(sys.argv[1])
found = starter.Starter(system.Disk(sys.argv[2]), layout, print, sys.argv[3] + "/").choose()
print("CHOSEN", found)
"""


def start(folder: Path, state: BootState | None, damaged: str = "") -> tuple[str, BootState | None]:
    """What is started from such a disk, and the state that it has then."""
    disk = bytearray(3 << 20)
    if state is not None:
        disk[STATE[0] : STATE[0] + 4096] = state.to_bytes()
    for name, at in PLACES.items():
        whole = slot.slot_octets(assemble("pc-dahdi", 7, "7", PARTS, None), "pc-dahdi")
        disk[at : at + len(whole)] = whole
        if name in damaged:
            kernel = next(p for p in slot.decode_table(whole[:4096])[1] if p.name == "kernel")  # type: ignore[index]
            disk[at + kernel.offset + 100_000] ^= 1
    (folder / "disk").write_bytes(disk)
    (folder / "program.py").write_text(PROGRAM)
    layout = {"starts": "quiet", "state": STATE, "slot_octets": 1 << 20, **PLACES}
    words = [COMMAND, "program.py", json.dumps(layout), str(folder / "disk"), str(folder)]
    done = subprocess.run(
        words, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    after = (folder / "disk").read_bytes()
    counts = newest(*(after[at : at + 4096] for at in STATE))
    return done.stdout, counts[1] if counts else None


@pytest.mark.parametrize("tries", [0, 1, 3])
@pytest.mark.parametrize("good", [0, 1, 2, 3])
def test_the_rule_is_that_of_the_boot_script(tmp_path: Path, tries: int, good: int) -> None:
    before = BootState(9, "a", tries, good, 4)
    target, written = boot(before)
    said, after = start(tmp_path, before)
    if written is None:
        assert "CHOSEN None" in said
        assert after == before
        return
    assert after is not None
    assert (after.slot, after.tries, after.good, after.floor, after.seq) == (
        *(written.slot, written.tries, written.good, written.floor),
        10,
    )
    root = int(said.split("loopstart.root=")[1].split()[0], 16)
    assert f"CHOSEN quiet loopstart.slot={target} " in said
    assert "loopstart.version=7" in said
    disk = (tmp_path / "disk").read_bytes()
    assert disk[root * 512 :].startswith(b"root")
    for part in ("kernel", "initramfs"):
        assert (tmp_path / part).read_bytes().rstrip(b"\0") == PARTS[part]


def test_a_damaged_slot_costs_its_tries_and_the_other_one_starts(tmp_path: Path) -> None:
    said, after = start(tmp_path, BootState(1, "a", 3, 3, 0), damaged="a")
    assert said.count("a is damaged") == 3
    assert "CHOSEN quiet loopstart.slot=b " in said
    assert after is not None
    assert (after.slot, after.tries, after.good) == ("b", 2, 2)


def test_where_nothing_starts_it_is_rescues_turn(tmp_path: Path) -> None:
    said, _ = start(tmp_path, BootState(1, "a", 3, 3, 0), damaged="ab")
    assert "CHOSEN None" in said
    said, _ = start(tmp_path, None)
    assert "there is no boot state" in said
