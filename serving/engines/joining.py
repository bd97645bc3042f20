"""Several requests as one, and the answer in parts again: pure functions of named arrays.

Used where requests of several clients share a call: in a worker (`batching.py`) and in a runner.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from registry.rowwise import Arrays

Form = tuple[tuple[str, str, tuple[int, ...]], ...]


def form_of(arrays: Arrays) -> Form | None:
    """Names, types and inner shapes: requests of one form can be joined.

    None for what has no rows, or not the same number of them everywhere.
    """
    named = [(name, np.asarray(array)) for name, array in arrays.items()]
    if any(not a.ndim for _, a in named) or len({len(a) for _, a in named}) != 1:
        return None
    return tuple((name, array.dtype.str, array.shape[1:]) for name, array in named)


def rows_of(arrays: Arrays) -> int:
    """How many rows, for arrays that have a form."""
    return len(next(iter(arrays.values())))


def joined(requests: Sequence[Arrays]) -> Arrays:
    """All rows of requests of one form, one after the other."""
    return {name: np.concatenate([one[name] for one in requests]) for name in requests[0]}


def parted(answer: Arrays, rows: Sequence[int]) -> list[Arrays] | None:
    """Each request's rows of a joint answer; None if it does not have a row for each of theirs."""
    total = sum(rows)
    if any(not np.ndim(value) or len(value) != total for value in answer.values()):
        return None
    parts: list[Arrays] = []
    at = 0
    for count in rows:
        part = slice(at, at + count)
        parts.append({name: value[part] for name, value in answer.items()})
        at += count
    return parts
