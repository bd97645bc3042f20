"""A series that fails is an outcome with a reason; only what may pass is tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.errors import BatonError, DataInvalid, StepFailed, Unreachable, UsageError
from registry.settings import Settings
from training.fleet.plan import FleetPlan
from training.fleet.series import SeriesFile
from training.fleet.task import PARENT, SERIES, Task, train


@pytest.fixture
def task(tmp_path: Path) -> Task:
    settings = Settings(home=tmp_path / "var").resolved()
    path = tmp_path / "list.txt"
    path.write_text("usd_brl\n")
    file = SeriesFile.read(path, source=None)
    plan = FleetPlan.of("petr4", file, settings, params={})
    return Task(series="usd_brl", plan=plan, file=file, settings=settings, parent="parent", tries=3)


class Failing:
    """A pipeline that fails, and remembers what it was asked."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked: list[dict[str, str]] = []

    def __call__(self, plan, settings, *, tags):
        self.asked.append(tags)
        raise self.error


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (Unreachable("MLflow: database is locked"), 3),
        (StepFailed("step fit: diverged"), 3),
        (ZeroDivisionError("by zero"), 3),
        (DataInvalid("row 3: y: expected more than 0"), 1),
        (UsageError("history_rows: expected at least 60"), 1),
    ],
)
def test_a_fault_that_may_pass_is_tried_again_and_no_other(task: Task, error, tries: int):
    run = Failing(error)
    outcome = train(task, run=run)
    assert not outcome.is_trained
    assert (outcome.tries, len(run.asked)) == (tries, tries)
    own = str(error) if isinstance(error, BatonError) else "ZeroDivisionError: by zero"
    assert (outcome.series, outcome.model, outcome.reason) == (
        "usd_brl",
        "ProphetModel-usd_brl",
        own,
    )


def test_every_try_is_a_child_of_the_parent(task: Task):
    run = Failing(StepFailed("no"))
    train(task, run=run)
    assert {(one[PARENT], one[SERIES]) for one in run.asked} == {("parent", "usd_brl")}
    assert [one["baton.fleet_try"] for one in run.asked] == ["1", "2", "3"]
