"""The rhythm of a series, and which dates come next."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from serving.calendar import Calendar
from training.data.calendar import following, frequency, season


@pytest.mark.parametrize(
    ("alias", "expected"),
    [("D", "D"), ("B", "B"), ("W-FRI", "W-FRI"), ("MS", "MS"), ("ME", "ME"), ("h", "h")],
)
def test_a_rhythm_is_recognised_through_gaps(alias: str, expected: str) -> None:
    """Missing dates do not disturb it."""
    dates = pd.Series(pd.date_range("2020-01-01", periods=300, freq=alias))
    assert frequency(dates) == expected
    assert frequency(dates.drop([30, 31, 90])) == expected


@pytest.mark.parametrize("alias", ["D", "B", "W-FRI", "MS", "ME", "h"])
def test_what_comes_next_is_what_serving_says(alias: str) -> None:
    """Golden examples by horizon rest on both sides counting alike."""
    dates = pd.Series(pd.date_range("2020-01-01", periods=100, freq=alias))
    ours = following(dates.iloc[-1], frequency(dates), 40)
    theirs = Calendar.infer(dates.to_numpy().astype("datetime64[ns]")).after(40)
    assert np.array_equal(np.array(ours, dtype="datetime64[ns]"), theirs)


def test_the_short_season_follows_from_the_rhythm() -> None:
    """A week of five or of seven days; no season where none is known."""
    assert [season(a) for a in ("B", "D", "MS", "W-FRI", "h", "90s")] == [5, 7, 12, 52, 24, 1]
