"""What dates come next, by table: the step of a history and the dates after it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.calendar import Calendar, Every, Months, Weekdays

Dates = NDArray[np.datetime64]


def days(first: str, last: str, *, step: int = 1) -> Dates:
    """Every `step`-th day from `first` to before `last`."""
    return np.arange(first, last, step, dtype="datetime64[D]").astype("datetime64[ns]")


def business(first: str, last: str) -> Dates:
    """The days of `first` … `last` that are Monday to Friday."""
    every = np.arange(first, last, dtype="datetime64[D]")
    return every[np.is_busday(every)].astype("datetime64[ns]")


def months(first: str, last: str, *, step: int = 1, end: bool = False) -> Dates:
    """First (or last) days of every `step`-th month."""
    firsts = np.arange(first, last, step, dtype="datetime64[M]")
    if not end:
        return firsts.astype("datetime64[ns]")
    return ((firsts + 1).astype("datetime64[D]") - 1).astype("datetime64[ns]")


def times(*texts: str) -> Dates:
    """The given times."""
    return np.array(texts, dtype="datetime64[ns]")


def thinned(dates: Dates, share: float) -> Dates:
    """`dates` without a random share of those between the first and the last."""
    kept = np.random.default_rng(1).random(dates.size) >= share
    kept[[0, -1]] = True
    return dates[kept]


HOLIDAYS = times("2023-01-02", "2023-04-07", "2023-05-01", "2023-09-07", "2023-12-25", "2023-12-26")
TRADED = np.setdiff1d(business("2023-01-01", "2024-01-01"), HOLIDAYS)

TABLE = {
    "daily": (days("2023-01-01", "2024-01-01"), "D", "2024-01-01", "2024-01-02"),
    "daily, a tenth missing": (
        thinned(days("2023-01-01", "2024-01-01"), 0.1),
        "D",
        "2024-01-01",
        "2024-01-02",
    ),
    "daily, a third missing": (
        thinned(days("2023-01-01", "2024-01-01"), 0.33),
        "D",
        "2024-01-01",
        "2024-01-02",
    ),
    "daily, four days": (days("2023-11-01", "2023-11-05"), "D", "2023-11-05", "2023-11-06"),
    "daily over one weekend": (days("2023-11-02", "2023-11-08"), "D", "2023-11-08", "2023-11-09"),
    "daily, a Saturday missing": (
        times("2023-11-02", "2023-11-03", "2023-11-05", "2023-11-06"),
        "D",
        "2023-11-07",
        "2023-11-08",
    ),
    "business days with holidays": (TRADED, "B", "2024-01-01", "2024-01-02"),
    "two business weeks": (business("2023-11-06", "2023-11-18"), "B", "2023-11-20", "2023-11-21"),
    "business days over one weekend": (
        business("2023-11-02", "2023-11-08"),
        "B",
        "2023-11-08",
        "2023-11-09",
    ),
    "business days and one odd Saturday": (
        np.union1d(TRADED, times("2023-11-11")),
        "B",
        "2024-01-01",
        "2024-01-02",
    ),
    "Sunday to Thursday": (
        np.array(
            [
                d
                for d in days("2023-01-01", "2023-06-30")
                if d.astype("M8[D]").astype(int) % 7 not in {1, 2}
            ]
        ),
        "C(1111001)",
        "2023-07-02",
        "2023-07-03",
    ),
    "weekly": (days("2023-01-02", "2023-12-31", step=7), "7D", "2024-01-01", "2024-01-08"),
    "weekly, some missing": (
        thinned(days("2023-01-02", "2023-12-31", step=7), 0.3),
        "7D",
        "2024-01-01",
        "2024-01-08",
    ),
    "fortnightly": (days("2023-01-02", "2023-12-31", step=14), "14D", "2024-01-01", "2024-01-15"),
    "every other day": (days("2023-01-01", "2023-03-01", step=2), "2D", "2023-03-02", "2023-03-04"),
    "month start": (months("2021-01", "2024-01"), "MS", "2024-01-01", "2024-02-01"),
    "month start with a gap": (
        np.delete(months("2021-01", "2024-01"), [5, 6, 20]),
        "MS",
        "2024-01-01",
        "2024-02-01",
    ),
    "month end": (months("2021-01", "2024-01", end=True), "ME", "2024-01-31", "2024-02-29"),
    "two month ends": (times("2023-11-30", "2023-12-31"), "ME", "2024-01-31", "2024-02-29"),
    "fifteenth": (
        months("2021-01", "2024-01") + np.timedelta64(14, "D"),
        "1M(day 15)",
        "2024-01-15",
        "2024-02-15",
    ),
    "quarter start": (months("2019-01", "2024-01", step=3), "QS", "2024-01-01", "2024-04-01"),
    "quarter end": (
        months("2019-03", "2024-01", step=3, end=True),
        "QE",
        "2024-03-31",
        "2024-06-30",
    ),
    "year start": (months("2010-01", "2024-01", step=12), "YS", "2024-01-01", "2025-01-01"),
    "year end": (
        months("2010-12", "2024-01", step=12, end=True),
        "YE",
        "2024-12-31",
        "2025-12-31",
    ),
    "hourly": (
        np.arange("2023-11-01T00", "2023-11-04T00", dtype="datetime64[h]"),
        "h",
        "2023-11-04T00:00",
        "2023-11-04T01:00",
    ),
    "hourly with gaps": (
        thinned(np.arange("2023-11-01T00", "2023-11-04T00", dtype="datetime64[h]"), 0.3),
        "h",
        "2023-11-04T00:00",
        "2023-11-04T01:00",
    ),
    "quarters of an hour": (
        np.arange("2023-11-01T00:00", "2023-11-02T00:00", 15, dtype="datetime64[m]"),
        "15min",
        "2023-11-02T00:00",
        "2023-11-02T00:15",
    ),
    "daily at six": (
        days("2023-01-01", "2024-01-01") + np.timedelta64(6, "h"),
        "D",
        "2024-01-01T06:00",
        "2024-01-02T06:00",
    ),
    "business days at five": (
        TRADED + np.timedelta64(17, "h"),
        "B",
        "2024-01-01T17:00",
        "2024-01-02T17:00",
    ),
    "irregular": (
        times("2023-11-01T00:00", "2023-11-01T01:00", "2023-11-01T03:30", "2023-11-01T09:00"),
        "150min",
        "2023-11-01T11:30",
        "2023-11-01T14:00",
    ),
    "one row": (times("2023-11-01T12:00"), "D", "2023-11-02T12:00", "2023-11-03T12:00"),
    "one row twice": (times("2023-11-01", "2023-11-01"), "D", "2023-11-02", "2023-11-03"),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_history_goes_on_as_it_went(name: str) -> None:
    """The inferred step has the short name, and the next two dates are these."""
    history, step, first, second = TABLE[name]
    calendar = Calendar.infer(history)
    assert str(calendar.step) == step
    assert calendar.after(2).dtype == np.dtype("datetime64[ns]")
    np.testing.assert_array_equal(calendar.after(2), times(first, second))


@pytest.mark.parametrize("name", TABLE)
def test_the_dates_after_are_later_and_ascend(name: str) -> None:
    """For any history and the order of its rows, and as many as were asked."""
    history = TABLE[name][0]
    calendar = Calendar.infer(history[::-1])
    assert calendar == Calendar.infer(history)
    dates = calendar.after(500 if "year" not in name else 100)
    assert dates.size in {500, 100}
    assert dates[0] > calendar.last
    assert (np.diff(dates) > np.timedelta64(0)).all()


@pytest.mark.parametrize("start", range(7))
def test_a_seven_day_week_is_never_business_days(start: int) -> None:
    """Wherever it begins and however short it is."""
    first = np.datetime64("2023-11-01") + start
    for n in range(8, 60):
        dates = np.arange(first, first + n).astype("datetime64[ns]")
        assert str(Calendar.infer(dates).step) == "D"


def test_business_days_after_a_weekend_start_on_monday() -> None:
    """A last date on a Saturday is no open day, and the next one is."""
    calendar = Calendar(np.datetime64("2023-11-11", "ns"), Weekdays())
    np.testing.assert_array_equal(calendar.after(2), times("2023-11-13", "2023-11-14"))


def test_a_month_that_is_too_short_gives_its_last_day() -> None:
    """The thirtieth of February is its last day, and March has the thirtieth again."""
    calendar = Calendar(np.datetime64("2023-01-30", "ns"), Months(1, 30))
    np.testing.assert_array_equal(calendar.after(2), times("2023-02-28", "2023-03-30"))


@pytest.mark.parametrize(
    "step", [Months(12, 1), Months(3, 31), Every(365 * 86_400 * 10**9), Weekdays("1000000")]
)
def test_dates_past_the_end_of_nanoseconds_are_refused(step: Every | Months | Weekdays) -> None:
    """They must not wrap around to the past."""
    with pytest.raises(OverflowError, match="2262"):
        Calendar(np.datetime64("2023-01-01", "ns"), step).after(20_000)


def test_an_empty_history_is_refused() -> None:
    """There is no date to go on from."""
    with pytest.raises(ValueError, match="without dates"):
        Calendar.infer(times())
