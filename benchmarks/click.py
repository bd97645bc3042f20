"""A click in the MLflow UI: how soon every worker answers with the version, beyond what must be.

A real `mlflow server` beside a node that hosts the registrar. The click is the REST call that the
UI's stage dialog sends (`ajax-api/2.0/mlflow/model-versions/transition-stage`, archiving left
unchecked). Subtracted are: judging, measured on the version before by the same function the
registrar calls; and its trial on the node meanwhile (see `trials.py`). Loads are not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.load import Load
from benchmarks.mlflow_server import MlflowServer
from benchmarks.node import Node
from benchmarks.results import Row
from benchmarks.trials import Trials
from registry.bootstrap import ports
from registry.nudge import knock
from registry.promotion import Ports, promote
from registry.settings import Settings

_MODEL = "iris"
_FLOWER = '{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
_SETTLE_SECONDS = 3.0


def run(
    home: Path, *, clicks: int, rate: float, tell: Callable[[int, int], None]
) -> tuple[list[float], list[float], Path]:
    """Seconds beyond judging, trial and load, one a click; whole seconds; and the recording."""
    node = Node(home)
    trained = [_trained(node, trees) for trees in range(20, 21 + 2 * clicks)]
    node.run("registry", "promote", _MODEL, trained[0])
    record = home / "history.bin"
    load = Load(node.port, f"/models/{_MODEL}/predict", rate, record, body=_FLOWER)
    beyond, whole = [], []
    ours = ports(Settings.read(node.environ))
    log = home / "server.log"
    with MlflowServer(node, _MODEL) as mlflow, node.serving(log=log) as server:
        node.ready(seconds=60)
        node.follows(_MODEL, trained[0], seconds=60)
        with Trials(server.pid) as trials, load.running():
            for done in range(clicks):
                judging = _promoted(ours, node, load, trained[2 * done + 1])
                span = _clicked(mlflow, load, trained[2 * done + 2])
                whole.append(span[1] - span[0])
                beyond.append(whole[-1] - judging - trials.seconds(*span))
                tell(done + 1, clicks)
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
    run: dict[str, Any] = node.run("training", "run", _MODEL, "--param", f"n_estimators={trees}")
    return str(run["version"])


def _promoted(ours: Ports, node: Node, load: Load, version: str) -> float:
    """Promote here, as the registrar would; returns the seconds it took, once it is served."""
    begun = time.monotonic()
    entry = promote(ours, ours.client.version(_MODEL, int(version)), actor="benchmark").entry
    judging = time.monotonic() - begun
    assert entry
    knock(node.home / "node.sock")
    knock(node.home / "registrar.sock")
    load.until_every(entry.key.seq)
    load.until(lambda: _is_synced(ours), "MLflow shows it")
    time.sleep(_SETTLE_SECONDS)
    return judging


def _is_synced(ours: Ports) -> bool:
    head = ours.ledger.head(_MODEL)
    return bool(head and head.snapshot)


def _clicked(mlflow: MlflowServer, load: Load, version: str) -> tuple[float, float]:
    """From the click until every worker answers with the version."""
    seq = load.newest.seq + 1
    clicked = time.monotonic()
    mlflow.put_into_production(version)
    return clicked, load.until_every(seq)
