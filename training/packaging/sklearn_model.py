"""A version of MLflow's sklearn flavour, and the same as ONNX by skl2onnx."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from registry.errors import NotPackaged
from registry.metadata import read_yaml
from registry.signature import Array, Signature, Tensor
from training import onnx_model
from training.packaging.convert import Answered
from training.packaging.graph import Output, name_outputs
from training.packaging.rows import Rows
from training.tracking import load_model

_LABEL, _PROBABILITIES = onnx_model.OUTPUTS
_PREDICT = ("predict", "predict_proba")


@dataclass(frozen=True)
class SklearnModel:
    """See `Converter`. `asked` is the method that a person would be answered by through MLflow."""

    model: Any
    asked: str
    is_by_column: bool
    rtol: float = onnx_model.TOLERANCE

    def signature(self) -> Signature:
        """As many numbers as it learnt from."""
        columns = getattr(self.model, "n_features_in_", None)
        if not isinstance(columns, int):
            raise NotPackaged(
                f"{_name(self.model)}: it has no signature: register it with an input_example"
            )
        return Signature(tensors=(Tensor("", "float64", (-1, columns)),))

    def answer(self, rows: Rows) -> Answered:
        """What scikit-learn says."""
        given = rows.table if rows.columns else rows.matrix
        predicted = np.asarray(self.model.predict(given))
        unsure = np.zeros(len(rows), dtype=bool)
        classes = getattr(self.model, "classes_", ())
        several = isinstance(classes, list)  # of classes, where it predicts several things
        classes = () if several else classes
        if several or not hasattr(self.model, "predict_proba"):
            name = _LABEL if predicted.dtype.kind in "iuOUSb" else onnx_model.NUMBER
            return Answered(outputs={name: _plain(predicted)}, unsure=unsure, labels=[*classes])
        probabilities = np.asarray(self.model.predict_proba(given), dtype=np.float64)
        outputs = {_LABEL: _plain(predicted), _PROBABILITIES: probabilities}
        if self.asked == "predict_proba":
            outputs = dict(reversed(outputs.items()))
        return Answered(outputs=outputs, unsure=onnx_model.tied(probabilities), labels=[*classes])

    def export(self, path: Path, rows: Rows, answered: Answered) -> None:
        """Write the graph; raises NotPackaged naming the estimator that ONNX does not have."""
        from skl2onnx import to_onnx  # noqa: PLC0415 - heavy

        options = {id(self.model): {"zipmap": False}} if _PROBABILITIES in answered.outputs else {}
        try:
            made = to_onnx(self.model, initial_types=[*self._inputs(rows)], options=options)
        except Exception as error:  # skl2onnx raises whatever its converters run into
            raise NotPackaged(_why(self.model, error)) from error
        # It puts the prediction first and the probabilities second, and numbers into a column.
        wanted = [
            Output(int(name == _PROBABILITIES), name, one.shape[1:])
            for name, one in answered.outputs.items()
        ]
        name_outputs(made, wanted)
        path.write_bytes(made.SerializeToString())

    def feed(self, rows: Rows, path: Path) -> Mapping[str, Array]:
        """One matrix of float32, or the columns that the graph looks at."""
        if not self.is_by_column:
            return {onnx_model.INPUT: rows.matrix.astype(np.float32)}
        return {name: _column(rows.columns[name]) for name in onnx_model.input_names(path)}

    def _inputs(self, rows: Rows) -> Iterator[tuple[str, Any]]:
        from skl2onnx.common.data_types import (  # noqa: PLC0415 - heavy
            FloatTensorType,
            StringTensorType,
        )

        if not self.is_by_column:
            yield onnx_model.INPUT, FloatTensorType([None, rows.matrix.shape[1]])
            return
        for name, values in rows.columns.items():
            kind = StringTensorType if values.dtype == object else FloatTensorType
            yield name, kind([None, 1])


def load(version: Path) -> SklearnModel:
    """Load it as MLflow does, with the types that it says itself are to be trusted."""
    mlmodel = read_yaml(version / "MLmodel")
    flavours = mlmodel["flavors"]
    asked = str((flavours.get("python_function") or {}).get("predict_fn", "predict"))
    model = load_model("sklearn", version)
    model = getattr(model, "best_estimator_", model)  # what a search found answers for it
    if asked not in _PREDICT or not hasattr(model, asked):
        raise NotPackaged(f"{_name(model)}: answers by {asked!r}; only {_PREDICT} can be converted")
    signature = Signature.from_mlmodel(mlmodel)
    columns = signature.columns if signature else ()
    by_column = any(c.type == "string" for c in columns) or _chooses_columns(model)
    if columns and (odd := [c for c in columns if c.type in ("datetime", "binary")]):
        raise NotPackaged(f"column {odd[0].name!r} is of {odd[0].type}, which ONNX does not have")
    return SklearnModel(model, asked, is_by_column=bool(columns) and by_column)


def _chooses_columns(model: Any) -> bool:
    """Whether a part of it takes columns by their names."""
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415 - heavy

    parts = [model, *model.get_params(deep=True).values()] if hasattr(model, "get_params") else []
    return any(isinstance(part, ColumnTransformer) for part in parts)


def _plain(values: Array) -> Array:
    """As ONNX has them: texts as objects, all whole numbers alike."""
    if values.dtype.kind in "US":
        return values.astype(object)
    return values.astype(np.int64) if values.dtype.kind in "iub" else values


def _column(values: Array) -> Array:
    """One column as the graph's input of [n, 1]."""
    shaped = values.reshape(-1, 1)
    return shaped if shaped.dtype == object else shaped.astype(np.float32)


def _why(model: Any, error: Exception) -> str:
    """The estimator that cannot be converted, and the first sentence of what skl2onnx says."""
    text = " ".join(str(error).split())
    named = re.search(r"type '<class '([\w.]+)'>'", text)
    return f"{named[1] if named else _name(model)}: no ONNX for it: {text.partition('. ')[0][:200]}"


def _name(model: Any) -> str:
    kind = type(model)
    return f"{kind.__module__}.{kind.__qualname__}"
