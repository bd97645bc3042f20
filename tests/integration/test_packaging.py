"""Versions that others registered with MLflow, converted, judged by either door, and served."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from registry.bundle import Bundle, Manifest
from registry.ledger import Door, Entry
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from tests.integration.commands import Shell
from tests.missing import ServiceMissing
from tests.mlflow_home import MlflowTemplate
from tests.servingfakes.node import ROOT, Node
from training import apart

GATES = '[models."*"]\npackage = "auto"\n'
OFF = '[models."*"]\npackage = "off"\n'
PIPELINE, FOREST, KERAS = "pipeline", "forest", "somebodys-keras"
# What is clicked: each takes a quarter of a minute, so the others are for the night.
CLICKS = os.environ.get("BATON_TEST_CLICKS", "keras").split(",")
KERAS_FLAVOURS = [one for one in CLICKS if one != "forest"]
PATIENCE_SECONDS = 280


@dataclass(frozen=True)
class Others:
    """A registry with versions that Baton has not made, and what their models answer to `rows`."""

    shell: Shell
    rows: pd.DataFrame
    labels: Any
    probabilities: Any
    matrix: Any
    numbers: Any

    def head(self, model: str) -> Entry | None:
        ledger = SqlLedger(self.shell.settings.ledger_url)
        found = ledger.head(model)
        ledger.close()
        return found

    def serving(self, model: str) -> int | None:
        head = self.head(model)
        return head.route.version if head and head.route else None


def _shell(settings: Settings, cache: Path) -> Shell:
    settings.home.joinpath("gates.toml").write_text(GATES)
    settings.home.joinpath("off.toml").write_text(OFF)
    environ = {
        "BATON_HOME": str(settings.home),
        "BATON_GATES": str(settings.home / "gates.toml"),
        "BATON_ACTOR": "ada",
        "BATON_POLL_SECONDS": "0.2",
        "PYTHONPATH": str(ROOT),
        "HOME": str(cache),
        "PATH": "/usr/bin:/bin",
    }
    return Shell(settings, environ)


@pytest.fixture(scope="module")
def others(mlflow_template: MlflowTemplate, tmp_path_factory: pytest.TempPathFactory) -> Others:
    """As people register: a pipeline on named columns, and a forest on a matrix."""
    import mlflow  # noqa: PLC0415 - slow
    from sklearn.datasets import load_diabetes, load_iris  # noqa: PLC0415
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    home = tmp_path_factory.mktemp("others")
    settings = mlflow_template.copy(home / "var")
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.create_experiment("here", settings.artifacts_dir.as_uri())
    mlflow.set_experiment("here")
    x, y = load_iris(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    d, target = load_diabetes(return_X_y=True)
    forest = RandomForestRegressor(n_estimators=10, max_depth=5, random_state=0).fit(d, target)
    trusted = ["sklearn.tree._tree.Tree"]
    for name, model, example, options in (
        (PIPELINE, pipeline, x.head(3), {}),
        (FOREST, forest, d[:3], {"skops_trusted_types": trusted}),
    ):
        with mlflow.start_run():
            made = mlflow.sklearn.log_model(
                model, name="model", input_example=example,
                pip_requirements=["scikit-learn"], **options,
            )  # fmt: skip
        mlflow.register_model(made.model_uri, name)
    return Others(
        _shell(settings, home),
        x,
        pipeline.predict(x).tolist(),
        pipeline.predict_proba(x),
        d,
        forest.predict(d),
    )


@pytest.fixture(scope="module")
def registrar(others: Others) -> Iterator[None]:
    """A registrar runs."""
    process = others.shell.start("registrar")
    yield
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that never reaches a registry: it has what the ledger's entries name."""
    made = Node(tmp_path_factory.mktemp("node") / "var", workers=1)
    made.start()
    yield made
    made.stop()


def comes(what: Callable[[], bool]) -> bool:
    """Whether `what` becomes true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (true := what()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return true


def click(others: Others, model: str, version: int) -> None:
    """What MLflow's UI does."""
    others.shell.mlflow.transition_model_version_stage(model, str(version), "Production")


def served(node: Node, entry: Entry, asked: Any) -> Any:
    """The node's answer to `asked`, once it serves the entry."""
    assert entry.route
    node.promote(entry.route, model=entry.model)

    def ask() -> Any:
        return node.ask("POST", f"/models/{entry.model}/predict", asked)

    node.until(lambda: ask().status == 200, f"{entry.model} answers")
    return ask().json


def test_without_the_policy_it_is_refused_as_ever(others: Others) -> None:
    off = str(others.shell.settings.home / "off.toml")
    done = others.shell.call("promote", PIPELINE, "1", "--json", BATON_GATES=off)
    assert done.code == 3
    results = {r["gate"]: r for r in done.json["report"]["results"]}
    assert "packaged" not in results
    assert "it needs engine 'runner'" in results["servable"]["got"]


def test_a_pipeline_on_named_columns_is_promoted_and_served_with_the_same_answers(
    others: Others, node: Node
) -> None:
    before = others.shell.mlflow.get_model_version(PIPELINE, "1")
    done = others.shell.call("promote", PIPELINE, "1", "--json")
    assert done.code == 0, done.out + done.err
    results = {r["gate"]: (r["status"], r["got"]) for r in done.json["report"]["results"]}
    assert results["packaged"][0] == results["golden"][0] == "passed", results
    entry = others.head(PIPELINE)
    assert entry
    assert entry.route
    assert entry.route.source.endswith("/version")
    after = others.shell.mlflow.get_model_version(PIPELINE, "1")
    assert (after.source, after.current_stage) == (before.source, "Production")
    rows = others.rows
    said = served(
        node,
        entry,
        {"dataframe_split": {"columns": [*rows.columns], "data": rows.to_numpy().tolist()}},
    )
    assert said["predictions"] == others.labels
    assert np.abs(np.array(said["outputs"]["probabilities"]) - others.probabilities).max() < 1e-5
    refused = node.ask("POST", f"/models/{PIPELINE}/predict", {"dataframe_records": [{"x": 1}]})
    assert refused.status == 422, "the version's own signature is asked for"


def test_what_was_made_says_of_what_and_how(others: Others) -> None:
    entry = others.head(PIPELINE)
    assert entry
    assert entry.route
    folder = Path(entry.route.source.removeprefix("file://"))
    bundle = Bundle.open(folder)
    assert Manifest.of(folder).digest == entry.digest
    assert bundle.missing() == ()
    assert bundle.labels == ("0", "1", "2")
    parity = json.loads((folder / "baton" / "parity.json").read_text())
    assert parity["rows"] == 67
    assert "its input example (3 rows)" in parity["origin"]
    assert parity["worst"] <= 1e-5
    source = others.shell.mlflow.get_model_version_download_uri(PIPELINE, "1")
    assert bundle.packaged_from == Manifest.of(Path(source.removeprefix("file://"))).digest
    [run] = others.shell.mlflow.search_runs(
        [others.shell.mlflow.get_experiment_by_name("packages").experiment_id],
        f"tags.`baton.packaged_from` = '{PIPELINE} v1'",
    )
    assert run.info.status == "FINISHED"
    assert (
        run.data.tags["baton.isolation"] == "network namespace, process namespace, files, sockets"
    )


@pytest.fixture(scope="module")
def keras(others: Others) -> dict[str, Any]:
    """Versions of one network, each by one of MLflow's flavours; rows, and what Keras says."""
    if not apart.PYTHON.exists():
        ServiceMissing(f"Keras is not here: make setup GROUP={apart.GROUP}").skip_or_fail()
    uri = others.shell.settings.tracking_uri
    done = subprocess.run(
        [apart.PYTHON, "-m", "tests.servingfakes.keras_models", uri, KERAS, *KERAS_FLAVOURS],
        cwd=ROOT,
        env={**others.shell.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.mark.parametrize("what", CLICKS)
def test_a_click_on_somebodys_model_is_adopted_and_served_without_its_library(
    others: Others, node: Node, registrar: None, what: str, request: pytest.FixtureRequest
) -> None:
    model, version, rows, expected = FOREST, 1, others.matrix.tolist(), others.numbers
    if what in KERAS_FLAVOURS:
        keras = request.getfixturevalue("keras")
        model, version = KERAS, KERAS_FLAVOURS.index(what) + 1
        rows, expected = keras["rows"], keras["said"]
    click(others, model, version)
    assert comes(lambda: others.serving(model) == version)
    entry = others.head(model)
    assert entry
    assert entry.door is Door.MLFLOW
    said = served(node, entry, {"inputs": rows})
    assert np.allclose(said["predictions"], expected, rtol=1e-5, atol=1e-5)
