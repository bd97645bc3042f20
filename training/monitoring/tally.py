"""What the predictions of one version in some time came to, in numbers that add up. Pure.

A window is one tally; what rules look back on is several put together.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from registry.ledger import Role
from registry.predictions import Prediction
from registry.profile import NumberProfile, ReferenceProfile
from training.monitoring.answers import Answer, is_number, read
from training.monitoring.reference import Reference

_REFUSED, _FAILED = 400, 500
_DAYS = 30


def _doubles() -> array[float]:
    return array("d")


@dataclass(kw_only=True)
class Tally:
    """Of requests with since ≤ time < until (s since 1970).

    `requests` are all, `refused` those answered 4xx, `failed` 5xx; `rows` are predictions, with
    their `confidences` (0…1, where known), `latencies` (ms) one a request. `bins` are counts in the
    bins of the reference profile's numbers, `texts` of its labels.
    """

    reference: Reference
    since: float
    until: float
    baseline: float | None = None
    requests: int = 0
    refused: int = 0
    failed: int = 0
    rows: int = 0
    last: float = 0.0  # of what it answered as the one that serves
    latencies: array[float] = field(default_factory=_doubles)
    confidences: array[float] = field(default_factory=_doubles)
    deviations: array[float] = field(default_factory=_doubles)
    classes: Counter[str] = field(default_factory=Counter)
    predicted: array[float] = field(default_factory=_doubles)
    probabilities: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    days: defaultdict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    bins: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    texts: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, record: Prediction) -> None:
        """Count one more."""
        self.requests += 1
        if record.arm == Role.SERVE:  # whatever is beside it comes and goes
            self.last = max(self.last, record.time)
        if record.status >= _REFUSED:
            self.failed += record.status >= _FAILED
            self.refused += record.status < _FAILED
            return
        self.latencies.append(record.latency_ms)
        answer = read(record)
        self.rows += answer.rows or record.rows
        self._features(record.inputs)
        self._confidence(record, answer)
        self._values(record, answer)

    @classmethod
    def of(cls, parts: Iterable[Self]) -> Self:
        """Several of one version as one; of at least one."""
        first, *others = parts
        both = cls(
            reference=first.reference,
            since=first.since,
            until=first.until,
            baseline=first.baseline,
        )
        for part in (first, *others):
            both._join(part)
        return both

    def _join(self, part: Tally) -> None:
        self.since, self.until = min(self.since, part.since), max(self.until, part.until)
        self.last = max(self.last, part.last)
        for name in ("requests", "refused", "failed", "rows"):
            setattr(self, name, getattr(self, name) + getattr(part, name))
        for name in ("latencies", "confidences", "deviations", "predicted"):
            getattr(self, name).extend(getattr(part, name))
        self.classes.update(part.classes)
        for label, share in part.probabilities.items():
            self.probabilities[label] += share
        for day, values in part.days.items():
            self.days[day].extend(values)
        for column, counts in part.bins.items():
            self.bins[column] = self.bins[column] + counts if column in self.bins else counts
        for column, texts in part.texts.items():
            self.texts[column].update(texts)

    def _features(self, inputs: Mapping[str, Any]) -> None:
        profile = self.reference.profile
        if profile is None:
            return
        for column in self.reference.features:
            values = inputs.get(column)
            if not isinstance(values, list | tuple):
                continue
            if column in profile.numbers:
                self._count(column, profile.numbers[column], values)
            else:
                self.texts[column].update(str(value) for value in values if value is not None)

    def _count(self, column: str, profile: NumberProfile, values: Iterable[object]) -> None:
        """Numbers into their bins; what was hashed or left out is none."""
        found = np.array([value for value in values if is_number(value)], dtype=np.float64)
        if found.size:
            counts = profile.counts(found)
            self.bins[column] = self.bins[column] + counts if column in self.bins else counts

    def _confidence(self, record: Prediction, answer: Answer) -> None:
        if answer.probabilities:
            self.confidences.extend(max(row.values()) for row in answer.probabilities)
            for row in answer.probabilities:
                for label, share in row.items():
                    self.probabilities[self.reference.class_name(label)] += share
        elif record.confidence is not None:
            self.confidences.extend([record.confidence] * max(1, answer.rows or record.rows))

    def _values(self, record: Prediction, answer: Answer) -> None:
        if answer.is_class or self.reference.labels:
            self.classes.update(map(self.reference.class_name, answer.classes()))
            return
        numbers = answer.numbers()
        if answer.is_forecast:
            for day, value in enumerate(numbers[:_DAYS], start=1):
                self.days[day].append(value)
        else:
            self.predicted.extend(numbers)
        known = record.last_known_price
        if baseline := self.baseline if known is None else known:
            self.deviations.extend(abs(number - baseline) / abs(baseline) for number in numbers)

    def column(self, name: str) -> tuple[list[float], list[float], int]:
        """Shares of the profile's bins for a column, those seen here, and of how many values.

        Labels that the profile does not know are one bin more.
        """
        profile = self.reference.profile
        assert isinstance(profile, ReferenceProfile)
        if name in profile.numbers:
            known = profile.numbers[name]
            counts = self.bins.get(name, np.zeros(len(known.shares), dtype=np.int64))
            return [*known.shares], shares(counts.tolist()), int(counts.sum())
        return by_label(profile.labels[name].shares, self.texts[name])


def by_label(
    reference: Mapping[str, float], seen: Mapping[str, int]
) -> tuple[list[float], list[float], int]:
    """As `Tally.column`, for labels."""
    total = sum(seen.values())
    counts = [seen.get(label, 0) for label in reference]
    known = [*reference.values()]
    if strange := total - sum(counts):
        counts.append(strange)
        known.append(0.0)
    return known, shares(counts), total


def shares(counts: Iterable[int]) -> list[float]:
    """Counts as shares of their sum; of nothing, zeros."""
    found = [*counts]
    total = sum(found)
    return [count / total if total else 0.0 for count in found]
