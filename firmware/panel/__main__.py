"""`python3 -m firmware.panel`: lights a board's lamps and watches its button.

A process of its own, so that the lamps also tell of a program that does not run, and the button
also helps against one that hangs. Held for `reset_s`, the button has a command restore the
defaults.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType

from boards.board import Board, load_board
from boards.schema import ConfigError
from firmware.clock import monotonic_ms
from firmware.log import set_up
from firmware.panel.button import Hold
from firmware.panel.lamps import LEDS, Lamps
from firmware.panel.leds import TABLE, lights, load_rows
from firmware.panel.outlook import Outlook
from firmware.panel.press import ButtonError, Press, open_button

_log = logging.getLogger("loopstart")
TURN_S = 0.2
_LAMPS_EVERY = 3
"""Turns between two looks at the lines; the button is looked at each turn."""


class Panel:
    """One board's.

    Args:
        press: its button; None: it has none.
        reset: restores the defaults.
        clock: monotonic milliseconds.
        tell: says something to who holds the button, where that is a key of the console.
    """

    def __init__(
        self,
        board: Board,
        outlook: Outlook,
        lamps: Lamps,
        press: Press | None,
        reset: Callable[[], None],
        clock: Callable[[], float] = monotonic_ms,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._leds, self._outlook, self._lamps = board.leds, outlook, lamps
        self._press, self._reset, self._clock, self._tell = press, reset, clock, tell
        self._reset_s = board.button.reset_s if board.button else 10.0
        self._hold = Hold(self._reset_s)
        self._held = self._enough = False
        self._rows = load_rows(TABLE.read_text("utf-8"))
        self._turns = 0

    def turn(self) -> None:
        """Look at the button, and now and then at the lines."""
        now_ms = self._clock()
        asked = self._look(now_ms)
        held, enough = self._hold.holding(now_ms), self._hold.enough(now_ms)
        if enough and not self._enough:
            self._tell("let go, and the defaults are restored")
        if (held, enough) != (self._held, self._enough) or self._turns % _LAMPS_EVERY == 0:
            self._held, self._enough = held, enough
            situation = replace(self._outlook.look(held, now_ms), let_go=enough)
            self._lamps.show(lights(self._rows, self._leds, situation))
        self._turns += 1
        if asked:
            _log.warning("the button was held: the defaults are restored")
            self._reset()

    def _look(self, now_ms: float) -> bool:
        if self._press is None:
            return False
        try:
            return self._hold.look(self._press.pressed(now_ms), now_ms)
        except OSError as error:
            _log.warning("the button cannot be read", extra={"detail": error.strerror})
            self._press, self._hold = None, Hold(self._reset_s)
            return False


def main(arguments: list[str] | None = None) -> int:
    """Work until told to stop; exit status 2 where the board's file is wrong."""
    parser = argparse.ArgumentParser(prog="loopstart-panel", description=__doc__)
    parser.add_argument("--board", required=True)
    parser.add_argument("--config", required=True, type=Path, help="of loopstart-ata")
    parser.add_argument("--run", required=True, type=Path, help="folder of the lines' states")
    parser.add_argument("--reset", default="", help="command that restores the defaults")
    parser.add_argument("--leds", type=Path, default=LEDS)
    parser.add_argument("--console", default="", help="device of a button that is a key")
    given = parser.parse_args(arguments)
    set_up("info")
    try:
        board = load_board(given.board)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    panel = Panel(
        board,
        Outlook(given.config, given.run),
        Lamps(given.leds),
        _press(board, given.console) if given.reset else None,
        lambda: _run(given.reset),
        tell=lambda text: _say(given.console, text),
    )
    stopping: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while not stopping:
        panel.turn()
        time.sleep(TURN_S)
    return 0


def _press(board: Board, console: str) -> Press | None:
    button = board.button
    if button is None or (button.kind == "console" and not console):
        return None
    try:
        return open_button(button, console)
    except ButtonError as error:
        _log.warning("there is no button", extra={"detail": str(error)})
        return None


def _say(console: str, text: str) -> None:
    """On the console, where the key is held: a board without lamps has no other way."""
    if not console:
        return
    try:
        descriptor = os.open(console, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"\nLoopstart: {text}\n".encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        _log.warning("the console cannot be written", extra={"detail": error.strerror})


def _run(command: str) -> None:
    try:
        status = subprocess.run([command], check=False).returncode
    except OSError as error:
        _log.error("the defaults are not restored", extra={"detail": str(error)})
        return
    if status:
        _log.error("the defaults are not restored", extra={"status": status})


if __name__ == "__main__":
    raise SystemExit(main())
