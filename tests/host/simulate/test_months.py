"""The simulator's own arithmetic of months, against the host's and by the calendar."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from host.numbering.months import month_begins
from host.simulate.months import _begins


def at(*when: int) -> int:
    return round(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]


def test_what_was_ordered_on_the_31st_is_due_on_the_last_day_of_shorter_months() -> None:
    ordered = at(2026, 12, 31, 9, 30)
    begins = [_begins(ordered, month) for month in range(5)]
    assert begins == [
        ordered,
        at(2027, 1, 31, 9, 30),
        at(2027, 2, 28, 9, 30),
        at(2027, 3, 31, 9, 30),
        at(2027, 4, 30, 9, 30),
    ]


@pytest.mark.parametrize("day", range(28, 32))
def test_both_ways_to_count_agree(day: int) -> None:
    ordered = at(2027, 1, day, 23, 59)
    for month in range(60):
        assert _begins(ordered, month) == month_begins(ordered, month)
