"""The pins of a SLIC on a GPIO chip (gpiod 2.x): hook out, ring mode and reversal in."""

from __future__ import annotations

from typing import Any

from boards.lines import GpioSettings
from hal.values import LineFault

_CONSUMER = "loopstart"
_KEPT_EDGES = 512
"""In the kernel, for a contact that bounces while the program is busy."""
_NS_A_MS = 1e6


class SlicPins:
    """SHK, RM, F/R, and PD where it is wired.

    Args:
        gpiod: the module, or a fake of it.
    Raises:
        LineFault: the pins cannot be had.
    """

    def __init__(self, gpiod: Any, settings: GpioSettings) -> None:
        self._settings = settings
        self._value = gpiod.line.Value
        self._rising = gpiod.EdgeEvent.Type.RISING_EDGE
        line = gpiod.line
        hook = gpiod.LineSettings(
            direction=line.Direction.INPUT,
            edge_detection=line.Edge.BOTH,
            active_low=settings.hook_active_low,
            event_clock=line.Clock.MONOTONIC,
        )
        low = gpiod.LineSettings(direction=line.Direction.OUTPUT, output_value=line.Value.INACTIVE)
        config = {settings.hook_line: hook}
        config.update(dict.fromkeys(self._outputs(), low))
        try:
            self._request = gpiod.request_lines(
                settings.chip, consumer=_CONSUMER, config=config, event_buffer_size=_KEPT_EDGES
            )
        except (OSError, ValueError) as error:
            raise LineFault(
                f"GPIO lines {sorted(config)} of {settings.chip} cannot be had ({error}); "
                "`gpioinfo` shows who has them"
            ) from None

    @property
    def fd(self) -> int:
        """Readable when the hook has moved."""
        fd: int = self._request.fd
        return fd

    def off_hook(self) -> bool:
        """Whether loop current flows."""
        return bool(
            self._ask(lambda: self._request.get_value(self._settings.hook_line))
            is self._value.ACTIVE
        )

    def edges(self) -> list[tuple[float, bool]]:
        """What the hook has done since: monotonic milliseconds, and whether current flows."""
        found: list[tuple[float, bool]] = []
        while self._ask(lambda: self._request.wait_edge_events(0)):
            found.extend(
                (event.timestamp_ns / _NS_A_MS, event.event_type is self._rising)
                for event in self._ask(self._request.read_edge_events)
            )
        return found

    def set(self, *, ring_mode: bool, reverse: bool, power_down: bool) -> None:
        """Set all outputs.

        Raises:
            LineFault: the chip refused.
        """
        settings = self._settings
        wanted = {settings.ring_mode_line: ring_mode, settings.reverse_line: reverse}
        if settings.power_down_line >= 0:
            wanted[settings.power_down_line] = power_down
        values = {
            line: self._value.ACTIVE if on else self._value.INACTIVE for line, on in wanted.items()
        }
        self._ask(lambda: self._request.set_values(values))

    def release(self) -> None:
        """Give the pins back; twice is no error."""
        try:
            self._request.release()
        except Exception as error:  # gpiod raises an exception of its own when it is released
            if type(error).__name__ != "RequestReleasedError":
                raise

    def _outputs(self) -> list[int]:
        settings = self._settings
        lines = [settings.ring_mode_line, settings.reverse_line]
        return lines + [settings.power_down_line] * (settings.power_down_line >= 0)

    def _ask(self, call: Any) -> Any:
        try:
            return call()
        except OSError as error:
            raise LineFault(
                f"the GPIO chip {self._settings.chip} failed ({error}); check its cabling"
            ) from None
