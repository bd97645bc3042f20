"""A person's own configuration and data: trained by the command, tried, asked as a client asks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from registry.bundle import Bundle, Manifest
from registry.errors import SignatureMismatch
from registry.settings import Settings
from registry.trial import SubprocessTrial
from serving.kinds import Limits
from serving.servable import Servable
from tests.contract.mlflow_store import embedded
from training.__main__ import main
from training.tracking import Tracking

FLATS = """
estimator = "GradientBoostingRegressor"
metrics = ["rmse", "r2"]
cv_folds = 3

[parameters]
n_estimators = 20

[data]
features = ["rooms", "distance (km)"]
target = "rent"
"""
CHURN = """
name = "churn-2"
experiment = "Who leaves"
model = "leavers"
estimator = "LogisticRegression"
scale = true
metrics = ["f1"]
cv_folds = 3

[data]
features = ["age", "calls"]
target = "left"
classes = ["No", "Yes"]
"""


@dataclass(frozen=True)
class Trained:
    """What the command printed, and the version's files as a node gets them."""

    said: dict[str, Any]
    version: Path
    settings: Settings

    def served(self) -> Servable:
        """The version as a worker has it."""
        limits = Limits(max_rows=5000, max_horizon=1)
        manifest = Manifest.of(self.version)
        return Servable.load(self.version, manifest, allowed=("onnx",), limits=limits)

    def ask(self, body: Any) -> Any:
        """Over JSON, both ways."""
        answer = self.served().predict(json.loads(json.dumps(body)))
        return json.loads(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))


def _flats(rows: int) -> pd.DataFrame:
    random = np.random.default_rng(4)
    frame = pd.DataFrame(
        {"rooms": random.integers(1, 6, rows), "distance (km)": random.uniform(0, 30, rows)}
    )
    noise = random.normal(0, 40, rows)
    frame["rent"] = (300 + 250 * frame["rooms"] - 8 * frame["distance (km)"] + noise).round(2)
    return frame


def _customers(rows: int) -> pd.DataFrame:
    random = np.random.default_rng(5)
    frame = pd.DataFrame({"age": random.integers(18, 90, rows), "calls": random.poisson(3, rows)})
    left = frame["calls"] + random.normal(0, 1, rows) > 4
    frame["left"] = np.where(left, "yes", "NO")
    return frame


def command(settings: Settings, *arguments: str) -> Result:
    """`python -m training run …` as a person types it, in this registry.

    MLflow has written the store of the template into the environment by now.
    """
    environ: dict[str, str | None] = {
        "BATON_HOME": str(settings.home),
        "MLFLOW_TRACKING_URI": None,
        "MLFLOW_REGISTRY_URI": None,
    }
    return CliRunner().invoke(main, ["run", *arguments], env=environ)


def trained(folder: Path, name: str, text: str, data: pd.DataFrame) -> Trained:
    """A version made from two files."""
    import mlflow.artifacts  # noqa: PLC0415 - slow to import

    settings = embedded(folder / "var")
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    data.to_csv(folder / f"{name}.csv", index=False)
    done = command(
        settings, str(folder / f"{name}.toml"), "--file", str(folder / f"{name}.csv"), "--json"
    )
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    Tracking(settings)
    path = mlflow.artifacts.download_artifacts(
        artifact_uri=f"models:/{said['model']}/{said['version']}", dst_path=str(folder / "version")
    )
    return Trained(said, Path(path), settings)


@pytest.fixture(scope="module")
def flats(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A regression on 6,000 rows: the hold-out is more than one request."""
    return trained(tmp_path_factory.mktemp("flats"), "flats", FLATS, _flats(6000))


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Two classes, with names of their own everywhere."""
    return trained(tmp_path_factory.mktemp("churn"), "churn", CHURN, _customers(300))


def test_the_command_trains_a_file_of_ones_own(flats: Trained, churn: Trained) -> None:
    """Names, data, metrics and baselines are those of the files."""
    said = flats.said
    assert (said["workload"], said["model"], said["experiment"]) == (
        "flats",
        "flats",
        "flats-pipeline",
    )
    assert (said["source"], said["series"]) == ("csv", "flats")
    assert said["metrics"].keys() == {
        f"{before}{metric}{after}"
        for metric in ("rmse", "r2")
        for before, after in (("", ""), ("cv_", "_mean"), ("cv_", "_std"))
    }
    assert said["metrics"]["rmse"] < said["baselines"]["mean"]["rmse"] / 2
    assert said["baselines"]["mean"]["r2"] <= 0
    assert "better than mean" in said["verdict"]
    assert (churn.said["workload"], churn.said["model"], churn.said["experiment"]) == (
        "churn-2",
        "leavers",
        "Who leaves",
    )
    assert churn.said["baselines"].keys() == {"majority"}


def test_the_run_shows_the_configuration_it_was_made_from(flats: Trained) -> None:
    """As an artifact, whole."""
    client = Tracking(flats.settings).client
    uri = client.get_run(flats.said["run_id"]).info.artifact_uri.removeprefix("file://")
    shown = json.loads((Path(uri) / "configuration.json").read_text(encoding="utf-8"))
    assert shown["estimator"] == "GradientBoostingRegressor"
    assert shown["data"]["target"] == "rent"


@pytest.mark.parametrize("which", ["flats", "churn"])
def test_the_version_passes_its_trial(which: str, request: pytest.FixtureRequest) -> None:
    """In a process that cannot train: golden examples reproduced."""
    made: Trained = request.getfixturevalue(which)
    trial = SubprocessTrial(seconds=60, memory_mb=4096, engines=("onnx",))
    report = trial.run(made.version, manifest=Manifest.of(made.version))
    assert (report.ok, report.kind, report.golden_source) == (True, "tabular", "bundle"), report


def test_a_regression_answers_one_number_a_row_by_column_names(flats: Trained) -> None:
    """In any order of columns, and as scikit-learn itself."""
    frame = _flats(6000).drop(columns="rent").head(50)
    native = _native(flats).predict(frame)
    records = [dict(reversed(row.items())) for row in frame.to_dict("records")]
    got = flats.ask({"dataframe_records": records})["predictions"]
    assert np.asarray(got).shape == (50,)
    np.testing.assert_allclose(got, native, rtol=1e-5, atol=0.01)


def test_classes_are_answered_by_number_with_their_names_in_the_schema(churn: Trained) -> None:
    """And probabilities beside them, as scikit-learn itself."""
    frame = _customers(300).drop(columns="left").head(40)
    model = _native(churn)
    answer = churn.ask(
        {"dataframe_split": {"columns": [*frame], "data": frame.to_numpy().tolist()}}
    )
    assert answer["predictions"] == model.predict(frame).tolist()
    np.testing.assert_allclose(
        answer["outputs"]["probabilities"], model.predict_proba(frame), atol=1e-5
    )
    assert set(answer["predictions"]) == {0, 1}
    assert churn.served().schema["outputs"][0]["meaning"] == {"0": "No", "1": "Yes"}


def test_the_gate_knows_the_classes_and_a_regression_has_none(
    churn: Trained, flats: Trained
) -> None:
    """A version that has lost one is refused by `signature`."""
    assert Bundle.open(churn.version).labels == ("No", "Yes")
    assert Bundle.open(flats.version).labels == ()


def test_an_unknown_column_and_a_missing_one_are_refused_by_name(flats: Trained) -> None:
    """What the served version takes is the configuration's columns."""
    with pytest.raises(SignatureMismatch, match="distance"):
        flats.ask({"dataframe_records": [{"rooms": 2}]})
    with pytest.raises(SignatureMismatch, match="garden"):
        flats.ask({"dataframe_records": [{"rooms": 2, "distance (km)": 1.0, "garden": 1}]})


def test_it_brings_the_profile_of_what_it_learnt_from(churn: Trained) -> None:
    """Columns and the classes' shares."""
    profile = json.loads((churn.version / "baton" / "profile.json").read_text(encoding="utf-8"))
    assert profile["numbers"].keys() == {"age", "calls"}
    assert profile["labels"]["left"].keys() == {"0", "1"}
    assert profile["rows"] == 240
    assert profile["predicted"]["shares"].keys() <= {"0", "1"}, "what it answered its hold-out"
    assert profile["predicted_rows"] == 60


def test_a_mistake_in_the_file_ends_the_command_with_2_before_a_run_exists(tmp_path: Path) -> None:
    """And says file and key."""
    settings = embedded(tmp_path / "var")
    path = tmp_path / "churn.toml"
    path.write_text(CHURN.replace('"f1"', '"rmse"'), encoding="utf-8")
    done = command(settings, str(path))
    assert done.exit_code == 2
    assert "churn.toml: metrics: expected" in " ".join(done.stderr.split())
    assert not (settings.home / "runs").exists()
    missing = command(settings, str(tmp_path / "none.toml"))
    assert (missing.exit_code, "cannot be read" in " ".join(missing.stderr.split())) == (2, True)


def _native(made: Trained) -> Any:
    """The scikit-learn model, as MLflow loads it."""
    import mlflow.sklearn  # noqa: PLC0415 - slow to import

    return mlflow.sklearn.load_model(str(made.version))
