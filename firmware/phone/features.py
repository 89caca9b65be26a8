"""What an owner has set by service codes, and what it makes of a call that comes in. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from firmware.digitmap import MOST_DIGITS

_MOST_SPEED_DIALS = 100


@dataclass(frozen=True, slots=True)
class Features:
    """Settings that outlive a restart."""

    forward_all: str = ""
    """Number to which all calls go; empty: none."""
    forward_busy: str = ""
    forward_no_answer: str = ""
    do_not_disturb: bool = False
    anonymous_rejection: bool = False
    """Callers who withhold their number are refused (RFC 5079)."""
    speed_dials: tuple[tuple[str, str], ...] = ()
    """Two digits and the number that they stand for."""
    last_caller: str = ""
    last_dialled: str = ""

    @property
    def reminds(self) -> bool:
        """True while the telephone does not ring for everybody: dial tone stutters."""
        return bool(self.forward_all) or self.do_not_disturb

    def speed_dial(self, index: str) -> str:
        """The number of two digits; empty for none."""
        return dict(self.speed_dials).get(index, "")

    def with_speed_dial(self, index: str, number: str) -> Features:
        """The same with one speed dial more, or another."""
        assert len(index) == 2, "a speed dial has two digits"
        numbers = {**dict(self.speed_dials), index: number}
        return replace(self, speed_dials=tuple(sorted(numbers.items())))

    def to_row(self) -> dict[str, Any]:
        """For a file: names, and values of JSON."""
        return {
            "forward_all": self.forward_all,
            "forward_busy": self.forward_busy,
            "forward_no_answer": self.forward_no_answer,
            "do_not_disturb": self.do_not_disturb,
            "anonymous_rejection": self.anonymous_rejection,
            "speed_dials": dict(self.speed_dials),
            "last_caller": self.last_caller,
            "last_dialled": self.last_dialled,
        }

    @classmethod
    def from_row(cls, row: object) -> Features:
        """What `to_row` gave.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(row, dict):
            raise ValueError("the settings are no table")
        speed_dials = row.get("speed_dials", {})
        if not isinstance(speed_dials, dict) or len(speed_dials) > _MOST_SPEED_DIALS:
            raise ValueError("`speed_dials` is no table of at most 100 numbers")
        if not all(len(index) == 2 and index.isdigit() for index in speed_dials):
            raise ValueError("a speed dial has two digits")
        return cls(
            forward_all=_number(row, "forward_all"),
            forward_busy=_number(row, "forward_busy"),
            forward_no_answer=_number(row, "forward_no_answer"),
            do_not_disturb=_switch(row, "do_not_disturb"),
            anonymous_rejection=_switch(row, "anonymous_rejection"),
            speed_dials=tuple(
                (index, _number(speed_dials, index)) for index in sorted(speed_dials)
            ),
            last_caller=_number(row, "last_caller"),
            last_dialled=_number(row, "last_dialled"),
        )


def _number(row: dict[str, Any], key: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str) or len(value) > MOST_DIGITS or not value.isprintable():
        raise ValueError(f"`{key}` is no number")
    return value


def _switch(row: dict[str, Any], key: str) -> bool:
    value = row.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"`{key}` is neither true nor false")
    return value
