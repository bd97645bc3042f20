"""The rhythm of a dated series: which dates come next, and how long its short season is."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

_SEASONS = {"B": 5, "D": 7, "h": 24, "MS": 12, "ME": 12, "W": 52}
_DAY = pd.Timedelta(days=1)
_SATURDAY = 5


def frequency(dates: pd.Series[pd.Timestamp]) -> str:
    """The pandas alias of a series' rhythm; holidays and single missing days do not disturb it.

    A median step of a day is "B" if there is no Saturday or Sunday, else "D"; a week is "W-…" with
    its weekday; 28 to 31 days are "MS", or "ME" if every date is a month's last day.
    """
    step = dates.diff().median()
    if step == _DAY:
        return "D" if (dates.dt.day_of_week >= _SATURDAY).any() else "B"
    if step == 7 * _DAY:
        return f"W-{dates.iloc[-1].strftime('%a').upper()}"
    if 28 * _DAY <= step <= 31 * _DAY:
        return "ME" if dates.dt.is_month_end.all() else "MS"
    seconds = int(step.total_seconds())
    return f"{seconds // 3600}h".removeprefix("1") if seconds % 3600 == 0 else f"{seconds}s"


def season(alias: str) -> int:
    """Observations in the short season of a rhythm: 5 for business days, 7 for days, …; else 1."""
    return _SEASONS.get(alias.split("-", maxsplit=1)[0], 1)


def following(last: pd.Timestamp, alias: str, count: int) -> Sequence[pd.Timestamp]:
    """The `count` dates after `last`."""
    dates = pd.date_range(last, periods=count + 1, freq=alias)
    return [*dates[dates > last][:count]]
