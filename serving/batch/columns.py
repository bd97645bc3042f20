"""A column of Arrow as the array that a signature's column wants, or a refusal that names the row.

The same values are taken as in a request: whole numbers for a double, no truth values for numbers,
nothing missing where it is required. What JSON cannot say (NaN, Infinity) is no number here either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import types

from registry.errors import SignatureMismatch
from registry.signature import Array, Column


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _is_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(inner) or types.is_large_string(inner) or types.is_null(inner))


def _is_moment(kind: pa.DataType) -> bool:
    return bool(types.is_date(kind) or (types.is_timestamp(kind) and kind.tz is None))


_TAKES: Final[Mapping[str, Callable[[pa.DataType], bool]]] = {
    "boolean": types.is_boolean,
    "integer": types.is_integer,
    "long": types.is_integer,
    "float": _is_number,
    "double": _is_number,
    "string": _is_text,
    "binary": _is_text,
    "datetime": _is_moment,
}


def array_of(column: Column, values: pa.Array, first: int) -> Array:
    """`values`, [n], in the column's type; `first` is the number of their first row.

    Raises SignatureMismatch naming the first row that does not fit.
    """
    name = column.name
    if not _TAKES[column.type](values.type):
        raise SignatureMismatch(
            f"column {name}", expected=column.type, got=f"a column of {values.type}"
        )
    may_miss = not column.required and column.type in ("float", "double", "string", "binary")
    if values.null_count and not may_miss:
        _refuse(column, first + _place(values.is_null()), "null")
    if column.type in ("string", "binary"):
        texts: Array = np.array(values.to_pylist(), dtype=object)
        return texts
    plain = values.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore", invalid="ignore"):
        array: Array = plain.astype(column.dtype, copy=False)
    if array.dtype.kind == "f":
        _check_numbers(column, array, values, first, may_miss=may_miss)
    elif array.dtype.kind == "i" and (lost := array != plain).any():
        row = int(np.argmax(lost))
        _refuse(column, first + row, str(plain[row]))
    return array


def empty(column: Column) -> Array:
    """One row of nothing in particular, to learn the form of an answer from."""
    if column.dtype.kind == "O":
        return np.array([""], dtype=object)
    return np.ones(1, dtype=column.dtype)


def _check_numbers(
    column: Column, array: Array, values: pa.Array, first: int, *, may_miss: bool
) -> None:
    """Every one finite, but for those that may be missing."""
    bad = ~np.isfinite(array)
    if not bad.any():
        return
    if may_miss:
        bad &= np.isinf(array)
    if bad.any():
        row = int(np.argmax(bad))
        _refuse(column, first + row, str(values[row].as_py()))


def _place(flags: Any) -> int:
    return int(np.argmax(flags.to_numpy(zero_copy_only=False)))


def _refuse(column: Column, row: int, got: str) -> None:
    finite = "a finite " if column.type in ("float", "double") else ""
    raise SignatureMismatch(
        f"row {row:,}, column {column.name}", expected=f"{finite}{column.type}", got=got
    )
