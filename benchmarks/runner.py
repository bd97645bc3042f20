"""`python -m benchmarks.runner`: what a process of its own costs a scikit-learn model.

The same forest and the same iris row: in this process by MLflow's `pyfunc`, and as a worker asks it
through a runner. Needs nothing of the rest: it makes its version, its store and its runner.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
from mlflow.models import infer_signature
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from benchmarks.results import Row
from registry.bundle import Bundle, Golden, Manifest
from registry.settings import Settings
from serving.engines.runner import RunnerEngine, failed, socket_of
from serving.node.store import NodeStore
from serving.runner.host import Children

_REPEATS = 15
_CLIENTS = 8
_WAIT_SECONDS = 60.0


def main() -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as scratch:
        settings = Settings(home=Path(scratch, "var")).resolved()
        version, table = _forest(Path(scratch, "version"))
        digest = _stored(settings, version, table)
        model = mlflow.pyfunc.load_model(str(version))
        joined = _served(settings, digest, version, table, model)
    shown = Table("what", "median", "least", "most", "unit")
    for row in joined:
        shown.add_row(row.name, *(f"{v:.3g}" for v in (row.median, row.least, row.most)), row.unit)
    Console().print(shown)


def _forest(path: Path) -> tuple[Path, Any]:
    """A forest of 100 trees as `mlflow.sklearn` saves it, and the rows it learnt from."""
    x, y = load_iris(return_X_y=True, as_frame=True)
    model = RandomForestClassifier(n_estimators=100, random_state=0).fit(x, y)
    mlflow.sklearn.save_model(
        model,
        str(path),
        signature=infer_signature(x, model.predict(x)),
        serialization_format="cloudpickle",
        pip_requirements=["scikit-learn"],
    )
    return path, x


def _stored(settings: Settings, version: Path, table: Any) -> str:
    """Put the version into a node store, with golden examples as the judge finds them."""
    request = {"instances": table[::50].to_numpy().tolist()}
    golden = Golden(({"request": request, "response": {}},))
    manifest = Manifest(Manifest.of(version).files, golden=golden)
    store = NodeStore(settings.store_dir)
    with store.incoming(manifest.digest) as scratch:
        for name in manifest.files:
            target = scratch / "files" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((version / name).read_bytes())
        store.keep(scratch, manifest)
    return manifest.digest


def _served(settings: Settings, digest: str, version: Path, table: Any, model: Any) -> list[Row]:
    """Start the runner, ask both, end it."""
    path = socket_of(settings.node_dir, digest)
    path.parent.mkdir(parents=True)
    process = Children(settings).start(digest, 0)
    try:
        begun = time.perf_counter()
        engine = RunnerEngine.load(
            Bundle.open(version), path, seconds=10, patience_seconds=_WAIT_SECONDS
        )
        if failed(path).exists():
            raise RuntimeError(failed(path).read_text(encoding="utf-8"))
        loaded = time.perf_counter() - begun
        feed = {str(name): table[name].to_numpy()[:1] for name in table.columns}
        one = table[:1]
        if not np.array_equal(engine.run(feed)["predictions"], model.predict(one)):
            raise RuntimeError("the runner answers something else")
        alone = (_requests(lambda: model.predict(one), 1), _requests(lambda: engine.run(feed), 1))
        many = (
            _requests(lambda: model.predict(one), _CLIENTS),
            _requests(lambda: engine.run(feed), _CLIENTS),
        )
    finally:
        process.kill()
        process.wait()
    return [
        Row("runner: started, loaded, warm", loaded, loaded, loaded, "s"),
        Row.of("pyfunc here, 1 row", [1000 / each for each in alone[0]], goal=None),
        Row.of("pyfunc through the runner, 1 row", [1000 / each for each in alone[1]], goal=None),
        Row.of(f"pyfunc here, {_CLIENTS} threads", many[0], unit="requests/s", goal=None),
        Row.of(f"through the runner, {_CLIENTS} threads", many[1], unit="requests/s", goal=None),
    ]


def _requests(call: Callable[[], object], clients: int) -> list[float]:
    """Requests a second of so many threads, once a repeat, after one that is not counted."""
    calls = 10 * clients
    with ThreadPoolExecutor(clients) as pool:
        rates = []
        for _ in range(_REPEATS + 1):
            begun = time.perf_counter()
            list(pool.map(lambda _: call(), range(calls)))
            rates.append(calls / (time.perf_counter() - begun))
    return rates[1:]


if __name__ == "__main__":
    main()
