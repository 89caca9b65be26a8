"""Power cuts while the system in the image updates itself, by a record of what it wrote."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from boards.hardware import Region
from tests.boards.chain.stage import LIFE_S, USER, Stage
from tests.boards.cuts import FLASH, boots, phase, places
from tests.boards.machine import Machine
from tests.boards.persistent import opened
from tests.boards.write_log import SECTOR, Disk, Request, cut, parse

STATES = ("state", "persistent")
"""The boot state, by itself and by its boot script; and what the updater remembers."""
FILES = ("secret.json", "kept.json", "received.json")
_REGISTERED = "event=registered"


@dataclass(frozen=True, slots=True)
class Recording:
    """What a board wrote while it went from version 1 to version 2."""

    base: Path
    """Its disk before."""
    requests: list[Request]

    @staticmethod
    def of(base: Path, log: Path) -> Recording:
        """Read the log of QEMU."""
        return Recording(base, parse(log))

    def at(self, index: int, seed: int) -> Disk:
        """The disk after a cut within a request."""
        return cut(self.base, self.requests, index, seed)


def cut_all(recording: Recording, count: int, folder: Path, config: str) -> Counter[str]:
    """Cut at so many places; how often the board came to what, by region.

    Raises:
        RuntimeError: it boots nothing, or what it remembers is damaged; says which cut it was.
    """
    came: Counter[str] = Counter()
    for index, seed in places(recording.requests, count, STATES):
        disk = recording.at(index, seed)
        where = f"cut within request {index} by seed {seed}"
        wrong = remembers(disk, folder, config)
        if wrong:
            raise RuntimeError(f"{where}: {wrong}")
        version = boots(disk)
        if version not in (1, 2):
            raise RuntimeError(f"{where}: the board comes to {version}")
        came[f"{phase(recording.requests[index])}: version {version}"] += 1
    return came


def remembers(disk: Disk, folder: Path, config: str) -> str:
    """What is wrong with the persistent part; empty: nothing.

    Linux itself mounts it and reads it, after what boards/image/system/persistent does where it
    cannot.
    """
    path = folder / "persistent"
    path.write_bytes(region_octets(disk, FLASH.persistent))
    with opened(path) as place:
        return "it cannot be read" if place is None else _wrong_in(place, config)


def _wrong_in(place: Path, config: str) -> str:
    try:
        found = (place / "ata.toml").read_text()
        if found != config:
            return f"the configuration is {found[:200]!r}"
        for path in (place / "state" / "provisioning" / name for name in FILES):
            if path.exists():
                json.loads(path.read_text())
    except (OSError, ValueError) as failure:
        return f"what is kept cannot be read: {failure}"
    return ""


def region_octets(disk: Disk, region: Region) -> bytes:
    """A region of the flash."""
    with disk.base.open("rb") as stream:
        stream.seek(region.offset)
        octets = bytearray(stream.read(region.octets))
    first, end = region.offset // SECTOR, region.end // SECTOR
    for number, sector in disk.sectors.items():
        if first <= number < end:
            at = (number - first) * SECTOR
            octets[at : at + SECTOR] = sector
    return bytes(octets)


async def boots_for_real(stage: Stage, recording: Recording, index: int, seed: int) -> str:
    """Start the board itself after a cut, until its device has registered.

    Raises:
        RuntimeError: it does not; or it is not the version that the steps of the script say.
    """
    expected = boots(recording.at(index, seed))
    folder = stage.folder / f"cut{seed}"
    folder.mkdir()
    path = folder / "disk"
    recording.at(index, seed).save(path)
    with Machine(folder, path, network=USER, life_s=LIFE_S) as machine:
        machine.power_on()
        said = await asyncio.to_thread(machine.wait_for, _REGISTERED, 180)
    path.unlink()
    if f"version {expected} runs from slot" not in said:
        raise RuntimeError(f"request {index}, seed {seed}: not version {expected}: {said[-500:]}")
    return f"version {expected}"
