"""The reference profile: what the data a version learnt from looked like, column by column. Pure.

Written at packaging (`baton/profile.json`), so that what is asked of a version later can be held
against it. Numbers are counted in bins of equal share, labels by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_BINS = 10
# A share of nothing would make the index infinite; this much of an empty bin is usual.
_SMALLEST_SHARE = 1e-4


@dataclass(frozen=True)
class NumberProfile:
    """k bins by k − 1 rising `edges`; bin i holds edges[i − 1] < x ≤ edges[i]; shares sum to 1."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, values: NDArray[np.float64], *, bins: int = _BINS) -> Self:
        """Bins that hold equal shares of `values` (shape [n], n ≥ 1); ties make fewer of them."""
        inner = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
        edges = np.unique(inner)
        made = cls(tuple(edges.tolist()), ())
        counts = made.counts(values)
        return cls(made.edges, tuple((counts / counts.sum()).tolist()))

    def counts(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """How many of `values` fall into each bin."""
        places = np.searchsorted(self.edges, values, side="left")
        return np.bincount(places, minlength=len(self.edges) + 1)


@dataclass(frozen=True)
class LabelProfile:
    """The share of each label."""

    shares: Mapping[str, float]

    @classmethod
    def of(cls, values: Iterable[object]) -> Self:
        """Count labels by their text."""
        texts, counts = np.unique([str(value) for value in values], return_counts=True)
        total = int(counts.sum())
        return cls({str(t): int(c) / total for t, c in zip(texts, counts, strict=True)})


@dataclass(frozen=True)
class ReferenceProfile:
    """Columns by name, and the number of rows they were taken from.

    `predicted` are the model's own answers to its hold-out of `predicted_rows`; the truth would be
    no measure of them, since a model may well answer the rare less often than it is.
    """

    rows: int
    numbers: Mapping[str, NumberProfile]
    labels: Mapping[str, LabelProfile]
    predicted: NumberProfile | LabelProfile | None = None
    predicted_rows: int = 0

    def to_json(self) -> dict[str, Any]:
        """As written to `profile.json`."""
        return {
            "rows": self.rows,
            "numbers": {name: _told(p) for name, p in self.numbers.items()},
            "labels": {name: _told(p)["shares"] for name, p in self.labels.items()},
            **({"predicted": _told(self.predicted)} if self.predicted else {}),
            "predicted_rows": self.predicted_rows,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`."""
        numbers = {name: _number(raw) for name, raw in data["numbers"].items()}
        labels = {name: LabelProfile(dict(raw)) for name, raw in data["labels"].items()}
        return cls(
            int(data["rows"]),
            numbers,
            labels,
            _predicted(data["predicted"]) if "predicted" in data else None,
            int(data.get("predicted_rows", 0)),
        )


def _told(profile: NumberProfile | LabelProfile) -> dict[str, Any]:
    """One column as plain JSON values."""
    if isinstance(profile, LabelProfile):
        return {"shares": dict(profile.shares)}
    return {"edges": list(profile.edges), "shares": list(profile.shares)}


def _number(raw: Mapping[str, Any]) -> NumberProfile:
    return NumberProfile(tuple(raw["edges"]), tuple(raw["shares"]))


def _predicted(raw: Mapping[str, Any]) -> NumberProfile | LabelProfile:
    return _number(raw) if "edges" in raw else LabelProfile(dict(raw["shares"]))


def population_stability(reference: Sequence[float], observed: Sequence[float]) -> float:
    """Population stability index Σ (o − r) · ln(o / r) over shares of the same bins.

    0 is no change; 0.1 and 0.25 are the customary marks of some and of much. Empty bins count as a
    share of 0.0001. Raises ValueError for unlike lengths. Source: Siddiqi, Credit Risk Scorecards
    (2006).
    """
    if len(reference) != len(observed):
        raise ValueError(f"{len(reference)} reference bins against {len(observed)} observed")
    r = np.maximum(np.asarray(reference, dtype=np.float64), _SMALLEST_SHARE)
    o = np.maximum(np.asarray(observed, dtype=np.float64), _SMALLEST_SHARE)
    return float(np.sum((o - r) * np.log(o / r)))
