"""The range of dates that a customer asks for."""

from __future__ import annotations

from datetime import timedelta

from host.api.v1.values import Day, Parameter, Status, date

LONGEST = timedelta(days=92)
DATES = (
    Parameter("date_from", date, True, "date"),
    Parameter("date_to", date, True, "date"),
)


def utc_range(first: Day, last: Day, offset: timedelta = timedelta()) -> tuple[int, int]:
    """From and until, UTC milliseconds; a last day without a time counts whole.

    Raises:
        Status: `invalid_daterange`: over 92 days, or the wrong way round.
    """
    if not first.at <= last.at <= first.at + LONGEST:
        raise Status("invalid_daterange")
    until = last.at + (timedelta(days=1) if last.whole else timedelta(seconds=1))
    begin, end = (round((moment - offset).timestamp() * 1000) for moment in (first.at, until))
    return begin, end
