"""The tabular kind: MLflow's four envelopes to a graph's tensors, and back.

`dataframe_split`, `dataframe_records`, `inputs`, `instances`: exactly one. Columns are matched by
name, an unknown one is refused. The graph's first output is `predictions`, others are `outputs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Protocol

import numpy as np

from registry.errors import (
    BundleInvalid,
    RequestTooLarge,
    SignatureMismatch,
    WrongShape,
)
from registry.params import Given, Param
from registry.signature import Array, Column, Signature, Tensor, describe, narrowed
from serving.kinds import envelopes
from serving.kinds.finite import all_finite, refuse_non_finite

_NUMBERS = frozenset({int, float})
_FEW = 256
Seen = dict[str, Any]  # what a request asked, by column


class TabularEngine(Protocol):
    """What this kind needs of an engine."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Named arrays in, named outputs out."""


class Tabular:
    """One tabular model. Without a signature, the graph's inputs are the signature."""

    def __init__(
        self,
        engine: TabularEngine,
        *,
        signature: Signature | None,
        params: Sequence[Param] = (),
        max_rows: int,
        ignore_unknown: bool = False,
    ) -> None:
        """Raises BundleInvalid if the signature's columns cannot be fed to the graph."""
        self._engine = engine
        self._max_rows = max_rows
        self._ignore_unknown = ignore_unknown
        self._given = Given(params, engine.inputs)
        if taken := self._given.names & _names(signature):
            raise BundleInvalid(f"MLmodel: {min(taken)!r} is the name of a param and of an input")
        self.params = self._given.params
        inputs = tuple(one for one in engine.inputs if one.name not in self._given.names)
        self._inputs = inputs
        self.signature = signature or Signature((), inputs, engine.outputs)
        self._columns = {column.name: column for column in self.signature.columns}
        self._order = tuple(self._columns)
        if self._columns:
            self._matrix = _takes_matrix(inputs, len(self._columns))
            _check_mapping(inputs, self._order, matrix=self._matrix)
            self._is_plain = self._matrix and _are_plain(self._columns.values(), inputs[0])
        else:
            self._targets = _targets(self.signature.tensors, inputs)

    def predict(self, body: Mapping[str, Any], seen: Seen | None = None) -> dict[str, Any]:
        """Answer `body` with one prediction a row; see the module for its forms."""
        feed, rows = self._fed(body, seen)
        return self._encode(self._engine.run(feed), rows)

    def table(self, columns: Mapping[str, Array]) -> dict[str, Any]:
        """Answer rows that come as one array a column, each of its column's type, as `predict`."""
        rows = len(next(iter(columns.values())))
        feed = {**self._stacked(columns), **self._given.arrays(None)}
        return self._encode(self._engine.run(feed), rows)

    def tensors(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """The graph's outputs by their names; the first may have none."""
        first = self._engine.outputs[0] if self._engine.outputs else "predictions"
        return {first: answer["predictions"], **answer.get("outputs", {})}

    def repeat(self, body: Mapping[str, Any]) -> None:
        """Ask every row twice in one request: one alone hides a graph that always answers one."""
        feed, rows = self._fed(body)
        if rows is not None and all(t.shape[:1] == (-1,) for t in self._inputs):
            fixed = self._given.names
            doubled = {n: a if n in fixed else np.concatenate([a, a]) for n, a in feed.items()}
            self._encode(self._engine.run(doubled), 2 * rows)

    def synthetic(self) -> Mapping[str, Any]:
        """One row of ones, empty texts and false."""
        if self._columns:
            row = [_sample(column) for column in self._columns.values()]
            return {"dataframe_split": {"columns": list(self._order), "data": [row]}}
        tensors = {tensor.name: _ones(tensor) for tensor in self.signature.tensors}
        return {"inputs": tensors if len(tensors) > 1 else next(iter(tensors.values()))}

    def _fed(
        self, body: Mapping[str, Any], seen: Seen | None = None
    ) -> tuple[dict[str, Array], int | None]:
        """What the graph is fed, and how many rows; None where their number is fixed."""
        form = envelopes.form(body)
        read = self._columnar if self._columns else self._tensors
        feed, rows = read(form, body[form], {} if seen is None else seen)
        feed.update(self._given.arrays(body.get("params")))
        return feed, rows

    def _columnar(self, form: str, value: Any, seen: Seen) -> tuple[dict[str, Array], int | None]:
        """One array a column, as the graph wants them."""
        if (found := self._at_once(form, value)) is not None:
            rows, matrix = found
            self._check_rows(form, len(rows))
            seen.update(zip(self._order, _turned(rows, matrix), strict=True))
            return {self._inputs[0].name: matrix}, len(rows)
        names, given, count = envelopes.table(form, value, self._order)
        self._check_rows(form, count)
        for name in names:
            if name not in self._columns and not self._ignore_unknown:
                raise SignatureMismatch(
                    str(name), expected=f"one of {', '.join(self._order)}", got="an unknown column"
                )
        said = dict(zip(names, given, strict=True))
        arrays = {
            name: column.array(said[name]) if name in said else column.missing(count)
            for name, column in self._columns.items()
        }
        seen.update(arrays)
        return self._stacked(arrays), count

    def _stacked(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Columns as the graph wants them: side by side in one tensor, or one tensor each."""
        if not self._matrix:
            return {t.name: _shaped(arrays[t.name], t) for t in self._inputs}
        tensor = self._inputs[0]
        stacked = np.stack([arrays[name] for name in self._order], axis=1)
        return {tensor.name: narrowed(stacked, tensor.dtype, field=self._cell)}

    def _at_once(self, form: str, value: Any) -> tuple[list[list[Any]], Array] | None:
        """Rows of plain numbers and the graph's matrix, where each column would give the same.

        None where anything has to be looked at closer: by column, which can name what is wrong.
        """
        rows = envelopes.in_order(form, value, self._order) if self._is_plain else None
        if rows is None or not set(map(type, chain.from_iterable(rows))) <= _NUMBERS:
            return None
        try:
            with np.errstate(over="ignore"):
                matrix = np.array(rows, self._inputs[0].dtype)
        except OverflowError:
            return None
        return (rows, matrix) if all_finite(matrix) else None

    def _cell(self, place: Sequence[int]) -> str:
        """A place in the matrix as the client wrote it."""
        return f"{self._order[place[1]]}[{place[0]}]" if len(place) == 2 else self._order[0]

    def _tensors(self, form: str, value: Any, seen: Seen) -> tuple[dict[str, Array], int | None]:
        """One array a tensor: by name, or the only one."""
        tensors = self.signature.tensors
        if form == "dataframe_split":
            value = envelopes.mapping(form, value).get("data")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            names, columns, _ = envelopes.by_record(form, value)
            value = dict(zip(names, columns, strict=True))
        if not isinstance(value, dict):
            if len(tensors) != 1:
                names = ", ".join(tensor.name for tensor in tensors)
                raise SignatureMismatch(form, expected=f"tensors {names}", got=describe(value))
            value = {tensors[0].name: value}
        if unknown := sorted(value.keys() - {tensor.name for tensor in tensors}):
            known = ", ".join(tensor.name for tensor in tensors)
            raise SignatureMismatch(unknown[0], expected=known, got="an unknown tensor")
        feed: dict[str, Array] = {}
        rows: int | None = None
        for tensor, target in zip(tensors, self._targets, strict=True):
            field = tensor.name or form
            if tensor.name not in value:
                raise SignatureMismatch(field, expected=str(tensor), got="nothing")
            array = tensor.array(value[tensor.name], field=field)
            if array.ndim and tensor.shape[0] == -1:
                rows = len(array) if rows is None else rows
                if len(array) != rows:
                    raise SignatureMismatch(
                        field, expected=f"{rows} rows as before it", got=f"{len(array)} rows"
                    )
            self._check_rows(form, array.shape[0] if array.ndim else 1)
            seen[field] = array
            feed[target.name] = narrowed(array, target.dtype, field=partial(_named, field))
        return feed, rows

    def _check_rows(self, form: str, rows: int) -> None:
        if rows == 0:
            raise SignatureMismatch(form, expected="at least one row", got="none")
        if rows > self._max_rows:
            raise RequestTooLarge(
                f"{form}: {rows} rows, at most {self._max_rows} in one request: send several"
            )

    def _encode(self, outputs: Mapping[str, Any], rows: int | None) -> dict[str, Any]:
        """The first output is the prediction; the others stand beside it by name."""
        values = {name: _plain(name, value) for name, value in outputs.items()}
        first, *others = values
        got = len(values[first]) if isinstance(values[first], (list, np.ndarray)) else 0
        if rows not in (None, got):
            raise WrongShape(f"output {first!r}: expected {rows} rows as asked, got {got}")
        answer: dict[str, Any] = {"predictions": values[first]}
        if others:
            answer["outputs"] = {name: values[name] for name in others}
        return answer


def _turned(rows: Sequence[Sequence[Any]], matrix: Array) -> Iterable[Any]:
    """The columns: few cells are listed sooner than arrays are made."""
    if len(rows) == 1:
        return [[cell] for cell in rows[0]]
    return map(list, zip(*rows, strict=True)) if matrix.size <= _FEW else matrix.T


def _names(signature: Signature | None) -> set[str]:
    if signature is None:
        return set()
    return {column.name for column in signature.columns} | {t.name for t in signature.tensors}


def _named(field: str, _place: Sequence[int]) -> str:
    return field


def _takes_matrix(inputs: Sequence[Tensor], columns: int) -> bool:
    """Whether the graph wants all columns side by side in one tensor of shape [rows, columns]."""
    if len(inputs) != 1 or len(inputs[0].shape) != 2:
        return False
    return inputs[0].shape[1] in (-1, columns) and (columns > 1 or inputs[0].dtype != "object")


def _are_plain(columns: Iterable[Column], matrix: Tensor) -> bool:
    """Whether a number in any column is the same number in the matrix: nothing in between."""
    types = {column.type for column in columns}
    return (types, matrix.dtype) in (
        ({"double"}, "float64"),
        ({"double"}, "float32"),
        ({"float"}, "float32"),
    )


def _targets(tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """The graph's input of each tensor: by name where the names are the same, else by position."""
    if len(tensors) != len(inputs):
        raise BundleInvalid(
            f"the signature has {len(tensors)} tensors, the graph {len(inputs)} inputs"
        )
    named = {tensor.name: tensor for tensor in inputs}
    if named.keys() == {tensor.name for tensor in tensors}:
        return [named[tensor.name] for tensor in tensors]
    return inputs


def _check_mapping(inputs: Sequence[Tensor], columns: Sequence[str], *, matrix: bool) -> None:
    if not matrix and {t.name for t in inputs} - set(columns):
        raise BundleInvalid(
            f"the graph's inputs {[f'{t.name}: {t}' for t in inputs]} do not fit the signature's "
            f"columns {list(columns)}"
        )


def _shaped(array: Array, tensor: Tensor) -> Array:
    """A column of shape [rows] as the graph's input of one or two dimensions."""
    out = narrowed(array, tensor.dtype, field=lambda place: f"{tensor.name}[{place[0]}]")
    return out.reshape(-1, 1) if len(tensor.shape) == 2 else out


def _plain(name: str, value: Any) -> Any:
    """An output as JSON can hold it; never NaN or Infinity."""
    if isinstance(value, np.ndarray):
        refuse_non_finite(name, value)
        return value.tolist() if value.dtype.kind in "OUS" else np.ascontiguousarray(value)
    for row in value:
        refuse_non_finite(name, np.array([v for v in row.values() if isinstance(v, float)]))
    return [{str(key): item for key, item in row.items()} for row in value]


def _ones(tensor: Tensor) -> Any:
    """The smallest array a tensor takes: of ones, true, or empty texts."""
    fill, dtype = ("", "U1") if np.dtype(tensor.dtype).kind in "OU" else (1, tensor.dtype)
    return np.full([max(size, 1) for size in tensor.shape], fill, dtype).tolist()


def _sample(column: Column) -> Any:
    """Any value of a column's type."""
    return {"boolean": False, "string": "", "binary": "", "datetime": "2000-01-01"}.get(
        column.type, 1
    )
