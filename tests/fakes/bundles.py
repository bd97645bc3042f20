"""Directories as MLflow and our training register them, a few hundred bytes each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from registry.bundle import FOLDER, Golden
from registry.evaluation import Evaluation

COLUMNS = ({"name": "x", "type": "double", "required": True},)
OUTPUTS = ({"name": "y", "type": "double", "required": True},)


def evaluation(**changes: Any) -> Evaluation:
    """An evaluation that any sensible gate likes."""
    fields: dict[str, Any] = {
        "series": "iris",
        "source": "csv",
        "rows": 150,
        "data_fingerprint": "d" * 64,
        "holdout_fingerprint": "h" * 64,
        "metrics": {"accuracy": 0.95},
        "data_end": "2025-12-31",
        "baselines": {"majority": {"accuracy": 0.4}},
    }
    return Evaluation(**{**fields, **changes})


def write_code(root: Path, *, content: str = "pickle", flavour: str = "sklearn") -> Path:
    """A version from elsewhere that is code."""
    root.mkdir(parents=True, exist_ok=True)
    root.joinpath("model.pkl").write_text(content)
    flavours = {flavour: {"pickled_model": "model.pkl"}, "python_function": {}}
    signature = {"inputs": json.dumps(COLUMNS), "outputs": json.dumps(OUTPUTS)}
    root.joinpath("MLmodel").write_text(
        yaml.safe_dump({"flavors": flavours, "signature": signature})
    )
    return root


def write_bundle(
    root: Path,
    *,
    content: str = "weights",
    engine: str = "onnx",
    kind: str = "tabular",
    columns: tuple[Mapping[str, Any], ...] | None = COLUMNS,
    measured: Evaluation | None = None,
    golden: Golden | None = None,
    own: bool = True,
    packaged_from: str = "",
) -> Path:
    """Write a version into `root`. Without `own` it is one from elsewhere: MLflow's files only.

    With `packaged_from`, a digest, it was converted from a version that is code.
    `content` is the model file's; `broken` or `hangs` in it is what FakeTrial goes by.
    """
    name = {"onnx": "model.onnx", "prophet": "model.pr"}[engine]
    root.mkdir(parents=True, exist_ok=True)
    root.joinpath(name).write_text(content)
    mlmodel: dict[str, Any] = {
        "flavors": {engine: {"data" if engine == "onnx" else "pr_model": name}}
    }
    if columns is not None:
        mlmodel["signature"] = {"inputs": json.dumps(columns), "outputs": json.dumps(OUTPUTS)}
    root.joinpath("MLmodel").write_text(yaml.safe_dump(mlmodel))
    if own:
        folder = root / FOLDER
        folder.mkdir(exist_ok=True)
        golden = golden or Golden(({"request": {"x": 1.0}, "response": {"y": 2.0}},))
        files: dict[str, Any] = {
            "bundle.json": {"kind": kind, "engine": engine, "model_file": name},
            "model_schema.json": {"inputs": list(columns or ())},
            "golden.json": golden.to_json(),
            "evaluation.json": (measured or evaluation()).to_json(),
            "profile.json": {},
        }
        if packaged_from:
            files["bundle.json"]["packaged_from"] = {"digest": packaged_from}
            del files["evaluation.json"], files["profile.json"]
        for file, body in files.items():
            folder.joinpath(file).write_text(json.dumps(body))
    return root
