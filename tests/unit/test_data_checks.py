"""Data that must not be trained on is refused by row and value."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from registry.errors import DataInvalid
from training.data.checks import Requirements, check
from training.data.dataset import Dataset

DAILY = Requirements(min_rows=5, dated=True, max_gap_steps=10, positive=("y",))


def daily(changes: dict[int, Any] | None = None, *, column: str = "y", rows: int = 20) -> Dataset:
    """Twenty days of ones in lines 2 to 21 of a file, with some cells changed by line."""
    frame = pd.DataFrame(
        {"ds": pd.date_range("2024-01-01", periods=rows), "y": 1.0},
        index=pd.RangeIndex(2, rows + 2),
    )
    for line, value in (changes or {}).items():
        frame.loc[line, column] = value
    return Dataset(frame=frame, name="x", source="csv", credit="", origin="file x.csv")


def refusal(data: Dataset, wanted: Requirements = DAILY) -> str:
    """The message of the refusal."""
    with pytest.raises(DataInvalid) as caught:
        check(data, wanted)
    return str(caught.value)


def test_good_data_passes() -> None:
    """Nothing is raised for increasing dates and positive values."""
    check(daily(), DAILY)


def test_a_weekend_is_no_gap_but_two_weeks_are() -> None:
    """The longest allowed distance is counted in usual steps."""
    frame = daily().frame
    frame.loc[12:, "ds"] += pd.Timedelta(days=9)
    data = Dataset(frame=frame, name="x", source="csv", credit="", origin="file x.csv")
    check(data, DAILY)
    frame.loc[12:, "ds"] += pd.Timedelta(days=1)
    message = refusal(data)
    assert message.startswith(
        "file x.csv, row 12: ds: expected at most 10 usual steps after the date before, "
        "got 2024-01-21"
    )


@pytest.mark.parametrize(
    ("changes", "column", "said"),
    [
        ({7: float("nan")}, "y", "file x.csv, row 7: y: expected a finite value, got nan"),
        ({7: float("inf")}, "y", "file x.csv, row 7: y: expected a finite value, got inf"),
        ({7: 0.0}, "y", "file x.csv, row 7: y: expected more than 0, got 0"),
        ({9: -2.5}, "y", "file x.csv, row 9: y: expected more than 0, got -2.5"),
        ({7: pd.NaT}, "ds", "file x.csv, row 7: ds: expected a finite value, got NaT"),
        (
            {7: pd.Timestamp("2024-01-05")},
            "ds",
            "file x.csv, row 7: ds: expected a later date than the row before, got 2024-01-05",
        ),
        (
            {7: pd.Timestamp("2023-12-24")},
            "ds",
            "file x.csv, row 7: ds: expected a later date than the row before, got 2023-12-24",
        ),
    ],
)
def test_a_wrong_cell_is_named(changes: dict[int, Any], column: str, said: str) -> None:
    """File, line, column and value stand in the message."""
    assert refusal(daily(changes, column=column)) == said


def test_several_problems_are_named_up_to_four() -> None:
    """The first problem and three more; nobody reads a thousand."""
    message = refusal(daily(dict.fromkeys(range(3, 20), -1.0)))
    assert message.count("row") == 4


def test_too_few_rows_are_refused_with_both_numbers() -> None:
    """What is there and what is needed."""
    assert refusal(daily(rows=4)) == "file x.csv, all rows: expected at least 5, got 4"


def test_a_single_class_is_refused() -> None:
    """A classifier needs at least two labels."""
    wanted = Requirements(min_rows=1, different=("y", 2))
    assert "y: expected at least 2 different values, got 1" in refusal(daily(), wanted)
