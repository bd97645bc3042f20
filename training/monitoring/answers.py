"""The rows of one record's answer: classes, probabilities and numbers, whatever the version's kind.

Outputs come by the names a graph gave them: probabilities are known by being such (rows of numbers
from 0 to 1 that add up to 1), the prediction is the first output of plain values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.predictions import Prediction

_NEAR = 1e-3
# Dates of a forecast, and what is said beside a class.
_BESIDE = frozenset({"ds", "confidence"})


@dataclass(frozen=True)
class Answer:
    """`values` [n] as answered; `probabilities` [n] by class (its number or name), or empty."""

    values: Sequence[Any]
    probabilities: Sequence[Mapping[str, float]]
    is_forecast: bool

    @property
    def is_class(self) -> bool:
        """Whether the values are classes."""
        return bool(self.probabilities) or any(isinstance(value, str) for value in self.values)

    @property
    def rows(self) -> int:
        """How many predictions it holds."""
        return max(len(self.values), len(self.probabilities))

    def numbers(self) -> list[float]:
        """The values that are numbers."""
        return [float(v) for v in self.values if is_number(v)]

    def classes(self) -> list[str]:
        """The class of each row; the most probable where only probabilities were answered."""
        if self.values:
            return [str(value) for value in self.values]
        return [max(row, key=lambda name: row[name]) for row in self.probabilities]


def read(record: Prediction) -> Answer:
    """What a record's `outputs` hold; nothing for one that was refused."""
    values: Sequence[Any] = ()
    probabilities: Sequence[Mapping[str, float]] = ()
    for name, output in record.outputs.items():
        rows = output if isinstance(output, list | tuple) else [output]
        if (found := _probabilities(rows)) and not probabilities:
            probabilities = found
        elif name not in _BESIDE and not values:
            values = _plain(rows)
    return Answer(values, probabilities, is_forecast="ds" in record.outputs)


def is_number(value: object) -> bool:
    """A finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(rows: Sequence[Any]) -> Sequence[Any]:
    """Rows of one value each, or nothing."""
    flat = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
    return flat if not any(isinstance(one, list | dict) for one in flat) else ()


def _probabilities(rows: Sequence[Any]) -> list[Mapping[str, float]]:
    named = [_named(row) for row in rows]
    return [row for row in named if row] if named and all(named) else []


def _named(row: object) -> dict[str, float]:
    """One row by class, or nothing where that is no distribution over two classes or more."""
    if isinstance(row, list | tuple):
        row = {str(number): value for number, value in enumerate(row)}
    if not isinstance(row, Mapping) or len(row) < 2 or not all(map(is_number, row.values())):
        return {}
    values = [float(value) for value in row.values()]
    is_one = abs(sum(values) - 1) < _NEAR and min(values) > -_NEAR
    return dict(zip(map(str, row), values, strict=True)) if is_one else {}
