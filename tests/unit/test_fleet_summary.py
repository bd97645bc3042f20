"""What came of a fleet: in order of how it stands to the naive forecast, failures with reasons."""

from __future__ import annotations

import csv
import io

from training.fleet.summary import Summary
from training.fleet.task import Outcome


def summary() -> Summary:
    return Summary(
        run_id="r",
        workload="petr4",
        metric="mae",
        outcomes=[
            Outcome(series="worse", model="m-worse", version=1, metric=0.1, ratio=1.5),
            Outcome(series="untold", model="m-untold", version=2),
            Outcome(series="broken", model="m-broken", reason="row 3, y: expected a number"),
            Outcome(series="better", model="m-better", version=1, metric=90.0, ratio=0.5),
        ],
        kept=1,
        seconds=2.5,
    )


def test_the_best_comes_first_by_its_ratio_and_what_says_none_last():
    assert [one.series for one in summary().ranked] == ["better", "worse", "untold"]


def test_the_table_holds_every_series_and_why_it_failed():
    lines = [*csv.DictReader(io.StringIO(summary().csv()))]
    assert [line["series"] for line in lines] == ["better", "worse", "untold", "broken"]
    assert lines[-1]["reason"] == "row 3, y: expected a number"
    assert lines[-1]["version"] == ""


def test_the_numbers_of_the_parent_run_and_of_the_answer():
    told = summary().to_json()
    assert told["failures"] == {"broken": "row 3, y: expected a number"}
    assert (told["series"], told["trained"], told["failed"], told["kept"]) == (4, 3, 1, 1)
    assert told["better_than_naive"] == 1
