"""Whether a model answers each row by itself: only then may requests of several clients be joined.

It is asked some rows together, and each alone. A model that ranks, scales or counts what it is
asked with answers differently, and is never given two requests at once. Asked by `training` before
a version declares it, by its trial, and by a runner when it loads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from registry.signature import Tensor

Arrays = Mapping[str, Any]
Run = Callable[[Arrays], Arrays]
_MOST_ROWS = 16
_RTOL, _ATOL = 1e-5, 1e-7


def is_row_wise(
    run: Run,
    inputs: Sequence[Tensor],
    asked: Sequence[Arrays],
    *,
    rtol: float = _RTOL,
    atol: float = _ATOL,
) -> bool:
    """Whether the rows in `asked` are answered alike, within `rtol` and `atol`, together and alone.

    False too where that cannot be told: fewer than two different rows, or a fixed number of them.
    """
    if any(tensor.shape[:1] != (-1,) for tensor in inputs):
        return False
    rows = _different([row for one in asked for row in _rows(one)])[:_MOST_ROWS]
    if len(rows) < 2:
        return False
    try:
        together = run({name: np.concatenate([r[name] for r in rows]) for name in rows[0]})
        alone = [run(row) for row in rows]
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - then it cannot be told
        return False
    equal = partial(_equal, rtol=rtol, atol=atol)
    return all(
        _alike(together[name], [one.get(name, ()) for one in alone], equal) for name in together
    )


def _rows(asked: Arrays) -> list[Arrays]:
    count = min(len(array) for array in asked.values())
    return [{name: array[n : n + 1] for name, array in asked.items()} for n in range(count)]


def _different(rows: Sequence[Arrays]) -> list[Arrays]:
    """Each row once."""
    told = {repr([array.tolist() for array in row.values()]): row for row in rows}
    return list(told.values())


def _alike(together: Any, alone: Sequence[Any], equal: Callable[[Any, Any], bool]) -> bool:
    """Whether row n of the joint answer is the answer to row n alone."""
    if any(not np.ndim(one) or len(one) != 1 for one in alone):
        return False
    if not np.ndim(together) or len(together) != len(alone):
        return False
    return all(equal(t, a[0]) for t, a in zip(together, alone, strict=True))


def _equal(one: Any, other: Any, *, rtol: float, atol: float) -> bool:
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(
            _equal(one[key], other[key], rtol=rtol, atol=atol) for key in one
        )
    left, right = np.asarray(one), np.asarray(other)
    if left.shape != right.shape:
        return False
    if left.dtype.kind == "f" and right.dtype.kind == "f":
        return bool(np.allclose(left, right, rtol=rtol, atol=atol))
    return bool(np.array_equal(left, right))
