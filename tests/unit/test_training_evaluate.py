"""evaluate: the same numbers for the candidate, the baselines and the Production version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from registry.errors import TrialFailed, UsageError
from registry.evaluation import Comparison, Evaluation
from registry.settings import Settings
from training.data.dataset import Dataset
from training.incumbent import Incumbent, Scored
from training.job import Job, Plan
from training.steps.evaluate import evaluate, flat, verdict
from training.steps.fit import fit
from training.steps.load import load
from training.steps.split import split
from training.workloads import get
from training.workspace import Workspace

IRIS = get("iris")


class FakeRun:
    """Remembers what is logged."""

    run_id = "r1"

    def __init__(self) -> None:
        """Nothing logged yet."""
        self.params: dict[str, object] = {}
        self.metrics: dict[str, float] = {}
        self.curves: dict[str, Sequence[float]] = {}
        self.tags: dict[str, object] = {}
        self.folders: list[Path] = []
        self.datasets: list[Dataset] = []

    def log_params(self, params: Mapping[str, object]) -> None:
        """Remember."""
        self.params.update(params)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Remember."""
        self.metrics.update(metrics)

    def log_curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        self.curves.update(curves)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Remember."""
        self.tags.update(tags)

    def log_dataset(self, data: Dataset) -> None:
        """Remember."""
        self.datasets.append(data)

    def log_artifacts(self, folder: Path) -> None:
        """Remember."""
        self.folders.append(folder)

    def register(self, bundle: Path, model: str, *, tags: Mapping[str, str]) -> int:
        """Never asked here."""
        raise NotImplementedError


class FakeIncumbent:
    """In Production: something that calls every flower the same, or that fails."""

    def __init__(self, *, label: int = 0, error: Exception | None = None, short: int = 0) -> None:
        """`short` answers are left out."""
        self._label, self._error, self._short = label, error, short
        self.asked: list[tuple[str, Sequence[Mapping[str, Any]]]] = []

    def score(self, model: str, requests: Sequence[Mapping[str, Any]]) -> Scored | None:
        """One label for every row."""
        self.asked.append((model, requests))
        if self._error is not None:
            raise self._error
        rows = len(requests[0]["dataframe_split"]["data"]) - self._short
        answers = [{"predictions": [self._label] * rows}]
        return Scored(version=7, digest="d7", series="iris", answers=answers)


class Nothing:
    """Nothing is in Production."""

    def score(self, model: str, requests: Sequence[Mapping[str, Any]]) -> Scored | None:
        """Never an answer."""
        assert model
        assert requests
        return None


def evaluated(folder: Path, incumbent: Incumbent) -> tuple[FakeRun, Evaluation]:
    """Iris up to `evaluate`, with a small forest."""
    plan = Plan.of("iris", Settings(home=folder), params={"n_estimators": 3})
    run = FakeRun()
    job = Job(plan=plan, workspace=Workspace(folder / "w"), run=run, incumbent=incumbent)
    for step in (load, split, fit, evaluate):
        step(IRIS, job)
    return run, Evaluation.from_json(job.workspace.read("evaluation.json"))


def test_a_first_training_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    """`current` is None, and no tag claims a fault."""
    run, evaluation = evaluated(tmp_path, Nothing())
    assert evaluation.current is None
    assert "baton.current_not_scored" not in run.tags
    assert (evaluation.rows, evaluation.series, evaluation.data_end) == (150, "iris", None)
    assert run.metrics["accuracy"] == evaluation.metrics["accuracy"]
    assert run.metrics["majority_accuracy"] == pytest.approx(1 / 3)


def test_the_production_version_is_scored_on_the_candidates_holdout(tmp_path: Path) -> None:
    """It is asked for the same rows, and measured with the same functions."""
    incumbent = FakeIncumbent(label=0)
    run, evaluation = evaluated(tmp_path, incumbent)
    assert evaluation.current is not None
    assert (evaluation.current.version, evaluation.current.digest) == (7, "d7")
    assert evaluation.current.metrics["accuracy"] == pytest.approx(1 / 3)
    assert run.metrics["current_accuracy"] == pytest.approx(1 / 3)
    [(model, requests)] = incumbent.asked
    assert (model, len(requests[0]["dataframe_split"]["data"])) == ("iris", 30)


@pytest.mark.parametrize(
    "incumbent",
    [
        FakeIncumbent(error=TrialFailed("iris v7: hung")),
        FakeIncumbent(error=OSError("disk")),
        FakeIncumbent(short=1),
    ],
)
def test_a_production_version_that_cannot_be_scored_stops_nobody(
    tmp_path: Path, incumbent: FakeIncumbent
) -> None:
    """The run says why."""
    run, evaluation = evaluated(tmp_path, incumbent)
    assert evaluation.current is None
    assert str(run.tags["baton.current_not_scored"])


def test_the_verdict_says_plainly_when_the_naive_forecast_wins() -> None:
    """A tie is no win."""
    evaluation = Evaluation(
        series="s",
        source="sample",
        rows=1,
        data_fingerprint="",
        holdout_fingerprint="",
        metrics={"mae": 0.2},
        baselines={"naive": {"mae": 0.1}, "seasonal_naive": {"mae": 0.3}},
        current=Comparison(version=1, digest="", series="s", metrics={"mae": 0.5}),
    )
    assert verdict(get("petr4").about, evaluation) == (
        "mae 0.2 on the hold-out: better than seasonal_naive (0.3), no better than naive (0.1)"
    )
    assert flat(evaluation) == {
        "mae": 0.2,
        "naive_mae": 0.1,
        "seasonal_naive_mae": 0.3,
        "current_mae": 0.5,
    }


def test_the_holdout_does_not_change_with_the_seed() -> None:
    """Else a version would be judged against one that has learnt from its hold-out."""
    frame = _sample_iris()
    first, second = (IRIS.split(frame, {"test_size": 0.2}, seed=seed) for seed in (1, 2))
    assert first.holdout.index.tolist() == second.holdout.index.tolist()
    assert not set(first.train.index) & set(first.holdout.index)


def test_a_plan_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """Contradictions of seed and parameters, and too short a history."""
    settings = Settings(home=tmp_path)
    with pytest.raises(UsageError, match="contradict"):
        Plan.of("iris", settings, seed=3, params={"random_state": 4})
    with pytest.raises(UsageError, match="history_rows"):
        Plan.of("petr4", settings, params={"history_rows": 100})


def test_settings_rename_experiment_and_model_and_the_command_line_wins(tmp_path: Path) -> None:
    """MLFLOW_EXPERIMENT_NAME and MLFLOW_MODEL_NAME override a workload's names."""
    settings = Settings(home=tmp_path, experiment_name="e", model_name="m")
    plan = Plan.of("iris", settings)
    assert (plan.experiment, plan.model) == ("e", "m")
    plan = Plan.of("iris", settings, model="mine", seed=5)
    assert (plan.model, plan.seed, plan.params["random_state"]) == ("mine", 5, 5)


def _sample_iris() -> Any:
    from training.data.sample import Sample  # noqa: PLC0415 - only here

    return Sample().load("iris", IRIS.about.fields).frame
