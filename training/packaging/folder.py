"""The folder of a converted version: a graph, MLflow's signature, and what `baton/` holds.

What the sandbox said is data of an unknown hand: what does not have its form is refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from registry.batching import Batching
from registry.bundle import FOLDER, Bundle, Golden
from registry.errors import BundleInvalid, NotPackaged
from registry.metadata import read_yaml
from registry.model_version import ModelVersion
from registry.signature import Signature
from training.packaging.sandbox import GRAPH


def write(
    folder: Path,
    version: ModelVersion,
    own: Path,
    digest: str,
    graph: Path,
    said: Mapping[str, Any],
) -> None:
    """Make `folder` of the graph and of what was said; `own` are the version's files.

    Raises NotPackaged if it is not a complete bundle then.
    """
    (folder / FOLDER).mkdir(parents=True)
    try:
        shutil.copyfile(graph, folder / GRAPH, follow_symlinks=False)
        mlmodel = read_yaml(own / "MLmodel")
        _write_mlmodel(folder, mlmodel)
        golden = Golden.from_json(said["golden"])
        joint = said["batching"]
        files = {
            "bundle.json": {
                "format": 1,
                "kind": "tabular",
                "engine": "onnx",
                "model_file": GRAPH,
                "packaged_from": {
                    "model": version.name,
                    "version": version.version,
                    "created_ms": version.created_ms,
                    "digest": digest,
                },
                **({"call_ms": joint["call_ms"]} if "call_ms" in joint else {}),
                **({"batching": _checked(joint["batching"])} if "batching" in joint else {}),
            },
            "model_schema.json": _schema(Signature.from_mlmodel(mlmodel), golden, said),
            "golden.json": golden.to_json(),
            "parity.json": {
                "rows": int(said["rows"]),
                "origin": str(said["origin"]),
                "isolation": str(said["isolation"]),
                "notes": [*map(str, said["notes"])],
                **{name: float(said["parity"][name]) for name in ("worst", "rtol", "atol")},
            },
        }
        for name, body in files.items():
            text = json.dumps(body, indent=2, allow_nan=False) + "\n"
            (folder / FOLDER / name).write_text(text, encoding="utf-8")
        missing = Bundle.open(folder).missing()
    except (KeyError, TypeError, ValueError, IndexError, OSError, BundleInvalid) as error:
        raise NotPackaged(
            f"{version}: what came of its conversion is unusable: {error!r}"
        ) from error
    if missing:
        raise NotPackaged(f"{version}: its package misses {', '.join(missing)}")


def _write_mlmodel(folder: Path, mlmodel: Mapping[str, Any]) -> None:
    """MLflow's file of a model of the flavour onnx, with the version's own signature."""
    signature = {"signature": mlmodel["signature"]} if mlmodel.get("signature") else {}
    text = yaml.safe_dump({"flavors": {"onnx": {"data": GRAPH}}, **signature})
    (folder / "MLmodel").write_text(text, encoding="utf-8")


def _schema(signature: Signature | None, golden: Golden, said: Mapping[str, Any]) -> dict[str, Any]:
    """What it takes and answers, for people; the classes, for the gate that compares them."""
    columns = signature.columns if signature else ()
    tensors = signature.tensors if signature else ()
    inputs = [{"name": c.name, "type": c.type, "required": c.required} for c in columns]
    inputs += [{"name": t.name, "type": t.dtype, "required": True} for t in tensors]
    outputs = [{"name": str(o["name"]), "type": str(o["type"])} for o in said["outputs"]]
    labels = [*map(str, said["labels"])]
    return {
        "inputs": inputs,
        "outputs": outputs,
        **({"labels": labels} if labels else {}),
        "example": golden.examples[0]["request"],
    }


def _checked(joint: Mapping[str, Any]) -> Mapping[str, Any]:
    return Batching.from_json(joint).to_json()
