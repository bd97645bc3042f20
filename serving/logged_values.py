"""What a record holds of inputs and outputs: bounded, no more than a model's policy keeps. Pure.

A value is a column or an output: an array or a list, one item a row; of a forecast's request it may
be a number.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import orjson

from registry.monitoring import Kept

MOST_CELLS: Final = 10_000
MOST_BYTES: Final = 1024 * 1024
_FEW_ROWS: Final = 100  # of more than these, cells are counted first
_FEW_BYTES: Final = 2 * MOST_CELLS  # a cell is a digit and a comma at least
_VALUES: Final = ("inputs", "outputs")
_HASH_DIGITS: Final = 32
_QUICK_CELLS: Final = 200
_DUMP: Final = orjson.OPT_SERIALIZE_NUMPY
_SLACK: Final = 1e-3  # of float32, beyond 1
Values = Mapping[str, Any]


def dumped(record: Mapping[str, Any]) -> bytes:
    """A record as JSON: arrays as lists, dates as ISO texts, NaN as null.

    Its inputs, or outputs, of more than `MOST_CELLS` are digests: of each value shape and SHA-256
    (hex). Both are where there would be more than `MOST_BYTES`.
    """
    if record["rows"] > _FEW_ROWS:
        record = {**record, **{name: _bounded(record[name]) for name in _VALUES}}
    text = orjson.dumps(record, default=_default, option=_DUMP)
    if len(text) <= _FEW_BYTES:  # no room for so many cells
        return text
    bound = _digests if len(text) > MOST_BYTES else _bounded
    cut = {name: bound(record[name]) for name in _VALUES}
    return orjson.dumps({**record, **cut}, default=_default, option=_DUMP)


def _bounded(values: Values) -> Values:
    cells = 0
    for value in values.values():
        cells += value.size if isinstance(value, np.ndarray) else _cells(value)
    return _digests(values) if cells > MOST_CELLS else values


def kept(values: Values, policy: Kept, key: bytes) -> Values:
    """What `policy` keeps of inputs; cells that it hashes are HMAC-SHA256, cut to 32 digits."""
    names = [name for name in values if policy.keep is None or name in policy.keep]
    return {
        name: _hashed(values[name], key) if name in policy.hash else values[name] for name in names
    }


def confidence(outputs: Values) -> float | None:
    """The mean over rows of the highest probability; None where no output says `prob…`."""
    for name, value in outputs.items():
        if "prob" in name or "prob" in name.lower():
            try:
                found = _mean_of_highest(value)
            except (TypeError, ValueError):
                return None
            return min(found, 1.0) if 0 <= found <= 1 + _SLACK else None
    return None


def _mean_of_highest(value: Any) -> float:
    if isinstance(value, np.ndarray):
        if value.ndim == 2 and value.shape[1] > 1 and value.size > _QUICK_CELLS:
            return float(value.max(axis=1).mean())
        value = value.tolist()
        if len(value) == 1 and isinstance(value[0], list) and len(value[0]) > 1:
            return float(max(value[0]))
    highest = [_highest(row) for row in value]
    return sum(highest) / len(highest) if highest else -1.0


def _highest(row: Any) -> float:
    """Of one row: of several classes, or of the one whose probability is told."""
    of_each = list(row.values()) if isinstance(row, dict) else row
    if not isinstance(of_each, list):
        of_each = [of_each]
    return float(max(of_each[0], 1 - of_each[0]) if len(of_each) == 1 else max(of_each))


def _cells(value: Any) -> int:
    if isinstance(value, list) and value:
        first = value[0]
        return len(value) * (len(first) if isinstance(first, (list, dict)) else 1)
    return 1


def _digests(values: Values) -> Values:
    return {name: _digest(value) for name, value in values.items()}


def _digest(value: Any) -> dict[str, Any]:
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        data = np.ascontiguousarray(value).tobytes()
        return {"shape": list(value.shape), "sha256": hashlib.sha256(data).hexdigest()}
    shape = list(value.shape) if isinstance(value, np.ndarray) else _shape(value)
    return {"shape": shape, "sha256": hashlib.sha256(_text(value)).hexdigest()}


def _shape(value: Any) -> list[int]:
    if not isinstance(value, list):
        return []
    return [len(value), *(_shape(value[0]) if value else [])]


def _hashed(value: Any, key: bytes) -> Any:
    cells = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(cells, list):
        return _keyed(cells, key)
    return [None if cell is None else _keyed(cell, key) for cell in cells]


def _keyed(cell: Any, key: bytes) -> str:
    return hmac.digest(key, _text(cell), "sha256").hex()[:_HASH_DIGITS]


def _text(value: Any) -> bytes:
    return orjson.dumps(value, default=_default, option=_DUMP)


def _default(value: Any) -> Any:
    """What orjson does not know: arrays of objects or with gaps in memory, and bytes."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O":
            return value.tolist()
        return np.ascontiguousarray(value) if not value.flags.c_contiguous else value.tolist()
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    return str(value)
