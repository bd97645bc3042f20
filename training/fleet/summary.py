"""What came of all series of a fleet: the best, the worst, and those that failed with the reason.

They are ordered by `Outcome.ratio`, the metric over the best naive baseline's, since a metric
itself (an error in a share's price) says nothing across series.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from training.fleet.task import Outcome

CSV = "summary.csv"
_COLUMNS = (
    "series",
    "model",
    "version",
    "run_id",
    "metric",
    "ratio",
    "tries",
    "seconds",
    "reason",
)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All outcomes of one fleet. `kept` were trained before this command began."""

    run_id: str
    workload: str
    metric: str
    outcomes: Sequence[Outcome]
    kept: int
    seconds: float

    @property
    def ranked(self) -> Sequence[Outcome]:
        """Those that were trained, the best first."""
        trained = [one for one in self.outcomes if one.is_trained]
        return sorted(trained, key=lambda o: (math.inf if o.ratio is None else o.ratio, o.series))

    @property
    def failed(self) -> Sequence[Outcome]:
        """Those that have no version, by name."""
        return sorted((o for o in self.outcomes if not o.is_trained), key=lambda o: o.series)

    def metrics(self) -> dict[str, float]:
        """Numbers of the parent run."""
        ratios = [o.ratio for o in self.ranked if o.ratio is not None]
        numbers = {
            "series": len(self.outcomes),
            "trained": len(self.ranked),
            "failed": len(self.failed),
            "seconds": self.seconds,
        }
        if ratios:
            numbers["median_ratio"] = ratios[len(ratios) // 2]
            numbers["better_than_naive"] = sum(ratio < 1 for ratio in ratios)
        return {name: float(value) for name, value in numbers.items()}

    def csv(self) -> str:
        """A line a series: the best first, then those that failed."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(self._lines())
        return text.getvalue()

    def to_json(self) -> dict[str, Any]:
        """As printed by `--json`; a trained series is a line of the artifact."""
        return {
            "run_id": self.run_id,
            "workload": self.workload,
            "metric": self.metric,
            "kept": self.kept,
            **self.metrics(),
            "failures": {o.series: o.reason for o in self.failed},
            "models": {o.series: [o.model, o.version] for o in self.ranked},
        }

    def _lines(self) -> Iterable[tuple[Any, ...]]:
        for one in (*self.ranked, *self.failed):
            yield tuple(getattr(one, name) for name in _COLUMNS)
