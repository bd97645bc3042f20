"""What a training run measured about a version: the numbers the gates judge.

Written by the `evaluate` step into the bundle (`baton/evaluation.json`), so that the judged numbers
are covered by the digest of the bytes that are served. Read by the gates; computes nothing.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The Production version of that moment, scored on the candidate's hold-out."""

    version: int
    digest: str
    series: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One version's evaluation on its hold-out.

    `series` names what was learnt from ("USD/BRL", "iris"), `source` where it came from; the
    fingerprints are SHA-256 of the data and of the hold-out; `data_end` is the ISO date of the last
    observation, or None where the data has no time; `baselines` maps the name of a naive forecast
    to its metrics on the same hold-out; `current` is None on a first training.
    """

    series: str
    source: str
    rows: int
    data_fingerprint: str
    holdout_fingerprint: str
    metrics: Mapping[str, float]
    data_end: str | None = None
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    current: Comparison | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`; raises AttributeError, TypeError or ValueError otherwise."""
        current = data.get("current")
        made = cls(**{**data, "current": Comparison(**current) if current else None})
        scores = [made.metrics, *made.baselines.values()]
        for metrics in [*scores, made.current.metrics] if made.current else scores:
            if set(map(type, metrics.values())) - {int, float}:
                raise TypeError(f"metrics: expected numbers, got {metrics}")
        if type(made.rows) is not int or not isinstance(made.source, str):
            raise TypeError(f"rows and source: got {made.rows!r} and {made.source!r}")
        if made.data_end is not None:
            datetime.datetime.fromisoformat(made.data_end)
        return made
