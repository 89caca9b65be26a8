"""Months of a DID: the same day each month in UTC, the last day where a month lacks it."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def month_begins(ordered_utc_ms: int, month: int) -> int:
    """When month `month` (0 is the first) of what was ordered then begins.

    Milliseconds since 1970 UTC, as `ordered_utc_ms`. Counted from the order each time, so that
    what was ordered on the 31st is due on 28 February and on 31 March again.

    >>> [month_begins(1_706_659_200_000, month) // 86_400_000 for month in range(4)]
    [19753, 19782, 19813, 19843]
    """
    assert month >= 0
    # Not by fromtimestamp: a float would lose the millisecond.
    ordered = _EPOCH + timedelta(milliseconds=ordered_utc_ms)
    years, index = divmod(ordered.month - 1 + month, 12)
    year, number = ordered.year + years, index + 1
    day = min(ordered.day, calendar.monthrange(year, number)[1])
    begins = ordered.replace(year=year, month=number, day=day)
    return (begins - _EPOCH) // timedelta(milliseconds=1)
