"""Every estimator and parameter a configuration may name: fits, is saved, converts, and agrees.

Through the hooks that train it. On columns as they are and scaled, for two classes and for more;
`check_parity` and `check_numbers` are what would fail, and are shown to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from registry.errors import SettingsError, StepFailed
from training import onnx_model
from training.classification import Classification
from training.data.sample import Sample
from training.estimators import ESTIMATORS
from training.parameter import Value
from training.tabular import Tabular
from training.workload import Material, Split
from training.workloads import get
from training.workloads.tabular import configured

SERIES = {"classification": ("wine", "two wines", "iris_logistic"), "regression": ("diabetes",)}
METRIC = {"classification": "f1", "regression": "r2"}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
HALF = {"test_size": 0.5, "cv_folds": 0, "random_state": 3}


def _settings() -> list[tuple[str, Mapping[str, Value]]]:
    """Each estimator with scikit-learn's defaults, then with each value of each parameter."""
    return [
        (name, setting)
        for name, estimator in ESTIMATORS.items()
        for setting in (
            {},
            *({p.name: value} for p in estimator.parameters for value in p.choices or (p.default,)),
        )
    ]


@cache
def _source(series: str) -> pd.DataFrame:
    """A bundled series as its configuration reads it; `two wines` are those of two growers."""
    about = get("wine" if series == "two wines" else series).about
    frame = Sample().load(about.series["sample"], about.fields).frame
    return frame[frame["target"] < 2] if series == "two wines" else frame


def _workload(estimator: str, series: str, **more: Any) -> Tabular:
    """A configuration of this estimator for this series."""
    task, columns = ESTIMATORS[estimator].task, [*_source(series).columns]
    data: dict[str, Any] = {"features": columns[:-1], "target": columns[-1]}
    if task == "classification":
        data["classes"] = [f"class {n}" for n in range(_source(series)["target"].nunique())]
    content = {"name": "x", "estimator": estimator, "metrics": [METRIC[task]], "data": data}
    return configured(content | more, where="x.toml")


def _material(parts: Split, artifacts: Path) -> Material:
    return Material(
        train=parts.train,
        holdout=parts.holdout,
        params=HALF,
        seed=3,
        run_id="",
        artifacts=artifacts,
    )


def _proven(workload: Tabular, series: str, setting: Mapping[str, Value], folder: Path) -> Any:
    """Train it as the steps do, and what its graph showed on half of the rows."""
    parts = workload.split(_source(series), HALF, seed=3)
    fitted = workload.fit(parts.train, {**HALF, **setting}, seed=3)
    workload.save(fitted, folder)
    model = workload.load(folder)
    return workload.export(model, _material(parts, folder), folder / "model.onnx").shown


@pytest.mark.parametrize(("estimator", "setting"), _settings())
def test_every_setting_of_every_estimator_agrees_with_its_graph(
    estimator: str, setting: Mapping[str, Value], tmp_path: Path
) -> None:
    """Labels and probabilities, or numbers; with and without scaling."""
    for series in SERIES[ESTIMATORS[estimator].task]:
        for scale in {False, ESTIMATORS[estimator].scalable}:
            workload = _workload(estimator, series, parameters=dict(setting), scale=scale)
            shown = _proven(workload, series, setting, tmp_path)
            worst = next(value for name, value in shown.items() if "difference" in name)
            assert worst >= 0, f"{series}, scale {scale}"


def test_ten_classes_agree_too(tmp_path: Path) -> None:
    """The largest of the shipped graphs."""
    for name in ("LogisticRegression", "GradientBoostingClassifier", "ExtraTreesClassifier"):
        setting = {"n_estimators": 5} if name != "LogisticRegression" else {"max_iter": 50}
        scale = ESTIMATORS[name].scalable
        workload = _workload(name, "digits", parameters=setting, scale=scale)
        assert _proven(workload, "digits", setting, tmp_path)["probabilities_max_difference"] < 1e-5


def test_every_parameter_reaches_its_estimator() -> None:
    """By scikit-learn's own name; what is not set there keeps scikit-learn's default."""
    for estimator in ESTIMATORS.values():
        values = {p.name: p.default for p in estimator.parameters}
        made = estimator.make({**HALF, **values}, seed=11).get_params()
        plain = estimator.make(HALF, seed=11).get_params()
        assert {name: made[name] for name in values} == values
        assert all(plain[name] != value for name, value in values.items()), estimator.name
        assert ("random_state" in made) == estimator.seeded
        assert made.get("random_state", 11) == 11


def test_scaling_comes_before_the_estimator_and_only_where_it_is_asked_for() -> None:
    """A pipeline of two steps, whose last one is the estimator."""
    ridge = ESTIMATORS["Ridge"]
    scaled = ridge.make({"alpha": 2.0}, seed=1, scale=True)
    assert [type(step).__name__ for _, step in scaled.steps] == ["StandardScaler", "Ridge"]
    assert scaled[-1].alpha == 2.0
    assert type(ridge.make({}, seed=1)).__name__ == "Ridge"


@pytest.mark.parametrize("name", ["diabetes", "wine"])
def test_the_same_seed_learns_the_same_and_another_does_not_move_the_holdout(
    name: str, tmp_path: Path
) -> None:
    """Bit for bit."""
    workload = get(name)
    params = {p.name: p.default for p in workload.about.parameters}
    frame = Sample().load(workload.about.series["sample"], workload.about.fields).frame
    one, other = (workload.split(frame, params, seed=seed) for seed in (1, 2))
    assert one.holdout.index.tolist() == other.holdout.index.tolist()
    asked = workload.requests(one.holdout)
    first, again = (
        workload.answer(workload.fit(one.train, params, seed=5), asked) for _ in range(2)
    )
    assert first == again


def test_a_scaled_tree_would_not_agree_and_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    """Why `scalable` is there: a value on a threshold falls to the other side."""
    with pytest.raises(SettingsError, match=r"x\.toml: scale: expected false: RandomForestClass"):
        _workload("RandomForestClassifier", "wine", scale=True)
    allowed = _workload("RandomForestClassifier", "wine")
    scaled = Classification(dataclasses.replace(allowed.recipe, scale=True))
    with pytest.raises(StepFailed, match="probabilities differ"):
        _proven(scaled, "wine", {}, tmp_path)


def test_a_tie_is_decided_by_rounding_and_is_no_golden_example(tmp_path: Path) -> None:
    """25 of 50 trees for each class: scikit-learn says 0, the graph 1, and both are right."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"calls": random.integers(0, 30, 1500), "age": random.integers(18, 90, 1500)}
    )
    frame["target"] = (frame["calls"] + random.normal(0, 9, 1500) > 15).astype(int)
    content = {
        "name": "ties",
        "estimator": "RandomForestClassifier",
        "metrics": ["f1"],
        "parameters": {"n_estimators": 50},
        "data": {"features": ["calls", "age"], "target": "target", "classes": ["no", "yes"]},
    }
    workload = configured(content, where="ties.toml")
    parts = workload.split(frame, HALF, seed=3)
    model = workload.fit(parts.train, {"n_estimators": 50}, seed=3)
    graph, rows = tmp_path / "model.onnx", parts.holdout[["calls", "age"]]
    shown = workload.export(model, _material(parts, tmp_path), graph).shown
    got, probabilities = onnx_model.run(graph, rows.to_numpy())
    differ = got != model.predict(rows)
    ties = onnx_model.tied(model.predict_proba(rows))
    assert differ.any(), "no tie fell otherwise: this test would prove nothing"
    assert not (differ & ~ties).any()
    assert shown["ties"] == ties.sum()
    assert not set(workload.decided(model, parts.holdout).index) & set(rows.index[ties])
    assert len(workload.decided(model, parts.holdout)) == (~ties).sum()
    other = np.where(ties, got, 1 - got)
    with pytest.raises(StepFailed, match="expected label"):
        onnx_model.check_parity(graph, rows.to_numpy(), label=other, probabilities=probabilities)


def test_a_model_that_never_decides_is_refused(tmp_path: Path) -> None:
    """Two classes that no column tells apart."""
    frame = pd.DataFrame({"x": [1.0] * 60, "target": [0, 1] * 30})
    content = {
        "name": "coin",
        "estimator": "LogisticRegression",
        "metrics": ["f1"],
        "data": {"features": ["x"], "target": "target", "classes": ["heads", "tails"]},
    }
    workload = configured(content, where="coin.toml")
    model = workload.fit(frame, HALF, seed=1)
    with pytest.raises(StepFailed, match="every held-out row is a tie"):
        workload.decided(model, frame)


@pytest.fixture
def regression(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """A graph, rows, and what its model says of them."""
    workload = _workload("Ridge", "diabetes", scale=True)
    parts = workload.split(_source("diabetes"), HALF, seed=3)
    model = workload.fit(parts.train, HALF, seed=3)
    rows = parts.holdout.iloc[:, :-1]
    graph = tmp_path / "model.onnx"
    onnx_model.convert_regression(model, graph, features=rows.shape[1])
    return graph, rows.to_numpy(), model.predict(rows)


def test_a_regression_that_answers_otherwise_is_refused_by_its_row(
    regression: tuple[Path, np.ndarray, np.ndarray],
) -> None:
    """A ten-thousandth of the spread is too much; so is another number of rows, or no number."""
    graph, rows, predicted = regression
    assert onnx_model.check_numbers(graph, rows, predicted=predicted, spread=77.0) < 1e-3
    moved = predicted.copy()
    moved[5] += 77.0 * 1e-4
    with pytest.raises(StepFailed, match=r"model\.onnx: hold-out row 5: expected .*, got "):
        onnx_model.check_numbers(graph, rows, predicted=moved, spread=77.0)
    moved[5] = np.nan
    with pytest.raises(StepFailed, match="hold-out row 5"):
        onnx_model.check_numbers(graph, rows, predicted=moved, spread=77.0)
    with pytest.raises(StepFailed, match="expected 3 rows, got"):
        onnx_model.check_numbers(graph, rows, predicted=predicted[:3], spread=77.0)


def test_numbers_that_float32_cannot_hold_are_refused_when_they_are_packaged(
    tmp_path: Path,
) -> None:
    """A moment in seconds since 1970: whole minutes are lost, and the model goes by them."""
    second = 1.7e9 + np.arange(200.0)
    frame = pd.DataFrame({"second": second, "target": second - second[0]})
    content = {
        "name": "clock",
        "estimator": "LinearRegression",
        "metrics": ["r2"],
        "data": {"features": ["second"], "target": "target"},
    }
    clock = configured(content, where="clock.toml")
    parts = clock.split(frame, HALF, seed=1)
    model = clock.fit(parts.train, HALF, seed=1)
    with pytest.raises(StepFailed, match="do not fit into float32"):
        clock.export(model, _material(parts, tmp_path), tmp_path / "model.onnx")


def test_a_graph_with_other_outputs_is_refused(tmp_path: Path) -> None:
    """A classifier packaged as if it were a regression."""
    workload = _workload("LogisticRegression", "wine")
    parts = workload.split(_source("wine"), HALF, seed=3)
    model = workload.fit(parts.train, HALF, seed=3)
    with pytest.raises(StepFailed, match="ONNX: expected outputs variable, got output_label"):
        onnx_model.convert_regression(model, tmp_path / "model.onnx", features=13)


def test_what_skops_is_told_to_trust_is_what_it_asks_for(tmp_path: Path) -> None:
    """No more: a type that is not in a saved model must not be in the table."""
    import skops.io  # noqa: PLC0415 - slow to import

    for name, estimator in ESTIMATORS.items():
        series = SERIES[estimator.task][0]
        workload = _workload(name, series)
        parts = workload.split(_source(series), HALF, seed=3)
        workload.save(workload.fit(parts.train, HALF, seed=3), tmp_path)
        asked = skops.io.get_untrusted_types(file=tmp_path / "model.skops")
        assert sorted(asked) == sorted(estimator.trusted), name
