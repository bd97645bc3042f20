"""A period of a series: what lies between two dates, both included."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from registry.settings import Settings
from tests.unit.test_training_evaluate import FakeIncumbent, FakeRun
from training.data.dataset import Dataset
from training.job import Job, Plan
from training.steps.load import load
from training.workloads import get
from training.workspace import Workspace

DAYS = pd.date_range("2026-01-01", periods=5, freq="D")


def dataset() -> Dataset:
    frame = pd.DataFrame({"ds": DAYS, "y": [1.0, 2.0, 3.0, 4.0, 5.0]})
    return Dataset(frame=frame, name="s", source="csv", credit="", origin="file s.csv")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, [1, 2, 3, 4, 5]),
        ("2026-01-02", None, [2, 3, 4, 5]),
        (None, "2026-01-02", [1, 2]),
        ("2026-01-02", "2026-01-04", [2, 3, 4]),
        ("2027-01-01", None, []),
    ],
)
def test_both_bounds_are_included(start: str | None, end: str | None, expected: list[int]):
    assert dataset().between(start, end).frame["y"].tolist() == expected


def test_a_moment_of_the_last_day_is_in_it():
    noon = dataset().frame.assign(ds=DAYS + pd.Timedelta(hours=12))
    kept = Dataset(frame=noon, name="s", source="csv", credit="", origin="o")
    assert len(kept.between("2026-01-02", "2026-01-02").frame) == 1


def test_the_rows_keep_their_numbers_and_messages_say_the_period():
    some = dataset().between("2026-01-03", None)
    assert some.frame.index.tolist() == [2, 3, 4]
    assert some.origin == "file s.csv, from 2026-01-03 to its end"
    assert some.fingerprint != dataset().fingerprint


def test_a_training_loads_the_period_and_says_so(tmp_path: Path):
    settings = Settings(home=tmp_path).resolved()
    plan = Plan.of("petr4", settings, start_date="2015-01-01", end_date="2015-12-31")
    run = FakeRun()
    job = Job(plan=plan, workspace=Workspace(tmp_path), run=run, incumbent=FakeIncumbent())
    load(get("petr4"), job)
    dates = job.workspace.dataset().frame["ds"]
    assert (dates.min() >= pd.Timestamp("2015-01-01"), dates.max().year) == (True, 2015)
    assert run.params == {"start_date": "2015-01-01", "end_date": "2015-12-31"}
