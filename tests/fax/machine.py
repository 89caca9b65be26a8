"""`python -m tests.fax.machine`: a whole device with a fax machine on its simulated line.

The machine hears the earpiece and speaks into the mouthpiece, frame by frame, as the line carries
them. It lifts the receiver, dials by keys, or answers when it rings; when its session is over it
hangs up, and one JSON object tells how that went.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from firmware.app import Device
from firmware.assembly import make_agent
from firmware.clock import monotonic_ms
from firmware.config import load_config
from firmware.log import set_up
from firmware.priority import prefer_sound
from hal.drivers.sim import SimLine
from tests.fax.terminal import FaxTerminal

_DIAL_MS = 60
_LINGER_MS = 500.0
_IN_HAND = 6
"""Frames between device and machine, as sound hardware has them: what is measured is the call, not
how busy the computer of the test is."""


class FaxMachine:
    """Acts on the line's state, as a fax machine does on what it sees of its line.

    Args:
        number: dialled as soon as the device is registered; empty: it waits for a call.
        pages: TIFF file to send, or to be written.
    """

    def __init__(self, line: SimLine, number: str, pages: Path) -> None:
        self._line, self._number = line, number
        self._pages = pages
        self._terminal: FaxTerminal | None = None
        self._hangs_up_ms: float | None = None
        self._pages_told = 0
        self.done = False
        handset = line.handset
        self._speak, self._hear = handset.speak, handset.hear
        handset.speak, handset.hear = self._said, self._heard  # type: ignore[method-assign]

    def act(self, now_ms: float) -> None:
        """Look at the line, and do what is due."""
        line, handset = self._line, self._line.handset
        if self._hangs_up_ms is not None:
            if now_ms >= self._hangs_up_ms:
                handset.hang_up(now_ms)
                self.done = self.done or line.status.call == "idle"
        elif self._terminal is not None:
            self._follow(self._terminal, now_ms)
        elif not handset.off_hook:
            if (self._number and line.status.registered) or handset.ringing:
                handset.lift(now_ms)
                if not self._number:
                    self._terminal = FaxTerminal(self._pages, calling=False)
        elif line.status.tone == "dial":
            handset.press(self._number, _DIAL_MS, _DIAL_MS)
            self._terminal = FaxTerminal(self._pages, calling=True)

    def _follow(self, terminal: FaxTerminal, now_ms: float) -> None:
        result = terminal.result()
        if result.pages > self._pages_told:
            self._pages_told = result.pages
            say({"page": result.pages, "bit_rate": result.bit_rate, "retries": result.retries})
        if terminal.over or self._line.status.tone in ("busy", "reorder"):
            self._hangs_up_ms = now_ms + _LINGER_MS
            seen = {"tone": self._line.status.tone, "starved": self._line.starved}
            say({"result": asdict(result), **seen})

    def _said(self) -> bytes:
        """Keys first: a machine that dials sends no CNG meanwhile (T.30, 4.2)."""
        handset = self._line.handset
        if self._terminal is None or self._hangs_up_ms is not None or handset._mouth:
            return self._speak()
        return self._terminal.speak() if handset.closed else self._speak()

    def _heard(self, frame: bytes) -> None:
        self._hear(frame)
        if self._terminal is not None and not self._terminal.over and self._line.handset.closed:
            self._terminal.hear(frame)


def say(what: dict[str, object]) -> None:
    """One line for whoever has started this."""
    print(json.dumps(what), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fax.machine")
    parser.add_argument("--config", required=True)
    parser.add_argument("--pages", required=True, type=Path)
    parser.add_argument("--number", default="")
    options = parser.parse_args()
    config = load_config(options.config)
    set_up(config.log_level)
    prefer_sound()
    line = SimLine(monotonic_ms, in_hand=_IN_HAND)
    machine = FaxMachine(line, options.number, options.pages)
    agent = make_agent(config)
    device = Device(config, line, agent)
    agent.start(monotonic_ms())
    try:
        while not machine.done:
            device.turn()
            machine.act(monotonic_ms())
    finally:
        agent.stop(3.0)
        line.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
