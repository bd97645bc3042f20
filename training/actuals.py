"""What came true of forecasts, from where their models learnt: the source of the version's data.

Only dates that were forecast are told, each once however often it was forecast; told again, nothing
changes. A price that the source has adjusted since contradicts what was told: that stays, unless
the caller corrects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

from registry.errors import StepFailed, UsageError
from registry.feedback import Received, Receiver, date_of
from registry.outcomes import Outcomes
from registry.pairing import answers
from registry.predictions import PredictionLog
from training.data.dataset import DATE, VALUE, iso
from training.data.source import source
from training.job import Plan
from training.record import Record
from training.workloads import get

_AT_ONCE: Final = 1000

# The values of a series by date, as `feedback.date_of` writes it. Raises StepFailed or UsageError.
ValuesOf = Callable[[Plan], Mapping[str, float]]


class Runs(Protocol):
    """Who knows the runs behind versions; see `training.versions.Versions`."""

    def record(self, model: str, version: str) -> Record | None:
        """The run that made a version."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What became of one series' dates; `open` ones are not in the source, or not yet."""

    model: str
    series: str
    source: str
    open: int = 0
    received: Received = field(default_factory=Received)
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        about = {"model": self.model, "series": self.series, "source": self.source}
        return {**about, "open": self.open, **self.received.to_json(), "failed": self.failed}


@dataclass(frozen=True, kw_only=True)
class Actuals:
    """Fetches for the models of a prediction log."""

    log: PredictionLog
    outcomes: Outcomes
    runs: Runs
    values_of: ValuesOf
    now: Callable[[], float] = time.time

    def fetch(
        self, model: str, since: float, until: float, *, correct: bool = False
    ) -> Iterator[Fetched]:
        """Each series that versions of a model forecast with since ≤ time < until.

        A source that fails is told with its reason. Raises Unreachable for our own databases.
        """
        for (series, where), (plan, dates) in self._wanted(model, since, until).items():
            try:
                values = self.values_of(plan)
            except (StepFailed, UsageError) as error:
                yield Fetched(model=model, series=series, source=where, failed=str(error))
                continue
            known = {date: values[date] for date in sorted(dates & values.keys())}
            yield Fetched(
                model=model,
                series=series,
                source=where,
                open=len(dates) - len(known),
                received=self._told(series, known, by=f"source {where}", correct=correct),
            )

    def _wanted(
        self, model: str, since: float, until: float
    ) -> Mapping[tuple[str, str], tuple[Plan, set[str]]]:
        """Dates that were forecast, by the name of the series and of its source."""
        dates: dict[str, set[str]] = {}
        for record in self.log.predictions(model, since, until):
            found = {answer.date for answer in answers(record) if answer.date}
            dates.setdefault(record.version, set()).update(found)
        wanted: dict[tuple[str, str], tuple[Plan, set[str]]] = {}
        for version, found in dates.items():
            run = self.runs.record(model, version) if found else None
            if run is not None:
                key = (run.evaluation.series, run.plan.source)
                wanted.setdefault(key, (run.plan, set()))[1].update(found)
        return wanted

    def _told(
        self, series: str, values: Mapping[str, float], *, by: str, correct: bool
    ) -> Received:
        receiver = Receiver(outcomes=self.outcomes, now=self.now)
        pieces = (
            {"series": series, "date": date, "actual": value, "correct": correct}
            for date, value in values.items()
        )
        received, done = Received(), 0
        while page := [*islice(pieces, _AT_ONCE)]:
            received = received.plus(receiver.receive(page, by=by), offset=done)
            done += len(page)
        return received


def from_source(cache: Path) -> ValuesOf:
    """Values as a training would read them now; what is fetched is kept in `cache`."""

    def values_of(plan: Plan) -> Mapping[str, float]:
        about = get(plan.workload, configuration=plan.configuration).about
        file = Path(plan.file) if plan.file else None
        reader = source(plan.source, file=file, params=plan.params, cache=cache)
        frame = reader.load(plan.series, about.fields).frame[[DATE, VALUE]].dropna()
        pairs = zip(frame[DATE], frame[VALUE], strict=True)
        return {date_of(iso(date)): float(value) for date, value in pairs}

    return values_of
