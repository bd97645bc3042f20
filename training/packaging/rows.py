"""What both models are asked when a version is converted: rows of its example, and made-up ones.

A registered example has a few rows; around them others are made up, so that a graph which is wrong
elsewhere is found out. Without an example all are drawn from the signature. Every made-up number is
one of float32, so that both models see the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from registry.errors import NotPackaged, SignatureMismatch
from registry.metadata import read_json
from registry.signature import Array, Column, Signature, Tensor
from training.workload import Request

MADE_UP = 64
_MOST_EXAMPLES = 256
_SEED = 42
_SPREADS = (1.0, 10.0, 100.0)
_NUMBERS = frozenset({"double", "float", "long", "integer", "boolean"})


@dataclass(frozen=True)
class Rows:
    """A table by column, or tensors by name, of the same number of rows; `origin` is for people."""

    columns: Mapping[str, Array]
    tensors: Mapping[str, Array]
    origin: str
    examples: int

    def __len__(self) -> int:
        """Rows."""
        return len(next(iter((self.columns or self.tensors).values())))

    @property
    def table(self) -> pd.DataFrame:
        """The columns as a model of tables takes them."""
        return pd.DataFrame({name: [*values] if values.dtype == object else values
                             for name, values in self.columns.items()})  # fmt: skip

    @property
    def matrix(self) -> Array:
        """The columns side by side, or the only tensor."""
        if self.tensors:
            return next(iter(self.tensors.values()))
        return np.stack([np.asarray(one) for one in self.columns.values()], axis=1)

    def take(self, which: Array) -> Rows:
        """Some of the rows, by their numbers."""
        return Rows(
            {name: values[which] for name, values in self.columns.items()},
            {name: values[which] for name, values in self.tensors.items()},
            self.origin,
            int((which < self.examples).sum()),
        )

    def request(self) -> Request:
        """All rows, as `/predict` is asked for them."""
        if self.columns:
            data = zip(*(values.tolist() for values in self.columns.values()), strict=True)
            return {"dataframe_split": {"columns": [*self.columns], "data": [*map(list, data)]}}
        named = {name: values.tolist() for name, values in self.tensors.items()}
        return {"inputs": named if len(named) > 1 else next(iter(named.values()))}


def rows_for(signature: Signature, version: Path) -> Rows:
    """The rows to ask; raises NotPackaged where none can be made up."""
    example = _complete(_example(signature, version))
    draw = np.random.default_rng(_SEED)
    if example is None:
        columns = {c.name: _drawn_column(c, draw) for c in signature.columns}
        tensors = {t.name: _drawn_tensor(t, draw) for t in signature.tensors}
        return Rows(columns, tensors, f"{MADE_UP} rows drawn from its signature", 0)
    columns = {name: _around(values, draw) for name, values in example.columns.items()}
    tensors = {name: _around(values, draw) for name, values in example.tensors.items()}
    said = f"its input example ({len(example)} rows), and {MADE_UP} rows made up around it"
    return Rows(columns, tensors, said, len(example))


def _example(signature: Signature, version: Path) -> Rows | None:
    """The rows that were registered with the version, if they are some that it takes."""
    body = read_json(version / "serving_input_example.json")
    if not isinstance(body, dict):
        return None
    try:
        if signature.columns:
            columns = _columns(signature, body["dataframe_split"])
            return Rows(columns, {}, "", 0) if len(next(iter(columns.values()))) else None
        given = body["inputs"]
        given = given if isinstance(given, dict) else {signature.tensors[0].name: given}
        tensors = {
            t.name: t.array(given[t.name], field=t.name)[:_MOST_EXAMPLES] for t in signature.tensors
        }
        return Rows({}, tensors, "", 0) if min(map(len, tensors.values())) else None
    except (KeyError, TypeError, SignatureMismatch):
        return None


def _complete(example: Rows | None) -> Rows | None:
    """The rows without a missing value; None if there are none."""
    if example is None:
        return None
    whole = np.ones(len(example), dtype=bool)
    for values in (*example.columns.values(), *example.tensors.values()):
        if values.dtype.kind == "f":
            whole &= np.isfinite(values).reshape(len(values), -1).all(axis=1)
        elif values.dtype == object:
            whole &= [value is not None for value in values]
    return example.take(np.flatnonzero(whole)) if whole.any() else None


def _columns(signature: Signature, split: Mapping[str, Any]) -> Mapping[str, Array]:
    """The columns of a split table, in the signature's order and types."""
    by_name = dict(zip(split["columns"], zip(*split["data"], strict=True), strict=True))
    return {c.name: c.array(by_name[c.name][:_MOST_EXAMPLES]) for c in signature.columns}


def _around(values: Array, draw: np.random.Generator) -> Array:
    """The rows [n, …], and more: of numbers with some noise, of all else chosen from them."""
    chosen = values[draw.integers(len(values), size=MADE_UP)]
    if values.dtype.kind == "f":
        spread = float(np.nanstd(values)) or float(np.nanmax(np.abs(values))) or 1.0
        noise = draw.normal(0.0, spread / 4, chosen.shape)
        chosen = (chosen + noise).astype(np.float32).astype(values.dtype)
    return np.concatenate([values, chosen])


def _drawn_column(column: Column, draw: np.random.Generator) -> Array:
    if column.type not in _NUMBERS:
        raise NotPackaged(
            f"column {column.name!r} is of {column.type}, of which no values can be made up: "
            "register the version with an input_example"
        )
    return _drawn(column.dtype, (MADE_UP,), draw)


def _drawn_tensor(tensor: Tensor, draw: np.random.Generator) -> Array:
    if (
        tensor.shape[:1] != (-1,)
        or -1 in tensor.shape[1:]
        or np.dtype(tensor.dtype).kind not in "fiub"
    ):
        raise NotPackaged(
            f"input {tensor.name or 'tensor'!r} is {tensor}, of which no values can be made up: "
            "register the version with an input_example"
        )
    return _drawn(np.dtype(tensor.dtype), (MADE_UP, *tensor.shape[1:]), draw)


def _drawn(dtype: np.dtype[Any], shape: tuple[int, ...], draw: np.random.Generator) -> Array:
    """Values about zero of several sizes; small whole numbers; both truth values."""
    if dtype.kind == "f":
        spreads = np.resize(_SPREADS, (shape[0], *[1] * (len(shape) - 1)))
        drawn: Array = (draw.normal(0.0, 1.0, shape) * spreads).astype(np.float32).astype(dtype)
        return drawn
    return draw.integers(0, 2 if dtype.kind == "b" else 10, shape).astype(dtype)
