"""Cross-validation: every row is judged once, by a model that has not learnt from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from registry.errors import StepFailed, UsageError
from training import metrics
from training.cross_validation import cross_validate, folds
from training.workloads import get
from training.workloads.tabular import configured

CONTENT = {
    "name": "line",
    "estimator": "LinearRegression",
    "metrics": ["rmse", "mae"],
    "data": {"features": ["x"], "target": "y"},
}


class Spy:
    """A workload of rows with an id, that predicts how many rows it has learnt from."""

    def __init__(self) -> None:
        """Nothing learnt yet."""
        self.about = get("iris").about
        self.learnt: list[pd.DataFrame] = []
        self.judged: list[pd.DataFrame] = []

    def fit(self, train: pd.DataFrame, params: Any, *, seed: int) -> int:
        """Remember the rows."""
        self.learnt.append(train)
        return len(train)

    def requests(self, holdout: pd.DataFrame) -> Sequence[Any]:
        """Remember the rows."""
        self.judged.append(holdout)
        return [{"rows": len(holdout)}]

    def answer(self, model: Any, requests: Sequence[Any]) -> Sequence[Any]:
        """Class 0, always."""
        return [{"predictions": [0] * requests[0]["rows"]}]

    def truth(self, holdout: pd.DataFrame) -> Any:
        """The classes."""
        return holdout["target"].to_numpy()

    def predicted(self, answers: Sequence[Any]) -> Any:
        """One list."""
        return np.asarray(answers[0]["predictions"])


def rows(*classes: int) -> pd.DataFrame:
    """A frame with these classes, indexed from 100 on."""
    return pd.DataFrame({"target": classes}, index=range(100, 100 + len(classes)))


def test_each_row_is_judged_once_and_never_by_who_has_learnt_from_it() -> None:
    """And each fold holds the classes in their share."""
    spy, train = Spy(), rows(*[0] * 12, *[1] * 6)
    cross_validate(spy, train, {"cv_folds": 3}, seed=1, classes=train["target"])
    assert sorted(i for part in spy.judged for i in part.index) == [*train.index]
    for learnt, judged in zip(spy.learnt, spy.judged, strict=True):
        assert not set(learnt.index) & set(judged.index)
        assert sorted([*learnt.index, *judged.index]) == [*train.index]
        assert judged["target"].value_counts().to_dict() == {0: 4, 1: 2}


def test_mean_and_deviation_are_those_of_the_folds() -> None:
    """By hand: folds of unlike sizes would show a mean over rows instead."""
    spy, train = Spy(), rows(0, 0, 0, 0, 1, 1, 1)
    got = cross_validate(spy, train, {"cv_folds": 2}, seed=1, classes=train["target"])
    shares = [float((part["target"] == 0).mean()) for part in spy.judged]
    assert shares[0] != shares[1]
    assert got["cv_accuracy_mean"] == pytest.approx(sum(shares) / 2)
    assert got["cv_accuracy_std"] == pytest.approx(abs(shares[0] - shares[1]) / 2)
    assert got.keys() == {f"cv_{m}_{s}" for m in spy.about.metrics for s in ("mean", "std")}


def test_the_folds_do_not_depend_on_the_seed_and_not_on_the_order_of_files() -> None:
    """Two versions are compared over the same folds, whatever their seeds."""
    train, first, second = rows(*[0, 1] * 10), Spy(), Spy()
    for seed, spy in ((1, first), (2, second)):
        cross_validate(spy, train, {"cv_folds": 4}, seed=seed, classes=train["target"])
    assert [[*part.index] for part in first.judged] == [[*part.index] for part in second.judged]
    assert [*first.judged[0].index] != [*train.index[:5]]


def test_a_regression_is_validated_on_what_each_fold_left_out() -> None:
    """As scikit-learn does it on the same folds, computed by itself."""
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - slow to import
    from sklearn.model_selection import KFold, cross_val_predict  # noqa: PLC0415 - as above

    random = np.random.default_rng(3)
    train = pd.DataFrame({"x": random.normal(size=40)})
    train["y"] = 2 * train["x"] + random.normal(size=40)
    workload = configured(CONTENT, where="line.toml")
    got = cross_validate(workload, train, {"cv_folds": 4}, seed=1)
    parts = KFold(4, shuffle=True, random_state=42)
    predicted = cross_val_predict(LinearRegression(), train[["x"]], train["y"], cv=parts)
    errors = [
        metrics.rmse(train["y"].to_numpy()[judged], predicted[judged])
        for _, judged in parts.split(train)
    ]
    assert got["cv_rmse_mean"] == pytest.approx(np.mean(errors))
    assert got["cv_rmse_std"] == pytest.approx(np.std(errors))


def test_no_folds_no_claim() -> None:
    """Nothing is fitted either."""
    spy, train = Spy(), rows(0, 1)
    assert cross_validate(spy, train, {"cv_folds": 0}, seed=1, classes=train["target"]) == {}
    assert spy.learnt == []


def test_one_fold_is_a_contradiction_and_too_many_fail_the_step() -> None:
    """The first before anything runs."""
    with pytest.raises(UsageError, match="cv_folds: expected 0 .none. or at least 2, got 1"):
        folds({"cv_folds": 1})
    train = rows(0, 0, 1, 1)
    with pytest.raises(StepFailed, match="cv_folds 3: .*number of members in each class"):
        cross_validate(Spy(), train, {"cv_folds": 3}, seed=1, classes=train["target"])


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_cross_validation_never_sees_the_holdout(name: str, tmp_path: Path) -> None:
    """Spoilt hold-out rows change the metrics of the hold-out, and no cv_ metric."""
    from training.data.sample import Sample  # noqa: PLC0415 - only here
    from training.workload import Material  # noqa: PLC0415 - as above

    workload = get(name)
    params = {p.name: p.default for p in workload.about.parameters}
    params |= {"n_estimators": 3, "cv_folds": 3}
    frame = Sample().load(workload.about.series["sample"], workload.about.fields).frame
    parts = workload.split(frame, params, seed=1)
    model = workload.fit(parts.train, params, seed=1)
    spoilt = parts.holdout.copy()
    spoilt["target"] = spoilt["target"].to_numpy()[::-1]

    def measured(holdout: pd.DataFrame) -> Any:
        material = Material(
            train=parts.train, holdout=holdout, params=params, seed=1, run_id="", artifacts=tmp_path
        )
        return workload.measure(model, material)

    plain, other = measured(parts.holdout), measured(spoilt)
    assert plain.metrics == other.metrics
    assert any(metric.startswith("cv_") for metric in plain.metrics)
