"""Versions of MLflow's sklearn flavour whose loading does what no model should."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

_MLMODEL = """
flavors:
  sklearn: {pickled_model: model.pkl, serialization_format: pickle, sklearn_version: "1"}
  python_function: {loader_module: mlflow.sklearn, model_path: model.pkl, predict_fn: predict}
signature: {inputs: '[{"name": "x", "type": "double", "required": true}]',
             outputs: '[{"name": "y", "type": "double", "required": true}]'}
"""


class _Runs:
    """Runs statements when it is unpickled, and becomes None."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __reduce__(self) -> Any:
        return (exec, (self._code, {}))


def running(path: Path, code: str) -> Path:
    """A version that runs `code`."""
    path.mkdir(parents=True)
    (path / "MLmodel").write_text(_MLMODEL)
    (path / "model.pkl").write_bytes(pickle.dumps(_Runs(code)))
    return path
