"""Models that people register with `mlflow.sklearn`: converted, served, and answering the same.

Converted in this process, which trusts what it has made itself; in which process it is done
otherwise, and what that process cannot do, is tests/integration/test_packaging_hostile.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from registry.bundle import Bundle, Manifest
from registry.errors import NotPackaged
from registry.model_version import ModelVersion, Stage
from serving.kinds import Limits
from serving.servable import Servable
from training.packaging.convert import convert
from training.packaging.folder import write

IRIS, SPECIES = load_iris(return_X_y=True, as_frame=True)
ROWS, DISEASE = load_diabetes(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
PEOPLE = pd.DataFrame(
    {"plan": ["basic", "gold", "plain"] * 20, "months": np.arange(60.0), "age": [*range(20, 80)]}
)
LEFT = np.where(PEOPLE["months"] > 30, "stays", "leaves")
CHOICE = ColumnTransformer(
    [("plan", OneHotEncoder(), ["plan"]), ("rest", StandardScaler(), ["months", "age"])]
)
LIMITS = Limits(max_rows=10_000, max_horizon=1)
VERSION = ModelVersion(
    name="m", version=7, stage=Stage.NONE, created_ms=1, updated_ms=1, source="there"
)


def saved(path: Path, model: Any, example: Any, **options: Any) -> Path:
    """A version's folder, as `mlflow.sklearn` writes it."""
    mlflow.sklearn.save_model(
        model,
        str(path),
        input_example=example,
        pip_requirements=["scikit-learn"],
        **{"serialization_format": "cloudpickle", **options},
    )
    return path


def packaged(own: Path, folder: Path) -> tuple[Servable, dict[str, Any]]:
    """The version converted and loaded as a worker loads it, and what was said of it."""
    graph = folder.with_name("model.onnx")
    said = {"isolation": "none", **convert("sklearn", own, graph)}
    write(folder, VERSION, own, "d" * 64, graph, said)
    assert Bundle.open(folder).missing() == ()
    manifest = Manifest.of(folder)
    return Servable.load(folder, manifest, allowed=("onnx",), limits=LIMITS), said


def asked(table: Any) -> dict[str, Any]:
    if isinstance(table, pd.DataFrame):
        return {"dataframe_records": table.to_dict(orient="records")}
    return {"inputs": table.tolist()}


MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "a pipeline on named columns": lambda: (
        make_pipeline(StandardScaler(), LogisticRegression()).fit(IRIS, SPECIES),
        IRIS,
    ),
    "classes that are texts": lambda: (
        RandomForestClassifier(n_estimators=7, random_state=0).fit(IRIS, NAMES),
        IRIS,
    ),
    "columns of texts": lambda: (
        make_pipeline(CHOICE, LogisticRegression()).fit(PEOPLE, LEFT),
        PEOPLE,
    ),
    "a forest on a matrix": lambda: (
        RandomForestRegressor(n_estimators=7, random_state=0).fit(ROWS, DISEASE),
        ROWS,
    ),
    "boosting": lambda: (
        GradientBoostingRegressor(n_estimators=10, random_state=0).fit(ROWS, DISEASE),
        ROWS,
    ),
    "several numbers at once": lambda: (
        LinearRegression().fit(ROWS, np.stack([DISEASE, -DISEASE], axis=1)),
        ROWS,
    ),
    "classes without probabilities": lambda: (LinearSVC(random_state=0).fit(IRIS, SPECIES), IRIS),
    "what a search found": lambda: (
        GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [2, 3]}, cv=2).fit(
            IRIS, SPECIES
        ),
        IRIS,
    ),
    "clusters": lambda: (KMeans(3, random_state=0, n_init=1).fit(IRIS.to_numpy()), IRIS.to_numpy()),
    "bayes": lambda: (GaussianNB().fit(IRIS, SPECIES), IRIS),
}


@pytest.mark.parametrize("which", MODELS)
def test_it_is_served_as_it_answers_itself(tmp_path: Path, which: str) -> None:
    model, table = MODELS[which]()
    servable, said = packaged(saved(tmp_path / "own", model, table[:4]), tmp_path / "package")
    assert "its input example (4 rows)" in said["origin"]
    assert servable.golden
    servable.check(servable.golden)
    answer = servable.predict(asked(table))
    expected = model.predict(table)
    if expected.dtype.kind == "f":
        assert np.allclose(answer["predictions"], expected, rtol=1e-5, atol=1e-5)
    else:
        assert np.mean(np.asarray(answer["predictions"]) == expected) > 0.99
    if hasattr(model, "predict_proba"):
        assert np.abs(answer["outputs"]["probabilities"] - model.predict_proba(table)).max() < 1e-5


def test_who_asked_mlflow_for_probabilities_gets_them_first(tmp_path: Path) -> None:
    model = LogisticRegression().fit(IRIS, NAMES)
    own = saved(tmp_path / "own", model, IRIS[:4], pyfunc_predict_fn="predict_proba")
    servable, _ = packaged(own, tmp_path / "package")
    answer = servable.predict(asked(IRIS))
    assert np.abs(answer["predictions"] - model.predict_proba(IRIS)).max() < 1e-5
    assert answer["outputs"]["label"] == model.predict(IRIS).tolist()


def test_skops_is_read_with_the_types_that_the_version_names(tmp_path: Path) -> None:
    model = DecisionTreeClassifier(random_state=0).fit(IRIS, SPECIES)
    own = saved(
        tmp_path / "own",
        model,
        IRIS[:4],
        serialization_format="skops",
        skops_trusted_types=["sklearn.tree._tree.Tree"],
    )
    servable, _ = packaged(own, tmp_path / "package")
    assert np.array_equal(servable.predict(asked(IRIS))["predictions"], SPECIES)


def test_without_an_example_rows_are_made_up_and_that_is_said(tmp_path: Path) -> None:
    model = LinearRegression().fit(ROWS, DISEASE)
    servable, said = packaged(saved(tmp_path / "own", model, None), tmp_path / "package")
    assert said["origin"] == "64 rows drawn from its signature"
    assert any("without an input example" in note for note in said["notes"])
    assert np.allclose(servable.predict(asked(ROWS))["predictions"], model.predict(ROWS), rtol=1e-5)


class Doubled(LinearRegression):
    """Somebody's own estimator, of which ONNX knows only half."""

    def predict(self, rows: Any) -> Any:
        return 2 * super().predict(rows)


REFUSED: dict[str, tuple[Callable[[], tuple[Any, Any]], str]] = {
    "code in a pipeline": (
        lambda: (
            make_pipeline(FunctionTransformer(np.tanh), LinearRegression()).fit(ROWS, DISEASE),
            ROWS,
        ),
        "FunctionTransformer",
    ),
    "somebody's own estimator": (lambda: (Doubled().fit(ROWS, DISEASE), ROWS), "Doubled"),
    "what skl2onnx does not finish": (
        lambda: (IsolationForest(n_estimators=7, random_state=0).fit(ROWS), ROWS),
        "IsolationForest: no ONNX for it",
    ),
    "no predictions": (lambda: (StandardScaler().fit(ROWS), ROWS), "StandardScaler"),
    "texts that cannot be made up": (
        lambda: (make_pipeline(CHOICE, LogisticRegression()).fit(PEOPLE, LEFT), None),
        "Register it with an input_example",
    ),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_cannot_be_converted_is_named(tmp_path: Path, which: str) -> None:
    make, name = REFUSED[which]
    model, table = make()
    own = saved(tmp_path / "own", model, None if table is None else table[:4])
    with pytest.raises(NotPackaged, match=name):
        convert("sklearn", own, tmp_path / "model.onnx")


def test_a_conversion_that_went_wrong_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is planted in the library: another model's graph comes back."""
    import skl2onnx  # noqa: PLC0415 - only here

    model = LinearRegression().fit(ROWS, DISEASE)
    other = LinearRegression().fit(ROWS, DISEASE + 0.5)
    own = saved(tmp_path / "own", model, ROWS[:4])
    right = skl2onnx.to_onnx
    monkeypatch.setattr(skl2onnx, "to_onnx", lambda _, **how: right(other, **how))
    with pytest.raises(NotPackaged, match="answers otherwise than the model: prediction of row 0"):
        convert("sklearn", own, tmp_path / "model.onnx")
