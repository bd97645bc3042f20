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
_TRAINED = 10


def score(given: argparse.Namespace, scratch: Path) -> Measured:
    """A table of iris by one process: the command, and the engine alone with the same batches."""
    node = Node(scratch / "home")
    done = node.run("training", "run", "iris")
    node.run("registry", "promote", done["model"], str(done["version"]))
    root = _files(node, "iris")
    bundle = Bundle.open(root)
    assert bundle.signature is not None
    names = [column.name for column in bundle.signature.columns]
    table = generated.flowers(scratch / "flowers.parquet", given.rows, names)
    engine = OnnxEngine.load(bundle.model_file)
    batch = pd.read_parquet(table).head(BATCH_ROWS).to_numpy(np.float32)
    whole, inside, alone = [], [], []
    for number in range(_REPEATS):
        alone.append(_rate(engine, batch))
        asked = ["score", "iris", f"--input={table}", f"--output={scratch / str(number)}"]
        said = watch(node, "training", *asked, "--workers=1").said
        whole.append(said["rows"] / said["seconds"])
        inside.append(said["rows"] / said["engine_seconds"])
    rows = [
        Row.of("command, one worker", whole, unit="rows/s", goal=1e6, at_least=True),
        Row.of("of which the engine", inside, unit="rows/s", goal=None),
        Row.of(f"engine alone, {BATCH_ROWS} rows a call", alone, unit="rows/s", goal=None),
        Row.of(
            "command against engine alone",
            [w / a for w, a in zip(whole, alone, strict=True)],
            unit="",
            goal=None,
        ),
    ]
    notes = [
        (
            f"{given.rows:,} generated rows of four doubles from a Parquet file; label and three "
            "probabilities a row into Parquet; 100 trees"
        ),
        (
            "command: from the first look at the input to `_SUCCESS.json`, the start of its "
            "processes and the load of the version included"
        ),
    ]
    return "Batch scoring of a table", rows, notes


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
            begun = time.perf_counter()
            scored(fresh, partition, scratch / f"answer-{number}.parquet")
            found.append(len(models) / (time.perf_counter() - begun))
    rows = [
        Row.of("first partition of a process", cold, unit="series/s", goal=None),
        Row.of("later ones", warm, unit="series/s", goal=2000, at_least=True),
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
    """Rows a second of calls with this batch."""
    feed = {engine.inputs[0].name: batch}
    engine.run(feed)
    begun, calls = time.perf_counter(), 20
    for _ in range(calls):
        engine.run(feed)
    return calls * len(batch) / (time.perf_counter() - begun)
