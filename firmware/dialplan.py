"""What digits mean: an emergency number, a service code, a speed dial, or a digit map's number.

They are looked at in this order, so that nothing in a digit map can bar an emergency number or hide
a service code. Pure, like `firmware.digitmap`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from firmware.digitmap import DigitMap, Match

SPEED_DIAL = "speed_dial"
"""Feature whose argument are the two digits that were dialled before `#`."""
_INDEX_DIGITS = 2
_NOTHING = Match(False, False, False, False, "", False)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a dial plan says of the digits so far; the first six as in `firmware.digitmap.Match`."""

    live: bool
    complete: bool
    final: bool
    barred: bool
    number: str
    outside_tone: bool
    feature: str = ""
    argument: str = ""
    emergency: bool = False


class DialPlan:
    """One line's dial plan.

    Args:
        digit_map: ordinary numbers.
        codes: service code to name of feature; none that begins another.
        emergency: numbers that nothing bars.
    """

    def __init__(
        self,
        digit_map: DigitMap,
        codes: Mapping[str, str] | None = None,
        emergency: tuple[str, ...] = (),
    ) -> None:
        self._map = digit_map
        self._codes = dict(codes or {})
        self._emergency = frozenset(emergency)
        self.speed_dials: frozenset[str] = frozenset()
        """Two digits each of the speed dials that are set."""

    def match(self, digits: str, speed_dial: bool = False) -> Reading:
        """What `digits`, the keys pressed so far, mean.

        Args:
            speed_dial: two digits of a speed dial come first, then the number for it.
        """
        if speed_dial:
            return self._setting(digits)
        emergency = self._emergency_reading(digits)
        if emergency is not None:
            return emergency
        if digits in self._codes:
            return Reading(True, True, True, False, "", False, feature=self._codes[digits])
        if digits[:_INDEX_DIGITS] in self.speed_dials and digits[_INDEX_DIGITS:] == "#":
            index = digits[:_INDEX_DIGITS]
            return Reading(True, True, True, False, "", False, SPEED_DIAL, index)
        found = self._map.match(digits)
        prefixes = (*self._codes, *self._emergency, *(f"{one}#" for one in self.speed_dials))
        goes_on = any(one.startswith(digits) for one in prefixes)
        waits = any(one.startswith(digits) for one in (*self._codes, *self._emergency))
        return _reading(found, found.live or goes_on, found.final and not waits)

    def accepts(self, digits: str, key: str, speed_dial: bool = False) -> bool:
        """True if something goes on with `key` after `digits`."""
        return self.match(digits + key, speed_dial).live

    def is_emergency(self, number: str) -> bool:
        """True for a number that nothing may bar."""
        return number in self._emergency

    def number_of(self, digits: str) -> str:
        """What the digit map makes of a whole number; the number itself where it knows none."""
        found = self._map.match(digits)
        return found.number if found.complete and not found.barred else digits

    def _emergency_reading(self, digits: str) -> Reading | None:
        if digits not in self._emergency:
            return None
        longer = any(one != digits and one.startswith(digits) for one in self._emergency)
        return Reading(True, True, not longer, False, digits, False, emergency=True)

    def _setting(self, digits: str) -> Reading:
        index, number = digits[:_INDEX_DIGITS], digits[_INDEX_DIGITS:]
        if not index.isdigit():
            return _reading(_NOTHING, not index, False)
        if not number:
            return Reading(True, False, False, False, "", False)
        found = self._map.match(number)
        return Reading(
            found.live, found.complete, found.final, found.barred, found.number, False,
            argument=index,
        )  # fmt: skip


def _reading(found: Match, live: bool, final: bool) -> Reading:
    return Reading(live, found.complete, final, found.barred, found.number, found.outside_tone)
