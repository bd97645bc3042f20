"""A prediction log in memory: the port `PredictionLog`, and records to put into it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.errors import Unreachable
from registry.predictions import Prediction

_numbers = itertools.count(1)


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


def prediction(**given: Any) -> Prediction:
    """A record of `iris` version 1, answered with 200, but for what is given."""
    number = next(_numbers)
    usual: dict[str, Any] = {
        "prediction_id": f"p{number}",
        "request_id": f"r{number}",
        "time": 0.0,
        "model": "iris",
        "version": "1",
        "endpoint": "baton",
        "method": "POST",
        "status": 200,
        "latency_ms": 2.0,
        "rows": 1,
        "inputs": {},
        "outputs": {},
    }
    return Prediction(**{**usual, **given})


def classified(*shares: float, **given: Any) -> Prediction:
    """A record of one row: the most probable class, by its number, and all probabilities."""
    label = max(range(len(shares)), key=lambda number: shares[number])
    return prediction(outputs={"label": [label], "probabilities": [[*shares]]}, **given)


@dataclass(frozen=True, kw_only=True)
class Told:
    """One prediction, and what came true of it."""

    version: str
    time: float
    predicted: float | str
    truth: float | str
    horizon: int | None = None


class FakePredictionLog:
    """Holds records; counts how often it is `asked`; `is_down` makes every question fail."""

    def __init__(self, records: Iterable[Prediction] = ()) -> None:
        """With these records."""
        self.records = [*records]
        self.is_down = False
        self.asked = 0

    def predictions(
        self, model: str, since: float, until: float, *, version: str | None = None
    ) -> Iterator[Prediction]:
        """See `PredictionLog.predictions`."""
        found = self._that_count(since, until)
        for record in found:
            if record.model == model and version in (None, record.version):
                yield record

    def found(self, ids: Iterable[str]) -> Mapping[str, Prediction]:
        """See `PredictionLog.found`."""
        wanted = {*ids}
        self._asked()
        return {one.prediction_id: one for one in self.records if one.prediction_id in wanted}

    def models(self, since: float, until: float) -> Sequence[str]:
        """See `PredictionLog.models`."""
        return sorted({record.model for record in self._that_count(since, until)})

    def _that_count(self, since: float, until: float) -> list[Prediction]:
        """Of attempts that share an id the one with the highest seq, in order of time."""
        self._asked()
        chosen: dict[str, Prediction] = {}
        for record in self.records:
            key = record.attempt_of or record.prediction_id
            if key not in chosen or (record.seq or 0) > (chosen[key].seq or 0):
                chosen[key] = record
        answers = (one for one in chosen.values() if one.arm != "shadow")
        inside = [one for one in answers if since <= one.time < until]
        return sorted(inside, key=lambda one: one.time)

    def _asked(self) -> None:
        self.asked += 1
        if self.is_down:
            raise Unreachable("the prediction log does not answer")
