"""Loop current to hook, flash and pulse digits. No I/O; time comes with the edges.

A telephone says all of this with one wire: a long break is a hang-up, a shorter one a flash, a
train of short ones a digit. Where a country's flash is as short as a pulse (80-130 ms), a lone
break within both windows is taken for a flash, one within a train for a pulse.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HookTimes:
    """How breaks are told apart, milliseconds."""

    flash_least_ms: int = 300
    flash_most_ms: int = 1_000
    flash: bool = True
    pulse: bool = True
    hang_up_ms: int = 400
    """A break so long is a hang-up where flash is off or shorter."""
    debounce_ms: int = 8
    """Contacts bounce for less than this; the make of 22 pulses a second is 15 ms."""
    seize_ms: int = 20
    """Loop current must flow for so long before an on-hook line is off-hook."""
    pulse_least_ms: int = 10
    pulse_most_ms: int = 100
    """8 pulses a second with 64 % break: 80 ms."""
    digit_gap_ms: int = 200
    """A pause so long ends a digit; the pause between two is at least 300 ms."""

    @property
    def release_ms(self) -> int:
        """A break so long is a hang-up."""
        return max(self.hang_up_ms, self.flash_most_ms) if self.flash else self.hang_up_ms


@dataclass(frozen=True, slots=True)
class OffHook:
    """The receiver was lifted."""

    at_ms: float


@dataclass(frozen=True, slots=True)
class OnHook:
    """The receiver was put back."""

    at_ms: float


@dataclass(frozen=True, slots=True)
class Flash:
    """A break within the flash window."""

    at_ms: float


@dataclass(frozen=True, slots=True)
class PulseStart:
    """The first pulse of a digit: dial tone goes off."""

    at_ms: float


@dataclass(frozen=True, slots=True)
class Digit:
    """A digit, however it was dialled."""

    at_ms: float
    digit: str


HookSignal = OffHook | OnHook | Flash | PulseStart | Digit
_MOST_PULSES = 10


class HookDetector:
    """One line's hook. Feed it edges in order; ask `deadline_ms`, call `handle_timer` then."""

    def __init__(self, times: HookTimes) -> None:
        self._times = times
        self._raw = False
        self._raw_ms = 0.0
        self._stable = False
        self._stable_ms = 0.0
        self._pulses = 0
        self._lone_flash = False
        self._blind_until_ms: float | None = None
        self.off_hook = False
        self.glitches = 0
        """Breaks that were neither pulse, flash nor hang-up."""

    @property
    def deadline_ms(self) -> float | None:
        """When something happens if no edge comes first."""
        if self._blind_until_ms is not None:
            return self._blind_until_ms
        if self._raw != self._stable:
            return self._raw_ms + self._settle_ms()
        if not self.off_hook:
            return None
        if not self._stable:
            return self._stable_ms + self._times.release_ms
        return self._stable_ms + self._times.digit_gap_ms if self._pulses else None

    def edge(self, at_ms: float, flowing: bool) -> list[HookSignal]:
        """Loop current began or ceased at `at_ms`."""
        signals = self.handle_timer(at_ms)
        if flowing != self._raw:
            self._raw = flowing
            self._raw_ms = at_ms
        return signals

    def handle_timer(self, now_ms: float) -> list[HookSignal]:
        """What time alone has brought about by `now_ms`."""
        signals: list[HookSignal] = []
        while True:
            deadline_ms = self.deadline_ms
            if deadline_ms is None or deadline_ms > now_ms:
                return signals
            if self._blind_until_ms is not None:
                self._see_again(deadline_ms)
            elif self._raw != self._stable:
                self._settle(signals)
            elif not self._stable:
                self.off_hook = False
                self._pulses = 0
                signals.append(OnHook(deadline_ms))
            else:
                self._end_train(deadline_ms, signals)

    def look_away(self, until_ms: float) -> None:
        """The line itself opens the loop (CPC): breaks mean nothing until then."""
        self._blind_until_ms = until_ms
        self._pulses = 0

    def _see_again(self, at_ms: float) -> None:
        self._blind_until_ms = None
        if self.off_hook:
            self._stable = True
            self._stable_ms = at_ms
            self._raw_ms = at_ms

    def _settle_ms(self) -> int:
        return self._times.debounce_ms if self.off_hook else self._times.seize_ms

    def _settle(self, signals: list[HookSignal]) -> None:
        """The contacts have come to rest."""
        break_ms = self._raw_ms - self._stable_ms
        self._stable = self._raw
        self._stable_ms = self._raw_ms
        if not self._stable:
            return
        if not self.off_hook:
            self.off_hook = True
            self._pulses = 0
            signals.append(OffHook(self._raw_ms))
            return
        self._classify(break_ms, signals)

    def _classify(self, break_ms: float, signals: list[HookSignal]) -> None:
        times = self._times
        flash = times.flash and times.flash_least_ms <= break_ms <= times.flash_most_ms
        pulse = times.pulse and times.pulse_least_ms <= break_ms <= times.pulse_most_ms
        if pulse:
            self._lone_flash = flash and self._pulses == 0
            self._pulses += 1
            if self._pulses == 1 and not flash:
                signals.append(PulseStart(self._stable_ms))
        elif flash:
            self._pulses = 0
            signals.append(Flash(self._stable_ms))
        else:
            self.glitches += 1

    def _end_train(self, at_ms: float, signals: list[HookSignal]) -> None:
        pulses, self._pulses = self._pulses, 0
        if pulses == 1 and self._lone_flash:
            signals.append(Flash(at_ms))
        elif pulses <= _MOST_PULSES:
            signals.append(Digit(at_ms, str(pulses % 10)))
        else:
            self.glitches += 1
