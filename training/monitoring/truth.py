"""What came true: the port through which the monitor hears of it, and what follows in numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

Value = float | str


class Pair(Protocol):
    """One prediction (a row, a day of a forecast) and what came true of it.

    Both are numbers, or both classes in the same words; `time` (s since 1970) is when it was asked,
    `horizon` is 1 for the first day of a forecast.
    """

    @property
    def version(self) -> str:
        """Of the model that answered."""

    @property
    def time(self) -> float:
        """Seconds since 1970, UTC."""

    @property
    def predicted(self) -> Value:
        """What was answered."""

    @property
    def truth(self) -> Value:
        """What came true."""

    @property
    def horizon(self) -> int | None:
        """Days ahead, or None."""


def is_label(pair: Pair) -> bool:
    """Whether it is right or wrong, rather than near or far."""
    return isinstance(pair.predicted, str) or isinstance(pair.truth, str)


def error_of(pair: Pair) -> float:
    """1 for a wrong class, 0 for a right one; of numbers, how far apart they are."""
    if isinstance(pair.predicted, str) or isinstance(pair.truth, str):
        return float(str(pair.predicted) != str(pair.truth))
    return abs(pair.predicted - pair.truth)


class Truth(Protocol):
    """Where outcomes come from; may raise Unreachable, and can then be asked again."""

    def pairs(self, model: str, since: float, until: float) -> Iterable[Pair]:
        """What is known of predictions with since ≤ time < until, by their time."""


def accuracy(pairs: Sequence[Pair]) -> float | None:
    """The share of classes that were right; None where there are none."""
    errors = [error_of(pair) for pair in pairs if is_label(pair)]
    return 1 - sum(errors) / len(errors) if errors else None


def by_horizon(pairs: Iterable[Pair]) -> Mapping[int, float]:
    """The mean absolute error of numbers by horizon; 0 where they have none."""
    found: defaultdict[int, list[float]] = defaultdict(list)
    for pair in pairs:
        if not is_label(pair):
            found[pair.horizon or 0].append(error_of(pair))
    return {horizon: sum(errors) / len(errors) for horizon, errors in sorted(found.items())}
