"""Power cuts while a new board makes its persistent part, and takes its configuration: whatever
Linux had written by then, the board can be configured, or is.

Needs an image, as `test_system` does.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from boards.keys import REPOSITORY
from boards.mailbox import decode, encode
from tests.boards.chain.cuts import region_octets
from tests.boards.cuts import FLASH, phase
from tests.boards.machine import Machine, needs_qemu
from tests.boards.persistent import is_sound, opened
from tests.boards.system import CONFIG, NETWORK, lay_out
from tests.boards.write_log import Request, cut, parse, recording

IMAGE = Path(os.environ.get("LOOPSTART_IMAGE") or REPOSITORY / ".cache" / "qemu-arm64-1.img")
CUTS = int(os.environ.get("LOOPSTART_FIRST_CUTS", "60"))
TEXT = CONFIG.format(port=9)
PATIENCE_S = 120
SETTLED_S = 12
"""After what is said, so that Linux has written what it still had."""
assert FLASH.mailbox is not None
MAILBOX = FLASH.mailbox
pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    needs_qemu,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a loop device"),
    pytest.mark.skipif(
        not IMAGE.exists(),
        reason="needs an image: run `python3 tasks.py image --board qemu-arm64`",
    ),
]


def recorded(folder: Path, disk: Path, words: str) -> list[Request]:
    """What the board writes until it has said so; its disk is left as it was before."""
    log, played = folder / "writes", folder / "played"
    shutil.copyfile(disk, played)
    with Machine(folder, played, network=NETWORK, drive=recording(played, log)) as machine:
        machine.power_on()
        machine.wait_for(words, PATIENCE_S)
        time.sleep(SETTLED_S)
    return parse(log)


def places(requests: list[Request], names: tuple[str, ...]) -> list[tuple[int, int]]:
    """Requests to these regions, each as often as the next, and seeds."""
    among = [at for at, one in enumerate(requests) if phase(one) in names]
    assert among, "nothing was written"
    random.Random(2026).shuffle(among)
    return [(among[number % len(among)], number) for number in range(CUTS)]


def torn(request: Request) -> bool:
    """Many blocks from the very first on: what mke2fs writes last, and no mount."""
    return request.offset == FLASH.persistent.offset and 4096 < len(request.octets) < 1 << 20


def test_it_can_be_configured_wherever_its_making_was_cut(tmp_path: Path) -> None:
    disk, part = tmp_path / "disk", tmp_path / "part"
    lay_out(disk, IMAGE.read_bytes(), {})
    requests = recorded(tmp_path, disk, "not provisioned: there is no")
    for index, seed in places(requests, ("persistent",)):
        part.write_bytes(region_octets(cut(disk, requests, index, seed), FLASH.persistent))
        with opened(part) as place:
            assert place is not None, f"nobody can configure it: request {index}, seed {seed}"
            (place / "ata.toml").write_text(TEXT)
        assert is_sound(part), f"request {index}, seed {seed}"
    print(f"{CUTS} of {CUTS} cuts leave a board that can be configured")
    index, seed = next(one for one in places(requests, ("persistent",)) if torn(requests[one[0]]))
    cut(disk, requests, index, seed).save(part)
    with part.open("r+b") as stream:
        stream.seek(MAILBOX.offset)
        stream.write(encode(TEXT.encode()))
    with Machine(tmp_path, part, network=NETWORK) as machine:
        machine.power_on()
        machine.wait_for("the configuration came over the console", PATIENCE_S)


def test_what_came_over_the_console_is_there_wherever_its_taking_was_cut(tmp_path: Path) -> None:
    disk, part = tmp_path / "disk", tmp_path / "part"
    lay_out(disk, IMAGE.read_bytes(), {})
    with disk.open("r+b") as stream:
        stream.seek(MAILBOX.offset)
        stream.write(encode(TEXT.encode()))
    requests = recorded(tmp_path, disk, "the configuration came over the console")
    taken = 0
    for index, seed in places(requests, ("persistent", "mailbox")):
        after = cut(disk, requests, index, seed)
        waits = decode(region_octets(after, MAILBOX)) == TEXT.encode()
        part.write_bytes(region_octets(after, FLASH.persistent))
        with opened(part) as place:
            assert place is not None, f"request {index}, seed {seed}"
            file = place / "ata.toml"
            there = file.exists() and file.read_text() == TEXT
        assert there or waits, f"it is lost: request {index}, seed {seed}"
        taken += there
    print(f"{CUTS} of {CUTS} cuts: it is in its place after {taken}, else in the mailbox")
