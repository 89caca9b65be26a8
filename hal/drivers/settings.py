"""What drivers have to know beside the board: the country's hook, as the configuration says."""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST_PULSE_MS = 200
"""Line cards that count pulses take a break up to this for one."""


@dataclass(frozen=True, slots=True)
class HookTiming:
    """For drivers that time breaks of the loop by themselves; the others leave it to `firmware`."""

    flash_least_ms: int = 300
    flash_most_ms: int = 1_000
    flash: bool = True
    pulse: bool = True
    hang_up_ms: int = 400

    @property
    def release_ms(self) -> int:
        """A break so long is a hang-up."""
        return max(self.hang_up_ms, self.flash_most_ms) if self.flash else self.hang_up_ms

    @property
    def flash_is_pulse(self) -> bool:
        """True where a flash is so short that a card takes it for one pulse: 80-130 ms (DE, FR)."""
        return self.flash and self.flash_most_ms <= _LONGEST_PULSE_MS
