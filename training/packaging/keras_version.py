"""A version of MLflow's keras or tensorflow flavour, and the same as ONNX by Keras' own export."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from registry.errors import NotPackaged
from registry.signature import Array, Signature, Tensor
from training import keras_model, onnx_model
from training.packaging.convert import Answered
from training.packaging.graph import Output, name_outputs
from training.packaging.rows import Rows
from training.tracking import load_model

# float32 summed in another order: a network of many layers differs by some of this.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class KerasVersion:
    """See `Converter`."""

    model: Any
    rtol: float = TOLERANCE

    def signature(self) -> Signature:
        """What its inputs say."""
        return Signature(tensors=tuple(_tensor(one) for one in self.model.inputs))

    def answer(self, rows: Rows) -> Answered:
        """What Keras says, to all rows in one call."""
        given = self._given(rows)
        said = self.model.predict(given, batch_size=len(rows), verbose=0)
        if isinstance(said, Mapping):
            said = [*said.values()]
        several = said if isinstance(said, list | tuple) else [said]
        outputs = {f"output_{n}": np.asarray(one) for n, one in enumerate(several)}
        return Answered(outputs=outputs, unsure=np.zeros(len(rows), dtype=bool))

    def export(self, path: Path, rows: Rows, answered: Answered) -> None:  # noqa: ARG002 - the port's
        """Write the graph; raises NotPackaged naming the operator that ONNX does not have."""
        import onnx  # noqa: PLC0415 - heavy

        try:
            keras_model.convert(self.model, path)
        except Exception as error:  # TensorFlow, tf2onnx and Keras each raise their own
            raise NotPackaged(f"{_name(self.model)}: no ONNX for it: {_short(error)}") from error
        made = onnx.load(path)
        name_outputs(
            made,
            [
                Output(n, name, one.shape[1:])
                for n, (name, one) in enumerate(answered.outputs.items())
            ],
        )
        onnx.save(made, path)

    def feed(self, rows: Rows, path: Path) -> Mapping[str, Array]:
        """The rows by the graph's names: its inputs stand in the order of the network's."""
        names = onnx_model.input_names(path)
        given = self._given(rows)
        arrays = given if isinstance(given, list) else [given]
        return dict(zip(names, arrays, strict=True))

    def _given(self, rows: Rows) -> Any:
        """The rows as the network takes them: one array, or a list of them in its order."""
        inputs = self.model.inputs
        if len(inputs) == 1:
            return rows.matrix.astype(_dtype(inputs[0]))
        names = [one.name for one in inputs]
        if {*names} != rows.tensors.keys():
            raise NotPackaged(
                f"{_name(self.model)}: its inputs are {', '.join(names)}, its signature names "
                f"{', '.join(rows.tensors) or 'columns'}: register it with a signature of those"
            )
        return [rows.tensors[one.name].astype(_dtype(one)) for one in inputs]


def load(flavour: str, version: Path) -> KerasVersion:
    """Load it as MLflow does, Lambda layers too: their code runs here, where it can do no harm."""
    keras_model.keras()
    options = {"safe_mode": False, "compile": False}
    named = {"keras": "load_model_kwargs", "tensorflow": "keras_model_kwargs"}[flavour]
    try:
        model = load_model(flavour, version, **{named: options})
    except (ValueError, TypeError) as error:  # Keras' own, for classes that it does not know
        raise NotPackaged(f"Keras cannot load it: {_cause(error)}") from error
    if not hasattr(model, "export") or not getattr(model, "inputs", None):
        raise NotPackaged(f"{_name(model)}: is no Keras model with inputs of known shapes")
    return KerasVersion(model)


def _tensor(one: Any) -> Tensor:
    shape = tuple(-1 if size is None else int(size) for size in one.shape)
    return Tensor(one.name, _dtype(one).name, shape)


def _dtype(one: Any) -> np.dtype[Any]:
    return np.dtype(str(one.dtype))


def _cause(error: Exception) -> str:
    """The class that Keras does not know, or what it met; it says the whole configuration before.

    What is unknown is of the version's own making: a custom layer, or a function of a script.
    """
    text = str(error)
    unknown = re.search(r"Could not locate \w+ '[^']+'", text)
    return unknown[0] if unknown else " ".join(text.rpartition("Exception encountered:")[2].split())


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


def _name(model: Any) -> str:
    kind = type(model)
    return f"{kind.__module__}.{kind.__qualname__}"
