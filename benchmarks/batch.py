"""Whole tables scored: rows a second of a forest, series a second of a fleet."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import generated
from benchmarks.node import Node
from benchmarks.results import Row
from benchmarks.watched import watch
from registry.bundle import Bundle, Manifest
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from serving.batch.partition import BATCH_ROWS, Partition
from serving.batch.partition import score as scored
from serving.batch.versions import Versions
from serving.engines.onnx import OnnxEngine

Measured = tuple[str, list[Row], list[str]]
_REPEATS = 5
_DAYS = 30
_PARAMS = ("--param=backtest_folds=0", "--param=history_rows=360")
_TRAINED = 5


def score(given: argparse.Namespace, scratch: Path) -> Measured:
    """A table by one process: a forest of 100 trees, and a model that is nearly nothing."""
    rows: list[Row] = []
    for workload in ("iris", "iris_logistic"):
        node = Node(scratch / workload)
        done = node.run("training", "run", workload)
        node.run("registry", "promote", done["model"], str(done["version"]))
        rows += _scored(given, scratch / workload, node, done["model"])
    notes = [
        (
            f"{given.rows:,} generated rows of four doubles from a Parquet file; label and three "
            "probabilities a row into Parquet; 100 trees, or a logistic regression"
        ),
        "a CPU second: of the process that reads, asks and writes; engine alone: its calls only",
        (
            "command: wall time from the first look at the input to `_SUCCESS.json`, the start of "
            "its processes and the load of the version included, whatever else the machine did"
        ),
    ]
    return "Batch scoring of a table", rows, notes


def _scored(given: argparse.Namespace, scratch: Path, node: Node, model: str) -> list[Row]:
    """One model, in this process and by the command."""
    root = _files(node, model)
    bundle = Bundle.open(root)
    assert bundle.signature is not None
    names = [column.name for column in bundle.signature.columns]
    table = generated.flowers(scratch / "flowers.parquet", given.rows, names)
    engine = OnnxEngine.load(bundle.model_file)
    batch = pd.read_parquet(table).head(BATCH_ROWS).to_numpy(np.float32)
    versions = Versions(_versions(scratch / "versions", {"": root}))
    partition = Partition(table, start=0, rows=given.rows)
    whole, alone, command = [], [], []
    for number in range(_REPEATS):
        alone.append(_rate(engine, batch))
        begun = time.process_time()
        scored(versions, partition, scratch / "answer.parquet")
        whole.append(given.rows / (time.process_time() - begun))
        asked = ["score", model, f"--input={table}", f"--output={scratch / str(number)}"]
        said = watch(node, "training", *asked, "--workers=1").said
        command.append(said["rows"] / said["seconds"])
    per = "rows a CPU second"
    return [
        Row.of(f"{model}: {per}", whole, unit="", goal=1e6, at_least=True),
        Row.of(f"{model}: {per}, engine alone", alone, unit="", goal=None),
        Row.of(f"{model}: command, one worker", command, unit="rows/s", goal=None),
    ]


def forecast(given: argparse.Namespace, scratch: Path) -> Measured:
    """A fleet's next 30 days in one process: models loaded for it, and models it has already."""
    node = Node(scratch / "home")
    table = generated.series(scratch / "series.parquet", _TRAINED)
    node.run("training", "fleet", "--workload=petr4", f"--series-file={table}", *_PARAMS)
    for number in range(_TRAINED):
        node.run("registry", "promote", f"ProphetModel-generated-{number:05}")
    models = {
        f"s{number:05}": _files(node, f"ProphetModel-generated-{number % _TRAINED:05}")
        for number in range(given.models)
    }
    versions = _versions(scratch / "versions", models)
    asked = scratch / "asked.parquet"
    pd.DataFrame({"series": [*models], "horizon": _DAYS}).to_parquet(asked, index=False)
    partition = Partition(asked, start=0, rows=len(models))
    cold: list[float] = []
    warm: list[float] = []
    for number in range(_REPEATS):
        fresh = Versions(versions)
        for found in (cold, warm):
            begun = time.process_time()
            scored(fresh, partition, scratch / f"answer-{number}.parquet")
            found.append(len(models) / (time.process_time() - begun))
    rows = [
        Row.of(
            "series a CPU second, first partition of a process",
            cold,
            unit="",
            goal=2000,
            at_least=True,
        ),
        Row.of("series a CPU second, later partitions", warm, unit="", goal=2000, at_least=True),
    ]
    notes = [
        (
            f"{given.models} models ({_TRAINED} trained on generated series, the files of each "
            f"used {given.models // _TRAINED} times), {_DAYS} days with band each, one process"
        ),
        "first partition: each model's files are hashed, read and loaded before it answers",
    ]
    return "Batch forecasts of a fleet", rows, notes


def _files(node: Node, model: str) -> Path:
    """The files of a model's Production version, where the registry keeps them."""
    environ = {k: v for k, v in node.environ.items() if k.startswith(("BATON_", "MLFLOW_"))}
    ledger = SqlLedger(Settings.read(environ, dotenv=node.home / "none").ledger_url)
    head = ledger.head(model)
    ledger.close()
    assert head is not None
    assert head.route is not None
    return Path(head.route.source.removeprefix("file://"))


def _versions(directory: Path, models: dict[str, Path]) -> Path:
    """Laid out as `python -m serving.batch` reads it."""
    directory.mkdir()
    told = {}
    for name, root in models.items():
        manifest = directory / f"{name}.json"
        manifest.write_text(json.dumps(Manifest.of(root).to_json()), encoding="utf-8")
        told[name] = {"root": str(root), "manifest": str(manifest)}
    text = json.dumps({"models": told, "engines": ["onnx", "prophet"]})
    (directory / "versions.json").write_text(text, encoding="utf-8")
    return directory


def _rate(engine: OnnxEngine, batch: np.ndarray) -> float:
    """Rows a CPU second of calls with this batch."""
    feed = {engine.inputs[0].name: batch}
    engine.run(feed)
    begun, calls = time.process_time(), 20
    for _ in range(calls):
        engine.run(feed)
    return calls * len(batch) / (time.process_time() - begun)
