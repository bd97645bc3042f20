"""`make bench`: train, promote, measure; prints the table and writes it to `RESULTS.md`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks import engines, results, server
from benchmarks.node import Node
from benchmarks.results import Row, Section
from registry import bootstrap
from registry.settings import Settings

_PACKAGES = ("numpy", "onnxruntime", "prophet", "scikit-learn", "flask", "gunicorn", "mlflow")


def main() -> None:
    """Measure in a home of its own, which is removed afterwards."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as scratch:
        node = Node(Path(scratch))
        trained = []
        for workload in ("petr4", "iris"):
            console.print(f"… training {workload}")
            trained.append(node.run("training", "run", workload))
            node.run("registry", "promote", trained[-1]["model"])
        console.print("… measuring")
        client = bootstrap.ports(Settings.read(node.environ)).client
        files = {run["model"]: node.home / f"files-{run['model']}" for run in trained}
        for model, path in files.items():
            path.mkdir()
            client.download(client.version(model), path)
        took = [run["seconds"] for run in trained]
        rows = [
            Row("train and backtest petr4", took[0], took[0], took[0], "s", 20.0),
            *engines.forecast(files["ProphetModel"]),
            *engines.tabular(files["iris"]),
            *server.measure(node, versions={r["model"]: str(r["version"]) for r in trained}),
        ]
    section = Section("Engines and server", "make bench", rows, packages=_PACKAGES)
    results.write(section)
    console.print(results.table(section))


if __name__ == "__main__":
    main()
