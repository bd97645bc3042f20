"""Comparing an answer with what a golden example expects of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from registry.bundle import Golden


def worst_error(expected: Any, got: Any, golden: Golden, where: str = "answer") -> float | str:
    """The largest |got − expected|, or in words the first place where they differ.

    Numbers agree within `atol + rtol·|expected|`; texts and truth values exactly. Keys that
    `expected` does not have are not looked at.
    """
    if isinstance(got, np.ndarray):
        got = got.tolist()
    if isinstance(expected, Mapping):
        if not isinstance(got, Mapping) or expected.keys() - got.keys():
            return f"{where}: expected keys {sorted(expected)}, got {_told(got)}"
        return _worst([(expected[k], got[k], f"{where}.{k}") for k in expected], golden)
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        if not isinstance(got, Sequence) or len(got) != len(expected):
            return f"{where}: expected {len(expected)} values, got {_told(got)}"
        pairs = enumerate(zip(expected, got, strict=True))
        return _worst([(e, g, f"{where}[{i}]") for i, (e, g) in pairs], golden)
    return _scalar(expected, got, golden, where)


def _worst(parts: Sequence[tuple[Any, Any, str]], golden: Golden) -> float | str:
    """The largest error over (expected, got, where), or the first difference."""
    worst = 0.0
    for expected, got, where in parts:
        error = worst_error(expected, got, golden, where)
        if isinstance(error, str):
            return error
        worst = max(worst, error)
    return worst


def _scalar(expected: Any, got: Any, golden: Golden, where: str) -> float | str:
    if _is_number(expected) and _is_number(got):
        error = abs(got - expected)
        if error <= golden.atol + golden.rtol * abs(expected):
            return float(error)
        return f"{where}: expected {expected!r}, got {got!r}"
    return 0.0 if expected == got else f"{where}: expected {expected!r}, got {_told(got)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _told(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."
