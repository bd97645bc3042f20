"""A prediction log in memory, and records to put into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.predictions import Prediction


def record(prediction_id: str = "p1", **given: Any) -> Prediction:
    """One that was answered, of one row that said 1.0, at 1000 s."""
    usual: dict[str, Any] = {
        "request_id": "r",
        "time": 1000.0,
        "model": "iris",
        "version": "1",
        "endpoint": "baton",
        "method": "POST",
        "key_id": "",
        "status": 200,
        "error": "",
        "latency_ms": 1.0,
        "rows": 1,
        "inputs": {},
        "outputs": {"y": [1.0]},
    }
    return Prediction(prediction_id=prediction_id, **{**usual, **given})


@dataclass
class FakePredictionLog:
    """Records in the order of their time; `asked` counts how often it was looked into."""

    records: list[Prediction] = field(default_factory=list)
    asked: int = 0

    def predictions(
        self, model: str, since: float, until: float, *, version: str | None = None
    ) -> Iterator[Prediction]:
        """See `PredictionLog.predictions`; these have no attempts."""
        self.asked += 1
        for one in sorted(self.records, key=lambda one: one.time):
            wanted = version in (None, one.version)
            if one.model == model and since <= one.time < until and wanted:
                yield one

    def found(self, ids: Iterable[str]) -> Mapping[str, Prediction]:
        """See `PredictionLog.found`."""
        self.asked += 1
        wanted = set(ids)
        return {one.prediction_id: one for one in self.records if one.prediction_id in wanted}

    def models(self, since: float, until: float) -> Sequence[str]:
        """See `PredictionLog.models`."""
        return sorted({one.model for one in self.records if since <= one.time < until})
