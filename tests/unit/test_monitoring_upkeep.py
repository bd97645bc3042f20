"""What a monitor does beside its windows."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from registry.monitoring import Kept, Monitoring
from tests.fakes.prediction_log import FakePredictionLog, prediction
from training.monitoring.upkeep import Parquet, Retention

DAY = 86_400.0


def retention(gone: list[tuple[dict[str, float], float]], **models: Kept) -> Retention:
    def forget(days: Mapping[str, float], now: float) -> None:
        gone.append((dict(days), now))

    log = FakePredictionLog([prediction(model=model) for model in ("iris", "wine", "petr4")])
    return Retention(log, Monitoring(models), forget)


def test_what_is_older_than_its_model_allows_is_forgotten_once_a_day() -> None:
    gone: list[tuple[dict[str, float], float]] = []
    kept = retention(gone, iris=Kept(retention_days=30), **{"w*": Kept(retention_days=7)})
    for until in (5.1 * DAY, 5.9 * DAY, 6.1 * DAY):
        kept.kept(until)
    assert gone == [({"iris": 30, "wine": 7}, at) for at in (5.1 * DAY, 6.1 * DAY)]


def test_without_a_bound_everything_is_kept() -> None:
    gone: list[tuple[dict[str, float], float]] = []
    retention(gone).kept(5 * DAY)
    assert gone == []


def test_what_failed_is_tried_again() -> None:
    calls = []

    def forget(_days: Mapping[str, float], now: float) -> None:
        calls.append(now)
        if len(calls) == 1:
            raise RuntimeError("the log is away")

    log = FakePredictionLog([prediction()])
    kept = Retention(log, Monitoring({"iris": Kept(retention_days=1)}), forget)
    with pytest.raises(RuntimeError):
        kept.kept(5.1 * DAY)
    kept.kept(5.2 * DAY)
    assert calls == [5.1 * DAY, 5.2 * DAY]


def test_hours_that_are_over_are_exported_once_an_hour() -> None:
    asked: list[float] = []
    files = Parquet(asked.append)
    for until in (7200.0, 7500.0, 10_800.0):
        files.written(until)
    assert asked == [7200.0, 10_800.0]
