"""What a board's lamps show: a table from how the device is to how each is lit. No I/O."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from boards.hardware import Led

TABLE = Path(__file__).with_name("leds.toml")


@dataclass(frozen=True, slots=True)
class Light:
    """How a lamp is lit: steadily, or by turns."""

    on_ms: int
    """0: dark."""
    off_ms: int = 0
    """0: steadily."""

    @property
    def blinks(self) -> bool:
        """Is it lit by turns?"""
        return self.on_ms > 0 and self.off_ms > 0


DARK = Light(0)
STEADY = Light(1)


@dataclass(frozen=True, slots=True)
class Situation:
    """How the device is, in words that the table knows."""

    starting: bool = False
    """The system runs, and its program does not yet."""
    stopped: bool = False
    """The program does not run, though it is configured."""
    holding: bool = False
    """The button is held, so that the defaults will be restored."""
    let_go: bool = False
    """It was held for long enough."""
    link: bool = False
    """A cable is in."""
    address: bool = False
    """And there is a way out."""
    configured: bool = False
    registered: bool = False
    """Every line is."""
    ringing: bool = False
    in_use: bool = False
    """A receiver is up, or a call is on."""
    messages: bool = False
    """Voice mail waits."""
    updating: bool = False
    """Another version is fetched, or about to be started: leave the power on."""
    alarm: bool = False
    """A test of the line has found a fault, or its port cannot ring."""


Rows = Mapping[str, tuple[tuple[str, Light], ...]]
"""By meaning: words of `Situation`, and what is shown if they are true, the first that is."""


def load_rows(text: str) -> Rows:
    """The table of `leds.toml`.

    Raises:
        ValueError: it names what there is not, or says nothing for some situation.
    """
    document = tomllib.loads(text)
    lights = {"on": STEADY, "off": DARK}
    lights |= {name: Light(*pair) for name, pair in document["patterns"].items()}
    words = {one.name for one in fields(Situation)}
    rows: dict[str, tuple[tuple[str, Light], ...]] = {}
    for meaning, pairs in document["meanings"].items():
        for word, light in pairs:
            if (word not in words and word != "always") or light not in lights:
                raise ValueError(f"{meaning}: there is no {word} or no {light}")
        if pairs[-1][0] != "always":
            raise ValueError(f"{meaning}: the last row is not for `always`")
        rows[meaning] = tuple((word, lights[light]) for word, light in pairs)
    return rows


def lights(rows: Rows, leds: Iterable[Led], situation: Situation) -> dict[str, Light]:
    """How each lamp is lit, by its path. Of several meanings that one lamp has, the first counts
    that lights it."""
    found: dict[str, Light] = {}
    for led in leds:
        shown = next(
            light
            for word, light in rows[led.meaning]
            if word == "always" or getattr(situation, word)
        )
        if found.get(led.path, DARK) == DARK:
            found[led.path] = shown
    return found
