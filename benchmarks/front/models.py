"""The models of the comparison, made for one run: files, samples to ask, and the right answers.

Right is what the library says that the model was trained with: scikit-learn, Prophet, Keras.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import skops.io
from prophet.serialize import model_from_json
from sklearn.datasets import load_iris

from benchmarks.node import ROOT, CommandFailed, Node
from registry import bootstrap
from registry.settings import Settings

DAYS = 30
_SAMPLES = 64
_RIGHT = 3
_ROWS = 150  # of iris
_STRIDE = 37  # has no divisor in common with them: every class comes soon
_KERAS = ROOT / "benchmarks" / "peers" / "keras_lstm.py"


@dataclass(frozen=True)
class Model:
    """What one model is asked: samples as JSON, and the answers to the first of them.

    `files` is what servers load, by format. `tolerance` is relative; classes are exact.
    """

    name: str
    samples: Sequence[Any]
    right: Sequence[Sequence[float]]
    tolerance: float
    files: Mapping[str, Path]


def iris(node: Node, home: Path) -> Model:
    """A random forest, trained and promoted as a user does; one row of four measurements."""
    version = _promoted(node, "iris", home)
    [saved] = version.rglob("*.skops")
    forest = skops.io.load(saved, trusted=skops.io.get_untrusted_types(file=saved))
    pickled = home / "iris.joblib"
    joblib.dump(forest, pickled)
    table = load_iris()["data"]
    rows = [table[number * _STRIDE % _ROWS].tolist() for number in range(_SAMPLES)]
    named = pd.DataFrame(rows[:_RIGHT], columns=forest.feature_names_in_)
    right = [[float(label)] for label in forest.predict(named)]
    files = {"mlflow": version, "joblib": pickled, "onnx": version / "baton" / "model.onnx"}
    return Model("iris", rows, right, 0.0, files)


def forecast(node: Node, home: Path) -> Model:
    """A Prophet model, likewise; 30 days, beginning with another one in each request."""
    version = _promoted(node, "petr4", home)
    saved = version / "model.pr"
    prophet = model_from_json(json.loads(saved.read_text(encoding="utf-8")))
    last = prophet.history["ds"].max()
    spans = [
        pd.date_range(last + pd.Timedelta(days=first + 1), periods=DAYS)
        for first in range(_SAMPLES)
    ]
    samples = [[str(day.date()) for day in span] for span in spans]
    right = [
        prophet.predict(pd.DataFrame({"ds": span}))["yhat"].tolist() for span in spans[:_RIGHT]
    ]
    return Model("forecast", samples, right, 1e-6, {"mlflow": version, "json": saved})


def lstm(python: Path, home: Path) -> Model:
    """Two layers of 64 on windows of 30 × 5, made by Keras in the peers' environment."""
    done = subprocess.run(
        [python, str(_KERAS), str(home)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CommandFailed(f"{_KERAS.name}: exit {done.returncode}: {done.stderr[-2000:]}")
    made = json.loads((home / "lstm.json").read_text(encoding="utf-8"))
    files = {
        "mlflow": home / "lstm-mlflow",
        "keras": home / "lstm.keras",
        "bundle": home / "lstm",
        "onnx": home / "lstm" / "model.onnx",
    }
    return Model("lstm", made["windows"], made["answers"][:_RIGHT], 1e-4, files)


def numbers(value: Any) -> list[float]:
    """All numbers of nested lists, in their order."""
    return [float(one) for one in np.asarray(value, dtype=np.float64).ravel()]


def _promoted(node: Node, workload: str, home: Path) -> Path:
    """Train, promote, and download the version's files as anybody can."""
    trained = node.run("training", "run", workload)
    node.run("registry", "promote", trained["model"])
    client = bootstrap.ports(Settings.read(node.environ)).client
    files = home / f"files-{workload}"
    files.mkdir()
    client.download(client.version(trained["model"], trained["version"]), files)
    return files
