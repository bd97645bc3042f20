"""`make bench`: train, promote, measure; prints the table and writes it to `RESULTS.md`."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks import engines, server
from benchmarks.engines import Row
from benchmarks.node import ROOT, Node
from registry import bootstrap
from registry.settings import Settings

RESULTS = Path(__file__).with_name("RESULTS.md")
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
    text = _document(rows)
    RESULTS.write_text(text, encoding="utf-8")
    console.print(text, markup=False)


def _document(rows: list[Row]) -> str:
    """The results page: when, on what, and every row with its spread and its goal."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    today = datetime.datetime.now(datetime.UTC)
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}"
    lines = [
        "# Numbers",
        "",
        "Written by `make bench`. Machines are shared and noisy: the median is what counts, least",
        "and most show the spread; only ratios within one run carry over to another machine.",
        "",
        f"{today:%Y-%m-%d}, commit {commit or 'unknown'}, {machine}.",
        "",
        "| | median | least | most | goal | |",
        "|---|---|---|---|---|---|",
        *(_line(row) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    met = "" if row.goal is None else ("met" if row.median <= row.goal else "**missed**")
    goal = "" if row.goal is None else f"≤ {row.goal:g} {row.unit}"
    values = " | ".join(f"{v:.3g} {row.unit}" for v in (row.median, row.least, row.most))
    return f"| {row.name} | {values} | {goal} | {met} |"


if __name__ == "__main__":
    main()
