"""Chooses a slot and starts its system by kexec, where the boot loader is none that can count.

It does what `boards/boot.script` does, by the same rule (`boards.state.boot`): the try is counted
on the flash before the kernel starts, kernel and initramfs are checked by their CRC-32, what is
damaged costs its tries, and without any left the other slot is taken if it is good, else rescue.
"""

import binascii
import time

from boards import slot as slots
from boards.rescue import layout as layouts
from boards.rescue import state as states
from boards.rescue import system

RESCUE, SHELL = "loopstart.rescue", "loopstart.shell"
"""Words of the command line that the boot loader's menu gives."""
_PIECE = 1 << 16
_DISK_S = 15
"""A disk is there so soon, or not at all."""
_FOLDER = "/tmp/"


class Starter:
    """One start.

    Args:
        disk: the flash.
        layout: see `boards.rescue.layout`.
        say: takes a line for the console.
        folder: for kernel and initramfs.
    """

    def __init__(self, disk, layout, say, folder: str = _FOLDER) -> None:  # type: ignore[no-untyped-def]
        self._disk, self._layout, self._say, self._folder = disk, layout, say, folder

    def choose(self) -> "str | None":
        """Count a try, and get the chosen system's kernel and initramfs into files `kernel` and
        `initramfs`; the words of its command line, None where it is rescue's turn.

        Raises:
            OSError: the flash refuses.
        """
        while True:
            blocks = [self._disk.read(at, states.OCTETS) for at in self._layout["state"]]
            index, state = states.newest(blocks)
            if state is None:
                self._say("there is no boot state")
                return None
            name, counted = states.boot(state)
            if counted is None:
                return None
            self._disk.write(self._layout["state"][1 - index], counted.to_bytes())
            self._disk.flush()
            self._say(f"starting {name}, tries left: {counted.tries}")
            words = self._fetch(name)
            if words is not None:
                return words
            self._say(f"{name} is damaged")

    def _fetch(self, name: str) -> "str | None":
        start = self._layout[name]
        table = slots.decode_table(self._disk.read(start, slots.TABLE_OCTETS))
        if table is None:
            return None
        version, parts = table
        at = {part.name: part for part in parts}
        if any(part not in at for part in slots.SYSTEM):
            return None
        for part in ("kernel", "initramfs"):
            if not self._copy(start + at[part].offset, at[part].octets, at[part].crc, part):
                return None
        root = (start + at["root"].offset) // slots.BLOCK
        words = f"loopstart.slot={name} loopstart.root={root:x} loopstart.version={version:x}"
        return f"{self._layout['starts']} {words}"

    def _copy(self, offset: int, octets: int, crc: int, name: str) -> bool:
        """Copy a part to a file; is it whole?"""
        if octets > self._layout["slot_octets"]:
            return False
        found, done = 0, 0
        with open(self._folder + name, "wb") as file:
            while done < octets:
                piece = self._disk.read(offset + done, min(_PIECE, octets - done))
                found = binascii.crc32(piece, found)
                file.write(piece)
                done += len(piece)
        return found == crc


def start_slot(path: str) -> None:
    """Start a slot's system if this board's rescue is what does; returns where it is its turn.

    Args:
        path: of the layout.
    """
    with open(path) as file:
        layout = layouts.loads(file.read())
    words = system.command_line()
    if "starts" not in layout or RESCUE in words:
        return

    def say(text: str) -> None:
        with open(layout["console"], "w") as console:
            console.write(f"Loopstart: {text}\r\n")

    disk = None
    for _ in range(_DISK_S * 10):
        try:
            disk = system.Disk(layout["disk"])
            break
        except OSError:
            time.sleep(0.1)
    if disk is None:
        say(f"there is no {layout['disk']}; the board's file names another disk")
        return
    system.make_folder(_FOLDER)
    try:
        chosen = Starter(disk, layout, say).choose()
    except OSError as error:
        say(f"{layout['disk']}: {error}")
        return
    if chosen is None:
        return
    if not system.start_watchdog():
        say("there is no watchdog")
    more = f" {SHELL}" if SHELL in words else ""
    system.start_kernel(_FOLDER + "kernel", _FOLDER + "initramfs", chosen + more)
    say("the kernel is not started: kexec is refused")
