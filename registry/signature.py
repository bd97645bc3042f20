"""What a model takes: columns or tensors, in MLflow's types, and how JSON values become arrays.

Pure: numpy and the standard library. Read from an `MLmodel` file or made from a graph's inputs.
Every refusal is a SignatureMismatch that names the field as the client wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from registry.errors import BundleInvalid, SignatureMismatch

Array = NDArray[Any]

_DTYPES: Mapping[str, Any] = {
    "boolean": np.bool_,
    "integer": np.int32,
    "long": np.int64,
    "float": np.float32,
    "double": np.float64,
    "string": np.object_,
    "binary": np.object_,
    "datetime": np.dtype("datetime64[ns]"),
}
# The JSON values each type takes: an integer is a fine double, a boolean is not.
_TAKES: Mapping[str, frozenset[type]] = {
    "boolean": frozenset({bool}),
    "integer": frozenset({int}),
    "long": frozenset({int}),
    "float": frozenset({int, float}),
    "double": frozenset({int, float}),
    "string": frozenset({str}),
    "binary": frozenset({str}),
    "datetime": frozenset({str}),
}
# The types whose every value a wider type takes too.
_WIDER: Mapping[str, frozenset[str]] = {
    "integer": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
    "double": frozenset({"float"}),
}
# The JSON values a tensor takes, by the kind of its numpy type.
_TENSOR_TAKES: Mapping[str, frozenset[type]] = {
    "b": frozenset({bool}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "f": frozenset({int, float}),
    "O": frozenset({str}),
    "U": frozenset({str}),
}
_NAMES = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    type(None): "null",
}
_MISSING: Mapping[str, Any] = {"float": np.nan, "double": np.nan, "string": None, "binary": None}


@dataclass(frozen=True)
class Column:
    """A named column of one MLflow type."""

    name: str
    type: str
    required: bool = True

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type of its values."""
        dtype: np.dtype[Any] = np.dtype(_DTYPES[self.type])
        return dtype

    def array(self, values: Sequence[object], *, field: str = "") -> Array:
        """`values` (length n) as an array of shape [n]; a wrong value is named by its row."""
        field = field or self.name
        taken = _TAKES[self.type]
        if not set(map(type, values)) <= taken:
            values = self._with_missing(values, field)
        try:
            with np.errstate(over="ignore"):
                array: Array = np.array(values, dtype=_DTYPES[self.type])
        except (ValueError, OverflowError) as error:
            raise SignatureMismatch(field, expected=self.type, got=str(error)) from error
        if array.dtype.kind == "f" and np.isinf(array).any():
            raise SignatureMismatch(field, expected=self.type, got="a number beyond its range")
        return array

    def takes_all_of(self, other: Column) -> bool:
        """Whether each value of the other's type is one of this type too."""
        return self.type == other.type or self.type in _WIDER.get(other.type, ())

    def missing(self, rows: int) -> Array:
        """The array of an optional column that did not come."""
        if self.required or self.type not in _MISSING:
            raise SignatureMismatch(self.name, expected=f"a column of {self.type}", got="nothing")
        return np.full(rows, _MISSING[self.type], dtype=_DTYPES[self.type])

    def _with_missing(self, values: Sequence[object], field: str) -> list[object]:
        """`values` with null replaced where the signature allows it; anything else is refused."""
        allowed = not self.required and self.type in _MISSING
        out: list[object] = []
        for row, value in enumerate(values):
            if value is None and allowed:
                out.append(_MISSING[self.type])
            elif type(value) in _TAKES[self.type]:
                out.append(value)
            else:
                raise SignatureMismatch(f"{field}[{row}]", expected=self.type, got=describe(value))
        return out


@dataclass(frozen=True)
class Tensor:
    """A tensor with a numpy dtype; a dimension of -1 is free. The name may be empty."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def array(self, value: object, *, field: str) -> Array:
        """Nested lists as an array of this shape and type."""
        wanted = np.dtype(self.dtype)
        types = _leaf_types(value)
        if not types <= _TENSOR_TAKES.get(wanted.kind, frozenset()):
            names = " and ".join(sorted(_NAMES.get(found, "object") for found in types))
            raise SignatureMismatch(field, expected=str(self), got=f"values of {names}")
        told = wanted.kind in "OU"  # texts: with a type, rows of unlike length would be texts too
        try:
            with np.errstate(over="ignore"):
                raw: Array = np.array(value, None if told else wanted)
        except OverflowError as error:
            raise _beyond(field, wanted) from error
        except ValueError as error:
            raise SignatureMismatch(
                field, expected=str(self), got="rows of unlike length"
            ) from error
        if len(raw.shape) != len(self.shape) or any(
            want not in (-1, have) for want, have in zip(self.shape, raw.shape, strict=True)
        ):
            raise SignatureMismatch(field, expected=str(self), got=f"shape {list(raw.shape)}")
        if wanted.kind == "f" and np.isinf(raw).any():
            raise _beyond(field, wanted)
        return raw.astype(wanted, copy=False)

    def __str__(self) -> str:
        """As people write it: `float32[-1, 4]`."""
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True)
class Signature:
    """Either columns or tensors, and the names of what comes out."""

    columns: tuple[Column, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    outputs: tuple[str, ...] = ()

    @classmethod
    def from_mlmodel(cls, mlmodel: Mapping[str, Any]) -> Self | None:
        """The signature of a parsed `MLmodel` file, or None if it has none."""
        raw = mlmodel.get("signature")
        if not raw or not raw.get("inputs"):
            return None
        try:
            inputs = json.loads(raw["inputs"])
            outputs = json.loads(raw.get("outputs") or "[]")
            tensors = tuple(_tensor(spec) for spec in inputs if spec["type"] == "tensor")
            columns = tuple(_column(spec) for spec in inputs if spec["type"] != "tensor")
        except (ValueError, KeyError, TypeError) as error:
            raise BundleInvalid(f"MLmodel: the signature cannot be read: {error!r}") from error
        if tensors and columns:
            raise BundleInvalid("MLmodel: the signature mixes columns and tensors")
        return cls(columns, tensors, tuple(spec.get("name") or "" for spec in outputs))

    def compatible_with(self, current: Signature) -> tuple[str, ...]:
        """Why requests that `current` takes would not be taken by this one; empty if they are."""
        reasons: list[str] = []
        if bool(self.columns) != bool(current.columns):
            reasons.append("one takes columns and the other tensors")
        reasons += _column_changes(self.columns, current.columns)
        reasons += _tensor_changes(self.tensors, current.tensors)
        lost = set(filter(None, current.outputs)) - set(self.outputs)
        if self.outputs and lost:
            reasons.append(f"no longer answers {', '.join(sorted(lost))}")
        return tuple(reasons)

    def to_json(self) -> dict[str, Any]:
        """As shown in `model_schema.json` and `GET /models/<name>`."""
        return {
            "columns": [
                {"name": c.name, "type": c.type, "required": c.required} for c in self.columns
            ],
            "tensors": [
                {"name": t.name, "dtype": t.dtype, "shape": list(t.shape)} for t in self.tensors
            ],
            "outputs": list(self.outputs),
        }


def describe(value: object) -> str:
    """A JSON value in a few words, for messages: its type and the start of its text."""
    if value is None:
        return "null"
    text = json.dumps(value, default=str)
    kind = _NAMES.get(type(value)) or ("object" if isinstance(value, dict) else "array")
    return f"{kind} {text if len(text) <= 40 else text[:37] + '...'}"


def narrowed(array: Array, dtype: Any, *, field: Callable[[Sequence[int]], str]) -> Array:
    """`array` in another type; a number that type cannot hold is refused, never wrapped or rounded.

    `field` names a place (its indices) as the client wrote it.
    """
    wanted = np.dtype(dtype)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            out: Array = array.astype(wanted, copy=False)
    except OverflowError:
        lost: Array = np.ones(1, dtype=bool)
    else:
        if wanted.kind not in "iuf" or out is array:
            return out
        lost = np.isinf(out) if wanted.kind == "f" else out != array
        if not lost.any():
            return out
    raise _beyond(field(np.argwhere(lost)[0].tolist()), wanted)


def _beyond(field: str, wanted: np.dtype[Any]) -> SignatureMismatch:
    return SignatureMismatch(field, expected=wanted.name, got="a number beyond its range")


def _leaf_types(value: object) -> set[type]:
    """The types of what stands in nested lists."""
    found: set[type] = set()
    level: list[Any] = [value]
    while list in (types := set(map(type, level))):
        found |= types - {list}
        level = list(chain.from_iterable(one for one in level if type(one) is list))
    return found | types


def _column(spec: Mapping[str, Any]) -> Column:
    """One column of MLflow's signature JSON."""
    if spec["type"] not in _DTYPES:
        raise BundleInvalid(
            f"MLmodel: column {spec.get('name')!r} has type {spec['type']!r}; "
            f"known are {', '.join(_DTYPES)}"
        )
    return Column(spec.get("name") or "", spec["type"], spec.get("required", True))


def _tensor(spec: Mapping[str, Any]) -> Tensor:
    """One tensor of MLflow's signature JSON."""
    inner = spec["tensor-spec"]
    return Tensor(spec.get("name") or "", inner["dtype"], tuple(inner["shape"]))


def _column_changes(candidate: Sequence[Column], current: Sequence[Column]) -> list[str]:
    """What a client of `current` would notice in its columns."""
    if not candidate or not current:
        return []
    new, old = ({c.name: c for c in side} for side in (candidate, current))
    reasons = [f"column {n!r} is gone" for n in old if n not in new]
    reasons += [f"column {n!r} is newly required" for n in new if n not in old and new[n].required]
    for name in old.keys() & new.keys():
        before, after = old[name], new[name]
        if not after.takes_all_of(before):
            reasons.append(f"column {name!r} was {before.type} and is {after.type}")
        if after.required and not before.required:
            reasons.append(f"column {name!r} was optional and is required")
    return sorted(reasons)


def _tensor_changes(candidate: Sequence[Tensor], current: Sequence[Tensor]) -> list[str]:
    """What a client of `current` would notice in its tensors."""
    if not candidate or not current:
        return []
    new, old = ({t.name: t for t in side} for side in (candidate, current))
    if new.keys() != old.keys():
        return [f"tensors were {sorted(old)} and are {sorted(new)}"]
    return [
        f"tensor {name or 'input'!r} was {old[name]} and is {new[name]}"
        for name in sorted(new)
        if len(new[name].shape) != len(old[name].shape)
        or any(a not in (-1, b) for a, b in zip(new[name].shape, old[name].shape, strict=True))
        or np.dtype(new[name].dtype).kind != np.dtype(old[name].dtype).kind
    ]
