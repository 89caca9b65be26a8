"""`python3 tasks.py console`: a terminal on a board's serial console; ctrl-] leaves it.

Keys go to the board as they are typed, ctrl-C too. Exit status: 0 left by ctrl-], or the input has
ended; 2 the command is wrong; 4 the port cannot be used, or went away.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

from boards.board import load_board
from boards.flash.port import Port, PortError
from boards.schema import ConfigError

LEAVE = b"\x1d"
BAUD = 115_200
_MOST = 4_096


def main(words: list[str]) -> int:
    """Be a terminal; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python3 tasks.py console",
        description="A terminal on a board's serial console; ctrl-] leaves it.",
    )
    parser.add_argument("--port", required=True, help="/dev/ttyUSB0, or socket://host:port")
    parser.add_argument("--board", default="", help="whose file says how fast the console is")
    parser.add_argument("--baud", type=int, default=0, help=f"in place of that; else {BAUD}")
    given = parser.parse_args(words)
    try:
        port = Port(given.port, given.baud or _baud(given.board))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except PortError as error:
        print(error, file=sys.stderr)
        return 4
    if sys.stdin.isatty():
        print(f"{given.port} is open; ctrl-] leaves it", file=sys.stderr)
    try:
        with _raw(sys.stdin.fileno()):
            carry(port, sys.stdin.fileno(), sys.stdout.fileno())
    except PortError as error:
        print(f"\n{error}", file=sys.stderr)
        return 4
    finally:
        port.close()
    return 0


def carry(port: Port, keys: int, screen: int) -> None:
    """Octets both ways, until ctrl-] or the end of `keys` (descriptors).

    Raises:
        PortError: the port has gone.
    """
    while True:
        ready, _, _ = select.select([port.fileno(), keys], [], [])
        if port.fileno() in ready:
            _all(screen, port.read())
        if keys in ready:
            typed = os.read(keys, _MOST)
            before, leave, _ = typed.partition(LEAVE)
            if before:
                port.write(before)
            if leave or not typed:
                return


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Keys come one by one, and none of them means something here; as it was, afterwards."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _all(descriptor: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(descriptor, octets) :]


def _baud(name: str) -> int:
    if not name:
        return BAUD
    console = load_board(name, Path.cwd()).console
    return console.baud if console else BAUD


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
