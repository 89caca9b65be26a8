"""Where a button is: at a pin, or a key of the serial console for a board that has none."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import tty
from contextlib import suppress
from typing import Protocol

from boards.hardware import Button

# Linux, include/uapi/linux/gpio.h: version 2 of the character device. The module `gpiod` would do
# the same, and is a dependency of those boards alone whose SLIC is at such pins.
_GET_LINE = 0xC250B407
_GET_VALUES = 0xC010B40E
_ACTIVE_LOW, _INPUT, _PULL_UP = 1 << 1, 1 << 2, 1 << 8
_REQUEST = struct.Struct("=64I32sQI20x240xII20xi")
_VALUES = struct.Struct("=QQ")
_KEY_MS = 1_000.0
"""A key that is held comes again within this: terminals repeat it after half a second at most."""
_MOST = 256


class ButtonError(Exception):
    """The button cannot be had; says why."""


class Press(Protocol):
    """Whether a button is down."""

    def pressed(self, now_ms: float) -> bool:
        """Is it?

        Raises:
            OSError: it cannot be read any more.
        """

    def close(self) -> None:
        """Let go of it."""


class GpioPress:
    """A button at a pin.

    Raises:
        OSError: the pin cannot be had.
    """

    def __init__(self, chip: str, line: int, active_low: bool) -> None:
        flags = _INPUT | (_ACTIVE_LOW | _PULL_UP if active_low else 0)
        request = bytearray(pin_request(line, flags))
        descriptor = os.open(chip, os.O_RDONLY | os.O_CLOEXEC)
        try:
            try:
                fcntl.ioctl(descriptor, _GET_LINE, request)
            except OSError:
                # Not every controller has pull-ups; a board then has a resistor.
                request = bytearray(pin_request(line, flags & ~_PULL_UP))
                fcntl.ioctl(descriptor, _GET_LINE, request)
        finally:
            os.close(descriptor)
        self._line: int = _REQUEST.unpack(request)[-1]

    def pressed(self, _now_ms: float) -> bool:
        """Is it?"""
        values = bytearray(_VALUES.pack(0, 1))
        fcntl.ioctl(self._line, _GET_VALUES, values)
        return bool(_VALUES.unpack(values)[0] & 1)

    def close(self) -> None:
        """Let go of the pin."""
        os.close(self._line)


def pin_request(line: int, flags: int) -> bytes:
    """`struct gpio_v2_line_request` for one pin."""
    return _REQUEST.pack(line, *([0] * 63), b"loopstart", flags, 0, 1, 0, 0)


class ConsolePress:
    """A key of the serial console that is held: its repetitions come one after the other.

    Raises:
        OSError: the console cannot be opened.
    """

    def __init__(self, device: str, key: str) -> None:
        self._key = key.encode()
        self._last_ms: float | None = None
        self._port = os.open(device, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        # Keys one by one, and no echo. What others print there is printed as before.
        with suppress(termios.error):
            settings = termios.tcgetattr(self._port)
            settings[tty.LFLAG] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(self._port, termios.TCSANOW, settings)

    def pressed(self, now_ms: float) -> bool:
        """Is it?"""
        while select.select([self._port], [], [], 0)[0]:
            typed = os.read(self._port, _MOST)
            if not typed:
                break
            # Another key ends it: whoever types a text does not hold this one.
            self._last_ms = now_ms if not typed.strip(self._key) else None
        return self._last_ms is not None and now_ms - self._last_ms < _KEY_MS

    def close(self) -> None:
        """Let go of the console."""
        os.close(self._port)


def open_button(button: Button, console: str) -> Press:
    """The board's button.

    Args:
        console: path of the serial console.
    Raises:
        ButtonError: it cannot be had.
    """
    where = console if button.kind == "console" else f"{button.chip} line {button.line}"
    try:
        if button.kind == "console":
            return ConsolePress(console, button.key)
        return GpioPress(button.chip, button.line, button.active_low)
    except OSError as error:
        raise ButtonError(f"{where}: {error.strerror}") from None
