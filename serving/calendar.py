"""Which dates come next: the step of a series and the dates after its last one.

A forecast asked for as a bare horizon starts after the last training date and goes on as the
history did. This file infers how that was, in numpy alone; it knows no public holidays, so a gap
of the history is a gap and not a rule. Called by engines of forecast models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Dates: TypeAlias = NDArray[np.datetime64]

WEEK = "1111111"
BUSINESS_WEEK = "1111100"
DAY = np.timedelta64(1, "D")
DAY_NS = 86_400 * 10**9
LATEST = np.datetime64("2262-04-11", "D")
SHORTEST_MONTH_DAYS = 28

# A weekday is closed when it is this much rarer than the commonest one …
RARE = 0.25
# … over at least so many weeks; Saturday and Sunday together need one.
WEEKS_OF_EVIDENCE = 4
# The open weekdays must be this well filled, or the gaps are not those of a weekly rhythm.
FILLED = 0.6

_NAMES = (("D", DAY_NS), ("h", 3_600 * 10**9), ("min", 60 * 10**9), ("s", 10**9), ("ns", 1))


class Step(Protocol):
    """How to get from a date to the ones after it; `str()` is its short name."""

    def after(self, last: np.datetime64, n: int) -> Dates:
        """The `n` next dates after `last`, in any unit; raises nothing for a valid `last`."""


@dataclass(frozen=True)
class Every:
    """A fixed span of time, in nanoseconds: days, weeks, hours, minutes."""

    nanoseconds: int

    def after(self, last: np.datetime64, n: int) -> Dates:
        """`last` plus 1 to `n` spans; OverflowError past the year 2262."""
        end = int(last.astype("datetime64[ns]").astype(np.int64)) + n * self.nanoseconds
        if end > np.iinfo(np.int64).max:
            raise OverflowError(_too_late(n))
        spans = np.arange(1, n + 1, dtype=np.int64) * self.nanoseconds
        dates: Dates = last.astype("datetime64[ns]") + spans.astype("timedelta64[ns]")
        return dates

    def __str__(self) -> str:
        """Short as pandas writes it: `D`, `7D`, `h`, `15min`."""
        name, size = next(unit for unit in _NAMES if self.nanoseconds % unit[1] == 0)
        count = self.nanoseconds // size
        return name if count == 1 else f"{count}{name}"


@dataclass(frozen=True)
class Weekdays:
    """Some days of each week: `1111100` is Monday to Friday."""

    mask: str = BUSINESS_WEEK

    def after(self, last: np.datetime64, n: int) -> Dates:
        """The `n` next open days, at the time of day of `last`."""
        day = last.astype("datetime64[D]")
        days = np.busday_offset(day, np.arange(1, n + 1), roll="backward", weekmask=self.mask)
        return _at_time_of(last, days)

    def __str__(self) -> str:
        """`B` for Monday to Friday, else the mask."""
        return "B" if self.mask == BUSINESS_WEEK else f"C({self.mask})"


@dataclass(frozen=True)
class Months:
    """A day of every `count`-th month; a month too short for `day` gives its last day."""

    count: int
    day: int

    def after(self, last: np.datetime64, n: int) -> Dates:
        """The `n` next such days, at the time of day of `last`."""
        months = last.astype("datetime64[M]") + np.arange(n + 1) * self.count
        days = _days_of(months, self.day)
        later = days[days > last.astype("datetime64[D]")]
        return _at_time_of(last, later[:n])

    def __str__(self) -> str:
        """`MS`, `ME`, `QS`, `QE`, `YS`, `YE`, else the count of months and the day."""
        ends = {1: "S", 31: "E"}
        names = {1: "M", 3: "Q", 12: "Y"}
        if self.count in names and self.day in ends:
            return names[self.count] + ends[self.day]
        return f"{self.count}M(day {self.day})"


@dataclass(frozen=True)
class Calendar:
    """The last date of a history and the step by which it went on."""

    last: np.datetime64
    step: Step

    @classmethod
    def infer(cls, history: Dates) -> Calendar:
        """Read off the step of `history` (datetime64[ns], any order, [n >= 1]).

        Tried in this order: a day of the month, open weekdays, the commonest span if all others
        are multiples of it (so gaps do no harm), the median span. Fewer than two dates: one day.
        Raises ValueError for an empty history.
        """
        dates = np.unique(history.astype("datetime64[ns]"))
        if dates.size == 0:
            msg = "a history without dates has no next date"
            raise ValueError(msg)
        return cls(last=dates[-1], step=_step(dates))

    def after(self, n: int) -> Dates:
        """The `n` (>= 1) dates after `last`, datetime64[ns], [n], ascending.

        Raises OverflowError where the last of them is past 2262-04-11, the end of nanoseconds.
        """
        dates = self.step.after(self.last, n)
        if dates[-1].astype("datetime64[D]") > LATEST:
            raise OverflowError(_too_late(n))
        return dates.astype("datetime64[ns]")


def _step(dates: Dates) -> Step:
    """Infer the step of sorted, distinct dates."""
    if dates.size < 2:
        return Every(DAY_NS)
    at_one_time = np.unique(dates.astype(np.int64) % DAY_NS).size == 1
    days = dates.astype("datetime64[D]")
    rhythm = (_months(days) or _weekdays(days)) if at_one_time else None
    return rhythm or _span(dates)


def _months(days: Dates) -> Months | None:
    """A day of the month, where every date falls on it."""
    if int(np.diff(days).astype(np.int64).min()) < SHORTEST_MONTH_DAYS:
        return None
    months = days.astype("datetime64[M]")
    count = int(np.gcd.reduce(np.diff(months).astype(np.int64)))
    latest = int((days - months.astype("datetime64[D]")).astype(np.int64).max()) + 1
    for day in (31, latest):
        if count and bool((_days_of(months, day) == days).all()):
            return Months(count, day)
    return None


def _weekdays(days: Dates) -> Weekdays | None:
    """The open days of the week, where some are closed and the open ones are filled."""
    span = np.arange(days[0], days[-1] + DAY)
    possible = np.bincount(_weekday(span), minlength=7)
    seen = np.bincount(_weekday(days), minlength=7)
    share = seen / np.maximum(possible, 1)
    closed = (share < RARE * share.max()) & (possible >= WEEKS_OF_EVIDENCE)
    if not seen[5:].any() and possible[5:].all():
        closed[5:] = True
    opened = ~closed
    if opened.all() or opened.sum() == 1 or seen[opened].sum() < FILLED * possible[opened].sum():
        return None
    return Weekdays("".join("1" if day else "0" for day in opened))


def _span(dates: Dates) -> Every:
    """The commonest span between dates if the others are multiples of it, else the median."""
    spans = np.sort(np.diff(dates).astype(np.int64))
    values, counts = np.unique(spans, return_counts=True)
    commonest = int(values[counts.argmax()])
    regular = not (spans % commonest).any()
    return Every(commonest if regular else int(spans[spans.size // 2]))


def _weekday(days: Dates) -> NDArray[np.int64]:
    """0 for Monday to 6 for Sunday; 1970-01-01 was a Thursday."""
    return (days.astype(np.int64) + 3) % 7


def _days_of(months: Dates, day: int) -> Dates:
    """The `day`-th (1 to 31) of each month, or its last day where it is shorter."""
    first = months.astype("datetime64[D]")
    last = (months + np.timedelta64(1, "M")).astype("datetime64[D]") - DAY
    return np.minimum(first + np.timedelta64(day - 1, "D"), last)


def _at_time_of(last: np.datetime64, days: Dates) -> Dates:
    """`days` at the time of day of `last`; days past the end of nanoseconds stay days."""
    if days[-1] > LATEST:
        return days
    time = last.astype("datetime64[ns]") - last.astype("datetime64[D]")
    dates: Dates = np.add(days.astype("datetime64[ns]"), time)
    return dates


def _too_late(n: int) -> str:
    return f"{n} steps go past {LATEST}, the last day that can be told"
