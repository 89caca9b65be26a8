"""The buses that a Si3210 hangs on: SPI (spidev) and the GPIO line of its INT pin (gpiod)."""

from __future__ import annotations

from typing import Any

from boards.lines import Si3210Settings
from hal.drivers.si3210_chip import Chip
from hal.values import LineFault

_MODE = 3
"""The clock rests high, and data are taken as it rises."""


def open_chip(spidev: Any, settings: Si3210Settings) -> Chip:
    """The chip's registers.

    Args:
        spidev: the module, or a fake of it.
    Raises:
        LineFault: there is no such bus.
    """
    spi = spidev.SpiDev()
    name = f"/dev/spidev{settings.spi_bus}.{settings.spi_device}"
    try:
        spi.open(settings.spi_bus, settings.spi_device)
        spi.max_speed_hz = settings.spi_hz
        spi.mode = _MODE
    except OSError as error:
        raise LineFault(
            f"{name} cannot be opened ({error.strerror}); switch SPI on (`dtparam=spi=on` on a "
            "Raspberry Pi), and let this user into the group that owns it"
        ) from None
    return Chip(spi)


def open_interrupt(gpiod: Any, settings: Si3210Settings) -> GpioInterrupt:
    """The chip's INT pin.

    Raises:
        LineFault: the GPIO line cannot be had.
    """
    line = gpiod.line
    wanted = gpiod.LineSettings(
        direction=line.Direction.INPUT, edge_detection=line.Edge.FALLING, bias=line.Bias.PULL_UP
    )
    try:
        request = gpiod.request_lines(
            settings.interrupt_chip,
            consumer="loopstart",
            config={settings.interrupt_line: wanted},
        )
    except (OSError, ValueError) as error:
        raise LineFault(
            f"GPIO line {settings.interrupt_line} of {settings.interrupt_chip} cannot be had "
            f"({error}); `gpioinfo` shows who has it"
        ) from None
    return GpioInterrupt(request)


class GpioInterrupt:
    """`si3210_port.Interrupt` of a GPIO line."""

    def __init__(self, request: Any) -> None:
        self._request = request

    @property
    def fd(self) -> int:
        """Readable when INT has fallen."""
        fd: int = self._request.fd
        return fd

    def clear(self) -> None:
        """Take what made it readable."""
        try:
            while self._request.wait_edge_events(0):
                self._request.read_edge_events()
        except OSError as error:
            raise LineFault(f"the GPIO line of the Si3210's INT pin failed ({error})") from None

    def close(self) -> None:
        """Give the pin back."""
        self._request.release()
