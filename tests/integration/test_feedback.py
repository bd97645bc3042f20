"""From a prediction to its accuracy, by a real server and the real commands."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from registry.settings import Settings
from registry.sql_predictions import open_log
from serving.client import Client
from tests.servingfakes import models
from tests.servingfakes.node import ROOT, Node
from tests.servingfakes.versions import folder, route

ASKED = [[float(n)] for n in range(40)]


@pytest.fixture
def node(embedded: Settings, tmp_path: Path) -> Iterator[Node]:
    """A model that answers three times what it is asked."""
    node = Node(embedded.home, workers=1)
    node.promote(route(folder(tmp_path / "v1", models.linear(3)), 1))
    node.start()
    node.until_serving(1)
    yield node
    if node.server and node.server.poll() is None:
        node.stop()


def run(node: Node, *words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", *words, "--json"],
        cwd=ROOT,
        # A registry without any version: what served came from elsewhere.
        env={**node.environment(), "MLFLOW_TRACKING_URI": f"sqlite:///{node.home / 'mlflow.db'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def logged(node: Node, prediction_id: str) -> Any:
    """Its record, as soon as it is in the log."""
    with closing(open_log(Settings.read({"BATON_HOME": str(node.home)}))) as log:
        return node.until(lambda: log.found([prediction_id]).get(prediction_id), "it is logged")


@pytest.mark.timeout(240)
def test_what_came_true_makes_a_models_accuracy(node: Node, tmp_path: Path) -> None:
    with contextlib.closing(Client(f"http://127.0.0.1:{node.port}", timeout=60)) as client:
        answer = client.predict("iris", rows=ASKED)
        identity, said = answer.prediction_id, [row for [row] in answer.predictions]
        first = client.feedback({"prediction_id": identity, "row": 0, "actual": said[0]})
        assert first["unknown"] + first["accepted"] == 1, "its record may be on its way"
        assert logged(node, identity).rows == 40
        # Rows 1 to 39 were 2 too high, and row 40 there is not.
        told = [
            {"prediction_id": identity, "row": row, "actual": said[row] - 2} for row in range(1, 40)
        ]
        second = client.feedback(*told, {"prediction_id": identity, "row": 40, "actual": 1})
        assert (second["accepted"], second["refused"]) == (39, 1)
    file = tmp_path / "again.csv"
    lines = [f"{identity},{one['row']},{one['actual']}" for one in told]
    file.write_text("\n".join(["prediction_id,row,actual", *lines]), encoding="utf-8")
    imported = run(node, "serving", "feedback", "import", str(file))
    assert (imported["duplicate"], imported["refused"], imported["notes"]) == (39, 0, [])
    found = run(node, "training", "accuracy", "iris")
    [score] = found["scores"]
    assert (score["n"], score["version"], score["enough"], found["pending"]) == (40, "1", True, 0)
    assert score["measures"]["mae"] == pytest.approx(78 / 40)
    assert score["measures"]["mase"] is None
    counted = node.ask("GET", "/metrics").body.decode()
    assert 'baton_feedback_total{class="accepted"}' in counted
