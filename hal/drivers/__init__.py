"""Drivers of FXS ports, chosen by the board file."""

from __future__ import annotations

from collections.abc import Callable

from boards.board import LineHardware
from hal.line import Line


def open_line(hardware: LineHardware, clock: Callable[[], float]) -> Line:
    """Open the port that a board file describes.

    Args:
        hardware: an entry of `[[lines]]`.
        clock: monotonic milliseconds.
    Raises:
        LineFault: the port cannot be opened.
    """
    assert hardware.driver == "sim", "boards.board knows every driver"
    from hal.drivers.sim import SimLine

    return SimLine(clock, control=hardware.control, seed=hardware.bounce_seed)
