"""A version as MLflow's `pyfunc` loads it: this executes what its files say.

Only in a process that is there for that: a runner, or a trial. The only file of serving that
imports mlflow.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Self

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from registry.bundle import Bundle
from registry.errors import BundleInvalid, ModelFailed, SignatureMismatch
from registry.signature import Tensor
from serving.engines.runner import inputs_of, outputs_of
from serving.kinds.finite import refuse_non_finite

_MAX_CAUSE = 400
_PLAIN_KINDS = "biufMOUS"


class PyfuncModel:
    """A loaded version, with the interface of an engine."""

    def __init__(
        self,
        model: Any,
        inputs: tuple[Tensor, ...],
        outputs: tuple[str, ...],
        params: Collection[str] = (),
    ) -> None:
        """`model` has MLflow's `predict`; a table is asked where the inputs are columns.

        `params` are the inputs that are no rows.
        """
        self._model, self._params = model, frozenset(params)
        self.inputs = inputs
        self.outputs = outputs

    @classmethod
    def load(cls, bundle: Bundle) -> Self:
        """Load from the directory and nowhere else. Raises BundleInvalid."""
        inputs, outputs = inputs_of(bundle), outputs_of(bundle)
        try:
            model = mlflow.pyfunc.load_model(str(bundle.root))
        except MemoryError:
            raise
        except Exception as error:  # whatever a version's own code raises
            cause = f"{type(error).__name__}: {error}"[:_MAX_CAUSE]
            raise BundleInvalid(
                f"{bundle.model_file.name}: MLflow cannot load it: {cause}"
            ) from error
        asked = _Table(model) if bundle.signature and bundle.signature.columns else model
        return cls(asked, inputs, outputs, [param.name for param in bundle.params])

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Named arrays in; arrays, or lists of records for tables, out.

        Raises SignatureMismatch for what the model refuses by ValueError or MLflow by its schema;
        any other error is the model's own and passes through.
        """
        said = {name: array.item() for name, array in inputs.items() if name in self._params}
        rows = {name: array for name, array in inputs.items() if name not in self._params}
        [*names] = rows
        asked = rows if len(names) > 1 or names[0] else rows[names[0]]
        params = {"params": said} if said else {}
        try:
            answer = self._model.predict(asked, **params)
        except (ValueError, MlflowException) as error:
            raise SignatureMismatch(
                ", ".join(names), expected="values the model takes", got=str(error)[:_MAX_CAUSE]
            ) from error
        return _outputs(answer, self.outputs)


class _Table:
    """A model that is asked with a DataFrame."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def predict(self, columns: Mapping[str, Any], **params: Any) -> Any:
        return self._model.predict(pd.DataFrame(dict(columns), copy=False), **params)


def _outputs(answer: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """What `predict` returned, by name: the signature's where it has one for each."""
    if isinstance(answer, Mapping):
        return {str(name): _plain(str(name), value) for name, value in answer.items()}
    name = names[0] if len(names) == 1 else "predictions"
    return {name: _plain(name, answer)}


def _plain(name: str, value: Any) -> Any:
    """An array, or a list of records for a table, as MLflow's own server answers."""
    if isinstance(value, pd.DataFrame):
        return _records(value)
    if hasattr(value, "toarray"):  # a sparse matrix
        value = value.toarray()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ModelFailed(f"output {name!r}: rows of unlike length: {error}") from error
    if array.dtype.kind not in _PLAIN_KINDS or not array.ndim:
        raise ModelFailed(
            f"output {name!r}: expected an array, a table or a mapping of those, got "
            f"{type(value).__name__} of {array.dtype}"
        )
    return array


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One mapping a row; NaN is refused here, since JSON would make it null."""
    for name in table.columns:
        refuse_non_finite(str(name), table[name].to_numpy())
    dated = table.select_dtypes(include=["datetime", "datetimetz"]).columns
    plain = table.assign(**{name: table[name].map(lambda t: t.isoformat()) for name in dated})
    return [
        {str(name): value for name, value in row.items()} for row in plain.to_dict(orient="records")
    ]
