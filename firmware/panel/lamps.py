"""Lamps under /sys/class/leds (Linux, Documentation/leds/leds-class.rst).

Blinking is the kernel's business (trigger `timer`), so that it goes on whatever else is slow.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from firmware.panel.leds import Light

_log = logging.getLogger("loopstart")
LEDS = Path("/sys/class/leds")


class Lamps:
    """The lamps of a board. One that is missing, or refuses, costs a line in the log, once.

    Args:
        root: where the kernel shows them.
    """

    def __init__(self, root: Path = LEDS) -> None:
        self._root = root
        self._shown: dict[str, Light] = {}
        self._complained: set[str] = set()

    def show(self, wanted: Mapping[str, Light]) -> None:
        """Have each lamp lit like this; what has not changed is left alone."""
        for path, light in wanted.items():
            if self._shown.get(path) == light:
                continue
            self._shown[path] = light
            try:
                self._light(self._root / path, light)
            except (OSError, ValueError) as error:
                self._complain(path, str(error))

    def _light(self, lamp: Path, light: Light) -> None:
        full = (lamp / "max_brightness").read_text().strip() if light.on_ms else "0"
        if not light.blinks:
            # The trigger first: `none` leaves the lamp as it is, and 0 would take it away anyway.
            _write(lamp / "trigger", "none")
            _write(lamp / "brightness", full)
            return
        offered = (lamp / "trigger").read_text().replace("[", " ").replace("]", " ").split()
        if "timer" not in offered:
            _write(lamp / "trigger", "none")
            _write(lamp / "brightness", full)
            raise ValueError("the kernel has no trigger `timer`: it is lit steadily")
        _write(lamp / "brightness", full)
        _write(lamp / "trigger", "timer")
        _write(lamp / "delay_on", str(light.on_ms))
        _write(lamp / "delay_off", str(light.off_ms))

    def _complain(self, path: str, why: str) -> None:
        if path not in self._complained:
            self._complained.add(path)
            _log.warning("a lamp cannot be lit", extra={"led": path, "detail": why})


def _write(path: Path, text: str) -> None:
    # Not made if it is missing: the kernel's files are there, or the lamp is not.
    with path.open("r+") as stream:
        stream.write(text)
