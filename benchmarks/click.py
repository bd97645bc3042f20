"""A click in the MLflow UI: how soon every worker answers with the version, beyond what must be.

A real `mlflow server` beside a node that hosts the registrar. The click is the REST call that the
UI's stage dialog sends (`ajax-api/2.0/mlflow/model-versions/transition-stage`, archiving left
unchecked). Subtracted are the two trials of the version, the judge's and the node's (see
`trials.py`), and nothing else: downloads, hashing, gates, the report and loads all count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.load import Load
from benchmarks.mlflow_server import MlflowServer
from benchmarks.node import Node
from benchmarks.results import Row
from benchmarks.trials import Trials

_MODEL = "iris"
_FLOWER = '{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
_SETTLE_SECONDS = 3.0
_FEWEST_TREES = 20


def run(
    home: Path, *, clicks: int, rate: float, tell: Callable[[int, int], None]
) -> tuple[list[float], list[float], Path]:
    """Seconds beyond the trials, one a click; whole seconds; and the recording."""
    node = Node(home)
    first, *others = [_trained(node, _FEWEST_TREES + n) for n in range(1 + clicks)]
    node.run("registry", "promote", _MODEL, first)
    record = home / "history.bin"
    load = Load(node.port, f"/models/{_MODEL}/predict", rate, record, body=_FLOWER)
    beyond, whole = [], []
    log = home / "server.log"
    with MlflowServer(node, _MODEL) as mlflow, node.serving(log=log) as server:
        node.ready(seconds=60)
        node.follows(_MODEL, first, seconds=60)
        with Trials(server.pid) as trials, load.running():
            for done, version in enumerate(others, start=1):
                time.sleep(_SETTLE_SECONDS + done / len(others))  # anywhere between two polls
                span = _clicked(mlflow, load, version)
                whole.append(span[1] - span[0])
                beyond.append(whole[-1] - trials.seconds(*span))
                tell(done, clicks)
    return beyond, whole, record


def rows(beyond: list[float], whole: list[float]) -> list[Row]:
    """Against the goal, and what was not subtracted from."""
    name = "click in the MLflow UI → every worker"
    return [
        Row.of(f"{name}, beyond judging, trial and load", beyond, unit="s", goal=3, at_worst=True),
        Row.of(f"{name}, all of it", whole, unit="s", goal=None),
    ]


def _trained(node: Node, trees: int) -> str:
    """A version of its own; returns its number."""
    run = node.run("training", "run", _MODEL, "--param", f"n_estimators={trees}")
    return str(run["version"])


def _clicked(mlflow: MlflowServer, load: Load, version: str) -> tuple[float, float]:
    """From the click until every worker answers with the version."""
    seq = load.newest.seq + 1
    clicked = time.monotonic()
    mlflow.put_into_production(version)
    return clicked, load.until_every(seq)
