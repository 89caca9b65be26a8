"""The script that U-Boot runs at power-on, from `boot.script` with the numbers of the board."""

from __future__ import annotations

import string
from pathlib import Path

from boards.board import Board
from boards.hardware import Boot, Loader
from boards.slot import TABLE_OCTETS
from boards.state import STATE_OCTETS, TRIES

TEMPLATE = Path(__file__).with_name("boot.script")


class _Template(string.Template):
    """`@{name}` stands for what is filled in: `${name}` is U-Boot's."""

    delimiter = "@"


class _Variable:
    """A number that U-Boot knows when the script runs: formatted as the name of its variable."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __format__(self, _kind: str) -> str:
        return "${" + self._name + "}"


def script(board: Board) -> str:
    """The board's boot script. Its lines that are comments alone are left out.

    Raises:
        ValueError: the board file has no `[boot]`.
    """
    boot, flash, loader = board.boot, board.flash, board.loader
    if boot is None or flash is None or loader is None or board.kernel is None:
        raise ValueError(f"{board.name} has no [boot]: nothing says how its kernel is started")
    unit = flash.block_octets
    values = {
        "prepare": "\n".join(loader.prepare),
        "held": _held(board, boot),
        "scratch": f"{loader.check_address:x}",
        "kernel": f"{boot.kernel_address:x}",
        "initramfs": f"{boot.initramfs_address:x}",
        "block_octets": f"{STATE_OCTETS:x}",
        "first_state": f"{flash.state_blocks[0] // unit:x}",
        "second_state": f"{flash.state_blocks[1] // unit:x}",
        "slot_a": f"{flash.slot_a.offset // unit:x}",
        "slot_b": f"{flash.slot_b.offset // unit:x}",
        "rescue": f"{flash.rescue.offset // unit:x}",
        "tries_left": f"{TRIES - 1:x}",
        "read_state": _command(loader.read, loader.check_address, "at", STATE_OCTETS // unit),
        "write_state": _command(loader.write, loader.check_address, "at", STATE_OCTETS // unit),
        "read_table": _command(loader.read, loader.check_address, "start", TABLE_OCTETS // unit),
        "read_kernel": _part(loader, boot.kernel_address, "kernel_blocks"),
        "read_initramfs": _part(loader, boot.initramfs_address, "initramfs_blocks"),
        "command_line": board.kernel.command_line,
        "watchdog": "\n".join(f"  {one}" for one in boot.watchdog) or "  true",
        # One that fails ends it: half a kernel is not to be started.
        "start": "  " + " && ".join(_start(one, boot) for one in boot.start),
    }
    text = _Template(TEMPLATE.read_text("ascii")).substitute(values)
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#")) + "\n"


def _held(board: Board, boot: Boot) -> str:
    """Asks for the button, and sets `rescue` if it is held."""
    button = board.button
    if button is None or not boot.held:
        return ""
    what = f"key {button.key}" if button.kind == "console" else "button"
    asked = " && ".join(boot.held)
    wait = f"{boot.wait}\n" if boot.wait else ""
    return f'echo "Hold the {what} for rescue"\n{wait}if {asked}; then setenv rescue 1; fi'


def _command(template: str, address: int, block: str, blocks: int) -> str:
    return template.format(address=address, block=_Variable(block), blocks=blocks)


def _part(loader: Loader, address: int, blocks: str) -> str:
    return loader.read.format(address=address, block=_Variable("at"), blocks=_Variable(blocks))


def _start(template: str, boot: Boot) -> str:
    return template.format(
        kernel=boot.kernel_address,
        initramfs=boot.initramfs_address,
        octets=_Variable("initramfs_octets"),
    )
