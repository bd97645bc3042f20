"""How right predictions were, by what came true: per version, arm, series and day ahead. Pure.

Numbers are judged by their errors, labels by what was said instead. Pairs are counted one by one,
none is kept. Fewer than `LEAST` are too few to say much: whoever shows such a score says so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from registry.pairing import Pair

LEAST: Final = 30
NUMBERS: Final = ("mae", "rmse", "mape", "mase", "coverage")
LABELS: Final = ("accuracy", "macro_f1", "ece")
_BINS: Final = 10


@dataclass(frozen=True, order=True)
class Group:
    """What is judged together; `horizon` 0 is all days ahead, and whatever is no forecast.

    `arm` is how a version came to answer: by itself (`serve`), in a split, or to nobody (`shadow`).
    """

    model: str
    version: str
    series: str
    horizon: int = 0
    arm: str = "serve"


@dataclass(frozen=True, kw_only=True)
class Score:
    """The measures of `n` pairs; None is one that these pairs do not tell."""

    group: Group
    n: int
    measures: Mapping[str, float | None]

    @property
    def is_enough(self) -> bool:
        """Whether there were pairs enough."""
        return self.n >= LEAST

    def to_json(self) -> dict[str, Any]:
        """For machines; `enough` says whether these numbers mean much."""
        group = self.group
        return {
            "model": group.model,
            "version": group.version,
            "arm": group.arm,
            "series": group.series or None,
            "horizon": group.horizon or None,
            "n": self.n,
            "enough": self.is_enough,
            "least": LEAST,
            "measures": dict(self.measures),
        }


class _Tally(Protocol):
    def add(self, pair: Pair) -> None: ...

    def measures(self) -> Mapping[str, float | None]: ...


@dataclass
class Numbers:
    """Sums over pairs of numbers."""

    n: int = 0
    absolute: float = 0.0
    squared: float = 0.0
    relative: float | None = 0.0
    scaled: float | None = 0.0
    banded: int = 0
    inside: int = 0

    def add(self, pair: Pair) -> None:
        """Count one pair."""
        truth, error = float(pair.truth), float(pair.predicted) - float(pair.truth)
        self.n += 1
        self.absolute += abs(error)
        self.squared += error * error
        if self.relative is not None:
            self.relative = self.relative + abs(error / truth) if truth else None
        if self.scaled is not None:
            self.scaled = self.scaled + abs(error) / pair.scale if pair.scale else None
        if pair.lower is not None and pair.upper is not None:
            self.banded += 1
            self.inside += pair.lower <= truth <= pair.upper

    def measures(self) -> Mapping[str, float | None]:
        """MAE and RMSE in the unit of the truth, MAPE in percent, MASE, coverage of the band 0…1.

        MAPE is unknown where a truth is 0, MASE where a version's scale is: Hyndman and Koehler,
        Another look at measures of forecast accuracy (2006).
        """
        n = self.n
        return {
            "mae": self.absolute / n,
            "rmse": math.sqrt(self.squared / n),
            "mape": None if self.relative is None else 100 * self.relative / n,
            "mase": None if self.scaled is None else self.scaled / n,
            "coverage": self.inside / self.banded if self.banded else None,
        }


@dataclass
class Labels:
    """Counts over pairs of labels."""

    said: Counter[tuple[str, str]] = field(default_factory=Counter)  # truth, predicted
    # A row a bin of confidence: pairs, their confidences and how many were right, summed.
    bins: np.ndarray[Any, np.dtype[np.float64]] = field(
        default_factory=lambda: np.zeros((_BINS, 3))
    )

    def add(self, pair: Pair) -> None:
        """Count one pair."""
        truth, predicted = str(pair.truth), str(pair.predicted)
        self.said[truth, predicted] += 1
        if pair.confidence is not None:
            place = min(max(math.ceil(pair.confidence * _BINS) - 1, 0), _BINS - 1)
            self.bins[place] += (1, pair.confidence, truth == predicted)

    def measures(self) -> Mapping[str, float | None]:
        """Accuracy and macro-F1 0…1, the latter over the classes of the truth; ECE 0…1.

        ECE, over ten bins of equal width, is how far confidence and accuracy are apart: Guo et
        al., On calibration of modern neural networks (2017). Unknown without any confidence.
        """
        return {
            "accuracy": self._right(None) / self.said.total(),
            "macro_f1": self._macro_f1(),
            "ece": self._ece(),
        }

    def _right(self, label: str | None) -> int:
        return sum(
            count
            for (truth, predicted), count in self.said.items()
            if truth == predicted and label in (None, truth)
        )

    def _macro_f1(self) -> float:
        """2PR / (P + R) of each class is 2 right / (how often true + how often said)."""
        true, said = Counter[str](), Counter[str]()
        for (truth, predicted), count in self.said.items():
            true[truth] += count
            said[predicted] += count
        return float(np.mean([2 * self._right(c) / (true[c] + said[c]) for c in true]))

    def _ece(self) -> float | None:
        counts, confidences, right = self.bins.T
        return float(np.abs(confidences - right).sum() / counts.sum()) if counts.sum() else None


def scores(pairs: Iterable[Pair]) -> Sequence[Score]:
    """A score for each version, arm and series, and for each day ahead of a forecast, in order.

    Numbers and labels of one version are judged apart.
    """
    tallies: dict[tuple[Group, bool], _Tally] = {}
    counts = Counter[tuple[Group, bool]]()
    for pair in pairs:
        is_label = isinstance(pair.truth, str)
        for horizon in {0, pair.horizon or 0}:
            key = (Group(pair.model, pair.version, pair.series, horizon, pair.arm), is_label)
            if key not in tallies:
                tallies[key] = Labels() if is_label else Numbers()
            tallies[key].add(pair)
            counts[key] += 1
    ordered = sorted(tallies, key=lambda key: (_numeric(key[0].version), key))
    return [Score(group=k[0], n=counts[k], measures=tallies[k].measures()) for k in ordered]


def _numeric(version: str) -> int:
    return int(version) if version.isdigit() else 0
