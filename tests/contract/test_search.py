"""A search is one run with its trials and one training below it, and can be gone on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from registry.errors import StepFailed, UsageError
from registry.settings import Settings
from tests.contract.mlflow_store import embedded
from training.job import Plan
from training.search import Searched, search, unused
from training.tracked_run import PARENT
from training.tracking import Tracking

QUICK: Mapping[str, object] = {"cv_folds": 2, "max_depth": 3}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A registry for all tests here."""
    return embedded(tmp_path_factory.mktemp("search") / "var")


@pytest.fixture(scope="module")
def found(settings: Settings) -> Searched:
    """Three trials of the number of trees."""
    return search(iris(settings), settings, study="trees", trials=3, fixed={"max_depth"})


def iris(settings: Settings, **params: object) -> Plan:
    return Plan.of("iris", settings, params={**QUICK, **params})


def runs(settings: Settings, where: str) -> Sequence[Any]:
    client = Tracking(settings).client
    experiment = client.get_experiment_by_name("iris-pipeline")
    return list(client.search_runs([experiment.experiment_id], where))


def test_trials_and_the_training_lie_below_the_run_of_the_study(
    settings: Settings, found: Searched
) -> None:
    below = runs(settings, f"tags.`{PARENT}` = '{found.run_id}'")
    names = sorted(run.info.run_name for run in below)
    assert names == ["random_forest_training", "trial 0", "trial 1", "trial 2"]
    assert {run.info.status for run in below} == {"FINISHED"}
    [parent] = runs(settings, f"tags.`baton.search` = 'trees' and tags.`{PARENT}` is null") or [
        Tracking(settings).client.get_run(found.run_id)
    ]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best_cv_accuracy_mean"] == found.best
    assert parent.data.tags["best.n_estimators"] == str(found.params["n_estimators"])


def test_the_version_is_trained_with_the_best(settings: Settings, found: Searched) -> None:
    run = Tracking(settings).client.get_run(found.trained.run_id)
    assert run.data.params["n_estimators"] == str(found.params["n_estimators"])
    assert run.data.params["max_depth"] == "3"
    assert run.data.metrics["cv_accuracy_mean"] == pytest.approx(found.best)
    assert found.trained.version == 1
    assert found.default is not None
    assert found.best >= found.default


def test_the_run_shows_every_trial(settings: Settings, found: Searched) -> None:
    client = Tracking(settings).client
    shown = {file.path for file in client.list_artifacts(found.run_id)}
    assert {"trials.csv", "plots"} <= shown
    assert "search.png" in str([file.path for file in client.list_artifacts(found.run_id, "plots")])


def test_it_goes_on_by_its_name_in_the_same_run(settings: Settings, found: Searched) -> None:
    again = search(iris(settings), settings, study="trees", trials=4, fixed={"max_depth"})
    assert (again.run_id, again.trials) == (found.run_id, 4)
    trials = [
        run
        for run in runs(settings, f"tags.`{PARENT}` = '{found.run_id}'")
        if run.info.run_name.startswith("trial")
    ]
    assert len(trials) == 4


def test_other_parameters_make_another_study(settings: Settings, found: Searched) -> None:
    with pytest.raises(UsageError, match=f"study '{found.study}': was begun with others"):
        search(
            iris(settings, test_size=0.3),
            settings,
            study=found.study,
            trials=4,
            fixed={"max_depth"},
        )


def test_a_failed_trial_is_a_failed_run_and_the_search_goes_on(tmp_path: Path) -> None:
    """A training part of thirty rows and a fold for each of forty: no trial can be judged."""
    settings = embedded(tmp_path / "var")
    plan = iris(settings, cv_folds=60)
    with pytest.raises(StepFailed, match="none of 2 trials succeeded"):
        search(plan, settings, study="none", trials=2, fixed={"max_depth"})
    states = {run.info.run_name: run.info.status for run in runs(settings, "")}
    assert states == {"search none": "FAILED", "trial 0": "FAILED", "trial 1": "FAILED"}


def test_without_folds_there_is_nothing_to_judge_by(tmp_path: Path) -> None:
    settings = embedded(tmp_path / "var")
    with pytest.raises(UsageError, match="no folds are asked for"):
        search(iris(settings, cv_folds=0), settings, study="none", trials=1)


@pytest.mark.parametrize(
    ("workload", "fixed", "params", "said"),
    [
        ("wine", (), {}, "wine: no parameter to search: none is meant to be"),
        ("iris", ("n_estimators", "max_depth"), {}, "all that could be are given"),
        ("iris", (), {"n_estimators": 5}, "goes from 10 to 400 and begins with 5"),
    ],
)
def test_what_cannot_be_searched_is_said_before_anything_is_made(
    tmp_path: Path, workload: str, fixed: Sequence[str], params: Mapping[str, object], said: str
) -> None:
    settings = embedded(tmp_path / "var")
    plan = Plan.of(workload, settings, params=params)
    with pytest.raises(UsageError, match=said):
        search(plan, settings, study="none", trials=1, fixed=fixed)
    assert not (settings.home / "searches").exists()


def test_prophet_is_searched_by_its_backtest(tmp_path: Path) -> None:
    settings = embedded(tmp_path / "var")
    plan = Plan.of("petr4", settings, params={"history_rows": 200, "backtest_folds": 1})
    found = search(plan, settings, study="bends", trials=2)
    assert (found.objective, found.trials) == ("backtest_mae", 2)
    assert found.default is not None
    assert found.best <= found.default


def test_a_study_without_a_name_gets_the_first_that_is_free(
    tmp_path: Path, found: Searched
) -> None:
    assert unused(tmp_path, "iris") == "iris-1"
    (tmp_path / "searches").mkdir()
    (tmp_path / "searches" / "iris-1.journal").touch()
    assert unused(tmp_path, "iris") == "iris-2"
    assert dataclasses.is_dataclass(found)
