"""What came true of forecasts, fetched from where the models learnt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from registry.errors import StepFailed, UnknownName
from registry.evaluation import Evaluation
from registry.feedback import Receiver
from registry.outcomes import OfDate
from registry.pairing import Facts, paired
from tests.fakes.outcomes import MemoryOutcomes
from tests.fakes.prediction_log import FakePredictionLog, record
from training.actuals import Actuals, Fetched, from_source
from training.data.sample import Sample
from training.job import Plan
from training.record import Record
from training.versions import Versions
from training.workloads import get

UNTIL = 1e9


def plan(workload: str = "petr4", **given: Any) -> Plan:
    usual: dict[str, Any] = {
        "workload": workload,
        "experiment": "e",
        "model": "ProphetModel",
        "source": "sample",
        "series": "usd_brl",
        "params": {},
        "seed": 42,
    }
    return Plan(**{**usual, **given})


def run(of: Plan, series: str = "USD/BRL", **evaluation: Any) -> Record:
    found = Evaluation(
        series=series,
        source=of.source,
        rows=1,
        data_fingerprint="",
        holdout_fingerprint="",
        metrics={},
        **evaluation,
    )
    return Record(run_id="r", plan=of, evaluation=found, params={}, made_with={}, dirty=False)


class Runs:
    """Of version 1 and 2 the run is known."""

    def record(self, model: str, version: str) -> Record | None:
        return run(plan()) if version in "12" else None


def forecast(identity: str, *days: str, version: str = "1", time: float = 1000.0) -> Any:
    outputs = {"ds": [*days], "yhat": [5.0] * len(days)}
    return record(identity, model="ProphetModel", version=version, time=time, outputs=outputs)


VALUES = {"2026-10-29": 5.25, "2026-10-30": 5.5, "2026-10-28": 5.0}


def fetched(records: list[Any], outcomes: MemoryOutcomes, **given: Any) -> list[Fetched]:
    values_of = given.pop("values_of", lambda _plan: VALUES)
    actuals = Actuals(
        log=FakePredictionLog(records),
        outcomes=outcomes,
        runs=Runs(),
        values_of=values_of,
        now=lambda: 5000.0,
    )
    return [*actuals.fetch("ProphetModel", 0.0, UNTIL, **given)]


def test_dates_that_were_forecast_are_told_once_and_others_stay_open() -> None:
    records = [
        forecast("p1", "2026-10-29", "2026-10-30", "2026-10-31"),
        forecast("p2", "2026-10-30", version="2"),
        forecast("p3", "2026-10-28", version="nobody's"),
        record("p4", model="ProphetModel"),
    ]
    outcomes = MemoryOutcomes()
    [first] = fetched(records, outcomes)
    assert (first.series, first.source, first.open) == ("USD/BRL", "sample", 1)
    told = first.to_json()
    assert (told["accepted"], told["duplicate"], told["contradicting"]) == (2, 0, 0)
    assert outcomes.kept.keys() == {
        OfDate("USD/BRL", "2026-10-29"),
        OfDate("USD/BRL", "2026-10-30"),
    }
    [kept] = outcomes.history(OfDate("USD/BRL", "2026-10-30"))
    assert (kept.value, kept.by, kept.told) == (5.5, "source sample", 5000.0)
    [again] = fetched(records, outcomes)
    assert again.to_json()["duplicate"] == 2


def test_a_value_that_the_source_changed_contradicts_unless_it_corrects() -> None:
    outcomes, records = MemoryOutcomes(), [forecast("p1", "2026-10-30")]
    changed: Mapping[str, float] = {"2026-10-30": 5.75}
    fetched(records, outcomes)
    [second] = fetched(records, outcomes, values_of=lambda _plan: changed)
    assert second.to_json()["contradicting"] == 1
    [third] = fetched(records, outcomes, values_of=lambda _plan: changed, correct=True)
    assert third.to_json()["accepted"] == 1
    values = [one.value for one in outcomes.history(OfDate("USD/BRL", "2026-10-30"))]
    assert values == [5.5, 5.75]


def test_a_source_that_fails_says_why_and_nothing_is_told() -> None:
    def away(_plan: Plan) -> Mapping[str, float]:
        raise StepFailed("yahoo PETR4.SA: could not be fetched")

    outcomes = MemoryOutcomes()
    [found] = fetched([forecast("p1", "2026-10-30")], outcomes, values_of=away)
    assert (found.failed, outcomes.kept) == ("yahoo PETR4.SA: could not be fetched", {})


def test_nothing_was_forecast() -> None:
    assert fetched([record("p4", model="ProphetModel")], MemoryOutcomes()) == []
    assert fetched([], MemoryOutcomes()) == []


def test_values_are_those_a_training_would_read(tmp_path: Path) -> None:
    values = from_source(tmp_path)(plan())
    frame = Sample().load("usd_brl", get("petr4").about.fields).frame
    assert len(values) == len(frame)
    assert values["2026-10-30"] == frame["y"].iloc[-1]


class Registry:
    """Knows the run of one version, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    def version(self, name: str, number: int | None = None) -> Any:
        self.asked += 1
        raise UnknownName("version of iris", str(number), [])


def test_a_version_that_is_gone_is_asked_for_once_and_nothing_is_known_of_it() -> None:
    registry: Any = Registry()
    tracking: Any = None
    versions = Versions(registry, tracking)
    assert [versions.facts(record("p1")) for _ in range(3)] == [Facts()] * 3
    assert versions.facts(record("p1", version="")) == Facts()
    assert registry.asked == 1


def known(of: Record) -> Versions:
    nobody: Any = None
    return Versions(nobody, nobody, {("iris", "1"): of})


def test_what_a_run_says_of_a_version() -> None:
    baselines = {"naive": {"mae": 0.25, "rmse": 0.5}}
    forecaster = known(run(plan(), baselines=baselines)).facts(record("p1"))
    assert forecaster == Facts(series=("USD/BRL",), scale=0.25)
    facts = known(run(plan("iris"), series="iris")).facts(record("p1"))
    assert (facts.scale, facts.labels["versicolor"], facts.labels["iris-setosa"]) == (
        None,
        "1",
        "0",
    )


@pytest.mark.parametrize("actual", ["versicolor", "Iris-versicolor", 1.0, "1"])
def test_a_spelling_that_the_workload_knows_is_its_class(actual: Any) -> None:
    outcomes = MemoryOutcomes()
    answered = record("p1", outputs={"label": [1], "probabilities": [[0.25, 0.75]]})
    receiver = Receiver(outcomes=outcomes, now=lambda: 0.0)
    receiver.receive([{"prediction_id": "p1", "actual": actual}], by="")
    facts = known(run(plan("iris"), series="iris")).facts
    log = FakePredictionLog([answered])
    [pair] = paired(log, outcomes, "iris", 0.0, UNTIL, facts=facts)
    assert (pair.predicted, pair.truth) == ("1", "1")
